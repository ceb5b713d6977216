"""Whether all workers hold the same state, bit for bit: looked at before each checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_core.errors import WorkersDisagree
from gan_core.train.distributed import Workers
from gan_core.train.state import TrainState

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by bytes of an element


def refuse_disagreement(state: TrainState, workers: Workers) -> None:
    """WorkersDisagree, on every worker alike, naming the first tensor that is not the same on all."""
    if workers.world == 1:
        return
    tensors = _tensors(state)
    ours = torch.stack([checksum(tensor) for tensor in tensors.values()])
    differs = (ours != workers.tensor_of_lead(ours.clone())).any(dim=1).int()
    found = workers.largest(differs).nonzero().flatten().tolist()
    if found:
        others = f" and {len(found) - 1} other tensors differ" if found[1:] else " differs"
        raise WorkersDisagree(
            f"{[*tensors][found[0]]}{others} between workers after {state.position} images; what they compute must "
            "depend on the draw and the batch alone: look for randomness or state of a recipe's own, else for a "
            "machine that miscomputes"
        )


def checksum(tensor: Tensor) -> Tensor:
    """[2] int64: sums over the bits of its elements and over their squares.  Any changed bit changes the first."""
    bits = tensor.detach().view(INTEGERS[tensor.element_size()]) if tensor.dim() else \
        tensor.detach().reshape(1).view(INTEGERS[tensor.element_size()])
    whole = bits.long()
    return torch.stack([whole.sum(), whole.square().sum()])


def _tensors(state: TrainState) -> dict[str, Tensor]:
    """Every tensor of the networks, averages and optimizers, by name, in one order on all workers."""
    named = {f"{kind}.{net}.{name}": tensor for kind in ("networks", "averages")
             for net, network in getattr(state, kind).items() for name, tensor in network.state_dict().items()}
    for phase, optimizer in state.optimizers.items():
        kept: Mapping[int, Mapping[str, Any]] = optimizer.state_dict()["state"]
        named |= {f"optimizers.{phase}.{number}.{name}": value.to(_device(state)) for number, values in kept.items()
                  for name, value in values.items() if isinstance(value, Tensor)}
    return named


def _device(state: TrainState) -> torch.device:
    return next(next(iter(state.networks.values())).parameters()).device
