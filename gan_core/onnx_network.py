"""A bundle's ONNX model as a network: for generators whose family is not installed.

It may come from a stranger, so a model that refers to files beside it or to operators beyond ONNX's own is refused
before the runtime sees it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import onnx
import onnxruntime
import torch
from google.protobuf.message import DecodeError, Message
from torch import Tensor, nn

from gan_core.errors import DamagedFile

OF_ONNX = ("", "ai.onnx")  # the names of its own set of operators
GRAPH = 2**24  # bytes that a model may have beside its weights
MOST_MODEL = 2**31 - 1  # bytes of any, by its format
FATAL = 4  # the runtime's own lines on standard error; its errors come as exceptions besides


class OnnxNetwork(nn.Module):
    """Called with inputs by name, returns images [n, C, H, W] float32 on the CPU; holds no weights to change.

    inputs, output: the names that it is to have; what it makes of another name than images is of another shape.
    threads: of the runtime, torch's number by default.  DamagedFile, naming `where`, for what is no such model, and for
    one that cannot be run.
    """

    def __init__(
        self, model: bytes, inputs: tuple[str, ...], where: str, threads: int | None = None, output: str = "images"
    ) -> None:
        super().__init__()
        refuse_unsafe(model, where)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = FATAL
        options.intra_op_num_threads = threads or torch.get_num_threads()
        options.inter_op_num_threads = 1
        self.where, self.output, self.runtime = where, output, str(onnxruntime.__version__)
        try:
            self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # the runtime's have no common class
            raise DamagedFile(f"{where}: cannot be run: {_line(error)}; publish the run again") from None
        found, made = ([one.name for one in side] for side in (self.session.get_inputs(), self.session.get_outputs()))
        if sorted(found) != sorted(inputs) or made != [output]:
            raise DamagedFile(f"{where}: takes {', '.join(found)} and makes {', '.join(made)}, not {', '.join(inputs)} "
                              f"and {output}; publish the run again")

    def forward(self, **inputs: Tensor) -> Tensor:
        given = {name: (x.float() if x.is_floating_point() else x).cpu().numpy() for name, x in inputs.items()}
        try:
            (images,) = self.session.run([self.output], given)
        except Exception as error:  # as above
            raise DamagedFile(f"{self.where}: cannot be run: {_line(error)}; publish the run again") from None
        return torch.from_numpy(images)

    def __deepcopy__(self, memo: dict[int, Any]) -> OnnxNetwork:
        """Itself: a session is shared, and nothing in it changes."""
        return self


def most_bytes(weights: int) -> int:
    """The most bytes that the model of a generator with so many bytes of weights can need."""
    return min(2 * weights + GRAPH, MOST_MODEL)  # twice: weights may stand there as they are and as they are used


def refuse_unsafe(model: bytes, where: str) -> None:
    """DamagedFile for a model that is none, names other files, or has operators or functions of its own."""
    try:
        parsed = onnx.load_model_from_string(model)
    except DecodeError:
        raise DamagedFile(f"{where}: not an ONNX model; take another copy of the bundle") from None
    for message in _within(parsed):
        if isinstance(message, onnx.TensorProto) and (message.external_data or message.data_location):
            raise DamagedFile(f"{where}: keeps '{message.name[:80]}' in another file, which is never read; take a "
                              "bundle whose model is one file")
        domain = getattr(message, "domain", "") if isinstance(message, _WITH_DOMAIN) else ""
        if domain not in OF_ONNX or isinstance(message, onnx.FunctionProto):
            raise DamagedFile(f"{where}: has operators that are not ONNX's own ({domain[:80] or 'functions'}); take a "
                              "bundle without them")


_WITH_DOMAIN = (onnx.NodeProto, onnx.OperatorSetIdProto, onnx.FunctionProto)


def _within(message: Message) -> Iterator[Message]:
    """A message and all below it, in graphs within graphs too."""
    yield message
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in (value if hasattr(value, "__len__") else (value,)):
                yield from _within(inner)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
