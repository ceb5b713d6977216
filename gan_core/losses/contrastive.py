"""Losses of features that are to be alike where they belong together, and unlike where not."""

from __future__ import annotations

import torch
from torch import Tensor


def patch_nce(queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
    """−log softmax, at its own place, of how alike a patch is to the patches of the same image.  [n, L, S, d] -> [n]

    queries: of what was made, of length 1.  keys: of what it was made from, alike.  L maps of S places each; the other
    places of the image are the negatives, and places and maps count alike.  Keys are not descended.

    Park et al. 2020 (arXiv:2007.15651), eq. 3 and 4.
    """
    alike = torch.einsum("nlsd,nltd->nlst", queries, keys.detach()) / temperature
    return -alike.log_softmax(-1).diagonal(dim1=-2, dim2=-1).mean((1, 2))
