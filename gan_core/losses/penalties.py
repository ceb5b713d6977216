"""Penalties on a discriminator.  One value per example [B]; the gradient is taken inside the same backward."""

from __future__ import annotations

import torch
from torch import Tensor


def zero_centred(samples: Tensor, logits: Tensor) -> Tensor:
    """Squared norm of the discriminator's gradient at each sample.

    samples: [B, …], must require grad.  logits: [B].  Returns [B].
    On real samples this is R1 (Mescheder et al. 2018, arXiv:1801.04406, eq. 9), on generated ones R2.
    """
    (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return gradient.square().flatten(start_dim=1).sum(dim=1)
