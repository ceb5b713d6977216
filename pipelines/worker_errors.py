"""A worker's error on its way to whoever started it, as text: Ray would wrap it, and its class says who can mend it."""

from __future__ import annotations

import json

from gan_core import errors
from gan_core.errors import GanError


def as_text(error: GanError) -> str:
    """JSON of its class and its message."""
    return json.dumps({"error": type(error).__name__, "message": str(error)})


def from_text(text: str) -> GanError:
    """The error again; a plain GanError where its class is none of `gan_core.errors`."""
    told = json.loads(text)
    kind: type[GanError] = getattr(errors, told["error"], GanError)
    return kind(told["message"])
