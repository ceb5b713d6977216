"""The process of a flow run: started in a session of its own, found again by a later `gan serve`, stopped in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from typing import IO
from uuid import UUID

import psutil

from pipelines.heartbeats import HEARTBEATS

ENGINE = ("-m", "pipelines.run_scheduled")
LAST_WORDS_BYTES = 2_000
ENVIRONMENT = {
    **HEARTBEATS,
    "PREFECT_CLIENT_MAX_RETRIES": "8",  # 2 + 4 + … + 256 s: a server may be away for eight minutes
    "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",  # whoever started the process says how it ended
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the server and the store have a run's log
    "DO_NOT_TRACK": "1",
}


@dataclass
class FlowProcess:
    """A flow run's process, whoever started it.

    errors: its standard error, until it has ended.  code, words: then its status and the last line there, where known.
    """

    flow_run: UUID
    process: psutil.Process
    errors: IO[bytes] | None = None
    code: int | None = None
    words: str = ""

    @staticmethod
    def start(flow_run: UUID) -> FlowProcess:
        """Its own session: Ctrl-C is for whoever serves, which passes it on."""
        command = [sys.executable, *ENGINE, str(flow_run)]
        errors = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as the process writes to it
        started = psutil.Popen(command, env={**ENVIRONMENT, **os.environ}, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=errors, start_new_session=True)
        return FlowProcess(flow_run, started, errors)

    @staticmethod
    def found(flow_run: UUID) -> FlowProcess | None:
        """The process on this machine that runs it; None when there is none."""
        wanted = [*ENGINE, str(flow_run)]
        for process in psutil.process_iter(["cmdline", "status"]):
            words = process.info["cmdline"] or []
            if words[-len(wanted):] == wanted and process.info["status"] != psutil.STATUS_ZOMBIE:
                return FlowProcess(flow_run, process)
        return None

    @property
    def ended(self) -> bool:
        """Whether it is gone.  Never waits."""
        try:
            self.code = self.process.wait(timeout=0)
        except psutil.TimeoutExpired:  # of one that this process started, the next look has the status
            return not isinstance(self.process, psutil.Popen) and self._is_zombie()
        if self.errors is not None:
            self.words = _last_line(self.errors)
            self.errors.close()
            self.errors = None
        return True

    def _is_zombie(self) -> bool:
        """Of an earlier service, in a container whose first process reaps none."""
        try:
            return bool(self.process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True

    @property
    def how(self) -> str:
        """What is known of its end."""
        if self.code is not None and self.code < 0:
            with suppress(ValueError):
                return f"ended by {signal.Signals(-self.code).name}"
        if self.code is None:
            return "is gone"
        return f"ended with status {self.code}" + (f": {self.words}" if self.words else "")

    def stop(self) -> None:
        """Asks it to end after a checkpoint."""
        with suppress(psutil.NoSuchProcess):
            self.process.terminate()

    def kill(self) -> None:
        """Ends it and what it started at once."""
        with suppress(psutil.NoSuchProcess):
            for process in [*self.process.children(recursive=True), self.process]:
                with suppress(psutil.NoSuchProcess):
                    process.kill()


def _last_line(file: IO[bytes]) -> str:
    file.seek(0, os.SEEK_END)
    file.seek(max(0, file.tell() - LAST_WORDS_BYTES))
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
