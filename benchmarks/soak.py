"""The soak: scheduled runs of a small experiment whose processes are killed, and whether all is right afterwards.

    python benchmarks/soak.py [--runs 50] [--interval 30] [--seed 0]
                              [--kill-flow 10] [--kill-server 3] [--kill-workers 5]

`gan deploy` and `gan serve` on a Prefect server with PostgreSQL, all of this machine.  Every few runs the settings
change, so that there is work; the other runs find nothing new.  SIGKILL hits a run's process, Prefect's server, which
comes back after some seconds, and Ray's workers; every third time a run's process is hit, `gan serve` is hit with it,
and started again.  --seed decides the order and the times.  At the end nothing is disturbed any more, and the state is
checked (soak_checks.py).  One JSON line; exit status 1 when a check fails.  Half an hour on 2 cores.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
from demo import hardware  # the scripts beside this one
from prefect.client.orchestration import SyncPrefectClient
from scheduling import GAN, LocalServer, children
from soak_checks import NAME, all_runs, problems

from gan_core.manifest import tool_versions
from pipelines.flow_processes import FlowProcess

TICK_S = 0.1
LIMIT_S = 300.0  # that nothing happens
CHANGE_EVERY = 3  # runs
UNDISTURBED = 2  # runs at the end
KILLING = 0.8
EXPERIMENT: dict[str, Any] = {
    "name": NAME,
    "data": {"source": "digits"},
    "model": {"recipe": "dcgan", "width": 8, "latent": 8},
    "train": {"images": 1280, "batch": 64, "workers": 1, "checkpoint_every": 256, "report_every": 256,
              "ema_half_life": 500},
    "publish": {"gate": {}},
}


@dataclass
class Lab:
    """A deployment on a server, what serves it, and a count of what was done to them."""

    server: LocalServer
    client: SyncPrefectClient
    folder: Path
    interval: int
    killed: dict[str, int] = field(default_factory=lambda: {"flow": 0, "server": 0, "worker": 0, "serve": 0})
    settings: int = 0
    _serving: subprocess.Popen[bytes] | None = None

    @property
    def words(self) -> list[str]:
        return [str(self.folder / "experiment.yaml"), "--store", str(self.folder / "store")]

    def change(self) -> None:
        """New settings, so that the next run has work."""
        self.settings += 1
        wanted = {**EXPERIMENT, "train": {**EXPERIMENT["train"], "images": 1280 + 64 * self.settings},
                  "schedule": {"interval": f"{self.interval}s"}}
        (self.folder / "experiment.yaml").write_text(json.dumps(wanted))  # YAML, too
        self.deploy()

    def deploy(self, *more: str) -> None:
        """`gan deploy`."""
        done = subprocess.run([*GAN, "deploy", *self.words, *more], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def serve(self) -> None:
        """`gan serve`, with its lines in a file."""
        with (self.folder / "serve.log").open("ab") as log:
            self._serving = subprocess.Popen([*GAN, "serve", *self.words], stdout=log, stderr=log)

    def stop_serving(self) -> None:
        """As an operator does."""
        assert self._serving is not None
        self._serving.terminate()
        self._serving.wait(timeout=LIMIT_S)

    def run_at_work(self) -> FlowProcess | None:
        """The process of the run that is at work."""
        for run in all_runs(self.client):
            if run.state and not run.state.is_final() and (found := FlowProcess.found(run.id)) is not None:
                return found
        return None

    def kill_run(self, process: FlowProcess) -> bool:
        """SIGKILL to a run's process alone; every third time to `gan serve` too, which is started again."""
        with suppress(psutil.NoSuchProcess):
            process.process.kill()
            self.killed["flow"] += 1
            if self.killed["flow"] % 3 == 0:
                assert self._serving is not None
                self._serving.kill()
                self._serving.wait()
                self.killed["serve"] += 1
                self.serve()
            return True
        return False

    def kill_worker(self, process: FlowProcess) -> bool:
        """SIGKILL to a training worker of a run; False when it has none."""
        for child in children(process.process.pid):
            with suppress(psutil.Error):
                if "TrainWorker" in "".join(child.cmdline()[:1]):
                    child.kill()
                    self.killed["worker"] += 1
                    return True
        return False

    def kill_server(self, away: float) -> None:
        """SIGKILL to Prefect's server, which is started again some seconds later."""
        self.server.do("kill-server")
        self.killed["server"] += 1
        time.sleep(away)
        self.server.do("restart-server")


def main() -> int:
    """Prints one line."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("runs", 50), ("interval", 30), ("kill-flow", 10), ("kill-server", 3), ("kill-workers", 5),
                        ("seed", 0), ("port", 4251)):
        cli.add_argument(f"--{name}", type=int, default=value)
    a = cli.parse_args()
    kills = ["flow"] * a.kill_flow + ["server"] * a.kill_server + ["worker"] * a.kill_workers
    dice = random.Random(a.seed)
    dice.shuffle(kills)
    began = time.monotonic()
    with laboratory(a.port, a.interval) as lab:
        due = disturb(lab, a.runs, kills, dice)
        lab.deploy("--pause")
        wait(lambda: lab.run_at_work() is None, "the last run's end")
        lab.stop_serving()
        states, found = problems(lab.client, lab.folder, due)
        if found:
            print((lab.folder / "serve.log").read_text(), file=sys.stderr)
    report(runs=states, killed=lab.killed, settings=lab.settings, seconds=round(time.monotonic() - began),
           seed=a.seed, problems=found)
    return 1 if found else 0


@contextmanager
def laboratory(port: int, interval: int) -> Iterator[Lab]:
    """A server, a store, a deployment that is served."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, LocalServer(port) as server:
        os.environ |= server.environment()
        with server.client() as client:
            lab = Lab(server, client, Path(folder), interval)
            lab.change()
            lab.serve()
            try:
                yield lab
            finally:
                lab.stop_serving()


def disturb(lab: Lab, runs: int, kills: list[str], dice: random.Random) -> datetime:
    """Has the runs be due and kills what is to be killed; returns until when all due runs were waited for.

    Kills are spread over the first KILLING of the runs.  Each waits some seconds of a run, fewer when runs ended
    before it came.
    """
    wanted = len(kills)
    patience, seen, changed, quiet = dice.uniform(0.5, 12.0), (UUID(int=0), 0.0), 0, 0
    while True:
        ended = sum(1 for run in all_runs(lab.client) if run.state and run.state.is_final())
        if ended >= runs and not kills and ended >= quiet + UNDISTURBED:
            break
        if ended - changed >= CHANGE_EVERY and (kills or ended < runs):
            changed = quiet = ended
            lab.change()
        at_work = lab.run_at_work()
        if at_work is not None and at_work.flow_run != seen[0]:
            seen, patience = (at_work.flow_run, time.monotonic()), patience * 0.7
        ripe = at_work is not None and time.monotonic() - seen[1] >= patience
        due = kills and (wanted - len(kills)) * KILLING * runs <= ended * wanted
        if due and ripe and at_work is not None and hit(lab, kills[0], at_work, dice):
            kills.pop(0)
            patience, seen, quiet = dice.uniform(0.5, 12.0), (UUID(int=0), time.monotonic()), ended
        time.sleep(TICK_S)
    until = datetime.now(UTC)
    wait(lambda: all(run.state and run.state.is_final() for run in all_runs(lab.client, until)), "all due runs' end")
    return until


def hit(lab: Lab, kind: str, at_work: FlowProcess, dice: random.Random) -> bool:
    """Whether it was there to be hit."""
    if kind == "flow":
        return lab.kill_run(at_work)
    if kind == "worker":
        return lab.kill_worker(at_work)
    lab.kill_server(dice.uniform(2.0, 8.0))
    return True


def wait(done: Callable[[], bool], what: str) -> None:
    """Until it is so."""
    deadline = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < deadline, f"{what} did not come within {LIMIT_S:.0f} s"
        time.sleep(1.0)


def report(**found: Any) -> None:
    """What came of it, and on what."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    print(json.dumps({"name": "soak", **found, "commit": commit.stdout.strip(), "versions": tool_versions(),
                      "hardware": hardware()}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
