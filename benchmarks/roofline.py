"""The least time that a step can take on a machine: its operations at the rates that the machine itself reaches."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

SIDE, COPIED = 2048, 2**28  # of the matrices multiplied; bytes copied


def least_seconds(step: Callable[[], object], device: torch.device) -> float:
    """Each operation takes what its multiplications or its bytes take, whichever is longer; nothing overlaps.

    Bytes are those of an operation's inputs and outputs: what stays in a cache from one to the next is counted too.
    """
    counted = Counted()
    with counted:
        step()
    rates = {dtype: matmul_rate(dtype, device) for dtype in {dtype for dtype, flops, _ in counted.found if flops}}
    bandwidth = copy_rate(device)
    return sum(max(flops / rates[dtype] if flops else 0.0, size / bandwidth) for dtype, flops, size in counted.found)


class Counted(TorchDispatchMode):
    """(type, floating-point operations, bytes) of each operation that moves or computes something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[torch.dtype, int, int]] = []

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        made = [t for t in tree_leaves(out) if isinstance(t, Tensor)]
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if function.is_view or not made + given:
            return out
        counter = flop_registry.get(function._overloadpacket)
        flops = int(counter(*args, **(kwargs or {}), out_val=out)) if counter else 0
        dtype = next((t.dtype for t in given if t.dtype.is_floating_point), torch.float32)
        self.found.append((dtype, flops, sum(t.numel() * t.element_size() for t in made + given)))
        return out


def matmul_rate(dtype: torch.dtype, device: torch.device) -> float:
    """Floating-point operations a second of the best of some products of square matrices."""
    a, b = (torch.randn(SIDE, SIDE, device=device).to(dtype) for _ in range(2))
    return 2 * SIDE**3 / best(lambda: a @ b, device)


def copy_rate(device: torch.device) -> float:
    """Bytes read and written a second."""
    a, b = (torch.zeros(COPIED, dtype=torch.uint8, device=device) for _ in range(2))
    return 2 * COPIED / best(lambda: b.copy_(a), device)


def best(work: Callable[[], object], device: torch.device, tries: int = 8) -> float:
    """Seconds of the fastest try."""
    seconds = []
    for _ in range(tries):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return min(seconds)
