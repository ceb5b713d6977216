"""Ray on this machine for one run, held by a process of its own.

Ray starts its servers with fork(), and OpenBLAS's fork handler waits for matrix products of other threads that then
never end: started beside a run that computes, it can stop both for good.  The process that holds Ray computes nothing.
It ends with the one that started it however that ends: it watches a pipe that the kernel closes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer
from typing import IO

import psutil

from gan_core.errors import WorkersFailed

START_TIMEOUT_S = 120.0
OBJECT_STORE_BYTES = 256 * 2**20  # training data and checkpoints go to the store; only blocks in preparation pass here
PROGRAM = """
import json, sys, ray
options = json.loads(sys.argv[1])
context = ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level="ERROR", **options)
print(context.address_info["gcs_address"], flush=True)
sys.stdin.read()
ray.shutdown()
"""


@dataclass(frozen=True)
class LocalRay:
    """A Ray node that lives as long as this process, or until `stop`."""

    process: subprocess.Popen[str]
    log: IO[str]

    @staticmethod
    def start(cpus: int, environment: Mapping[str, str]) -> LocalRay:
        """Starts it, its workers with these variables besides this process's; returns at once."""
        log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open for as long as Ray writes to it
        options = {"num_cpus": cpus, "object_store_memory": OBJECT_STORE_BYTES}
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**environment, **os.environ},
            start_new_session=True,  # Ctrl-C is for the run, which still has an end to record
            text=True,
        )
        return LocalRay(process, log)

    def address(self) -> str:
        """host:port to connect to, once it answers.  WorkersFailed with its last words when it does not start."""
        assert self.process.stdout is not None
        overdue = Timer(START_TIMEOUT_S, self.process.kill)
        overdue.start()
        try:
            address = self.process.stdout.readline().strip()
        finally:
            overdue.cancel()
        if address:
            return address
        self.log.seek(0)
        words = self.log.read().strip().splitlines()
        raise WorkersFailed(f"Ray did not start on this machine: {words[-1] if words else 'it said nothing'}; "
                            "try again, or name a running cluster in the profile's ray.address")

    def stop(self) -> None:
        """Ends Ray and all its processes.

        By SIGKILL: nothing of theirs is kept, and Ray's own orderly end takes one and a half seconds.
        """
        holder = psutil.Process(self.process.pid) if self.process.poll() is None else None
        own = [*holder.children(recursive=True), holder] if holder is not None else []
        for process in own:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
