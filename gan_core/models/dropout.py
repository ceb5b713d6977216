"""Dropout whose masks are a function of where training is, and not of torch's global random state.

The engine says where masks come from; every worker draws those of the whole batch and keeps its rows, so that what is
dropped does not depend on how many workers there are, and a resumed run drops what the uninterrupted one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class _Source:
    """generator: called once for each layer's masks.  rows: this worker's, of so many in the batch."""

    generator: Callable[[], torch.Generator]
    rows: slice
    batch: int


_source: _Source | None = None  # of masks, in the block of `dropout_from`


@contextmanager
def dropout_from(generator: Callable[[], torch.Generator], rows: slice, batch: int) -> Iterator[None]:
    """In this block dropout layers in training draw their masks from generators.

    generator: called once by each layer each time it is run; returns a generator on the layer's device for these masks
    alone, the same on every worker.  rows: the rows of the global batch, of `batch`, that this worker's networks see.
    """
    with _drawn_from(_Source(generator, rows, batch)):
        yield


@contextmanager
def _drawn_from(source: _Source | None) -> Iterator[None]:
    global _source
    before, _source = _source, source
    try:
        yield
    finally:
        _source = before


def drawn(rows: int, draw: Callable[[int, torch.Generator], Tensor]) -> Tensor:
    """Random numbers of a layer in training, [rows, …]: for the worker's rows of k kinds one after the other.

    draw: makes those of a whole batch, [batch, …], on the layer's device.  RuntimeError outside `dropout_from`, or when
    `rows` is not a multiple of the worker's rows.
    """
    if _source is None:
        raise RuntimeError("dropout in training has nothing to draw from; run the network in the block of "
                           "gan_core.models.dropout.dropout_from, or call its eval()")
    own, batch, generator = _source.rows, _source.batch, _source.generator()
    count = own.stop - own.start
    if rows % count:
        raise RuntimeError(f"dropout of {rows} rows, which are no multiple of this worker's {count}")
    return torch.cat([draw(batch, generator)[own] for _ in range(rows // count)])


class Dropout(nn.Module):
    """In training sets a share p of the numbers to 0 and divides the others by 1 − p (Srivastava et al. 2014).

    x: [k · rows, …], the worker's rows of k kinds one after the other, as real and generated images judged together:
    each kind has masks of its own.  In evaluation, or with p = 0, x as it is.  RuntimeError in training outside
    `dropout_from`, or when x has not a multiple of the worker's rows.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x

        def mask(batch: int, generator: torch.Generator) -> Tensor:
            # one byte a number: of the whole batch there are many
            return torch.empty(batch, *x.shape[1:], dtype=torch.bool, device=x.device).bernoulli_(
                1 - self.p, generator=generator)

        return x * (drawn(len(x), mask).to(x.dtype) / (1 - self.p))

    def extra_repr(self) -> str:
        return f"p={self.p}"


@dataclass
class SameMasks:
    """The masks of one run of some layers, for running them again."""

    _source: _Source | None = field(default_factory=lambda: _source)
    _kept: list[torch.Generator] = field(default_factory=list)

    def first(self) -> AbstractContextManager[None]:
        """Around the run whose masks are kept."""
        return _drawn_from(self._source and _Source(self._keep, self._source.rows, self._source.batch))

    def again(self) -> AbstractContextManager[None]:
        """Around each later run, wherever it happens."""
        kept = iter(self._kept)
        return _drawn_from(self._source and _Source(lambda: next(kept).clone_state(), self._source.rows,
                                                    self._source.batch))

    def _keep(self) -> torch.Generator:
        assert self._source is not None
        generator = self._source.generator()
        self._kept.append(generator.clone_state())
        return generator
