"""The network of a bundle: built by its specification, and given weights that fit it."""

from __future__ import annotations

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from gan_core.bundle_files import SPEC, WEIGHTS
from gan_core.errors import ConfigError, DamagedFile
from gan_core.manifest import File
from gan_core.models.spec import GeneratorSpec

NOT_BUILT = (TypeError, ValueError, RuntimeError, ConfigError)  # what a family says to options it has no use for
HEADER = 2**16  # bytes that a safetensors file may have beside its tensors,
HEADER_OF_ONE = 2**10  # and for the name and shape of each
LARGE = 2**28  # bytes of a network that would be felt if its weights were not there


def built(spec: GeneratorSpec, where: str) -> nn.Module:
    """The network of a specification in float64 with fresh weights; the global random state stays as it was.

    DamagedFile, naming `where`, when its family cannot build it.
    """
    with torch.random.fork_rng(devices=[]):
        try:
            return spec.build().double()
        except NOT_BUILT as error:
            raise DamagedFile(f"{where}: options: {spec.family} cannot be built from them: {error}; "
                              "install the version that published it") from None


def with_weights(network: nn.Module, weights: bytes, where: str) -> nn.Module:
    """The network with the tensors of a safetensors file, ready to be sampled.

    DamagedFile, naming `where`, when that is no such file, or of another network.
    """
    try:
        network.load_state_dict(safetensors.torch.load(weights), strict=True)
    except SafetensorError as error:
        raise DamagedFile(f"{where}: not a safetensors file: {error}; publish the run again") from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise DamagedFile(f"{where}: does not fit {SPEC}: {reason}; publish the run again") from None
    return network.eval().requires_grad_(False)


def refuse_other_weights(spec: GeneratorSpec, file: File, uri: str) -> None:
    """DamagedFile when a bundle's weights cannot be those of its network, by their size alone.

    More than the network has are never fetched, and no large network is built for weights that are not there.
    """
    needed = _needed(spec)
    if needed is None:
        return
    fewest, most = needed
    if file.size > most:
        raise DamagedFile(f"{uri}/{WEIGHTS}: has {file.size:,} bytes, and the network of {SPEC} needs {most:,} at "
                          "most; take another copy of the bundle")
    if file.size < fewest and most > LARGE:
        raise DamagedFile(f"{uri}/{WEIGHTS}: has {file.size:,} bytes, and the network of {SPEC} has {fewest:,} at "
                          "least; take another copy of the bundle")


def _needed(spec: GeneratorSpec) -> tuple[int, int] | None:
    """The fewest bytes, in half precision, and the most of a network's file; None where only building it tells."""
    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # no memory is taken there
        try:
            tensors = spec.build().state_dict().values()
        except NOT_BUILT:
            return None
    total = sum(tensor.nbytes for tensor in tensors)
    return total // 2, total + HEADER + HEADER_OF_ONE * len(tensors)
