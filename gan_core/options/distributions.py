"""What a search draws a field's value from.

    model.generator_optimizer.learning_rate: {loguniform: [1.0e-5, 1.0e-3]}      or as text: loguniform(1e-5, 1e-3)
    model.width: choice(16, 32, 64)
    model.penalties.gradient.weight: {uniform: [1, 20], when: {model.objective: [wasserstein]}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from re import fullmatch
from typing import Annotated, Any, Literal, Protocol, Self, cast

import yaml
from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from gan_core.block import Config

Kind = Literal["uniform", "loguniform", "randint", "lograndint", "choice"]
KINDS: tuple[Kind, ...] = ("uniform", "loguniform", "randint", "lograndint", "choice")
LOG: tuple[Kind, ...] = ("loguniform", "lograndint")
WHOLE: tuple[Kind, ...] = ("randint", "lograndint")
WORKS: Mapping[Kind, str] = {"uniform": "[0.1, 10]", "loguniform": "[1.0e-05, 0.001]", "randint": "[1, 5]",
                             "lograndint": "[8, 64]", "choice": "[16, 32, 64]"}
CALL = r"\s*(?P<kind>\w+)\s*\((?P<values>.*)\)\s*"
POWER_OF_TEN = r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"
"""1e-5, which YAML 1.1 reads as text for want of a point."""


class Ask(Protocol):
    """Who is asked for values; `optuna.Trial` is one.  Both ends of a range are included."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Sequence[str]) -> str: ...


def as_text(value: Any) -> str:
    """A choice as JSON text: what is asked for in its place, as it may be a list, or a block of settings."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def with_numbers(value: Any) -> Any:
    """The value with 1e-5 as the number that is meant, and labels as text, in lists and blocks too."""
    if isinstance(value, Mapping):
        return {str(name): with_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [with_numbers(inner) for inner in value]
    return float(value) if isinstance(value, str) and fullmatch(POWER_OF_TEN, value) else value


class Distribution(Config):
    """One of the five, with `when` for a field that is drawn only where others have certain values.

    uniform, loguniform: numbers between two, both included; the second evenly over their logarithms.  randint,
    lograndint: whole numbers.  choice: any of the values, numbers, texts, lists or blocks of settings.
    """

    uniform: tuple[FiniteFloat, FiniteFloat] | None = Field(None, examples=[[0.1, 10]])
    loguniform: tuple[FiniteFloat, FiniteFloat] | None = Field(None, examples=[[1e-5, 1e-3]])
    randint: tuple[int, int] | None = Field(None, examples=[[1, 5]])
    lograndint: tuple[int, int] | None = Field(None, examples=[[8, 64]])
    choice: tuple[JsonValue, ...] | None = Field(None, examples=[[16, 32, 64]])
    when: dict[str, tuple[JsonValue, ...]] = Field(
        default_factory=dict, description="other fields of the space, by the values with which this one is drawn",
        examples=[{"model.objective": ["wasserstein"]}])

    @property
    def kind(self) -> Kind:
        """Which of the five it is."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def choices(self) -> tuple[Any, ...]:
        """The values of a choice; () of a range."""
        return self.choice or ()

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the largest value of a range."""
        return cast(tuple[float, float], getattr(self, self.kind))

    @property
    def log(self) -> bool:
        """Whether a range is even over logarithms."""
        return self.kind in LOG

    @property
    def whole(self) -> bool:
        """Whether a range is of whole numbers."""
        return self.kind in WHOLE

    def draw(self, name: str, ask: Ask) -> Any:
        """A value; the name is the field's."""
        match self.kind:
            case "choice":
                return json.loads(ask.suggest_categorical(name, [as_text(value) for value in self.choices]))
            case "uniform" | "loguniform":
                return ask.suggest_float(name, *self.ends, log=self.log)
            case _:
                low, high = cast(tuple[int, int], self.ends)
                return ask.suggest_int(name, low, high, log=self.log)

    def holds(self, drawn: Mapping[str, Any]) -> bool:
        """Whether it is drawn beside these values."""
        return all(name in drawn and as_text(drawn[name]) in map(as_text, values)
                   for name, values in self.when.items())

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            what = "is no distribution" if not given else f"is {' and '.join(given)} at once"
            raise ValueError(f"{what}; one of {', '.join(KINDS)}, such as {{loguniform: {WORKS['loguniform']}}}")
        return self

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        kind = self.kind
        if kind == "choice":
            _refuse_choices(self.choices)
            return self
        low, high = self.ends
        if self.log and low <= 0:
            raise ValueError(f"{kind}: [{low}, {high}] begins at {low}, which has no logarithm; "
                             f"{kind}: {WORKS[kind]} works")
        if low >= high:
            advice = f"{kind}: [{high}, {low}] works" if low > high else f"{kind}: {WORKS[kind]} works"
            raise ValueError(f"{kind}: [{low}, {high}] is empty; {advice}")
        return self

    @model_serializer(mode="wrap")
    def _what_is_set(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = handler(self)
        return {name: value for name, value in found.items() if value is not None and value != {}}


def _refuse_choices(values: tuple[Any, ...]) -> None:
    texts = [as_text(value) for value in values]
    if any(isinstance(value, float) and not math.isfinite(value) for value in _leaves(values)):
        raise ValueError(f"choice: [{', '.join(texts)}] has what is no number; choice: {WORKS['choice']} works")
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        raise ValueError(f"choice: names {twice} twice; write it once")
    if len(values) < 2:
        raise ValueError(f"choice: [{', '.join(texts)}] leaves nothing to choose; choice: {WORKS['choice']} works, or "
                         "set the field itself")


def _leaves(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else None
    return [value] if inner is None else [leaf for one in inner for leaf in _leaves(one)]


def _read(value: Any) -> Any:
    """A distribution as YAML has it: the call form as a block, and numbers as numbers."""
    if isinstance(value, str):
        return _read_call(value)
    if isinstance(value, Distribution):
        return value
    if not isinstance(value, Mapping):
        raise ValueError(f"{value} is no distribution; {{loguniform: {WORKS['loguniform']}}} is one")
    when = value.get("when")
    alone = {"when": {name: _alone(values) for name, values in when.items()}} if isinstance(when, Mapping) else {}
    return {**{name: with_numbers(inner) for name, inner in value.items()}, **alone}


def _alone(values: Any) -> Any:
    return with_numbers(values if isinstance(values, list | tuple) else [values])


def _read_call(text: str) -> dict[str, Any]:
    call = fullmatch(CALL, text)
    if call is None or call["kind"] not in KINDS:
        near = get_close_matches(call["kind"] if call else text, KINDS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"'{text}' is no distribution; {hint}loguniform(1e-5, 1e-3), uniform(0.1, 10), randint(1, 5), "
                         "lograndint(8, 64) and choice(16, 32) are")
    try:
        values = yaml.safe_load(f"[{call['values']}]")
    except yaml.YAMLError:
        raise ValueError(f"'{text}': what is in the brackets is no list of YAML values; choice(16, 32) works") from None
    return {call["kind"]: with_numbers(values)}


Drawn = Annotated[Distribution, BeforeValidator(_read, json_schema_input_type=Distribution | Annotated[
    str, Field(pattern=r"^(uniform|loguniform|randint|lograndint|choice)\(.*\)$", examples=["loguniform(1e-5, 1e-3)"])]
)]
"""As settings have it: a block, or a call as text."""
