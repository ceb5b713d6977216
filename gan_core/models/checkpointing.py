"""Gradient checkpointing (Chen et al. 2016, arXiv:1604.06174) that computes the same again.

Activations inside are computed a second time in the backward pass instead of being kept.  What a forward changes or
draws must not be changed or drawn twice: running statistics stay, and dropout takes the masks it took.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gan_core.models.dropout import SameMasks
from gan_core.models.norm import SameStretches


def again(function: Callable[..., Tensor], *tensors: Tensor | None) -> Tensor:
    """function(*tensors), whose activations are computed again where a backward pass needs them.

    Gradients are what they are without, of higher order too.  Without gradients it is the function alone.
    """
    if not torch.is_grad_enabled():
        return function(*tensors)
    found: Tensor = checkpoint(function, *tensors, use_reentrant=False, preserve_rng_state=False, context_fn=_contexts)
    return found


def _contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
    masks, stretches = SameMasks(), SameStretches()
    return masks.first(), _Again(masks, stretches)


class _Again(AbstractContextManager[None]):
    """Around every computation after the first; a gradient of a gradient needs more than one."""

    def __init__(self, masks: SameMasks, stretches: SameStretches) -> None:
        self._masks, self._stretches = masks, stretches
        self._open = ExitStack()

    def __enter__(self) -> None:
        self._open = ExitStack()
        self._open.enter_context(self._masks.again())
        self._open.enter_context(self._stretches.again())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)
