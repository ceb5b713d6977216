"""Plug-ins that are files: named by the environment, so that every process that a run starts loads the same ones."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType

from gan_core.errors import ConfigError, GanError

VARIABLE = "GAN_PLUGINS"  # absolute paths, with os.pathsep between them
PREFIX = "gan_plugin_"  # of their modules' names
BESIDE = "<code>"  # begins the path of a file that lies beside this package, wherever that is on a machine


def use(files: Iterable[str | Path]) -> None:
    """Names plug-in files for this process and those that it starts.  ConfigError when one is not a Python file."""
    for file in files:
        path = Path(file).expanduser().absolute()
        if path.suffix != ".py":
            raise ConfigError(f"--plugin {file}: is not a .py file; name the file that defines the data set's class")
        if not path.is_file():
            raise ConfigError(_no_such_file(file, path))
        if os.pathsep in str(path):
            raise ConfigError(f"--plugin {file}: a path with '{os.pathsep}' in it cannot be handed on; rename it")
        if path not in named():
            os.environ[VARIABLE] = os.pathsep.join(map(str, [*named(), path]))


def named() -> tuple[Path, ...]:
    """The files that the environment names."""
    entries = os.environ.get(VARIABLE, "").split(os.pathsep)
    code = str(Path(__file__).parent.parent)
    return tuple(Path(entry.replace(BESIDE, code, 1)).expanduser().absolute() for entry in entries if entry)


def module_name(path: Path) -> str:
    """What a plug-in file is called as a module."""
    return PREFIX + re.sub(r"\W", "_", path.stem)


def file_of(module: str) -> Path | None:
    """The file that a module was loaded from by `load`; None for every other module."""
    loaded = sys.modules.get(module) if module.startswith(PREFIX) else None
    return Path(loaded.__file__) if loaded is not None and loaded.__file__ else None


def load(path: Path) -> ModuleType | None:
    """Runs a plug-in file as the module gan_plugin_<stem>; None when this process has done so already.

    ConfigError, with the line, when it is missing, is not Python, or raises, and when another file has its name.
    """
    name = module_name(path)
    if name in sys.modules:
        if (other := file_of(name)) != path:
            raise ConfigError(f"{path}: is called like {other}; rename one of the two plug-in files")
        return None
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file() or spec is None or spec.loader is None:
        raise ConfigError(f"{VARIABLE} names {path}, which is not there; put the plug-in file there on every machine")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # first, as `import` does it: dataclasses look their module up
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        unload(path)
        raise ConfigError(_failed(path, error)) from error
    return module


def unload(path: Path) -> None:
    """Forgets a plug-in file, so that it can be loaded again."""
    if file_of(module_name(path)) == path:
        del sys.modules[module_name(path)]


def line_in(path: str | Path, error: BaseException) -> int | None:
    """The last line of a file that an error came through."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return lines[-1] if lines else None


def _failed(path: Path, error: BaseException) -> str:
    if isinstance(error, GanError):
        return f"{path}: {error}"
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}, line {error.lineno}: not Python: {error.msg}; mend it first"
    advice = "mend it first"
    if isinstance(error, ModuleNotFoundError):
        advice = "install it; a plug-in of several files is a package with an entry point (docs/datasets.md)"
    said = " ".join(str(error).split())
    return f"{path}, line {line_in(path, error) or 1}: {type(error).__name__}: {said}; {advice}"


def _no_such_file(given: str | Path, path: Path) -> str:
    beside = [file.name for file in path.parent.glob("*.py")] if path.parent.is_dir() else []
    near = get_close_matches(path.name, beside, n=1)
    advice = f"did you mean {Path(given).parent / near[0]}?" if near \
        else "`gan dataset new NAME` writes one to begin with"
    return f"--plugin {given}: no such file; {advice}"
