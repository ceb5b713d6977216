"""Names to things that can be plugged in: built in, installed as an entry point, or registered by a file.

Nothing is imported until it is asked for by name, so that reading a configuration does not import torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from gan_core.errors import ConfigError


class Registry:
    """Plug-ins of one kind.

    builtin maps a name to "module:attribute"; group is the entry-point group that installed packages use.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str]) -> None:
        self.kind = kind
        self._group = group
        self._targets = dict(builtin)
        self._loaded: dict[str, Any] = {}
        self._searched = False

    def __iter__(self) -> Iterator[str]:
        self._search_installed()
        return iter(sorted({*self._targets, *self._loaded}))

    def __contains__(self, name: str) -> bool:
        return name in set(self)

    def _search_installed(self) -> None:
        if self._searched:
            return
        for point in entry_points(group=self._group):
            if self._targets.get(point.name) != point.value:  # one package may be seen twice on the path
                self._refuse_duplicate(point.name, point.value)
                self._targets[point.name] = point.value
        self._searched = True

    def _refuse_duplicate(self, name: str, other: object) -> None:
        if name in self._loaded or name in self._targets:
            taken = self._loaded.get(name, self._targets.get(name))
            raise ConfigError(
                f"{self.kind} '{name}' is registered twice: {taken} and {other}; rename one of them"
            )

    def register(self, name: str) -> Callable[[type], type]:
        """Class decorator that adds a plug-in.  ConfigError when the name is taken."""

        def add(plug_in: type) -> type:
            self._refuse_duplicate(name, plug_in)
            self._loaded[name] = plug_in
            return plug_in

        return add

    def unregister(self, name: str) -> None:
        """Takes a plug-in that `register` added out again."""
        del self._loaded[name]

    def get(self, name: str) -> Any:
        """The plug-in of that name.  ConfigError names the nearest known one."""
        if name not in self._loaded:
            if name not in self:
                raise ConfigError(self.unknown(name))
            module, _, attribute = self._targets[name].partition(":")
            self._loaded[name] = getattr(import_module(module), attribute)
        return self._loaded[name]

    def unknown(self, name: object) -> str:
        """One line saying that a name is not known, and which are."""
        near = get_close_matches(str(name), list(self), n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return f"unknown {self.kind} '{name}'; {hint}known: {', '.join(self)}"

    def module_of(self, name: str) -> str:
        """The module that defines a plug-in, without importing it: where the digest of its code begins."""
        if name in self._targets:
            return self._targets[name].partition(":")[0]
        return str(self.get(name).__module__)


_SOURCE_MODULES = {
    "digits": "digits:Digits",
    "image_folder": "image_folder:ImageFolder",
    "image_zip": "image_archive:ImageZip",
    "image_tar": "image_archive:ImageTar",
    "idx": "idx:Idx",
    "npz": "arrays:Npz",
    "npy": "arrays:Npy",
    "hdf5": "hdf5:Hdf5",
    "parquet": "table:Parquet",
    "arrow": "table:Arrow",
    "csv": "csv_files:CsvFiles",
    "paired": "paired:Paired",
    "unpaired": "unpaired:Unpaired",
    "wav_folder": "wav_folder:WavFolder",
    "text_lines": "text:TextLines",
    "text_file": "text:TextFile",
    "video": "video:Video",
    "mnist": "named:Mnist",
    "fashion_mnist": "named:FashionMnist",
    "kmnist": "named:Kmnist",
    "cifar10": "named:Cifar10",
    "cifar100": "named:Cifar100",
}

SOURCES = Registry(
    "source",
    "gan_pipelines.sources",
    {name: f"gan_core.data.sources.{target}" for name, target in _SOURCE_MODULES.items()},
)

RECIPES = Registry("recipe", "gan_pipelines.recipes", {"dcgan": "gan_core.recipes.dcgan:Dcgan"})

# A recipe's options stand apart from its networks so that a plan is made without importing torch;
# a plug-in recipe without an entry here carries them as its attribute `Options`.
RECIPE_OPTIONS = Registry(
    "recipe", "gan_pipelines.recipe_options", {"dcgan": "gan_core.config:DcganOptions"}
)

FAMILIES = Registry(
    "network family", "gan_pipelines.families", {"dcgan_generator": "gan_core.models.dcgan:DcganGenerator"}
)


def recipe_options(name: str) -> Any:
    """The class that validates a recipe's block of the configuration."""
    return RECIPE_OPTIONS.get(name) if name in RECIPE_OPTIONS else RECIPES.get(name).Options
