"""A published generator: loaded from its URL, sampled alike on every machine.

    generator = load_generator("s3://bucket/models/digits/versions/0003")
    images = generator.sample(64, seed=7, label=3)  # uint8 [64, C, H, W]

A bundle is data only: `generator.json` says which network to build and what to feed it,
`generator.safetensors` holds its weights, and both are checked against the manifest before they are used.

The same seed gives the same pixels everywhere: inputs come from NumPy's Philox, row by row, and the network
runs in float64, where the differences between processors and thread counts (about 1e-16) are too small to
move a pixel from one of 256 levels to the next.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from gan_core.errors import ConfigError, DamagedFile, Diverged
from gan_core.manifest import read_manifest, read_named
from gan_core.models.spec import GeneratorSpec
from gan_core.pictures import to_uint8
from gan_core.registry import FAMILIES
from gan_core.store import Store, split_url

SPEC = "generator.json"
WEIGHTS = "generator.safetensors"
BATCH = 64  # images that the network makes at a time
SEEDS = 2**63


@dataclass(frozen=True)
class Generator:
    """A network ready to be sampled: float64, evaluation mode, no gradients."""

    uri: str
    spec: GeneratorSpec
    network: nn.Module

    @property
    def classes(self) -> int:
        """How many labels there are to ask for; 0 when the generator knows none."""
        return max((i.classes for i in self.spec.inputs.values() if i.distribution == "condition"), default=0)

    def sample(
        self, n: int, *, seed: int = 0, label: int | NDArray[np.int64] | None = None
    ) -> NDArray[np.uint8]:
        """n images, uint8 [n, C, H, W]: a pure function of the seed, the labels and the weights.

        label: one for all, or int64 [n]; with None labels go 0, 1, …, classes − 1, 0, 1, ….  The first n of
        2n samples are the n samples.  ConfigError for a seed, label or n that cannot be; Diverged when the
        weights make numbers that are not finite.
        """
        if n < 1:
            raise ConfigError(f"n={n}: there is nothing to sample; n=1 and more work")
        if not 0 <= seed < SEEDS:
            raise ConfigError(f"seed={seed}: not from 0 to 2**63 - 1; seed=0 works")
        labels = self._labels(n, label)
        source = np.random.Generator(np.random.Philox(key=seed))
        images = np.empty((n, *self.spec.output), np.uint8)
        with torch.inference_mode():
            for start in range(0, n, BATCH):
                rows = slice(start, start + BATCH)
                images[rows] = self._images(self._inputs(source, labels[rows]))
        return images

    def _labels(self, n: int, label: int | NDArray[np.int64] | None) -> NDArray[np.int64]:
        if label is None:
            return np.arange(n, dtype=np.int64) % max(self.classes, 1)
        if not self.classes:
            raise ConfigError(f"label={label}: {self.uri} was trained without labels; leave the label out")
        chosen = np.asarray(label)
        if chosen.dtype.kind not in "iu" or chosen.shape not in ((), (n,)):
            raise ConfigError(f"label={label}: not one whole number, nor {n} of them; label=0 works")
        outside = chosen[(chosen < 0) | (chosen >= self.classes)]
        if outside.size:
            raise ConfigError(f"label={outside.flat[0]}: not a class of {self.uri}; "
                              f"label=0 to label={self.classes - 1} work")
        return np.broadcast_to(chosen.astype(np.int64), (n,))

    def _inputs(self, source: np.random.Generator, labels: NDArray[np.int64]) -> dict[str, Tensor]:
        """The network's inputs for the next images, a row of `source` for each."""
        inputs = self.spec.inputs
        normal = {name: i.shape for name, i in inputs.items() if i.distribution == "normal"}
        sizes = [math.prod(shape) for shape in normal.values()]
        rows = source.standard_normal((len(labels), sum(sizes)))
        parts = np.split(rows, np.cumsum(sizes)[:-1], axis=1) if sizes else []
        drawn = {
            name: torch.from_numpy(part.reshape(len(labels), *shape))
            for (name, shape), part in zip(normal.items(), parts, strict=True)
        }
        return drawn | {name: torch.tensor(labels) for name in inputs.keys() - normal.keys()}

    def _images(self, inputs: dict[str, Tensor]) -> NDArray[np.uint8]:
        made: Tensor = self.network(**inputs)
        if tuple(made.shape[1:]) != self.spec.output:
            raise DamagedFile(f"{self.uri}/{SPEC}: states images of {list(self.spec.output)}, "
                              f"the network makes {list(made.shape[1:])}; publish the run again")
        if not bool(torch.isfinite(made).all()):
            raise Diverged(f"{self.uri}: the generator makes numbers that are not finite; "
                           "take an earlier version")
        return to_uint8(made.numpy())


def load_generator(uri: str) -> Generator:
    """The generator of a version or a run: `s3://…/versions/0001`, `file://…`, or a path.

    ConfigError when there is none or its network's family is not installed; DamagedFile names the file that
    is missing, changed, or not what it should be.
    """
    above, name = split_url(uri)
    return read_generator(Store(above), name)


def read_generator(store: Store, prefix: str) -> Generator:
    """The generator of the artefact at `prefix`; see `load_generator`."""
    manifest = read_manifest(store, prefix)
    if manifest is None:
        raise ConfigError(f"{store.uri(prefix)}: {_where_else(prefix)}")
    uri = store.uri(prefix)
    spec = _spec(read_named(store, prefix, manifest, SPEC), f"{uri}/{SPEC}")
    weights = _weights(read_named(store, prefix, manifest, WEIGHTS), f"{uri}/{WEIGHTS}")
    network = _network(spec, f"{uri}/{SPEC}")
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DamagedFile(f"{uri}/{WEIGHTS}: does not fit {SPEC}: {reason}; publish the run again") from None
    return Generator(uri, spec, network.eval().requires_grad_(False))


def _where_else(prefix: str) -> str:
    if "@" in prefix:
        return "is an alias; name the version it stands for, …/versions/0001 (`gan models show` prints it)"
    return "no MANIFEST.json there, so no finished version; `gan models list` prints those there are"


def _spec(text: bytes, where: str) -> GeneratorSpec:
    try:
        spec = GeneratorSpec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DamagedFile(f"{where}: {field}: {first['msg']}; publish the run again") from None
    conditions = [k for k, i in spec.inputs.items() if i.distribution == "condition"]
    if len(conditions) > 1 or any(spec.inputs[k].classes < 1 or spec.inputs[k].shape for k in conditions):
        raise DamagedFile(f"{where}: inputs: {', '.join(conditions)}: "
                          "at most one condition can be sampled, a single label with classes=1 or more")
    return spec


def _weights(data: bytes, where: str) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise DamagedFile(f"{where}: not a safetensors file: {error}; publish the run again") from None


def _network(spec: GeneratorSpec, where: str) -> nn.Module:
    """The network of a specification in float64; the global random state stays as it was."""
    if spec.family not in FAMILIES:
        raise ConfigError(f"{where}: {FAMILIES.unknown(spec.family)}; install the package that registers it")
    with torch.random.fork_rng(devices=[]):
        try:
            return spec.build().double()
        except (TypeError, ValueError) as error:
            raise DamagedFile(f"{where}: options: {spec.family} cannot be built from them: {error}; "
                              "install the version that published it") from None
