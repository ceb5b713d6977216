"""`gan dataset new`: a data-set plug-in to begin with, and its test, which passes as it stands."""

from __future__ import annotations

import keyword
import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from string import Template

from gan_core.errors import ConfigError
from gan_core.registry import SOURCES

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")


def write_plug_in(name: str, folder: Path) -> tuple[Path, Path]:
    """Writes NAME.py and test_NAME.py.  ConfigError for names that cannot be, and for files that are there."""
    _refuse_name(name)
    plug_in, test = folder / f"{name}.py", folder / f"test_{name}.py"
    for file in (plug_in, test):
        if file.exists():
            raise ConfigError(f"{file}: is there already; choose another name, or another --dir")
    values = {"name": name, "class_name": "".join(part.capitalize() for part in name.split("_"))}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, template in ((plug_in, "dataset.py.txt"), (test, "test_dataset.py.txt")):
            text = (files("pipelines") / "templates" / template).read_text(encoding="utf-8")
            with file.open("x", encoding="utf-8") as out:
                out.write(Template(text).substitute(values))
    except OSError as error:
        raise ConfigError(f"--dir {folder}: {error.strerror or error}; name a directory of yours") from None
    return plug_in, test


def _refuse_name(name: str) -> None:
    if not NAME.fullmatch(name) or keyword.iskeyword(name):
        raise ConfigError(f"'{name}' cannot be a data set's name: lower-case letters, digits and _, beginning with a "
                          "letter, and no word of Python; my_flags works")
    if name.startswith("test_"):
        raise ConfigError(f"'{name}': pytest takes files that begin with test_ for tests; {name[5:] or 'my_set'} works")
    if name in SOURCES:
        raise ConfigError(f"'{name}' is a source already (`gan dataset list`); my_{name} works")
    if find_spec(name) is not None and not Path(f"{name}.py").exists():
        raise ConfigError(f"'{name}' is a Python module already, which {name}.py would hide; my_{name} works")
