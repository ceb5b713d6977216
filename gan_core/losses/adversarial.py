"""Adversarial losses.  Each takes logits [B], higher is more real, and returns one value per example [B]."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import softplus


def non_saturating_d(real: Tensor, fake: Tensor) -> Tensor:
    """Discriminator: −log σ(real) − log(1 − σ(fake)).  [B], [B] -> [B]   Goodfellow et al. 2014, eq. 1."""
    return softplus(-real) + softplus(fake)


def non_saturating_g(fake: Tensor) -> Tensor:
    """Generator: −log σ(fake), whose gradient stays when the discriminator wins.  [B] -> [B]

    Goodfellow et al. 2014, section 3.
    """
    return softplus(-fake)
