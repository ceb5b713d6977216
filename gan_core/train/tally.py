"""What operations take: floating-point operations, and bytes as long as a tensor lives."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)
MOMENTS = torch.ops.aten.batch_norm_update_stats.default  # of these two torch cannot say what comes out
IN_PLACE = torch.ops.aten._fused_sgd_.default
COPIES = 2  # of an argument in no memory order: to one, and from it to the convolution's own


class Tally(TorchDispatchMode):
    """Of the operations in its block.

    live: bytes of the tensors that something holds.  peak: the most there were.  flops: so far.
    Messages to other workers go nowhere: they are not taking this step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = self.flops = 0
        self._seen: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function.namespace == "c10d":
            return _unsent(function, args)
        if function is IN_PLACE:
            return None
        out = _moments(args[0]) if function is MOMENTS else function(*args, **kwargs)
        counter = flop_registry.get(function._overloadpacket)
        self.flops += int(counter(*args, **kwargs, out_val=out)) if counter else 0
        for tensor in _tensors(out):
            self._hold(tensor.untyped_storage())
        copies = COPIES * _bytes_in_no_order(args) if function in CONVOLUTIONS else 0
        self.peak = max(self.peak, self.live + copies)
        return out

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self._seen:
            size = storage.nbytes()
            self.live += size
            self._seen[key] = weakref.ref(storage, lambda _: self._let_go(key, size))

    def _let_go(self, key: int, size: int) -> None:
        del self._seen[key]
        self.live -= size


class Called:
    """flops: of one row of a network's first forward."""

    def __init__(self, tally: Tally, network: nn.Module) -> None:
        self._tally, self._before, self._done = tally, 0, False
        self.flops = 0
        network.register_forward_pre_hook(self._begin)
        network.register_forward_hook(self._end)

    def _begin(self, *_: Any) -> None:
        self._before = self._tally.flops

    def _end(self, network: nn.Module, args: Any, out: Any) -> None:
        if not self._done:
            self.flops, self._done = (self._tally.flops - self._before) // len(out), True


def _unsent(function: Any, args: Any) -> Any:
    """What a collective operation returns at once: what it was given to fill, and something to wait for."""
    from torch._C._distributed_c10d import FakeWork

    work = FakeWork().boxed()
    return (args[0], work) if len(function._schema.returns) > 1 else work


def _moments(x: Tensor) -> tuple[Tensor, Tensor]:
    """What MOMENTS returns.  x: [n, C, …], each is [C]."""
    mean = torch.empty(x.shape[1], dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
    return mean, torch.empty_like(mean)


def _tensors(nested: Any) -> Iterable[Tensor]:
    return (leaf for leaf in tree_leaves(nested) if isinstance(leaf, Tensor))


def _bytes_in_no_order(args: Any) -> int:
    """Of maps [n, C, H, W] whose channels are neither first nor last in memory."""
    return sum(t.numel() * t.element_size() for t in _tensors(args) if t.dim() == 4 and not (
        t.is_contiguous() or t.is_contiguous(memory_format=torch.channels_last)))
