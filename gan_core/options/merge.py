"""What a recipe chose stays until it is set to something else, in blocks within blocks too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

FORMS = ("family", "algorithm", "method")  # of a block: another form has none of the settings of this one


def over_defaults(kind: type[BaseModel], given: Any) -> Any:
    """What is given for a block, with what is left out of its inner blocks as the block's own defaults have it."""
    if not isinstance(given, Mapping):
        return given
    defaults = {name: field.get_default() for name, field in kind.model_fields.items() if not field.is_required()}
    return {name: _over(defaults[name].model_dump(), value) if isinstance(defaults.get(name), BaseModel) else value
            for name, value in given.items()}


def _over(default: Mapping[str, Any], given: Any) -> Any:
    if not isinstance(given, Mapping) or any(form in default and given.get(form, default[form]) != default[form]
                                             for form in FORMS):
        return given
    merged = {name: _over(default[name], value) if isinstance(default.get(name), Mapping) else value
              for name, value in given.items()}
    return {**default, **merged}
