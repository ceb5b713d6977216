"""generator.json as it is read from a bundle that anybody may have made."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from gan_core.errors import DamagedFile
from gan_core.modalities.kinds import MODALITIES
from gan_core.models.spec import GeneratorSpec, InputSpec

MOST_NUMBERS = 2**26  # of one example's input or image: a colour image of 4096 × 4096 has 3 · 2**24
MOST_RATE = 10**6  # samples or frames a second
MOST_VALUES = 2**20  # of one attribute, or classes
MOST_OPTION = 2**16  # of an option that is a whole number: widths, sides, numbers of blocks


def read_specification(text: bytes, where: str) -> GeneratorSpec:
    """The specification that stands at `where`.  DamagedFile names the field that cannot be, or not be sampled."""
    try:
        spec = GeneratorSpec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DamagedFile(f"{where}: {field}: {first['msg']}; publish the run again") from None
    for name, wrong in _mistakes(spec):
        raise DamagedFile(f"{where}: {name}: {wrong}; publish the run again")
    return spec


def _mistakes(spec: GeneratorSpec) -> Iterator[tuple[str, str]]:
    """(field, what is wrong) of a specification that cannot be sampled, or would fill the memory."""
    for name, value in _options(spec):
        if _largest(value) > MOST_OPTION and value != [*spec.output]:  # which is looked at below
            yield f"options.{name}", f"{_largest(value)} is more than networks have; {MOST_OPTION} works"
    makes = MODALITIES[spec.kind](spec.form)
    if wrong := makes.mistake():
        yield "output", wrong
    elif makes.scores > MOST_NUMBERS:
        yield "output", f"{list(spec.output)} are no {makes.noun} that a network makes"
    if not 0 <= spec.rate <= MOST_RATE:
        yield "rate", f"{spec.rate:g} a second; 0 to {MOST_RATE:,} work"
    for name, given in spec.inputs.items():
        if not _possible(given.shape):
            yield f"inputs.{name}.shape", f"{list(given.shape)} holds no numbers, or too many"
        if given.distribution == "condition":
            wrong = _wrong_condition(given)
            if wrong:
                yield f"inputs.{name}", wrong
        elif given.distribution == "part" and (wrong := _wrong_part(spec, given)):
            yield f"inputs.{name}", wrong
        elif given.distribution == "image" and len(given.shape) != 3:
            yield f"inputs.{name}.shape", f"{list(given.shape)} is not the [C, H, W] of an image"
    for kind in ("condition", "image", "part"):
        names = [name for name, given in spec.inputs.items() if given.distribution == kind]
        if len(names) > 1:
            yield "inputs", f"at most one {kind} can be sampled, and there are {', '.join(names)}"


def _options(spec: GeneratorSpec) -> Iterator[tuple[str, Any]]:
    """Those of the network, and of each network that is a part of it."""
    parts = spec.options.get("parts")
    for place, part in enumerate(parts if isinstance(parts, list) else ()):
        options = part.get("options") if isinstance(part, dict) else None
        if isinstance(options, dict):
            yield from ((f"parts.{place}.{name}", value) for name, value in options.items())
    yield from spec.options.items()


def _wrong_part(spec: GeneratorSpec, given: InputSpec) -> str:
    """What is wrong with the choice of a part; '' when nothing is."""
    parts, shares = spec.options.get("parts"), given.shares
    if given.shape != () or not isinstance(parts, list) or len(parts) != len(shares):
        return f"has the shape [] and a share for each of options.parts, not {len(shares)}"
    fit = all(0 <= share <= 1 for share in shares) and math.isclose(sum(shares), 1, abs_tol=1e-6)
    return "" if fit else f"shares {list(shares)} do not add up to 1"


def _possible(shape: tuple[int, ...]) -> bool:
    return all(side >= 1 for side in shape) and math.prod(shape) <= MOST_NUMBERS


def _wrong_condition(given: InputSpec) -> str:
    """What is wrong with a label or attributes; '' when nothing is."""
    if not given.attributes:
        fits = 1 <= given.classes <= MOST_VALUES and given.shape == ()
        return "" if fits else f"a label has the shape [] and classes=1 to classes={MOST_VALUES}"
    if given.classes or given.shape != (len(given.attributes),):
        return f"{len(given.attributes)} attributes have the shape [{len(given.attributes)}] and classes=0"
    names = [attribute.name for attribute in given.attributes]
    if len(set(names)) < len(names):
        return f"names an attribute twice: {', '.join(names)}"
    for attribute in given.attributes:
        if attribute.kind == "categorical" and not 1 <= attribute.values <= MOST_VALUES:
            return f"{attribute.name} has {attribute.values} values; 1 to {MOST_VALUES} work"
        if attribute.kind == "continuous" and not -math.inf < attribute.low < attribute.high < math.inf:
            return f"{attribute.name} goes from {attribute.low:g} to {attribute.high:g}"
    return ""


def _largest(option: Any) -> int:
    """The largest whole number of an option, or of those in it; 0 for others."""
    if isinstance(option, dict):
        return max(map(_largest, option.values()), default=0)
    if isinstance(option, list | tuple):
        return max(map(_largest, option), default=0)
    return option if isinstance(option, int) else 0
