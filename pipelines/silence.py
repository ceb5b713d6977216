"""An iterator that is not waited for without end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class Silent(Exception):  # noqa: N818 - a TimeoutError could as well be what an item's maker raised
    """The next item took too long."""


@dataclass(frozen=True)
class _End:
    error: BaseException | None


def heard_in_time(items: Iterable[T], seconds: float) -> Iterator[T]:
    """The same items.  Silent when the next one takes longer than so many seconds.

    They are made in a thread of their own, one ahead; it ends with the process where it never comes back.
    """
    made: queue.Queue[T | _End] = queue.Queue(maxsize=1)

    def make() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                made.put(item)
        except BaseException as raised:
            error = raised
        made.put(_End(error))

    threading.Thread(target=make, name="items", daemon=True).start()
    while True:
        try:
            item = made.get(timeout=seconds)
        except queue.Empty:
            raise Silent from None
        if not isinstance(item, _End):
            yield item
        elif item.error is not None:
            raise item.error
        else:
            return
