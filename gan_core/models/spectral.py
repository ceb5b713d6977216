"""Spectral norm: weights divided by their largest singular value (Miyato et al. 2018, arXiv:1802.05957).

The singular vectors u and v follow the weights by one power iteration after each optimizer step, never in a forward:
so every forward of a step, its recomputation, and every worker divide by the same number.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.utils import parametrize

LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d,
          nn.Embedding)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
FIRST_ITERATIONS = 15


class SpectralNorm(nn.Module):
    """A weight divided by σ = uᵀ W v, its largest singular value as far as u and v are its singular vectors.

    W has the outputs as rows and everything else as columns.  u: [rows], v: [columns], buffers.  The gradient flows
    through W in σ, and not through u and v.  In evaluation one iteration from u, not kept, comes first: averages of
    such vectors over training are neither of length 1 nor the averaged weight's own.
    """

    u: Tensor
    v: Tensor

    def __init__(self, weight: Tensor, outputs: int = 0) -> None:
        super().__init__()
        self.outputs = outputs
        with torch.no_grad():
            matrix = self._matrix(weight)
            u = normalize(torch.randn(len(matrix)).to(weight), dim=0)
            self.register_buffer("u", u)
            self.register_buffer("v", normalize(matrix.T @ u, dim=0))
            for _ in range(0 if weight.is_meta else FIRST_ITERATIONS):
                self._iterate(matrix)
        self._holder: tuple[nn.Module, ...] = ()  # in a tuple, for it is not a part of this module

    def follow(self, holder: nn.Module) -> None:
        """Names the module whose `original` is the weight that `stepped` looks at."""
        self._holder = (holder,)

    @torch.no_grad()
    def stepped(self) -> None:
        """One power iteration, after a step has moved the weight.  Equal on all workers, as the weights are."""
        self._iterate(self._matrix(self._holder[0].original))  # type: ignore[arg-type]

    def forward(self, weight: Tensor) -> Tensor:
        if weight.is_meta:  # networks are built there to be counted; autocast knows no such device
            return weight
        with torch.autocast(weight.device.type, enabled=False):  # σ in eight bits would be a part in 256 off
            matrix = self._matrix(weight)
            u, v = self.u, self.v
            if not self.training:
                u, v = _closer(matrix.detach(), u)
            return weight / torch.dot(u, matrix @ v)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.movedim(self.outputs, 0).flatten(1)

    def _iterate(self, matrix: Tensor) -> None:
        u, v = _closer(matrix, self.u)
        self.u.copy_(u)
        self.v.copy_(v)


def _closer(matrix: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """u and v after one power iteration from u."""
    v = normalize(matrix.T @ u, dim=0)
    return normalize(matrix @ v, dim=0), v


def spectral(network: nn.Module) -> None:
    """Puts spectral norm on the weight of every linear layer, convolution and embedding in a network.

    To be called after weights were initialised.  A layer's state dict then has `parametrizations.weight.original`, and
    `parametrizations.weight.0.u` and `.v`, in place of `weight`.
    """
    for layer in list(network.modules()):
        if isinstance(layer, LAYERS):
            norm = SpectralNorm(layer.weight, outputs=1 if isinstance(layer, TRANSPOSED) else 0)
            parametrize.register_parametrization(layer, "weight", norm)
            norm.follow(cast(nn.ModuleDict, layer.parametrizations)["weight"])
