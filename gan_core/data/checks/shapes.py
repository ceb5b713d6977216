"""Shapes and modes: training needs one of each, and of a size that networks can grow by doubling."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from statistics import median
from typing import Any

from numpy.typing import NDArray

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.report import Finding, Named, plural
from gan_core.data.source import Example

MODES = {1: "grey", 2: "grey+alpha", 3: "RGB", 4: "RGBA"}
TIMES = "\N{MULTIPLICATION SIGN}"
SHAPES_SHOWN = 3
SHAPES_NAMED = 1000  # different shapes of which examples are named
SMALLEST, LARGEST, LONGEST_RATIO = 8, 1024, 4
LARGEST_FIRST_MAP = 16  # a generator that starts from more has little left to grow

Shape = tuple[int, ...]


def shape_of(name: str, value: NDArray[Any]) -> Shape:
    """(H, W, C), (frames, H, W, C), (channels, T) or (T,), all axes there."""
    if name in ("image", "image_b"):
        return (*value.shape, 1) if value.ndim == 2 else value.shape
    if name == "video":
        return (*value.shape, 1) if value.ndim == 3 else value.shape
    if name == "audio":
        return (1, *value.shape) if value.ndim == 1 else value.shape
    return value.shape


def shown(name: str, shape: Shape) -> str:
    """'32×32 RGB' (height × width), '16 frames of 64×64 grey', '8,000 samples', '64 tokens'."""
    if name in ("image", "image_b"):
        return f"{shape[0]}{TIMES}{shape[1]} {MODES.get(shape[2], f'{shape[2]} channels')}"
    if name == "video":
        return f"{plural(shape[0], 'frame')} of {shown('image', shape[1:])}"
    if name == "audio":
        return plural(shape[1], "sample") + (f" {TIMES} {shape[0]} channels" if shape[0] > 1 else "")
    return plural(shape[0], "token")


def shown_all(example: Example) -> str:
    """The shapes of all that an example holds; of a pair 'A → B'."""
    return " → ".join(shown(name, shape_of(name, value)) for name, value in example.tensors().items())


class Shapes:
    """Examples by their shapes after the transforms, field by field."""

    def __init__(self) -> None:
        self._fields: dict[tuple[str, ...], Named] = {}
        self._counts: dict[str, Counter[tuple[str, Shape]]] = {}  # field → (split, shape) → examples
        self._named: dict[tuple[str, Shape], Named] = {}
        self._opaque = True

    def add(self, seen: Seen) -> None:
        tensors = seen.example.tensors()
        self._fields.setdefault(tuple(tensors), Named()).add(seen.name)
        for name, value in tensors.items():
            shape = shape_of(name, value)
            self._counts.setdefault(name, Counter())[seen.split, shape] += 1
            if (name, shape) in self._named or len(self._named) < SHAPES_NAMED:
                self._named.setdefault((name, shape), Named()).add(seen.name)
            if self._opaque and name == "image" and shape[2] in (2, 4):
                self._opaque = bool((value[..., -1] == 255).all())

    def findings(self, terms: Terms) -> Iterator[Finding]:
        if len(self._fields) > 1:
            yield self._mixed_fields()
        for name in self._counts:
            shapes = self._by_shape(name)
            if len(shapes) > 1:
                yield self._mixed_shapes(name, shapes, terms)
            elif name in ("image", "video"):
                yield from _unfit_size(next(iter(shapes))[-3:])
        if len(self._by_shape("image")) == 1:
            yield from self._alpha()

    def _by_shape(self, name: str) -> Counter[Shape]:
        counts: Counter[Shape] = Counter()
        for (_, shape), count in self._counts.get(name, {}).items():
            counts[shape] += count
        return counts

    def _mixed_fields(self) -> Finding:
        kinds = [f"{named.count:,} with {' and '.join(fields)} ({named})" for fields, named in self._fields.items()]
        return Finding("refuse", "mixed_fields", "", f"examples do not all hold the same: {', '.join(kinds)}",
                       "make a set of one kind")

    def _mixed_shapes(self, name: str, shapes: Counter[Shape], terms: Terms) -> Finding:
        common, odd = shapes.most_common(1)[0][0], shapes.total() - shapes.most_common(1)[0][1]
        where = ", ".join(dict.fromkeys(split for split, shape in self._counts[name] if shape != common))
        parts = []
        for shape, count in shapes.most_common(SHAPES_SHOWN):
            names = f" ({self._named[name, shape]})" if shape != common and (name, shape) in self._named else ""
            parts.append(f"{count:,} {TIMES} {shown(name, shape)}{names}")
        if rest := shapes.total() - sum(count for _, count in shapes.most_common(SHAPES_SHOWN)):
            parts.append(f"{rest:,} of {plural(len(shapes) - SHAPES_SHOWN, 'other shape')}")
        return Finding(terms.for_left_out(odd, shapes.total()), "mixed_shapes", where, ", ".join(parts),
                       mend(name, shapes))

    def _alpha(self) -> Iterator[Finding]:
        (_, _, channels), = self._by_shape("image")
        if channels not in (2, 4):
            return
        what = f"the images are {MODES[channels]}" + (", and opaque everywhere" if self._opaque else "")
        step = "{background: white}" if not self._opaque else "{mode: grey}" if channels == 2 else "{mode: rgb}"
        yield Finding("warn", "alpha_channel", "", what,
                      f"add prepare.transforms: [{step}], or it is trained as one more channel")


def mend(name: str, shapes: Counter[Shape]) -> str:
    """The transforms, or options of the source, that bring all to one shape."""
    if name == "audio":
        return "set the source's `seconds` and `channels`, or cut and pad in the source"
    if name == "tokens":
        return "set the source's `length`, or cut and pad in the source"
    if name == "video" and len({shape[0] for shape in shapes}) > 1:
        return "let the source yield clips of one number of frames"
    steps = _one_mode({shape[-1] for shape in shapes}) + _one_size(shapes)
    return f"add prepare.transforms: [{', '.join(steps)}]"


def _one_mode(channels: set[int]) -> list[str]:
    if len(channels) == 1:
        return []
    flatten = ["{background: white}"] if channels & {2, 4} else []
    if {c - (c in (2, 4)) for c in channels} == {1}:
        return flatten
    return [*flatten, "{mode: rgb}"]


def _one_size(shapes: Counter[Shape]) -> list[str]:
    sizes: Counter[tuple[int, int]] = Counter()
    for shape, count in shapes.items():
        sizes[shape[-3], shape[-2]] += count
    if len(sizes) == 1:
        return []
    (height, width), count = sizes.most_common(1)[0]
    if 2 * count >= sizes.total() and not _hard_to_grow(height, width):
        return [f"{{resize: {height}}}" if height == width else f"{{resize: [{height}, {width}]}}"]
    return [f"{{resize: {friendly(median(min(size) for size in sizes.elements()))}}}"]


def friendly(side: float) -> int:
    """The nearest side that halves to 4 … 7: 28, 32, 40, 48, 56, 64, 80, 96, …"""
    sides = [first << doublings for first in (4, 5, 6, 7) for doublings in range(9)]
    return min((s for s in sides if SMALLEST <= s <= LARGEST), key=lambda s: (abs(s - side), s))


def first_map(height: int, width: int) -> tuple[int, int]:
    """What is left when both sides are halved while they can be and stay at least 4: where a generator starts."""
    while height % 2 == 0 and width % 2 == 0 and min(height, width) >= 8:
        height, width = height // 2, width // 2
    return height, width


def _hard_to_grow(height: int, width: int) -> bool:
    return min(first_map(height, width)) > LARGEST_FIRST_MAP


def _unfit_size(shape: Shape) -> Iterator[Finding]:
    height, width, _ = shape
    low, high = sorted((height, width))
    size = f"images are {height}{TIMES}{width}"
    if low < SMALLEST or high > LARGEST:
        limit = f"smaller than {SMALLEST}" if low < SMALLEST else f"larger than {LARGEST}"
        yield Finding("warn", "extreme_size", "", f"{size}, {limit} pixels",
                      f"add prepare.transforms: [{{resize: {friendly(min(max(low, 32), 256))}}}]")
    elif high > LONGEST_RATIO * low:
        yield Finding("warn", "extreme_size", "", f"{size}, more than {LONGEST_RATIO} times as long as wide",
                      f"cut them, or add prepare.transforms: [{{resize: {friendly(low)}}}]")
    elif _hard_to_grow(height, width):
        first = first_map(height, width)
        yield Finding("warn", "awkward_size", "",
                      f"{size}, which halve to {first[0]}{TIMES}{first[1]} only, where a generator has to start from",
                      f"add prepare.transforms: [{{resize: {friendly(low)}}}]")
