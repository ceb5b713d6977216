"""Scalars of training, kept on the device: one read a row, none a step."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gan_core.errors import Diverged
from gan_core.train.checkpoint import Row
from gan_core.train.distributed import Workers

FINITE = -1  # the first position at which something was not, when it always was


@dataclass
class Curves:
    """Sums since the last row, and for each watched tensor the first position at which it was not finite."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    first_bad: dict[str, Tensor] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add(self, scalars: Mapping[str, Tensor], share: float = 1.0, last: bool = True) -> None:
        """Means of tensors of any shape.  share: what this part of a step counts; last: whether the step is whole."""
        for name, value in scalars.items():
            mean = value.detach().float().mean() * share
            self.sums[name] = self.sums[name] + mean if name in self.sums else mean
            self.counts[name] = self.counts.get(name, 0) + last

    def watch(self, what: str, names: Sequence[str], norms: Tensor, position: int) -> None:
        """norms: [n], of tensors with these names in the step that began at `position`."""
        if what not in self.first_bad:
            self.first_bad[what] = torch.full(norms.shape, FINITE, dtype=torch.int64, device=norms.device)
            self.names[what] = tuple(names)
        first = self.first_bad[what]
        first.masked_fill_((first == FINITE) & ~norms.isfinite(), position)

    def row(self, position: int, workers: Workers) -> Row:
        """Means over the steps since the last row and over all workers.

        Raises Diverged, on every worker alike, naming what was not finite first.
        """
        names = sorted(self.sums)
        means = workers.mean(torch.stack([self.sums[name] / self.counts[name] for name in names])).tolist()
        found = dict(zip(names, means, strict=True))
        self.sums, self.counts = {}, {}
        self.refuse_non_finite({name: mean for name, mean in found.items() if not math.isfinite(mean)}, position)
        return {"position": position, **found}

    def refuse_non_finite(self, scalars: Mapping[str, float], position: int) -> None:
        """Diverged when there are such scalars, or when a watched tensor was not finite since the last look."""
        bad = sorted((at, f"{what} of {name}") for what, seen in self.first_bad.items()
                     for at, name in zip(seen.tolist(), self.names[what], strict=True) if at != FINITE)
        self.first_bad = {}
        losses_first = sorted(scalars, key=lambda name: (not name.startswith("loss/"), name))
        seen = [f"{name} is {scalars[name]} after {position} images" for name in losses_first[:1]]
        if bad:
            others = f" and of {len(bad) - 1} other tensors" if bad[1:] else ""
            seen.append(f"{bad[0][1]}{others} is not finite from the step at {bad[0][0]} images on")
        if seen:
            raise Diverged("; ".join(seen))

    def snapshot(self, workers: Workers) -> dict[str, Any]:
        """What was summed up since the last row, of every worker: a checkpoint between rows does not change a row."""
        names = sorted(self.sums)
        sums = torch.stack([self.sums[name] for name in names]) if names else torch.zeros(0, device=workers.device)
        return {"sums": workers.gathered(sums).cpu(), "counts": {name: self.counts[name] for name in names}}

    @staticmethod
    def restored(saved: Mapping[str, Any], workers: Workers) -> Curves:
        """What `snapshot` gave; with another number of workers, each has their mean."""
        sums = saved["sums"].to(workers.device)
        ours = sums[workers.rank] if len(sums) == workers.world else sums.mean(0)
        return Curves(dict(zip(saved["counts"], ours, strict=True)), dict(saved["counts"]))
