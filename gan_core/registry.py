"""Names to things that can be plugged in: built in, installed as an entry point, or defined by a file.

Nothing but plug-in files is imported until it is asked for by name, so that reading a configuration does not import
torch.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from gan_core import plugin_files
from gan_core.errors import ConfigError


class Registry:
    """Plug-ins of one kind.

    builtin maps a name to "module:attribute"; group is the entry-point group that installed packages use.  adapt, also
    "module:attribute", is a function of name and plug-in that returns what `get` does.
    """

    def __init__(self, kind: str, group: str, builtin: Mapping[str, str], adapt: str = "") -> None:
        self.kind = kind
        self._group = group
        self._targets = dict(builtin)
        self._loaded: dict[str, Any] = {}  # as they were registered or imported
        self._adapt = adapt
        self._adapted: dict[str, Any] = {}
        self._searched: str | None = None  # the plug-in files that were named when this was last done

    def __iter__(self) -> Iterator[str]:
        self._search_installed()
        return iter(sorted({*self._targets, *self._loaded}))

    def __contains__(self, name: str) -> bool:
        return name in set(self)

    def _search_installed(self) -> None:
        named = os.environ.get(plugin_files.VARIABLE, "")
        if self._searched == named:
            return
        for point in entry_points(group=self._group):
            if self._targets.get(point.name) != point.value:  # one package may be seen twice on the path
                self._refuse_duplicate(point.name, point.value)
                self._targets[point.name] = point.value
        load_plug_in_files()
        self._searched = named

    def _refuse_duplicate(self, name: str, other: object) -> None:
        if name in self._loaded or name in self._targets:
            taken = self._loaded.get(name, self._targets.get(name))
            raise ConfigError(
                f"{self.kind} '{name}' is registered twice: {_target(taken)} and {_target(other)}; rename one of them"
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
        self._adapted.pop(name, None)

    def unregister_from(self, module: str) -> None:
        """Takes out all that `register` added from a module."""
        for name in [name for name, plug_in in self._loaded.items() if plug_in.__module__ == module]:
            self.unregister(name)

    def has_from(self, module: str) -> bool:
        """Whether a module has registered anything here."""
        return any(plug_in.__module__ == module for plug_in in self._loaded.values())

    def get(self, name: str) -> Any:
        """The plug-in of that name.  ConfigError names the nearest known one."""
        if name not in self._adapted:
            found = self._load(name)
            self._adapted[name] = _at(self._adapt)(name, found) if self._adapt else found
        return self._adapted[name]

    def _load(self, name: str) -> Any:
        if name not in self._loaded:
            if name not in self:
                raise ConfigError(self.unknown(name))
            if name not in self._loaded:  # the search may have run the file that registers it
                self._loaded[name] = self._import(name)
        return self._loaded[name]

    def _import(self, name: str) -> Any:
        try:
            return _at(self._targets[name])
        except (ImportError, AttributeError) as error:
            raise ConfigError(f"{self.kind} '{name}': {self._targets[name]} cannot be imported: {error}; "
                              "install what it needs, or mend the package that registers it") from error

    def unknown(self, name: object) -> str:
        """One line saying that a name is not known, and which are."""
        near = get_close_matches(str(name), list(self), n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return f"unknown {self.kind} '{name}'; {hint}known: {', '.join(self)}"

    def module_of(self, name: str) -> str:
        """The module that defines a plug-in, without importing it: where the digest of its code begins."""
        if name in self._targets:
            return self._targets[name].partition(":")[0]
        return str(self._load(name).__module__)


def _at(target: str) -> Any:
    """What "module:attribute" names."""
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _target(plug_in: object) -> str:
    """The "module:attribute" of a plug-in, however it was registered."""
    return f"{plug_in.__module__}:{plug_in.__qualname__}" if isinstance(plug_in, type) else str(plug_in)


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
    "two_domains": "two_domains:TwoDomains",
    "wav_folder": "wav_folder:WavFolder",
    "text_lines": "text:TextLines",
    "text_file": "text:TextFile",
    "video": "video:Video",
    "moving_digits": "moving_digits:MovingDigits",
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
    adapt="gan_core.data.plugin:as_source",
)

# Systems of one generator are settings of one recipe, a file each, read without importing torch; others are recipes.
_SYSTEMS = {
    "gan": "Gan", "dcgan": "Dcgan", "dcgan_original": "DcganOriginal", "wgan": "Wgan", "wgan_gp": "WganGp",
    "lsgan": "Lsgan", "dragan": "Dragan", "acgan": "Acgan", "sngan": "Sngan", "sagan": "Sagan", "biggan": "Biggan",
    "r3gan": "R3gan", "wavegan": "Wavegan",
}

_RECIPES = {
    "cyclegan": "Cyclegan", "pix2pix": "Pix2pix", "cut": "Cut", "fanogan": "Fanogan", "mocogan": "Mocogan",
    "text_wgan_gp": "TextWganGp", "text_gumbel": "TextGumbel",
}

RECIPES = Registry(
    "recipe",
    "gan_pipelines.recipes",
    {**dict.fromkeys(_SYSTEMS, "gan_core.recipes.image_gan:ImageGan"),
     **{name: f"gan_core.recipes.{name}:{recipe}" for name, recipe in _RECIPES.items()}},
)

# A recipe's options stand apart from its networks so that a plan is made without importing torch;
# a plug-in recipe without an entry here carries them as its attribute `Options`.
RECIPE_OPTIONS = Registry(
    "recipe",
    "gan_pipelines.recipe_options",
    {**{name: f"gan_core.systems.{name}:{options}" for name, options in _SYSTEMS.items()},
     **{name: f"gan_core.options.{name}:{recipe}Options" for name, recipe in _RECIPES.items()},
     **{name: f"gan_core.options.text:{_RECIPES[name]}Options" for name in ("text_wgan_gp", "text_gumbel")}},
)

_FAMILIES = {"mlp": "Mlp", "dcgan": "Dcgan", "dcgan_original": "DcganOriginal", "resnet": "Resnet", "biggan": "Biggan",
             "r3gan": "R3gan", "text_conv": "TextConv", "text_rnn": "TextRnn", "wavegan": "Wavegan"}

FAMILIES = Registry(
    "network family",
    "gan_pipelines.families",
    {**{f"{name}_{kind.lower()}": f"gan_core.models.{name}:{prefix}{kind}" for name, prefix in _FAMILIES.items()
        for kind in ("Generator", "Discriminator")},
     "translators": "gan_core.models.translator:Translators", "anogan": "gan_core.models.anogan:AnoGan",
     "translator": "gan_core.models.translator:Translator", "unet": "gan_core.models.unet:Unet",
     "mocogan_generator": "gan_core.models.mocogan:MocoganGenerator", "mixture": "gan_core.models.mixture:Mixture"},
)


def recipe_options(name: str) -> Any:
    """The class that validates a recipe's block of the configuration."""
    return RECIPE_OPTIONS.get(name) if name in RECIPE_OPTIONS else RECIPES.get(name).Options


_ALL = (SOURCES, RECIPES, RECIPE_OPTIONS, FAMILIES)
_SOURCES_IN = "gan_core.data.plugin_class:sources_in"


def load_plug_in_files() -> None:
    """Loads the plug-in files that the environment names, each once a process.

    A file that registers nothing has every class of its own registered that can be a source.  ConfigError when a file
    cannot be loaded, defines no plug-in, or takes a name that is taken; nothing of it is registered then.
    """
    for path in plugin_files.named():
        name = plugin_files.module_name(path)
        try:
            module = plugin_files.load(path)
            if module is not None and not any(registry.has_from(name) for registry in _ALL):
                for source, plug_in in _at(_SOURCES_IN)(module).items():
                    SOURCES.register(source)(plug_in)
        except ConfigError as error:
            if plugin_files.file_of(name) in (None, path):  # not another file of that name, which is whole
                for registry in _ALL:
                    registry.unregister_from(name)
                plugin_files.unload(path)
            raise ConfigError(str(error) if str(path) in str(error) else f"{path}: {error}") from error.__cause__
