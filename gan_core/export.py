"""A generator as generator.onnx: one file that runs without this package and without torch.

    made = exported(specification, weights, "s3://bucket/models/digits/versions/0001")
    made.model, made.difference

The same weights make the same bytes, and what a runtime makes of them is compared with what the network makes.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_core.asked import Rows, condition_of, image_of, scaled, stream
from gan_core.bundle import Generator, generator_of
from gan_core.bundle_files import ONNX, SPEC
from gan_core.errors import ConfigError, DamagedFile, ExportDiffers, NotExportable
from gan_core.onnx_network import GRAPH, MOST_MODEL, OnnxNetwork

TRACED = 2  # examples that the network is traced with
COMPARED = (1, 7)  # examples that are compared: one, and a number that nothing could have kept from tracing
ROWS = "n"  # the name of the dimension that may have any size
# Of images in [−1, 1].  Their 256 levels lie 7.8e-3 apart, so that no pixel moves by more than one level, and what was
# not compared has room; float32 against float64 alone makes some 1e-6.
LARGEST_DIFFERENCE = 1e-3
LONGEST_REASON = 200

Images = NDArray[np.float64]

_one_at_a_time = threading.Lock()  # the exporter and the filters of warnings are one for all threads


@dataclass(frozen=True)
class Exported:
    """model: the file's bytes.  difference: the largest between an image of the model and of the network in float64,
    both in [−1, 1].  images: how many were compared.  runtime: the version of onnxruntime that ran it.  output: the
    name of what it makes.
    """

    model: bytes
    difference: float
    images: int
    runtime: str
    output: str


def exported(specification: bytes, weights: bytes, uri: str) -> Exported:
    """The ONNX model, in float32, of a bundle's generator.json and generator.safetensors, which are known to be whole.

    Its inputs have the names that generator.json says, [n, …] for any n: noise, attributes and images float32, labels
    int64.  Its output `images` is float32 [n, C, H, W]; other kinds call it `audio`, `scores` or `video`.

    NotExportable says why there is none; ExportDiffers when it makes other images; errors of `load_generator`.
    """
    _refuse_large(len(weights))
    asked, made, model, output = _traced(specification, weights, uri)  # the network is gone before its model is loaded
    with _reasons():
        runs = OnnxNetwork(model, tuple(asked[0]), ONNX, threads=1, output=output)
        again = [_images(runs, given) for given in asked]
    return Exported(model, _difference(made, again, uri), sum(COMPARED), runs.runtime, output)


def _traced(specification: bytes, weights: bytes, uri: str) -> tuple[list[Rows], list[Images], bytes, str]:
    """Inputs, what the network makes of them in float64, its model, and the name of the model's output."""
    try:
        generator = generator_of(specification, weights, uri)
    except ConfigError as error:  # its family is not installed here
        raise NotExportable(str(error).removeprefix(f"{uri}/{SPEC}: ")) from None
    with _reasons():
        _plain(generator.network)
        asked = [_inputs(generator, n) for n in COMPARED]
        made = [_images(generator.network, given) for given in asked]
        output = generator.spec.modality.made
        return asked, made, _model(generator.network.float(), _inputs(generator, TRACED), output), output


def _refuse_large(weights: int) -> None:
    if weights > MOST_MODEL - GRAPH:
        raise NotExportable(f"its weights take {weights / 1e9:.1f} GB, and an ONNX file holds {MOST_MODEL / 1e9:.1f}; "
                            "load_generator reads generator.safetensors of any size")


@contextmanager
def _reasons() -> Iterator[None]:
    """What a family, the exporter or the runtime raises becomes NotExportable: one line, without places on this host.

    Networks are anybody's, and so is what they raise.
    """
    try:
        yield
    except MemoryError:  # of this host, not of the network
        raise
    except Exception as error:
        first = (str(error).strip() or "no reason given").splitlines()[0]
        named = first if isinstance(error, DamagedFile) else f"{type(error).__name__}: {first}"
        raise NotExportable(re.sub(r"(?:/[\w.\-]+)+/", "", named)[:LONGEST_REASON]) from error


def _plain(network: nn.Module) -> None:
    """Weights that are computed from others, as by spectral norm, as what they are in evaluation."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]  # a dictionary of modules
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _inputs(generator: Generator, n: int) -> Rows:
    """What `n` images are made of, [n, …] each by name; of labels every one in turn."""
    image, condition = image_of(generator.spec), condition_of(generator.spec)
    given = None if image is None else stream(0, 0).integers(0, 256, (n, *image[1].shape), np.uint8)
    turns = np.arange(n) % condition[1].classes if condition and condition[1].classes else None
    (rows,) = generator.inputs(n, n, label=turns, images=given)
    return {name: scaled(rows[name]) for name in generator.spec.inputs}


def _images(network: nn.Module, inputs: Rows) -> Images:
    with torch.inference_mode():
        made: Tensor = network(**{name: torch.from_numpy(np.array(values)) for name, values in inputs.items()})
    return made.numpy().astype(np.float64)


class _InOrder(nn.Module):
    """A network that is called by name, called by place: as the exporter calls it."""

    def __init__(self, network: nn.Module, names: list[str]) -> None:
        super().__init__()
        self.network, self.names = network, names

    def forward(self, *inputs: Tensor) -> Tensor:
        made: Tensor = self.network(**dict(zip(self.names, inputs, strict=True)))
        return made


def _model(network: nn.Module, inputs: Rows, output: str) -> bytes:
    """By the exporter that traces: it takes a fiftieth of the time of the one that is torch's default."""
    names, file = [*inputs], io.BytesIO()
    given = tuple(torch.from_numpy(np.array(values)) for values in inputs.values())
    floats = tuple(values.float() if values.is_floating_point() else values for values in given)
    with _one_at_a_time, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that it will be removed, and each size that tracing keeps: both are tested
        torch.onnx.export(
            _InOrder(network, names), floats, file,  # type: ignore[arg-type]  # this exporter writes to open files too
            dynamo=False, do_constant_folding=False,  # runtimes fold by themselves, and the weights stay as they are
            input_names=names, output_names=[output], dynamic_axes={name: {0: ROWS} for name in (*names, output)},
        )
    return file.getvalue()


def _difference(made: list[Images], again: list[Images], uri: str) -> float:
    """The largest difference.  NotExportable for other shapes; ExportDiffers above the bound, and for no numbers."""
    for one, other in zip(made, again, strict=True):
        if one.shape != other.shape:
            raise NotExportable(f"its model makes images {list(other.shape)} where the network makes {list(one.shape)}")
    largest = max(float(np.abs(one - other).max()) for one, other in zip(made, again, strict=True))
    if not largest <= LARGEST_DIFFERENCE:
        raise ExportDiffers(f"{uri}: {ONNX} makes images that differ by {largest:.1e} from the network's, in [-1, 1]; "
                            f"up to {LARGEST_DIFFERENCE:g} is rounding: see that the network draws nothing and keeps "
                            "nothing from call to call")
    return largest
