"""The only source of randomness in training: a function of (seed, position, purpose)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gan_core.data.sampler import share


@dataclass(frozen=True)
class Draw:
    """Random numbers for one worker's rows of one global batch.

    Every worker draws for the whole batch and keeps its own rows, so that an example's noise does not depend on how
    many workers there are.
    """

    seed: int
    position: int
    batch: int
    rows: slice
    device: torch.device
    purpose: str = ""

    @property
    def count(self) -> int:
        """Rows that this worker keeps."""
        return int(self.rows.stop) - int(self.rows.start)

    def part(self, number: int, of: int) -> Draw:
        """The draw of one of several parts of these rows."""
        inner = share(self.count, number, of)
        return replace(self, rows=slice(self.rows.start + inner.start, self.rows.start + inner.stop))

    def within(self, purpose: str) -> Draw:
        """The same position's draw for another purpose, independent of this one."""
        return replace(self, purpose=f"{self.purpose}/{purpose}")

    def normal(self, purpose: str, *shape: int) -> Tensor:
        """[rows, *shape] float32 from N(0, 1)."""
        drawn = torch.randn(self.batch, *shape, generator=self.generator(purpose), device=self.device)
        return drawn[self.rows]

    def uniform(self, purpose: str, *shape: int) -> Tensor:
        """[rows, *shape] float32, uniform over [0, 1)."""
        drawn = torch.rand(self.batch, *shape, generator=self.generator(purpose), device=self.device)
        return drawn[self.rows]

    def integers(self, purpose: str, below: int, *shape: int) -> Tensor:
        """[rows, *shape] int64, uniform over 0 … below − 1."""
        drawn = torch.randint(below, (self.batch, *shape), generator=self.generator(purpose), device=self.device)
        return drawn[self.rows]

    def generator(self, purpose: str) -> torch.Generator:
        """A fresh source of randomness for the whole batch, on the device."""
        name = f"{self.seed}/{self.position}/{self.purpose}/{purpose}"
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") >> 1
        return torch.Generator(self.device).manual_seed(seed)
