"""What a server allows one client to ask of it, and how much may wait."""

from __future__ import annotations

from dataclasses import dataclass, fields

from gan_core.errors import ConfigError

MAX_BODY = 65_536  # bytes; a request with a thousand attributes has some 30,000


@dataclass(frozen=True)
class Limits:
    """max_images: of one request.  max_batch: images that the network makes at a time.  max_waiting: requests.
    timeout: seconds from a request to its answer.

    ConfigError for one that is not above 0, named as it is on the command line.
    """

    max_images: int = 64
    max_batch: int = 16
    max_waiting: int = 256
    timeout: float = 30.0

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not 0 < value < float("inf"):
                option = f"--{limit.name.replace('_', '-')}"
                raise ConfigError(f"{option} {value:g}: nothing could be served; {option} {limit.default:g} works")
