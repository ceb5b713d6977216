"""The files of a large remote set that training reads now, and those that it reads next on their way."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from gan_core.data.cache import BOUND
from gan_core.data.sampler import Grouped
from gan_core.data.shards import RemoteSplit, Split
from gan_core.errors import ConfigError


class _Opened:
    """A group of files, fetched in the background from now on."""

    def __init__(self, split: RemoteSplit, order: Grouped, group: int) -> None:
        self.group = group
        self._made: Future[Split] = Future()
        members = order.members(group).tolist()
        self._thread = threading.Thread(
            target=_fulfil, args=(self._made, split, members), name=f"shards {group}", daemon=True
        )
        self._thread.start()

    def wait(self) -> bool:
        """Whether it worked.  The thread's end is waited for: until then it holds what it opened."""
        self._thread.join()
        return self._made.exception() is None

    def split(self) -> Split:
        self._thread.join()
        return self._made.result()


def _fulfil(promise: Future[Split], split: RemoteSplit, members: list[int]) -> None:
    try:
        promise.set_result(split.open(members))
    except BaseException as error:
        promise.set_exception(error)


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
            if coming is not None and not (coming.wait() and coming.group == group):
                coming = None  # after a jump; or it failed in the background, and may not now
            coming = coming or _Opened(self._split, self._order, group)
            coming.split()
            self._present, self._next = coming, _Opened(self._split, self._order, group + 1)
        return self._present.split()


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
