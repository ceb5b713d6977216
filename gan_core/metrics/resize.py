"""Images brought to the size that a feature network takes.

Resizers give unlike pixels, and so unlike distances (Parmar et al. 2022, arXiv:2104.11222); which one was used is part
of a metric's name.

    tf1-bilinear     TensorFlow 1's: output j reads input j · in / out, so that the first pixels of both lie on one
                     another and not their centres; no antialiasing.  As FID was first measured, and by StyleGAN2-ADA.
    pil-bicubic      Pillow's bicubic kernel (a = −0.5), as wide as the reduction, on one float channel at a time;
                     results are cut to 0 … 255 and not rounded.  As clean-fid.
    torch-antialias  torch's bilinear kernel between pixel centres, as wide as the reduction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from gan_core.options.feature_networks import Resizer

Size = tuple[int, int]


def resized(images: Tensor, size: Size, resizer: Resizer) -> Tensor:
    """Images [n, C, H, W] of levels 0 … 255 to float32 [n, C, *size], levels still; the same at the same size."""
    levels = images.to(torch.float32)
    return levels if levels.shape[2:] == size else _RESIZERS[resizer](levels, size)


def _tf1_bilinear(images: Tensor, size: Size) -> Tensor:
    return _stretched(_stretched(images, 3, size[1]), 2, size[0])


def _stretched(images: Tensor, dim: int, to: int) -> Tensor:
    """Linear interpolation along one dimension.  Positions are whole numbers over `to`: nothing is rounded."""
    length = images.shape[dim]
    position = torch.arange(to, device=images.device) * length
    before = position // to
    after = (before + 1).clamp(max=length - 1)
    share = (position % to).to(torch.float32) / to
    low, high = images.index_select(dim, before), images.index_select(dim, after)
    return low + (high - low) * share.view([-1 if d == dim else 1 for d in range(4)])


def _pil_bicubic(images: Tensor, size: Size) -> Tensor:
    height, width = size
    channels = images.flatten(end_dim=1).cpu().numpy()
    made = np.empty((len(channels), height, width), np.float32)
    for channel, target in zip(channels, made, strict=True):
        target[:] = np.asarray(Image.fromarray(channel).resize((width, height), Image.Resampling.BICUBIC))
    return torch.from_numpy(made.clip(0, 255)).view(*images.shape[:2], height, width).to(images.device)


def _torch_antialias(images: Tensor, size: Size) -> Tensor:
    return interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)


_RESIZERS: Mapping[Resizer, Callable[[Tensor, Size], Tensor]] = {
    "tf1-bilinear": _tf1_bilinear,
    "pil-bicubic": _pil_bicubic,
    "torch-antialias": _torch_antialias,
}
