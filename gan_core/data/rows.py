"""The examples of a split at any indices, as tensors on a device.

A column is kept as rows of bytes [N, row], each copied with one memcpy: 2 to 7 times as fast as indexing [N, C, H, W]
(measured for rows of 784 and 12,288 bytes).  Much is copied by all of torch's threads, little by one: on a machine that
is busy, waiting for the others takes longer than doing it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan_core.data.shards import ATTRIBUTES, LABEL, Split

ONE_THREAD_BYTES = 2**20  # up to so many are copied by one thread


class Rows:
    """All columns of a split, kept on the device where they take at most `resident_bytes`, else on their maps."""

    def __init__(self, split: Split, device: torch.device, resident_bytes: int) -> None:
        columns = split.columns
        self._device = device
        self._resident = sum(part.nbytes for parts in columns.values() for part in parts) <= resident_bytes
        self._starts = split.starts
        if self._resident:
            columns = {name: [np.concatenate(parts)] for name, parts in columns.items()}
        self._columns = {name: _Column.of(parts, device if self._resident else None) for name, parts in columns.items()}
        known = {LABEL: split.labels, ATTRIBUTES: split.attributes}
        self._known = {name: torch.from_numpy(values.copy()).to(device)
                       for name, values in known.items() if values is not None}
        self._here: dict[str, NDArray[Any]] = {}
        if self._resident and device.type == "cpu":
            self._here = {name: parts[0] for name, parts in columns.items()}
            self._here |= {name: values.numpy() for name, values in self._known.items()}
        self._example_bytes = sum(parts[0][0].nbytes for parts in columns.values())

    def take(self, chosen: NDArray[np.int64]) -> dict[str, Tensor]:
        """The examples at `chosen`, in that order, in fresh memory.

        {column: [n, …] as stored, "label": [n] int64, "attributes": [n, A] float32}, as far as the set has them.
        """
        if self._here and len(chosen) * self._example_bytes <= ONE_THREAD_BYTES:
            return {name: torch.from_numpy(array.take(chosen, axis=0)) for name, array in self._here.items()}
        on_device = torch.from_numpy(chosen).to(self._device)
        if self._resident:
            taken = {name: torch.index_select(column.parts[0], 0, on_device) for name, column in self._columns.items()}
        else:
            route = _Route.to(chosen, self._starts)
            taken = {name: self._sent(route, column.parts) for name, column in self._columns.items()}
        taken = {name: self._columns[name].shaped(rows) for name, rows in taken.items()}
        return taken | {name: torch.index_select(values, 0, on_device) for name, values in self._known.items()}

    def _sent(self, route: _Route, parts: Sequence[Tensor]) -> Tensor:
        """Rows from their maps on the device.  Torch keeps pinned memory until what was sent from it has arrived."""
        gathered = route.gather(parts, pinned=self._device.type == "cuda")
        return gathered.to(self._device, non_blocking=True)


@dataclass(frozen=True)
class _Column:
    """parts: [n, row] uint8 each.  shape, dtype: of one example as it is stored."""

    parts: Sequence[Tensor]
    shape: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, parts: Sequence[NDArray[Any]], device: torch.device | None) -> _Column:
        """Copies on a device, or views of the parts themselves."""
        with warnings.catch_warnings():  # torch dislikes maps that cannot be written; nothing writes to these
            warnings.filterwarnings("ignore", "The given NumPy array is not writable", UserWarning)
            rows = [torch.from_numpy(part.reshape(len(part), -1).view(np.uint8)) for part in parts]
        dtype = torch.from_numpy(np.empty(0, parts[0].dtype)).dtype
        return cls(rows if device is None else [part.to(device) for part in rows], parts[0].shape[1:], dtype)

    def shaped(self, rows: Tensor) -> Tensor:
        return rows.view(self.dtype).view(-1, *self.shape)


@dataclass(frozen=True)
class _Route:
    """Where rows are found: `within` their part, part after part; `back`: the order in which they were asked for."""

    within: Tensor
    runs: list[tuple[int, int, int]]  # part, and from where to where in `within`
    back: Tensor | None

    @classmethod
    def to(cls, chosen: NDArray[np.int64], starts: NDArray[np.int64]) -> _Route:
        if len(starts) == 1:
            return cls(torch.from_numpy(chosen), [(0, 0, len(chosen))], None)
        part_of = np.searchsorted(starts, chosen, side="right") - 1
        by_part = np.argsort(part_of, kind="stable")
        present, firsts = np.unique(part_of[by_part], return_index=True)
        ends = [*firsts[1:].tolist(), len(chosen)]
        back = np.empty_like(by_part)
        back[by_part] = np.arange(len(chosen))
        within = (chosen - starts[part_of])[by_part]
        runs = list(zip(present.tolist(), firsts.tolist(), ends, strict=True))
        return cls(torch.from_numpy(within), runs, torch.from_numpy(back))

    def gather(self, parts: Sequence[Tensor], *, pinned: bool) -> Tensor:
        """The rows in the order in which they were asked for: [n, row] uint8."""
        wide = len(self.within), parts[0].shape[1]
        rows = torch.empty(wide, dtype=torch.uint8, pin_memory=pinned and self.back is None)
        for part, start, stop in self.runs:
            _select(parts[part], self.within[start:stop], rows[start:stop])
        if self.back is None:
            return rows
        return _select(rows, self.back, torch.empty(wide, dtype=torch.uint8, pin_memory=pinned))


def _select(rows: Tensor, chosen: Tensor, out: Tensor) -> Tensor:
    """rows[chosen] as `out`, [n, row] uint8 in this machine's memory.  `chosen` is within bounds."""
    if out.nbytes > ONE_THREAD_BYTES:
        return torch.index_select(rows, 0, chosen, out=out)
    np.take(rows.numpy(), chosen.numpy(), axis=0, out=out.numpy(), mode="clip")  # 'raise' would copy once more
    return out
