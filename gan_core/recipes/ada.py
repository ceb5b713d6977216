"""Adaptive discriminator augmentation (Karras et al. 2020, arXiv:2006.06676).

Each transform is done to an image with probability p, by amounts of the paper's appendix B; what is not chosen leaves
the image as it is, bit for bit.  p follows how much the discriminator overfits.
"""

from __future__ import annotations

from math import pi, sqrt

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gan_core.data.augment import flipped, shifted
from gan_core.models.norm import OfEachWorker
from gan_core.options.losses import Ada
from gan_core.recipes.diffaugment import apart, square
from gan_core.recipes.draw import Draw

EVERY = 4  # steps from one move of p to the next


class AdaAugment(nn.Module):
    """Has no weights: p and what it is moved by, as buffers that are equal on all workers after each step."""

    probability: Tensor
    r_t: Tensor
    sums: Tensor
    steps: Tensor
    _own: Tensor

    def __init__(self, options: Ada) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("probability", torch.tensor(options.start))
        self.register_buffer("r_t", torch.tensor(0.0))
        self.register_buffer("sums", torch.zeros(2))  # of signs, and how many, of all workers since p was moved
        self.register_buffer("steps", torch.tensor(0))
        self.register_buffer("_own", torch.zeros(2), persistent=False)  # this worker's part since the last step

    def forward(self, images: Tensor, draw: Draw) -> Tensor:
        """The images [n, C, H, W], −1 to 1, some of them changed; values may leave that range.

        draw: of these n rows; real and generated images want draws of their own.  Differentiable by the images, twice.
        """
        with torch.autocast(images.device.type, enabled=False):
            for name, transform in TRANSFORMS.items():
                if name in self.options.transforms:
                    images = transform(images, self.probability, draw.within(name))
        return images

    @torch.no_grad()
    def observe(self, margins: Tensor) -> None:
        """Counts a discriminator's judgement of real images.  margins: [b], above 0 where one is taken for real."""
        self._own += torch.stack([margins.sign().sum(), torch.full_like(self.r_t, len(margins))])

    @torch.no_grad()
    def stepped(self) -> None:
        """To be called on every worker after each step of the discriminator; each fourth time p is moved.

        It rises while r_t = E[sign D(real)] is above its target and else falls, by 1 in `options.images` images.
        """
        self.sums += _over_workers(self._own)
        self._own.zero_()
        self.steps += 1
        signs, seen = self.sums
        due = (self.steps % EVERY == 0) & (seen > 0)
        self.r_t.copy_(torch.where(due, signs / seen, self.r_t))
        if not self.options.fixed:
            by = (self.r_t - self.options.target).sign() * seen / self.options.images
            self.probability.copy_(torch.where(due, self.probability + by, self.probability).clamp(0, 1))
        self.sums.masked_fill_(due, 0)

    def scalars(self) -> dict[str, Tensor]:
        """p, and r_t as it was when p was last moved, for the curves."""
        return {"augment/p": self.probability.clone(), "augment/r_t": self.r_t.clone()}


def _over_workers(values: Tensor) -> Tensor:
    """Their sum over all workers."""
    alone = not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1
    return values if alone else OfEachWorker.apply(values).sum(0)


def _blit(images: Tensor, p: Tensor, draw: Draw) -> Tensor:
    """Mirrored, turned by quarters (by halves where not square), moved by whole pixels up to 1/8 of the side."""
    height, width = images.shape[2:]
    mirror, turn, move = (draw.uniform("chosen", 3) < p).unbind(1)
    images = flipped(images, mirror & (draw.integers("mirror", 2) == 1))
    quarters = torch.where(turn, draw.integers("quarters", 4), 0)
    if height == width:
        images = torch.where(_beside(quarters % 2 == 1), images.rot90(1, (2, 3)), images)
    images = torch.where(_beside(quarters > 1), images.flip(2, 3), images)
    down, right = ((draw.uniform("move", 2) - 0.5) / 4).unbind(1)
    by = torch.stack([(down * height).round(), (right * width).round()], dim=1).long()
    return shifted(images, torch.where(move.unsqueeze(1), by, 0))


def _geometry(images: Tensor, p: Tensor, draw: Draw) -> Tensor:
    """Scaled, turned, stretched, turned again and moved; edges are reflected."""
    lots = draw.uniform("chosen", 5)
    scale, stretch, move = (lots[:, :3] < p).unbind(1)
    turns = lots[:, 3:] < 1 - (1 - p).sqrt()  # so that with probability p at least one of the two is done
    bigger, wider, right, down = draw.normal("amounts", 4).unbind(1)
    bigger, wider = torch.where(scale, 2 ** (0.2 * bigger), 1), torch.where(stretch, 2 ** (0.2 * wider), 1)
    first, last = _rotations(torch.where(turns, (2 * draw.uniform("angles", 2) - 1) * pi, 0)).unbind(1)
    unstretched = torch.stack([1 / (bigger * wider), wider / bigger], dim=1).diag_embed()
    by = torch.stack([right * images.shape[3], down * images.shape[2]], dim=1) / 8
    found = resampled(images, first @ unstretched @ last, torch.where(move.unsqueeze(1), by, 0))
    return torch.where(_beside(scale | stretch | move | turns.any(1)), found, images)


def _rotations(angles: Tensor) -> Tensor:
    """[…] -> […, 2, 2]"""
    cos, sin = angles.cos(), angles.sin()
    return torch.stack([torch.stack([cos, -sin], dim=-1), torch.stack([sin, cos], dim=-1)], dim=-2)


def resampled(images: Tensor, matrices: Tensor, moves: Tensor) -> Tensor:
    """Each output pixel q is the image's value at matrix · (q − move), bilinear, counted from the image's centre.

    images: [n, C, H, W].  matrices: [n, 2, 2].  moves: [n, 2] pixels right and down.  Edges are reflected.
    By indexing and not grid_sample, whose gradient cannot be differentiated, and on GPUs is not the same each time.
    """
    n, channels, height, width = images.shape
    down, right = (torch.arange(side, device=images.device) - (side - 1) / 2 for side in (height, width))
    x, y = right - moves[:, 0].view(n, 1, 1), down.unsqueeze(1) - moves[:, 1].view(n, 1, 1)
    (xx, xy), (yx, yy) = (row.view(n, 2, 1, 1).unbind(1) for row in matrices.unbind(1))
    left, to_right = _between_pixels(xx * x + xy * y, width)
    top, to_bottom = _between_pixels(yx * x + yy * y, height)
    corner = (torch.arange(n, device=images.device).view(n, 1, 1) * height + top) * width + left
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)[
        torch.stack([corner, corner + 1, corner + width, corner + width + 1])]
    shares = torch.stack([(1 - to_right) * (1 - to_bottom), to_right * (1 - to_bottom),
                          (1 - to_right) * to_bottom, to_right * to_bottom])
    return (pixels * shares.unsqueeze(-1)).sum(0).permute(0, 3, 1, 2)


def _between_pixels(places: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """The pixel before each place, int64, and how far on it is to the next, 0 to 1.  places: from the centre."""
    period = 2 * (side - 1)
    places = (places + (side - 1) / 2).remainder(period)
    places = torch.minimum(places, period - places)
    before = places.floor().clamp(max=side - 2)
    return before.long(), places - before


def _color(images: Tensor, p: Tensor, draw: Draw) -> Tensor:
    """Brightness, contrast, light and dark exchanged, hue turned, saturation; of grey images the first three."""
    colours, alpha = apart(images)
    chosen = draw.uniform("chosen", 5) < p
    brighten, contrast, invert, turn, saturate = chosen.unbind(1)
    brighter, harder, purer = draw.normal("amounts", 3).unbind(1)
    brighter = torch.where(brighten, 0.2 * brighter, 0)
    harder = torch.where(contrast, 2 ** (0.5 * harder), 1)
    purer = torch.where(saturate, 2**purer, 1)
    sign = torch.where(invert, 1 - 2 * draw.integers("invert", 2), 1)
    grey = colours.mean(1, keepdim=True)  # the part along (1, 1, 1), which is luma here; the rest is chroma
    changed = _beside(sign * harder) * (grey + _beside(brighter))
    if colours.shape[1] == 3:
        angle = torch.where(turn, (2 * draw.uniform("hue", 1).squeeze(1) - 1) * pi, 0)
        changed = changed + _beside(harder * purer) * _hue_turned(colours - grey, angle)
    changed = torch.where(_beside(chosen.any(1)), changed, colours)
    return torch.cat([changed, alpha], dim=1)


def _hue_turned(chroma: Tensor, angle: Tensor) -> Tensor:
    """[n, 3, H, W], each image's turned about (1, 1, 1) by an angle [n]."""
    across = (chroma.roll(1, 1) - chroma.roll(-1, 1)) / sqrt(3)  # (1, 1, 1) / √3 × chroma
    return _beside(angle.cos()) * chroma + _beside(angle.sin()) * across


def _noise(images: Tensor, p: Tensor, draw: Draw) -> Tensor:
    """Noise of a standard deviation |N(0, 0.1²)|."""
    noisy = images + _beside(0.1 * draw.normal("std").abs()) * draw.normal("noise", *images.shape[1:])
    return torch.where(_beside(draw.uniform("chosen") < p), noisy, images)


def _cutout(images: Tensor, p: Tensor, draw: Draw) -> Tensor:
    """Zeros in a square of half the side."""
    chosen = draw.uniform("chosen") < p
    return images.masked_fill(_beside(chosen) & square(draw.uniform("centres", 2), *images.shape[2:]), 0)


def _beside(values: Tensor) -> Tensor:
    """[n] as [n, 1, 1, 1], one value for each image."""
    return values.view(-1, 1, 1, 1)


TRANSFORMS = {"blit": _blit, "geometry": _geometry, "color": _color, "noise": _noise, "cutout": _cutout}
