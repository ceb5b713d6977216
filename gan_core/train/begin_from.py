"""Fine-tuning: training that begins with the weights of a published version (`train.init_from`).

Networks begin with the version's raw weights, their averages with those that it published.  What has another name or
shape, such as the embedding of other classes, keeps its fresh weights, and so does a network that the version lacks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from gan_core.errors import ConfigError, DamagedFile
from gan_core.manifest import VERSION, Manifest, Parent, read_manifest, read_named
from gan_core.models.spec import GeneratorSpec
from gan_core.recipes.recipe import Recipe
from gan_core.store import Store, split_url
from gan_core.train.patience import Note, PatientStore
from gan_core.train.state import TrainState

FIELD = "train.init_from"
NUMBERED = re.compile(r"(?P<name>[a-z0-9][a-z0-9_-]{0,62})@(?P<number>[0-9]{1,9})")
LEAST = 0.25  # of the generator's weights, by count; fewer are a bias or an embedding that happen to fit
NAMED = 3  # tensors that a note lists

Tensors = Mapping[str, Tensor]


def numbered_version(address: str, store: Store) -> Parent:
    """The version that NAME@0003 names in a store, or a URL of it.

    ConfigError when there is none, and for an alias: those are read where runs are planned.
    """
    found = NUMBERED.fullmatch(address)
    prefix = f"models/{found['name']}/versions/{int(found['number']):04d}" if found else ""
    uri = store.uri(prefix) if found else address
    above, last = (store.url, prefix) if found else split_url(address)
    manifest = read_manifest(Store(above), last) if found or "/" in address else None
    if manifest is None or manifest.kind != VERSION:
        raise ConfigError(f"{FIELD}={address}: no published version; NAME@0003 or the URL of one works, and an alias "
                          "with `gan train`")
    return Parent(kind=VERSION, uri=uri, digest=manifest.digest)


def begin(
    state: TrainState, recipe: Recipe, address: str | None, parents: Sequence[Parent], note: Note
) -> None:
    """Gives fresh networks the weights of the version among the run's parents, where the address asks for one.

    note: hears what stays fresh.  ConfigError when the version's generator is another one; DamagedFile when its files
    are not what its manifest says, or not those that the run was planned with.
    """
    if address is None:
        return
    version = next((parent for parent in parents if parent.kind == VERSION), None)
    if version is None:
        raise ConfigError(f"{FIELD}={address}: was not looked up; `gan train` and python -m gan_core.train do")
    above, name = split_url(version.uri)
    store = PatientStore(Store(above), note=note)
    manifest = read_manifest(store, name)
    if manifest is None or manifest.digest != version.digest:
        raise DamagedFile(f"{version.uri}: is gone or changed since the run was planned; start again")
    _begin_from(state, recipe, _Version.read(store, name, manifest, version.uri), note)


class _Version:
    """The weights of a published version by network and name: raw, and as they were published."""

    def __init__(self, uri: str, spec: GeneratorSpec, raw: Tensors, published: Tensors) -> None:
        self.uri, self.spec, self.raw, self.published = uri, spec, raw, published

    @staticmethod
    def read(store: Store, prefix: str, manifest: Manifest, uri: str) -> _Version:
        def tensors(path: str) -> dict[str, Tensor]:
            try:
                return safetensors.torch.load(read_named(store, prefix, manifest, path))
            except SafetensorError as error:
                raise DamagedFile(f"{uri}/{path}: not a safetensors file: {error}; take another version") from None

        try:
            spec = GeneratorSpec.model_validate_json(read_named(store, prefix, manifest, "generator.json"))
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise DamagedFile(f"{uri}/generator.json: cannot be understood: {reason}; take another version") from None
        return _Version(uri, spec, tensors("networks.safetensors"), tensors("generator.safetensors"))


def _begin_from(state: TrainState, recipe: Recipe, version: _Version, note: Note) -> None:
    names, spec = recipe.published()
    alone = f"{names[0]}." if len(names) == 1 else ""  # the names of one network's tensors begin with nothing
    published = {f"{alone}{name}": tensor for name, tensor in version.published.items()}
    share = _share_that_fits({name: state.networks[name] for name in names}, version.raw)
    if share < LEAST:
        raise ConfigError(_misfit(version, spec, share))
    stays: list[str] = []
    for name, network in state.networks.items():
        stays += _take(network, f"{name}.", version.raw)
    for name, average in state.averages.items():
        _take(average, f"{name}.", {**version.raw, **published})
    fresh = f"; fresh stay {_listed(stays)}" if stays else ""
    note(f"begins with the weights of {version.uri}{fresh}")


def _share_that_fits(networks: Mapping[str, nn.Module], saved: Tensors) -> float:
    """The share of the networks' weights, by count, that are among those saved."""
    weights = {f"{name}.{key}": weight for name, net in networks.items() for key, weight in net.named_parameters()}
    fit = sum(weight.numel() for name, weight in weights.items() if _fits(weight, saved.get(name)))
    return fit / max(1, sum(weight.numel() for weight in weights.values()))


def _fits(ours: Tensor, saved: Tensor | None) -> bool:
    return saved is not None and saved.shape == ours.shape and saved.is_floating_point() == ours.is_floating_point()


def _take(network: nn.Module, prefix: str, saved: Tensors) -> list[str]:
    """Copies what fits; the names of what does not, or the network's own where nothing does."""
    stays = []
    ours = network.state_dict()
    with torch.no_grad():
        for name, tensor in ours.items():
            found = saved.get(prefix + name)
            if found is not None and _fits(tensor, found):
                tensor.copy_(found)
            else:
                stays.append(prefix + name)
    return [prefix.removesuffix(".")] if stays and len(stays) == len(ours) else stays


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _misfit(version: _Version, spec: GeneratorSpec, share: float) -> str:
    there, here = version.spec, spec
    widths = _option(there, "width"), _option(here, "width")
    advice = f"model.width={widths[0]} works" if there.family == here.family and widths[0] != widths[1] else \
        "take a version of the same networks, or train.init_from=null"
    return (f"{FIELD}: {version.uri} has {_described(there)} and this run {_described(here)}: {share:.0%} of the "
            f"weights fit; {advice}")


def _described(spec: GeneratorSpec) -> str:
    return f"a {spec.family} of width {_option(spec, 'width')} for images of {list(spec.output)}"


def _option(spec: GeneratorSpec, name: str) -> Any:
    return spec.options.get(name, "unknown")
