"""A published generator: loaded from its URL, sampled alike on every machine.

    generator = load_generator("s3://bucket/models/digits@champion")
    images = generator.sample(64, seed=7, label=3)  # uint8 [64, C, H, W]

A bundle is data only: `generator.json` says which network to build and what to feed it,
`generator.safetensors` holds its weights, and both are checked against the manifest before they are used.

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
import safetensors.torch
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from torch import Tensor, nn

from gan_core.addresses import resolve
from gan_core.asked import NOISE, Attributes, Labels, Rows, condition_of, image_of, rows, stream
from gan_core.errors import ConfigError, DamagedFile, Diverged
from gan_core.manifest import read_manifest, read_named
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.options.conditions import Attribute
from gan_core.pictures import to_uint8
from gan_core.registry import FAMILIES
from gan_core.store import Store

SPEC = "generator.json"
WEIGHTS = "generator.safetensors"
BATCH = 64  # images that the network makes at a time
MOST_NUMBERS = 2**26  # of one example's input or image: a colour image of 4096 × 4096 has 3 · 2**24
MOST_VALUES = 2**20  # of one attribute, or classes


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
        return replace(self, network=network, dtype=dtype, device=device)

    def sample(
        self, n: int, *, seed: int = 0, label: Labels | None = None, attributes: Attributes | None = None,
        images: NDArray[np.uint8] | None = None, truncation: float | None = None,
    ) -> NDArray[np.uint8]:
        """n images, uint8 [n, C, H, W]: a pure function of the seed, what is asked for, and the weights.

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
    ) -> NDArray[np.uint8]:
        """Those of n images that are chosen, [n]; each is the same whatever the others.  asked: of all n."""
        self._check(truncation)
        source = stream(seed, NOISE)
        images = np.empty((int(chosen.sum()), *self.spec.output), np.uint8)
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

    def images_of(self, inputs: Rows) -> NDArray[np.uint8]:
        """The images, uint8 [n, C, H, W], of these noises and conditions, a row of every input for each.

        `images_of(noise(n, seed) | …)` are the samples of that seed.  Diverged as for `sample`.
        """
        n = len(next(iter(inputs.values())))
        images = np.empty((n, *self.spec.output), np.uint8)
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
        return to_uint8(made.cpu().numpy())

    def _fed(self, values: NDArray[Any]) -> Tensor:
        """An input as the network takes it: in its precision, images in [−1, 1], and labels as they are."""
        given = values / 127.5 - 1 if values.dtype == np.uint8 else values
        tensor = torch.from_numpy(np.require(given, requirements="W"))  # a copy where torch must not write
        return tensor.to(self.device, self.dtype if tensor.is_floating_point() else tensor.dtype)


def load_generator(uri: str) -> Generator:
    """The generator of a version, of an alias, or of a run: a URL or path that ends in models/digits@champion,
    models/digits/versions/0001, or the folder that holds generator.json.

    ConfigError when there is none or its network's family is not installed; DamagedFile names the file that
    is missing, changed, or not what it should be.
    """
    return read_generator(*resolve(uri if "/" in uri else f"./{uri}", Store()))


def read_generator(store: Store, prefix: str) -> Generator:
    """The generator of the artefact at `prefix`; see `load_generator`."""
    manifest = read_manifest(store, prefix)
    if manifest is None:
        raise ConfigError(f"{store.uri(prefix)}: no MANIFEST.json there, so no finished version; "
                          "`gan models list` prints those there are")
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


def _spec(text: bytes, where: str) -> GeneratorSpec:
    try:
        spec = GeneratorSpec.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise DamagedFile(f"{where}: {field}: {first['msg']}; publish the run again") from None
    for name, wrong in _mistakes(spec):
        raise DamagedFile(f"{where}: {name}: {wrong}; publish the run again")
    return spec


def _mistakes(spec: GeneratorSpec) -> Iterator[tuple[str, str]]:
    """(field, what is wrong) of a specification that cannot be sampled, or would fill the memory."""
    if not _possible(spec.output):
        yield "output", f"{list(spec.output)} are no images"
    for name, given in spec.inputs.items():
        if not _possible(given.shape):
            yield f"inputs.{name}.shape", f"{list(given.shape)} holds no numbers, or too many"
        if given.distribution == "condition":
            wrong = _wrong_condition(given)
            if wrong:
                yield f"inputs.{name}", wrong
        elif given.distribution == "image" and len(given.shape) != 3:
            yield f"inputs.{name}.shape", f"{list(given.shape)} is not the [C, H, W] of an image"
    for kind in ("condition", "image"):
        names = [name for name, given in spec.inputs.items() if given.distribution == kind]
        if len(names) > 1:
            yield "inputs", f"at most one {kind} can be sampled, and there are {', '.join(names)}"


def _possible(shape: tuple[int, ...]) -> bool:
    return all(side >= 1 for side in shape) and math.prod(shape) <= MOST_NUMBERS


def _wrong_condition(given: InputSpec) -> str:
    """What is wrong with a label or attributes; '' when nothing is."""
    if not given.attributes:
        fits = 1 <= given.classes <= MOST_VALUES and given.shape == ()
        return "" if fits else f"a label has the shape [] and classes=1 to classes={MOST_VALUES}"
    if given.classes or given.shape != (len(given.attributes),):
        return f"{len(given.attributes)} attributes have the shape [{len(given.attributes)}] and classes=0"
    names = [attribute.name for attribute in given.attributes]
    if len(set(names)) < len(names):
        return f"names an attribute twice: {', '.join(names)}"
    for attribute in given.attributes:
        if attribute.kind == "categorical" and not 1 <= attribute.values <= MOST_VALUES:
            return f"{attribute.name} has {attribute.values} values; 1 to {MOST_VALUES} work"
        if attribute.kind == "continuous" and not -math.inf < attribute.low < attribute.high < math.inf:
            return f"{attribute.name} goes from {attribute.low:g} to {attribute.high:g}"
    return ""


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
        except (TypeError, ValueError, RuntimeError, ConfigError) as error:
            raise DamagedFile(f"{where}: options: {spec.family} cannot be built from them: {error}; "
                              "install the version that published it") from None
