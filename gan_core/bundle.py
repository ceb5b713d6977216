"""A published generator: loaded from its URL, sampled alike on every machine.

    generator = load_generator("s3://bucket/models/digits@champion")
    images = generator.sample(64, seed=7, label=3)  # uint8 [64, C, H, W]

A bundle is data only: `generator.json` says which network to build and what to feed it,
`generator.safetensors` holds its weights, and both are checked against the manifest before they are used.  It may come
from a stranger: nothing of it is code, and how large each part may be is known before it is fetched.

The same seed gives the same pixels everywhere: inputs come from NumPy's Philox, row by row, and the network
runs in float64, where the differences between processors and thread counts (about 1e-16) are too small to
move a pixel from one of 256 levels to the next.  `at` gives a faster one, in float32 or on a GPU, of which that is
not promised.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gan_core.addresses import resolve
from gan_core.asked import NOISE, Attributes, Labels, Rows, condition_of, image_of, rows, scaled, stream
from gan_core.bundle_files import (
    MOST_SPEC,
    ONNX,
    SPEC,
    WEIGHTS,
    bundle_manifest,
    fetched,
    refuse_another_size,
)
from gan_core.bundle_network import built, refuse_other_weights, with_weights
from gan_core.errors import ConfigError, DamagedFile, Diverged
from gan_core.manifest import Manifest, listed
from gan_core.models.spec import GeneratorSpec
from gan_core.options.conditions import Attribute
from gan_core.registry import FAMILIES
from gan_core.specification import read_specification
from gan_core.store import Store

BATCH = 64  # images that the network makes at a time


@dataclass(frozen=True)
class Generator:
    """A network ready to be sampled: evaluation mode, no gradients, float64 on the CPU unless `at` says otherwise."""

    uri: str
    spec: GeneratorSpec
    network: nn.Module
    dtype: torch.dtype = torch.float64
    device: str = "cpu"

    @property
    def classes(self) -> int:
        """How many labels there are to ask for; 0 when the generator knows none."""
        condition = condition_of(self.spec)
        return condition[1].classes if condition else 0

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """What there is to ask for, in the order of its columns; () when the generator knows no attributes."""
        condition = condition_of(self.spec)
        return condition[1].attributes if condition else ()

    @property
    def translates(self) -> tuple[int, ...] | None:
        """The shape, (C, H, W), of the images that the generator translates; None when it makes them from noise."""
        image = image_of(self.spec)
        return image[1].shape if image else None

    def at(self, dtype: torch.dtype, device: str = "cpu") -> Generator:
        """The same generator in another precision or on another device.

        In float32 it is several times as fast.  Its images are the same for the same calls on one machine, and differ
        by a level here and there from those of other machines and of float64.
        """
        network = copy.deepcopy(self.network).to(device, dtype)
        if dtype != torch.float64:  # whose convolutions are no faster for it
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in torch's stubs
        return replace(self, network=network, dtype=dtype, device=device)

    def sample(
        self, n: int, *, seed: int = 0, label: Labels | None = None, attributes: Attributes | None = None,
        images: NDArray[np.uint8] | None = None, truncation: float | None = None,
    ) -> NDArray[Any]:
        """n images, uint8 [n, C, H, W]: a pure function of the seed, what is asked for, and the weights.

        Of another kind than images they are examples as `spec.form` says: audio int16, tokens int32, video uint8.

        The first n of 2n samples are the n samples.

        label: one for all, or int64 [n]; with None labels go 0, 1, …, classes − 1, 0, 1, ….
        attributes: {name: value} for all images, or float [n, A] in the order of `attributes`.  Those that are not
        named are drawn from the seed, each value as likely as the others, by itself: whatever else is asked for, they
        stay the same.
        images: uint8 [n, C, H, W], to be translated to the domain that `label` says, the second one with None.
        truncation: the most that a number of the noise may be, > 0: typical images in place of varied ones
        (`gan_core.latent.truncated`); with None there is no bound.

        ConfigError for what the generator does not take; Diverged when the weights make numbers that are not finite.
        """
        asked = rows(self.spec, self.uri, n, seed, label, attributes, images)
        return self.made(asked, seed, np.ones(n, bool), truncation)

    def made(
        self, asked: Rows, seed: int, chosen: NDArray[np.bool_], truncation: float | None = None
    ) -> NDArray[Any]:
        """Those of n images that are chosen, [n]; each is the same whatever the others.  asked: of all n."""
        self._check(truncation)
        source = stream(seed, NOISE)
        images = np.empty((int(chosen.sum()), *self.spec.output), self.spec.modality.dtype)
        done = 0
        with torch.inference_mode():
            for start in range(0, len(chosen), BATCH):
                wanted = chosen[start : start + BATCH]
                drawn = self._drawn(source, len(wanted), truncation)
                inputs = {name: values[wanted] for name, values in drawn.items()}
                inputs |= {name: values[start : start + BATCH][wanted] for name, values in asked.items()}
                if wanted.any():
                    made = self._images(inputs)
                    images[done : done + len(made)] = made
                    done += len(made)
        return images

    def inputs(
        self, n: int, at_once: int, *, seed: int = 0, label: Labels | None = None,
        attributes: Attributes | None = None, images: NDArray[np.uint8] | None = None,
        truncation: float | None = None, block: int = 0,
    ) -> Iterator[Rows]:
        """What `images_of` makes the n samples of, `at_once` of them at a time; arguments and errors as of `sample`.

        block: of the seed's streams; `sample` draws from block 0, and others share no number with it.
        """
        self._check(truncation)
        asked = rows(self.spec, self.uri, n, seed, label, attributes, images, block)
        source = stream(seed, NOISE, block)
        for start in range(0, n, at_once):
            part = slice(start, min(start + at_once, n))
            drawn = self._drawn(source, part.stop - start, truncation)
            yield drawn | {name: values[part] for name, values in asked.items()}

    def noise(self, n: int, seed: int = 0, truncation: float | None = None) -> Rows:
        """The noise of the first n images of a seed, by the input's name: float64 [n, …] each."""
        self._check(truncation)
        return self._drawn(stream(seed, NOISE), n, truncation)

    def images_of(self, inputs: Rows) -> NDArray[Any]:
        """The images, uint8 [n, C, H, W], of these noises and conditions, a row of every input for each; of another
        kind examples as `sample` gives them.

        `images_of(noise(n, seed) | …)` are the samples of that seed.  Diverged as for `sample`.
        """
        n = len(next(iter(inputs.values())))
        images = np.empty((n, *self.spec.output), self.spec.modality.dtype)
        with torch.inference_mode():
            for start in range(0, n, BATCH):
                part = slice(start, start + BATCH)
                images[part] = self._images({name: values[part] for name, values in inputs.items()})
        return images

    def _check(self, truncation: float | None) -> None:
        if truncation is None:
            return
        if not 0 < truncation < math.inf:
            raise ConfigError(f"truncation={truncation}: not a number above 0; truncation=1 works")
        if not any(given.distribution == "normal" for given in self.spec.inputs.values()):
            raise ConfigError(f"truncation={truncation}: {self.uri} draws no noise to truncate; leave it out")

    def _drawn(self, source: np.random.Generator, count: int, truncation: float | None) -> Rows:
        """The network's noise for the next images: a row of `source` for each."""
        normal = {name: i.shape for name, i in self.spec.inputs.items() if i.distribution == "normal"}
        sizes = [math.prod(shape) for shape in normal.values()]
        drawn = source.standard_normal((count, sum(sizes)))
        if truncation is not None:
            from gan_core.latent import truncated  # SciPy takes longer to import than to use

            drawn = truncated(drawn, truncation)
        parts = np.split(drawn, np.cumsum(sizes)[:-1], axis=1) if sizes else []
        return {name: part.reshape(count, *shape)
                for (name, shape), part in zip(normal.items(), parts, strict=True)}

    def _images(self, inputs: Rows) -> NDArray[np.uint8]:
        made: Tensor = self.network(**{name: self._fed(values) for name, values in inputs.items()})
        if tuple(made.shape[1:]) != self.spec.output:
            raise DamagedFile(f"{self.uri}/{SPEC}: states images of {list(self.spec.output)}, "
                              f"the network makes {list(made.shape[1:])}; publish the run again")
        if not bool(torch.isfinite(made).all()):
            raise Diverged(f"{self.uri}: the generator makes numbers that are not finite; "
                           "take an earlier version")
        return self.spec.modality.stored(made.cpu().numpy())

    def _fed(self, values: NDArray[Any]) -> Tensor:
        """An input as the network takes it: in its precision, images in [−1, 1], and labels as they are."""
        tensor = torch.from_numpy(np.require(scaled(values), requirements="W"))  # a copy where torch must not write
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)


def load_generator(uri: str) -> Generator:
    """The generator of a version, of an alias, or of a run: a URL or path that ends in models/digits@champion,
    models/digits/versions/0001, or the folder that holds generator.json.

    ConfigError when there is none or its network's family is not installed; DamagedFile names the file that
    is missing, changed, or not what it should be.
    """
    return read_generator(*resolve(uri if "/" in uri else f"./{uri}", Store()))


def read_generator(store: Store, prefix: str) -> Generator:
    """The generator of the artefact at `prefix`; see `load_generator`.

    Where its network's family is not installed, its ONNX model is run in its place, in float32 on the CPU.
    """
    manifest = bundle_manifest(store, prefix)
    if manifest is None:
        raise ConfigError(f"{store.uri(prefix)}: no MANIFEST.json there, so no finished version; "
                          "`gan models list` prints those there are")
    uri = store.uri(prefix)
    spec = read_specification(fetched(store, prefix, listed(store, prefix, manifest, SPEC), MOST_SPEC), f"{uri}/{SPEC}")
    if spec.family in FAMILIES:
        return Generator(uri, spec, _trained(store, prefix, manifest, spec))
    why = f"{uri}/{SPEC}: {FAMILIES.unknown(spec.family)}; install the package that registers it"
    if manifest.file(ONNX) is None:
        raise ConfigError(why)
    return Generator(uri, spec, _traced(store, prefix, manifest, spec, why), dtype=torch.float32)


def generator_of(specification: bytes, weights: bytes, uri: str) -> Generator:
    """The generator of a bundle's files, which are known to be whole; errors as of `load_generator`, naming `uri`."""
    spec = read_specification(specification, f"{uri}/{SPEC}")
    if spec.family not in FAMILIES:
        raise ConfigError(f"{uri}/{SPEC}: {FAMILIES.unknown(spec.family)}; install the package that registers it")
    return Generator(uri, spec, with_weights(built(spec, f"{uri}/{SPEC}"), weights, f"{uri}/{WEIGHTS}"))


def _trained(store: Store, prefix: str, manifest: Manifest, spec: GeneratorSpec) -> nn.Module:
    """The network in float64 with its weights, of which no more are fetched than it has room for."""
    uri, file = store.uri(prefix), listed(store, prefix, manifest, WEIGHTS)
    refuse_other_weights(spec, file, uri)
    weights = fetched(store, prefix, file)
    return with_weights(built(spec, f"{uri}/{SPEC}"), weights, f"{uri}/{WEIGHTS}")


def _traced(store: Store, prefix: str, manifest: Manifest, spec: GeneratorSpec, why: str) -> nn.Module:
    """The ONNX model as a network.  why: the family's own network is not to be had."""
    try:
        from gan_core.onnx_network import OnnxNetwork, most_bytes
    except ImportError as error:
        raise ConfigError(f"{why}, or {error.name} (pip install onnx onnxruntime) to run {ONNX}") from None
    weights, file = listed(store, prefix, manifest, WEIGHTS), listed(store, prefix, manifest, ONNX)
    refuse_another_size(store, prefix, weights)
    model = fetched(store, prefix, file, most_bytes(weights.size))
    return OnnxNetwork(model, tuple(spec.inputs), f"{store.uri(prefix)}/{ONNX}", output=spec.modality.made)
