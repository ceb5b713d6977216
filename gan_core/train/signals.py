"""SIGTERM and SIGINT of any process of a group, as one number that rank 0 looks at."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

from torch._C._distributed_c10d import Store

STOP = "gan-pipelines/stop"
LOOK_S = 0.5
LAST_LOOK_S = 5.0  # that the end of the block waits for one
ECHO_S = 3.0  # torchrun passes on the Ctrl-C that the terminal has sent to its processes too
HEARD = (signal.SIGTERM, signal.SIGINT)


class Signals:
    """While the block runs, the first signal is remembered in `number`, and the second ends this process at once.

    On rank 0 `number` is also set when another process of the group got the signal.
    group: the store by which the processes met; None when this process is alone.
    Signals are heard by a thread, from the pipe that Python writes them to: the main thread may be waiting for the
    other processes in C++, where no handler runs.
    """

    def __init__(self, group: Store | None, lead: bool) -> None:
        self.number = 0
        self._group, self._lead = group, lead
        self._at = 0.0
        self._over = threading.Event()
        self._reads, self._writes = os.pipe()
        self._before: dict[signal.Signals, Any] = {}
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Signals:
        os.set_blocking(self._writes, False)
        signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, lambda *_: None) for number in HEARD}
        self._threads = [threading.Thread(target=self._listen, name="signals", daemon=True)]
        if self._group is not None:
            share = threading.Thread(target=self._share, args=(self._group,), name="shared signals", daemon=True)
            self._threads.append(share)
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()  # of the group's store too, which ends with the group
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(-1)
        os.close(self._writes)  # the listener reads the end of it
        for thread in self._threads:  # one that is in C++ when the interpreter ends would abort the process
            thread.join(LAST_LOOK_S)

    def _listen(self) -> None:
        with os.fdopen(self._reads, "rb", buffering=0) as heard:
            while byte := heard.read(1):
                if byte[0] in HEARD:
                    self._hear(byte[0])

    def _hear(self, number: int) -> None:
        if not self.number:
            self.number, self._at = number, time.monotonic()
        elif self._group is None or time.monotonic() - self._at > ECHO_S:
            os._exit(128 + number)

    def _share(self, group: Store) -> None:
        while not self._over.wait(LOOK_S):
            try:
                if self.number and not self._lead:
                    group.set(STOP, str(self.number))
                    return
                if self._lead and not self.number and group.check([STOP]):
                    self.number, self._at = int(group.get(STOP)), time.monotonic()
            except RuntimeError:  # the other processes have ended, and the store with them
                return
