"""What a generator is asked for, checked against what it takes and as one row for each image to come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import ConfigError
from gan_core.options.conditions import Attribute

if TYPE_CHECKING:
    from gan_core.models.spec import GeneratorSpec, InputSpec

Labels = int | NDArray[np.int64]
Attributes = Mapping[str, float] | NDArray[np.float32]
Rows = dict[str, NDArray[Any]]

SEEDS = 2**63
TRANSLATED_TO = 1  # the second domain, where nothing else is asked for
NOISE, DRAWN_ATTRIBUTES, DRAWN_GENERATOR, SEARCHED = range(4)  # what is drawn from one seed, each by itself


def stream(seed: int, purpose: int, block: int = 0) -> np.random.Generator:
    """NumPy's Philox, which draws alike on every machine, for one seed and purpose.

    block: which stretch of that stream, each of 2**128 numbers; to begin with one needs none of those before it.
    """
    return np.random.Generator(np.random.Philox(key=(purpose << 64) + seed, counter=block << 128))


def scaled(values: NDArray[Any]) -> NDArray[Any]:
    """An input as networks read it: uint8 images in [−1, 1], other numbers as they are."""
    return values / 127.5 - 1 if values.dtype == np.uint8 else values


def condition_of(spec: GeneratorSpec) -> tuple[str, InputSpec] | None:
    """The input of a generator that is a label or attributes, with its name."""
    return next(((name, i) for name, i in spec.inputs.items() if i.distribution == "condition"), None)


def image_of(spec: GeneratorSpec) -> tuple[str, InputSpec] | None:
    """The input of a generator that is an image, with its name."""
    return next(((name, i) for name, i in spec.inputs.items() if i.distribution == "image"), None)


def part_of(spec: GeneratorSpec) -> tuple[str, InputSpec] | None:
    """The input of a mixture that says which of its networks makes an example, with its name."""
    return next(((name, i) for name, i in spec.inputs.items() if i.distribution == "part"), None)


def drawn_parts(shares: Sequence[float], n: int, seed: int, block: int = 0) -> NDArray[np.int64]:
    """Which of several generators makes each example, [n]: a function of the seed and the example's number.

    shares: of each; they add up to 1.
    """
    ends = np.cumsum(shares)[:-1]
    return np.searchsorted(ends, stream(seed, DRAWN_GENERATOR, block).random(n), side="right").astype(np.int64)


def takes(attribute: Attribute) -> str:
    """The values of an attribute, in words."""
    match attribute.kind:
        case "binary":
            return "0 or 1"
        case "categorical":
            return f"0 to {attribute.values - 1}"
    return f"{attribute.low:g} to {attribute.high:g}"


def rows(
    spec: GeneratorSpec, uri: str, n: int, seed: int, label: Labels | None, attributes: Attributes | None,
    images: NDArray[np.uint8] | None, block: int = 0,
) -> Rows:
    """What the inputs that are not noise are given: [n, …] each, by name.

    Labels are int64 [n], attributes float64 [n, A], images uint8 [n, C, H, W].  What is left out is chosen as
    `Generator.sample` says, where it is drawn from this block of the seed's stream.  ConfigError names what cannot be
    asked of the generator at `uri`, and what can.
    """
    if n < 1:
        raise ConfigError(f"n={n}: there is nothing to sample; n=1 and more work")
    if not 0 <= seed < SEEDS:
        raise ConfigError(f"seed={seed}: not from 0 to 2**63 - 1; seed=0 works")
    given: Rows = {}
    image, condition = image_of(spec), condition_of(spec)
    if image is not None:
        given[image[0]] = _images(images, n, image[1].shape, uri)
    elif images is not None:
        raise ConfigError(f"images: {uri} makes images from nothing and translates none; leave them out")
    if label is not None and (condition is None or not condition[1].classes):
        instead = f"; it knows {_listed(condition[1].attributes)}" if condition else "; leave the label out"
        raise ConfigError(f"label={label}: {uri} was trained without labels{instead}")
    if attributes is not None and (condition is None or not condition[1].attributes):
        instead = f"label=0 to label={condition[1].classes - 1} work" if condition else "leave them out"
        raise ConfigError(f"attributes: {uri} was trained without attributes; {instead}")
    if condition is not None:
        name, asked = condition
        if asked.attributes:
            given[name] = _attributes(attributes, n, stream(seed, DRAWN_ATTRIBUTES, block), asked.attributes, uri)
        else:
            first = TRANSLATED_TO % asked.classes if image is not None else None
            given[name] = _labels(first if label is None else label, n, asked.classes, uri)
    if (part := part_of(spec)) is not None:
        given[part[0]] = drawn_parts(part[1].shares, n, seed, block)
    return given


def _labels(label: Labels | None, n: int, classes: int, uri: str) -> NDArray[np.int64]:
    if label is None:
        return np.arange(n, dtype=np.int64) % classes
    chosen = np.asarray(label)
    if chosen.dtype.kind not in "iu" or chosen.shape not in ((), (n,)):
        raise ConfigError(f"label={label}: not one whole number, nor {n} of them; label=0 works")
    outside = chosen[(chosen < 0) | (chosen >= classes)]
    if outside.size:
        raise ConfigError(f"label={outside.flat[0]}: not a class of {uri}; label=0 to label={classes - 1} work")
    return np.broadcast_to(chosen.astype(np.int64), (n,))


def _attributes(
    asked: Attributes | None, n: int, source: np.random.Generator, known: tuple[Attribute, ...], uri: str
) -> NDArray[np.float64]:
    """[n, A].  Each row is drawn whole, so that naming one attribute does not change the others."""
    if asked is not None and not isinstance(asked, Mapping):
        given = np.asarray(asked)
        if given.dtype.kind not in "fiu" or given.shape != (n, len(known)):
            raise ConfigError(f"attributes: {given.dtype} {list(given.shape)}, and {uri} takes numbers "
                              f"{[n, len(known)]}: {_listed(known)}")
        chosen = given.astype(np.float64)
    else:
        share = source.random((n, len(known)))
        chosen = np.stack([_drawn(*each) for each in zip(share.T, known, strict=True)], axis=1)
        for name, value in (asked or {}).items():
            column = next((place for place, attribute in enumerate(known) if attribute.name == name), None)
            if column is None:
                raise ConfigError(f"attributes: {uri} knows no '{name}'; it knows {_listed(known)}")
            chosen[:, column] = _number(name, value, known[column])
    for values, attribute in zip(chosen.T, known, strict=True):
        _refuse_outside(values, attribute)
    return chosen


def _drawn(share: NDArray[np.float64], attribute: Attribute) -> NDArray[np.float64]:
    """Numbers from 0 to 1 as values of an attribute, each as likely as the others.  [n] to [n]."""
    if attribute.kind == "continuous":
        return attribute.low + share * (attribute.high - attribute.low)
    return np.floor(share * (2 if attribute.kind == "binary" else attribute.values))


def _number(name: str, value: object, attribute: Attribute) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # what cannot be a number is told so
    except (TypeError, ValueError):
        raise ConfigError(f"{name}={value}: not a number; {name} is {takes(attribute)}") from None


def _refuse_outside(values: NDArray[np.float64], attribute: Attribute) -> None:
    """ConfigError for a value that was never learned by.  values: [n]."""
    if attribute.kind == "continuous":  # as exact as training saw them
        low, high = np.float32(attribute.low), np.float32(attribute.high)
        inside = (values.astype(np.float32) >= low) & (values.astype(np.float32) <= high)
    else:
        count = 2 if attribute.kind == "binary" else attribute.values
        inside = (values >= 0) & (values < count) & (values == np.rint(values))
    if not inside.all():
        raise ConfigError(f"{attribute.name}={values[~inside][0]:g}: {attribute.name} is {takes(attribute)}")


def _listed(known: tuple[Attribute, ...]) -> str:
    return ", ".join(f"{attribute.name} {takes(attribute)}" for attribute in known)


def _images(images: NDArray[np.uint8] | None, n: int, shape: tuple[int, ...], uri: str) -> NDArray[np.uint8]:
    wanted = f"uint8 {[n, *shape]}"
    if images is None:
        raise ConfigError(f"images: {uri} translates images and was given none; images={wanted} work")
    found = np.asarray(images)
    if found.dtype != np.uint8 or found.shape != (n, *shape):
        raise ConfigError(f"images: {found.dtype} {list(found.shape)}, and {uri} takes {wanted}, one for each of "
                          f"n={n}")
    return found
