"""Penalties.  On a discriminator's gradient one value per example [B], the gradient taken inside the same backward;
on weights one number.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import relu


def zero_centred(samples: Tensor, logits: Tensor) -> Tensor:
    """Squared norm of the discriminator's gradient at each sample.

    samples: [B, …], must require grad.  logits: [B].  Returns [B].
    On real samples this is R1 (Mescheder et al. 2018, arXiv:1801.04406, eq. 9), on generated ones R2; on samples
    `between` the two it is the penalty of Thanh-Tung et al. 2019 (arXiv:1902.03984).
    """
    return _gradient(samples, logits).square().sum(dim=1)


def unit_norm(samples: Tensor, logits: Tensor, one_sided: bool = False) -> Tensor:
    """(|gradient| − 1)² at each sample, the norm over all of its numbers.  one_sided: norms below 1 cost nothing.

    samples: [B, …], must require grad.  logits: [B].  Returns [B].
    On samples `between` real and generated ones this is WGAN-GP's (Gulrajani et al. 2017, arXiv:1704.00028, eq. 3),
    one_sided that of Petzka et al. 2018 (arXiv:1709.08894); on samples `around` real ones it is DRAGAN's
    (Kodali et al. 2017, arXiv:1705.07215, eq. 1).
    """
    # whose own gradient at 0 is 0, where that of a square root is infinite
    excess = torch.linalg.vector_norm(_gradient(samples, logits), dim=1) - 1
    return (relu(excess) if one_sided else excess).square()


def _gradient(samples: Tensor, logits: Tensor) -> Tensor:
    """[B, numbers of a sample], differentiable by the discriminator's weights."""
    (gradient,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return gradient.flatten(start_dim=1)


def between(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """share · real + (1 − share) · fake, as a leaf that requires grad.

    real, fake: [B, …].  share: [B], from 0 to 1.  Gulrajani et al. 2017, algorithm 1, line 6: uniform.
    """
    share = _beside(share, real)
    return (share * real + (1 - share) * fake).detach().requires_grad_()


def around(real: Tensor, uniform: Tensor, spread: float, std: Tensor) -> Tensor:
    """real + spread · std · uniform, as a leaf that requires grad.

    real, uniform: [B, …], the latter over [0, 1).  std: that of all numbers of the batch, [], or of each example, [B].
    The perturbation of Kodali et al. 2017 as they ran it, who then went a part of the way there, `between` both; their
    text has a Gaussian.
    """
    return (real + spread * _beside(std, real) * uniform).detach().requires_grad_()


def consistency(logits: Tensor, logits_of_changed: Tensor) -> Tensor:
    """Squared difference of what is said of an image and of the image changed.  [B], [B] -> [B]

    Zhao et al. 2020 (arXiv:2002.04724), algorithm 1.
    """
    return (logits - logits_of_changed).square()


def l1(weights: Iterable[Tensor]) -> Tensor:
    """Sum of absolute values.  Returns []."""
    return torch.stack([weight.abs().sum() for weight in weights]).sum()


def l2(weights: Iterable[Tensor]) -> Tensor:
    """Half the sum of squares.  Returns []."""
    return torch.stack([weight.square().sum() for weight in weights]).sum() / 2


def orthogonal(weights: Iterable[Tensor]) -> Tensor:
    """Squared products of each two different rows of a weight, whatever the rows' own norms.  Returns [].

    Brock et al. 2019 (arXiv:1809.11096), eq. 3: |WᵀW ⊙ (1 − I)|², W's columns being the rows here.  A weight
    [out, …] has a row for each output; those with fewer than two axes, biases and gains, are left out.
    """
    return torch.stack([_overlap(weight.flatten(start_dim=1)) for weight in weights if weight.dim() > 1]).sum()


def _overlap(rows: Tensor) -> Tensor:
    """|W Wᵀ|² less its diagonal's; |Wᵀ W|² is the same number, of the smaller matrix where there are more rows."""
    products = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
    return products.square().sum() - rows.square().sum(1).square().sum()


def _beside(values: Tensor, samples: Tensor) -> Tensor:
    """[B] as [B, 1, …], one value for each sample; [] as it is."""
    return values.view(-1, *[1] * (samples.dim() - 1)) if values.dim() else values
