"""What makes a class a data-set plug-in: its options, its name, and how it says to read its examples."""

from __future__ import annotations

import dataclasses
import inspect
import re
from types import ModuleType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field

from gan_core.data.source import Source
from gan_core.errors import ConfigError

METHODS = ("examples", "splits", "part", "facts", "fingerprint")


def sources_in(module: ModuleType) -> dict[str, type]:
    """The classes of a file that can be sources, by name.  ConfigError when there is none."""
    found = [value for value in vars(module).values() if _may_be_source(value, module.__name__)]
    if not found:
        raise ConfigError("defines no source: a frozen dataclass, pydantic model or Source subclass with "
                          "examples(split); `gan dataset new NAME` writes one to begin with")
    named: dict[str, type] = {}
    for plug_in in dict.fromkeys(found):
        name = name_of(plug_in)
        if name in named:
            raise ConfigError(f"{named[name].__name__} and {plug_in.__name__} are both called '{name}'; "
                              "give one another `source`")
        named[name] = plug_in
    return named


def name_of(plug_in: type) -> str:
    """The one value that its own field `source` can have; without that MySet → my_set."""
    if "source" in inspect.get_annotations(plug_in) and len(chosen := get_args(options_of(plug_in)["source"][0])) == 1:
        return str(chosen[0])
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", plug_in.__name__).lower()


def refuse_unusable(name: str, plug_in: Any) -> None:
    """ConfigError, with what to change, when a class cannot be a source called `name`."""
    if not isinstance(plug_in, type) or not (issubclass(plug_in, BaseModel) or dataclasses.is_dataclass(plug_in)):
        raise ConfigError(f"source '{name}': {described(plug_in)} has no options that can be read; "
                          "put @dataclass(frozen=True) above the class, or make it a Source")
    options = options_of(plug_in)
    if taken := [option for option in options if option in METHODS]:
        raise ConfigError(f"source '{name}': its option '{taken[0]}' is a method of every source; call it otherwise")
    if "source" in options and get_origin(options["source"][0]) is not Literal:
        raise ConfigError(f"source '{name}': its option 'source' is where an experiment writes '{name}'; "
                          "call it otherwise")
    _refuse_unreadable(name, plug_in)


def options_of(plug_in: type) -> dict[str, tuple[Any, Any]]:
    """The fields of a plug-in as (type, default), as pydantic takes them.  ConfigError for a type that is not there."""
    if issubclass(plug_in, BaseModel):
        return {name: (field.annotation, field) for name, field in plug_in.model_fields.items()}
    try:
        types = get_type_hints(plug_in, include_extras=True)
    except NameError as error:
        raise ConfigError(f"{plug_in.__name__}: {error}; import the types of options outside TYPE_CHECKING") from None
    fields = [field for field in dataclasses.fields(plug_in) if field.init]  # type: ignore[arg-type]
    return {field.name: (types[field.name], _default(field)) for field in fields}


def described(value: object) -> str:
    """Type and value of something, in a line's part."""
    text = " ".join(repr(value).split())
    return f"{type(value).__name__} {text if len(text) <= 40 else text[:39] + '…'}"


def _refuse_unreadable(name: str, plug_in: type) -> None:
    """ConfigError when a class does not say how its examples are read."""
    if inspect.isabstract(plug_in):
        missing = ", ".join(sorted(getattr(plug_in, "__abstractmethods__")))  # noqa: B009 - which `type` lacks
        raise ConfigError(f"source '{name}': {plug_in.__name__} does not say how to read it; define {missing}")
    defined = _defined(plug_in)
    if not defined & {"examples", "part"}:
        raise ConfigError(f"source '{name}': {plug_in.__name__} does not say how to read it; define examples(split)")
    if "splits" in defined and "part" not in defined:
        raise ConfigError(f"source '{name}': {plug_in.__name__} says how many items it has; "
                          "define part(split, start, stop) too, or leave splits() out")
    if "examples" not in defined and "splits" not in defined:
        raise ConfigError(f"source '{name}': {plug_in.__name__} has part() and does not say how many items there are; "
                          "define splits() too")


def _defined(plug_in: type) -> set[str]:
    """The methods of a source that a class has of its own, not as Source's."""
    return {method for method in METHODS
            if callable(found := getattr(plug_in, method, None)) and found is not getattr(Source, method)}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return Field(default_factory=field.default_factory)
    return ... if field.default is dataclasses.MISSING else field.default


def _may_be_source(value: object, module: str) -> bool:
    return (
        isinstance(value, type)
        and value.__module__ == module
        and not value.__name__.startswith("_")
        and not inspect.isabstract(value)
        and (dataclasses.is_dataclass(value) or issubclass(value, BaseModel))
        and bool(_defined(value) & {"examples", "part"})
    )
