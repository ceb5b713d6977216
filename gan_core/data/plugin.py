"""Plug-ins as sources: whatever class somebody registered, the rest of the project meets a `Source`.

A plug-in is a Source subclass, any other pydantic model, or a dataclass, with `examples(split)`, or `splits()` and
`part(split, start, stop)`; `facts()` and `fingerprint()` where it has them.  Its fields are its options.  It may yield
an Example, an array, or (array, label).
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal, Self, cast

import numpy as np
from pydantic import BaseModel, create_model, model_validator
from pydantic.errors import PydanticUserError

from gan_core import plugin_files
from gan_core.data.files import Files
from gan_core.data.fingerprints import joint_fingerprint
from gan_core.data.plugin_class import described, name_of, options_of, refuse_unusable
from gan_core.data.source import Bad, Example, Source
from gan_core.errors import ConfigError, DataError, GanError
from gan_core.registry import SOURCES

PLACES = ("url", "root", "path", "folder")  # options that say where the data is
FIELDS = {"uint8": "image", "int16": "audio", "int32": "tokens"}  # what a bare array is, by its dtype
ARRAY_LIKE = ("__array__", "__array_interface__")
YIELD = "yield Example(image, label), an array, (array, label), or Bad(where, reason)"


class _PlugIn(Source):
    """What a plug-in gains: items of any accepted form, errors that name its file, a cheap fingerprint, pickling."""

    plug_in_class: ClassVar[type]
    own_fingerprint: ClassVar[bool]

    def examples(self, split: str) -> Iterator[Example | Bad]:
        return self._checked(split, lambda: super(_PlugIn, self).examples(split))

    def splits(self) -> Mapping[str, int]:
        return dict(self._asked("splits()", super().splits))

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        return self._checked(split, lambda: super(_PlugIn, self).part(split, start, stop), start)

    def facts(self) -> Mapping[str, Any]:
        return dict(self._asked("facts()", super().facts))

    def fingerprint(self) -> str:
        """The plug-in's own; else of the files at its url, root, path or folder; else of all that it yields."""
        if not self.own_fingerprint and (places := self._places()):
            return joint_fingerprint(Files(place) for place in places)
        found = self._asked("fingerprint()", super().fingerprint)
        if not isinstance(found, str) or not found:
            raise DataError(f"{self._name}: fingerprint() returned {found!r}; return a digest as text")
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        file = plugin_files.file_of(self.plug_in_class.__module__)
        fields = self.model_dump(mode="json", exclude={"source"})
        return _again, (self._name, self.plug_in_class if file is None else str(file), fields)

    @property
    def _name(self) -> str:
        return str(getattr(self, "source"))  # noqa: B009 - every plug-in is given it

    def _places(self) -> list[str]:
        values = [getattr(self, field, None) for field in PLACES]
        return [str(value) for value in values if isinstance(value, str | Path) and _is_place(str(value))]

    def _asked(self, what: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except GanError:
            raise
        except Exception as error:
            raise DataError(self._failure(what, error)) from error

    def _checked(
        self, split: str, begin: Callable[[], Iterable[Any] | None], start: int = 0
    ) -> Iterator[Example | Bad]:
        """The items as Examples.  DataError, naming the plug-in's line, for what it raises or yields instead."""
        number = start
        try:
            items = begin()
            if items is None:
                raise DataError(f"{self._name}: {split}: nothing was yielded, nor returned; {YIELD}")
            for item in items:
                whole = isinstance(item, Example | Bad)
                yield item if whole else as_example(item, f"{self._name}: {split} item {number}")
                number += 1
        except GanError:
            raise
        except Exception as error:
            raise DataError(self._failure(f"{split} item {number}", error)) from error

    def _failure(self, what: str, error: Exception) -> str:
        module = sys.modules.get(self.plug_in_class.__module__)
        file = getattr(module, "__file__", None) or self.plug_in_class.__module__
        line = plugin_files.line_in(file, error)
        at = f" ({Path(file).name}, line {line})" if line else ""
        said = " ".join(str(error).split())
        return (f"{self._name}: {what}: {type(error).__name__}: {said}{at}; mend the plug-in, "
                "or yield Bad(where, reason) for an item that cannot be used")


class _Delegating(Source):
    """A source whose options are a dataclass's fields, and whose methods are those of the dataclass."""

    plug_in_class: ClassVar[type]

    @cached_property
    def plug_in(self) -> Any:
        fields = [field.name for field in dataclasses.fields(self.plug_in_class) if field.init]
        return self.plug_in_class(**{name: getattr(self, name) for name in fields})

    @model_validator(mode="after")
    def _can_be_made(self) -> Self:
        try:
            self.plug_in  # noqa: B018 - its __post_init__ may refuse the options
        except GanError:
            raise
        except Exception as error:
            raise ValueError(f"{self.plug_in_class.__name__}: {type(error).__name__}: {error}") from error
        return self

    def examples(self, split: str) -> Iterator[Example | Bad]:
        return cast(Iterator[Example | Bad], self._method("examples", super().examples)(split))

    def splits(self) -> Mapping[str, int]:
        return cast(Mapping[str, int], self._method("splits", super().splits)())

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        return cast(Iterator[Example | Bad], self._method("part", super().part)(split, start, stop))

    def facts(self) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], self._method("facts", super().facts)())

    def fingerprint(self) -> str:
        return cast(str, self._method("fingerprint", super().fingerprint)())

    def _method(self, name: str, otherwise: Any) -> Any:
        return getattr(self.plug_in, name, otherwise)


@cache  # one class for one plug-in, so that equal options are equal sources
def as_source(name: str, plug_in: Any) -> type[Source]:
    """A plug-in as a Source with the field `source: Literal[name]`; what this project brings is one already.

    ConfigError when the class cannot be a source, with what to change.
    """
    if plug_in.__module__.startswith("gan_core.") and plug_in.model_fields["source"].default == name:
        return cast(type[Source], plug_in)
    refuse_unusable(name, plug_in)
    fields: dict[str, Any] = {"source": (Literal[name], name)}
    if issubclass(plug_in, BaseModel):
        bases: tuple[Any, ...] = (_PlugIn, plug_in, Source)
        own_fingerprint = getattr(plug_in, "fingerprint", Source.fingerprint) is not Source.fingerprint
    else:
        bases = (_PlugIn, _Delegating)
        fields = options_of(plug_in) | fields
        own_fingerprint = hasattr(plug_in, "fingerprint")
    try:
        made = create_model(plug_in.__name__, __base__=bases, __module__=plug_in.__module__, **fields)
    except (PydanticUserError, NameError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"source '{name}': {reason}; options are str, int, float, bool, Path, lists of those, "
                          "or pydantic models") from error
    adapted = cast(type[_PlugIn], made)
    adapted.__doc__ = plug_in.__doc__
    adapted.plug_in_class, adapted.own_fingerprint = plug_in, own_fingerprint
    return adapted


def plugged_in(plug_in: Any) -> Source:
    """An instance of a plug-in's class as a source, under the name that its file would register it by."""
    if isinstance(plug_in, _PlugIn):
        return plug_in
    made_by: Any = type(plug_in)
    kind = as_source(name_of(made_by), made_by)
    options = {name: getattr(plug_in, name) for name in options_of(made_by) if name != "source"}
    return plug_in if isinstance(plug_in, kind) else kind.model_validate(options)


def as_example(item: object, place: str) -> Example:
    """An array, or (array, label), as an Example.  DataError, beginning with `place`, for anything else."""
    array, label = item if isinstance(item, tuple) and len(item) == 2 else (item, None)
    if not isinstance(array, np.ndarray):
        advice = "np.asarray(…) makes it an array; " if any(hasattr(array, name) for name in ARRAY_LIKE) else ""
        raise DataError(f"{place}: is {described(item)}; {advice}{YIELD}")
    kind = "video" if array.dtype == np.uint8 and array.ndim == 4 else FIELDS.get(str(array.dtype))
    if kind is None:
        raise DataError(f"{place}: is an array of {array.dtype}; images are uint8 (np.round(array * 255)"
                        ".astype(np.uint8) for 0 … 1), audio is int16, tokens are int32")
    whole = np.asarray(label)
    if label is not None and (whole.size != 1 or whole.dtype.kind not in "iu"):
        raise DataError(f"{place}: has the label {described(label)}; a label is a whole number, or None")
    fields: dict[str, Any] = {kind: array, "label": None if label is None else int(whole.item())}
    return Example(**fields)


def _again(name: str, origin: type | str, fields: dict[str, Any]) -> Source:
    """What unpickling calls.  origin: the plug-in's class, or the file that defines it."""
    if isinstance(origin, type):
        return as_source(name, origin).model_validate(fields)
    plugin_files.use([origin])
    found: Source = SOURCES.get(name).model_validate(fields)
    return found


def _is_place(value: str) -> bool:
    return "://" in value or "::" in value or Path(value).expanduser().exists()


