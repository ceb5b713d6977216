"""Where a command that makes a folder is told to make it."""

from __future__ import annotations

from gan_core.errors import ConfigError
from gan_core.store import Store, split_url


def place_of(out: str, example: str, several: bool = False) -> tuple[Store, str]:
    """The store above the output, and the output's name in it.

    example: such a name.  several: whether more than one process writes there.  ConfigError for what names no folder.
    """
    above, name = split_url(out)
    if not above or above.endswith(":/"):
        raise ConfigError(f"--out {out}: names no folder of its own; --out {out.rstrip('/')}/{example} works")
    if several and above.startswith("memory://"):
        raise ConfigError(f"--out {out}: lives in one process, and workers are several; --out ./{example} works")
    return Store(above), name
