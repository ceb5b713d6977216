"""Plug-in files in tests: loaded as `--plugin` loads them, and forgotten again."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from gan_core.plugin_files import PREFIX, VARIABLE
from gan_core.registry import FAMILIES, RECIPES, SOURCES


@contextmanager
def forgotten() -> Iterator[None]:
    """No plug-in file is named when the block begins, and none stays loaded after it."""
    before = os.environ.pop(VARIABLE, None)
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before
        for module in [name for name in sys.modules if name.startswith(PREFIX)]:
            for registry in (SOURCES, RECIPES, FAMILIES):
                registry.unregister_from(module)
            del sys.modules[module]
