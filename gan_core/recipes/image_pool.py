"""Generated images of earlier steps, which a judge sees in place of some fresh ones (Shrivastava et al. 2017).

arXiv:1612.07828, section 2.3: a judge that only sees the newest images forgets what was wrong with earlier ones, and
the generator may return to them.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gan_core.own_time import OWN
from gan_core.recipes.draw import Draw


class ImagePool(nn.Module):
    """`size` images of earlier steps.  A network without weights: checkpoints hold its buffers.

    images: [size, C, H, W].  filled: [size] bool.  Equal on all workers bit for bit: each offers its pool the images of
    the whole batch, in the order of the batch's rows.
    """

    images: Tensor
    filled: Tensor

    def __init__(self, size: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("filled", torch.zeros(size, dtype=torch.bool))

    @torch.no_grad()
    def forward(self, fresh: Tensor, draw: Draw) -> Tensor:
        """This worker's fresh images [n, C, H, W], some of them exchanged for images of the pool.

        Each image of the batch is dealt a place of its own, at random; where a batch is larger than the pool, some are
        dealt none.  An empty place keeps a copy of its image; a filled one changes with it in one of two cases.
        """
        offered, whose = _of_the_batch(fresh, draw)
        slot, tossed = self._dealt(draw)
        swaps = (slot < len(self.filled)) & whose
        slot = torch.where(swaps, slot, 0)
        had = self.filled[slot]
        swaps &= ~had | tossed
        returned = torch.where(_maps(swaps & had), self.images[slot], offered)
        self._keep(offered, slot, swaps)
        return returned[draw.rows].to(fresh.dtype)

    def _dealt(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """[batch] int64, a place for each row of the batch, no two alike; and [batch] bool, true in one of two cases.
        """
        places = max(len(self.filled), draw.batch)
        slot = replace(draw, batch=places, rows=slice(0, places)).uniform("slot").argsort(stable=True)[: draw.batch]
        return slot, replace(draw, rows=slice(0, draw.batch)).uniform("toss") < 0.5

    def _keep(self, offered: Tensor, slot: Tensor, swaps: Tensor) -> None:
        """Puts the rows that swap into their places.  No mask is an index: a GPU would be waited for."""
        nowhere = len(self.filled)
        row_for = torch.full((nowhere + 1,), -1, device=slot.device)
        row_for.scatter_(0, torch.where(swaps, slot, nowhere), torch.arange(len(slot), device=slot.device))
        row_for = row_for[:nowhere]
        taken = row_for >= 0
        self.images.copy_(torch.where(_maps(taken), offered[row_for.clamp(min=0)], self.images))
        self.filled |= taken


def _of_the_batch(fresh: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
    """The images of the whole batch, [batch, C, H, W] float32, and [batch] bool which of them there are.

    All are there unless the batch is taken in parts.
    """
    rows = torch.arange(draw.rows.start, draw.rows.stop, device=fresh.device)
    images = fresh.detach().float()
    if dist.is_available() and dist.is_initialized():
        rows, images = _gathered(rows, draw, filling=draw.batch), _gathered(images, draw, filling=0)
    whole = images.new_zeros(draw.batch + 1, *images.shape[1:])  # the last row is for what fills up
    there = torch.zeros(draw.batch + 1, dtype=torch.bool, device=fresh.device)
    whole[rows], there[rows] = images, True
    return whole[:-1], there[:-1]


def _gathered(values: Tensor, draw: Draw, filling: int) -> Tensor:
    """The rows of all workers, each filled up to as many as any worker can have."""
    most = -(-draw.batch // dist.get_world_size())
    ours = values.new_full((most, *values.shape[1:]), filling)
    ours[: len(values)] = values
    every = [torch.empty_like(ours) for _ in range(dist.get_world_size())]
    with OWN.others():
        dist.all_gather(every, ours)
    return torch.cat(every)


def _maps(rows: Tensor) -> Tensor:
    """[n] as [n, 1, 1, 1]."""
    return rows[:, None, None, None]
