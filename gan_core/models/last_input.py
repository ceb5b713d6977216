"""What a network reads its answer off: the numbers that its last linear layer or convolution is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

MAKERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@contextmanager
def last_input(network: nn.Module) -> Iterator[list[Tensor]]:
    """While the block runs, the list holds what the last such layer was given when the network was called.

    It stays empty for a network that has none, or was not called.
    """
    seen: list[Tensor] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[:] = [inputs[0]]

    handles = [module.register_forward_pre_hook(note) for module in network.modules() if isinstance(module, MAKERS)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
