"""SIGTERM and SIGINT of any process of a group, as one number that rank 0 looks at."""

from __future__ import annotations

import os
import signal
import threading
import time
from types import FrameType

from torch._C._distributed_c10d import Store

STOP = "gan-pipelines/stop"
LOOK_S = 0.5
ECHO_S = 2.0  # torchrun passes on the Ctrl-C that the terminal has sent to its processes too


class Signals:
    """The first signal is remembered in `number`, on rank 0 also when another process got it; the second ends at once.

    group: the store that the processes found each other by; None when this process is alone.
    """

    def __init__(self, group: Store | None, lead: bool) -> None:
        self.number = 0
        self._group, self._lead = group, lead
        self._at = 0.0
        self._over = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._heard)
        if group is not None:
            threading.Thread(target=self._share, name="signals", daemon=True).start()

    def close(self) -> None:
        """No more looks at the group's store, which ends with the group."""
        self._over.set()

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number, self._at = number, time.monotonic()
        elif self._group is None or time.monotonic() - self._at > ECHO_S:
            os._exit(128 + number)

    def _share(self) -> None:
        assert self._group is not None
        while not self._over.wait(LOOK_S):
            try:
                if self.number and not self._lead:
                    self._group.set(STOP, str(self.number))
                    return
                if self._lead and not self.number and self._group.check([STOP]):
                    self.number, self._at = int(self._group.get(STOP)), time.monotonic()
            except RuntimeError:  # the other processes have ended, and the store with them
                return
