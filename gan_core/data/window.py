"""The files of a large remote set that training reads now, and those that it reads next on their way."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass

from gan_core.data.cache import BOUND
from gan_core.data.sampler import Grouped
from gan_core.data.shards import RemoteSplit, Split
from gan_core.errors import ConfigError


@dataclass
class _Opened:
    """A group of files, or the promise of it."""

    group: int
    split: Future[Split]


class Window:
    """The present group of an order, open, and the next, fetched in the background."""

    def __init__(self, split: RemoteSplit, order: Grouped) -> None:
        self._split, self._order = split, order
        self._present: _Opened | None = None
        self._next: _Opened | None = None

    def enter(self, group: int) -> Split:
        """A group's files as one split, the same object until another is entered; the one after it sets off.

        Raises what Cache.opened does.
        """
        if self._present is None or self._present.group != group:
            coming, self._present, self._next = self._next, None, None
            if coming is not None and coming.group != group:
                coming.split.exception()  # after a jump: what it fetched must be let go before there is room
                coming = None
            if coming is None or coming.split.exception() is not None:
                coming = self._fetching(group)  # for the first time; or again, as it may not fail now
            coming.split.result()
            self._present, self._next = coming, self._fetching(group + 1)
        return self._present.split.result()

    def _fetching(self, group: int) -> _Opened:
        opened = _Opened(group, Future())
        members = self._order.members(group).tolist()

        def fetch() -> None:
            try:
                opened.split.set_result(self._split.open(members))
            except BaseException as error:
                opened.split.set_exception(error)

        threading.Thread(target=fetch, name=f"shards {group}", daemon=True).start()
        return opened


def group_that_fits(split: RemoteSplit, asked: int | None, *, divisible: bool = True) -> int:
    """`asked`, when two groups of so many files fit the cache.  ConfigError when they do not, or all are asked for.

    divisible: whether the set may be shuffled group by group at all.
    """
    needed = split.set_bytes if asked is None else split.room_for(asked)
    if asked is not None and needed <= split.bound:
        return asked
    what = "training needs all" if asked is None else f"train.shuffle_shards={asked} needs two groups"
    instead = f"train.shuffle_shards={split.largest_group} or " if split.largest_group and divisible else ""
    raise ConfigError(f"{split.uri}: {what} of its shards on this machine, {needed} bytes, and {BOUND}={split.bound}; "
                      f"{instead}{BOUND}={needed} works")
