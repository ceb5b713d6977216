"""Stages as jobs of a real Ray cluster, whose orchestrators and head are killed.

The tests share a cluster, and the last one kills it.
"""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from gan_core.store import Store
from pipelines.generate_order import Wish
from pipelines.generate_run import generate_set
from pipelines.profile import Profile
from tests.artefacts import publish_one
from tests.pipeline import EXPERIMENT, GAN, Prefect, kill_tree, only, settings
from tests.system.jobs_cluster import Head

pytestmark = pytest.mark.system
WAIT_S = 180.0
EVERY = 10240  # images between checkpoints
LONG = ("train.images=100000000", f"train.checkpoint_every={EVERY}", f"train.report_every={EVERY}",
        "train.keep_checkpoints=1000")

TUNE = {"space": {"model.generator_optimizer.learning_rate": "loguniform(1e-4, 1e-2)"}, "samples": 2,
        "look_every": 1280, "repeats": {"top": 0}}


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Head]:
    """Of machines on which gan-pipelines is broken: every job, and every worker of one, has to bring its own."""
    installed = tmp_path_factory.mktemp("installed")
    for package in ("gan_core", "pipelines"):
        (installed / package).mkdir()
        (installed / package / "__init__.py").write_text(f"raise ImportError('{package} is not what was shipped')\n")
    started = Head(code=installed)
    started.start()
    yield started
    started.kill()


class Operator:
    """Whoever runs `gan` against the cluster, on one store."""

    def __init__(self, head: Head, prefect: Prefect, folder: Path, store: Path) -> None:
        self.store = store
        self._profile = folder / "jobs.yaml"
        self._profile.write_text(yaml.safe_dump(
            {"backend": "ray-jobs", "retries": 0, "ray": {"address": head.address, "away_s": 3}}))
        self._environment = prefect.environment() | head.secret

    def begin(
        self, command: str, *overrides: str, options: tuple[str, ...] = (), terminal: int | None = None
    ) -> subprocess.Popen[str]:
        """terminal: at which a person reads what it says, and answers."""
        words = [*GAN, command, EXPERIMENT, *options, "--store", str(self.store), "--profile", str(self._profile),
                 *settings(*overrides), "--json"]
        said = subprocess.PIPE if terminal is None else terminal
        return subprocess.Popen(words, env=self._environment, stdin=terminal, stdout=subprocess.PIPE, stderr=said,
                                text=True)

    def jobs(self, *words: str) -> subprocess.Popen[str]:
        """`gan jobs` against the cluster."""
        command, pipe = [*GAN, "jobs", *words, "--profile", str(self._profile), "--json"], subprocess.PIPE
        return subprocess.Popen(command, env=self._environment, stdout=pipe, stderr=pipe, text=True)

    def status_of(self, stage: str) -> str:
        """That of the only job of a stage on this store."""
        (found,) = [job["status"] for job in json.loads(ended(self.jobs("list"))[1])
                    if (job["stage"], job["store"]) == (stage, f"file://{self.store}")]
        return str(found)

    def checkpoints(self) -> list[str]:
        """Whole checkpoints of the only run, oldest first."""
        return sorted(file.parent.name for file in self.store.glob("runs/*/checkpoints/*/MANIFEST.json"))

    def attempts(self) -> int:
        return len(list(self.store.glob("runs/*/attempts/*.json")))

    def beyond(self, seen: list[str]) -> Callable[[], bool]:
        """Whether training got further than these checkpoints."""
        return lambda: max(self.checkpoints(), default="") > max(seen, default="")


@pytest.fixture
def operator(head: Head, served: Prefect, tmp_path: Path) -> Operator:
    return Operator(head, served, tmp_path, tmp_path / "store")


def until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Waits while a process lives."""
    deadline = time.monotonic() + WAIT_S
    while not holds():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def killed(process: subprocess.Popen[str]) -> None:
    """SIGKILL, to it and all that it started on its own machine."""
    with process:
        kill_tree(process)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    """Exit status, what it printed, and what it said."""
    printed, said = process.communicate(timeout=WAIT_S)
    return process.returncode, printed, said.splitlines()


def drained(terminal: int) -> bool:
    """A terminal that nobody reads from takes no more after a while, and who writes to it waits."""
    while select.select([terminal], [], [], 0)[0]:
        os.read(terminal, 4096)
    return True


def read_until(terminal: int, words: bytes) -> bytes:
    """What appears on a terminal, until these words do."""
    shown = b""
    while words not in shown.replace(b"\r\n", b""):
        ready, _, _ = select.select([terminal], [], [], WAIT_S)
        assert ready, shown
        shown += os.read(terminal, 4096)
    return shown


def test_a_run_whose_orchestrator_is_killed_ends_in_the_same_job_with_the_weights_of_a_local_run(
    head: Head, operator: Operator, undisturbed: tuple[Path, str, str]
) -> None:
    first = operator.begin("run")
    until(lambda: bool(operator.checkpoints()), first)
    rank_0 = json.loads(only(operator.store / "runs").joinpath("attempts/0001.json").read_text())["pid"]
    os.kill(rank_0, signal.SIGSTOP)  # training stays where it is, however long the next start takes
    killed(first)
    second = operator.begin("run")
    assert second.stderr is not None
    attached = next((line for line in second.stderr if line.endswith("-1, which is at work already\n")), None)
    os.kill(rank_0, signal.SIGCONT)
    status, printed, said = ended(second)
    assert attached is not None, said
    assert status == 0, said
    assert [stage["status"] for stage in json.loads(printed)["stages"]] == ["REUSED", "RESUMED", "RUN", "RUN"]
    assert head.jobs("train") == {1: "SUCCEEDED"}
    assert operator.attempts() == 1
    weights, metrics = "generator.safetensors", "metrics.json"
    local = undisturbed[0]
    assert (only(operator.store / "runs") / weights).read_bytes() == (only(local / "runs") / weights).read_bytes()
    assert (only(operator.store / "scores") / metrics).read_bytes() == (only(local / "scores") / metrics).read_bytes()
    kept = [file.read_text() for file in operator.store.glob("jobs/*/*/*.json")]
    assert head.token not in head.everything_told() + "".join([printed, *said, *kept])


def test_ctrl_c_on_a_terminal_detaches_and_the_job_is_followed_again_by_its_name(
    head: Head, operator: Operator
) -> None:
    person, terminal = pty.openpty()
    with operator.begin("train", *LONG, terminal=terminal) as first:
        os.close(terminal)
        until(lambda: drained(person) and bool(operator.checkpoints()), first)
        first.send_signal(signal.SIGINT)
        shown = read_until(person, b"[d/s]")
        os.write(person, b"d\n")
        shown += read_until(person, b"goes on; the same command follows it")
        assert first.wait(WAIT_S) == 0
    os.close(person)
    (job,) = re.findall(rb"job (gan-digits-train-[0-9a-f]{16}-\d+) is at work\.", shown)
    assert operator.status_of("train") == "RUNNING"

    seen = operator.checkpoints()
    second = operator.jobs("attach", job.decode())
    until(operator.beyond(seen), second)
    second.send_signal(signal.SIGTERM)
    status, _, said = ended(second)
    assert status == 143
    assert said[-1].startswith("gan: stopped by SIGTERM at ")
    assert operator.status_of("train") == "STOPPED"
    assert operator.attempts() == 1


def test_a_search_whose_orchestrator_is_killed_goes_on_in_its_job(head: Head, operator: Operator) -> None:
    def begin() -> subprocess.Popen[str]:
        return operator.begin("tune", f"tune={json.dumps(TUNE)}", options=("--no-publish",))

    first = begin()
    until(lambda: bool(list(operator.store.glob("tune/*/trials/*/looks/*"))), first)
    killed(first)
    status, printed, said = ended(begin())
    assert status == 0, said
    assert any(line.endswith("-1, which is at work already") for line in said)
    assert head.jobs("tune") == {1: "SUCCEEDED"}
    found = json.loads(printed)["search"]
    assert found["trials"] == {"finished": 2}
    assert len(list(operator.store.glob("tune/*/trials/*/run/attempts/*.json"))) == 2  # no trial began twice


def test_what_a_user_must_mend_comes_out_of_a_job_as_one_line_with_its_exit_status(operator: Operator) -> None:
    status, _, said = ended(operator.begin("train", "model.attributes=[tail]"))
    assert status == 2
    (line,) = (line for line in said if line.startswith("gan: digits: "))
    assert line == said[-1]
    assert line.startswith("gan: digits: train failed: model.attributes: tail: the data has no attributes; "
                           "model.attributes=[] works; its log: ")


def job_process(head: Head) -> psutil.Process:
    """The job that is at work, on the cluster's machine."""
    assert head.process is not None
    (found,) = (process for process in psutil.Process(head.process.pid).children(recursive=True)
                if "pipelines.stage_job" in process.cmdline())
    return found


def test_generate_is_a_job_that_outlives_its_orchestrator_stops_with_the_next_and_goes_on_with_the_third(
    head: Head, tmp_path: Path
) -> None:
    store, out = Store(tmp_path / "store"), tmp_path / "out"
    publish_one(store)
    wish = {"n": 60_000, "shard_images": 2000}
    words = [*GAN, "generate", "digits", "--n", "60000", "--shard-images", "2000", "--workers", "1", "--out", str(out),
             "--store", store.url, "--ray-address", head.address, "--json"]

    def begin() -> subprocess.Popen[str]:
        return subprocess.Popen(words, env={**os.environ, **head.secret}, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True)

    first = begin()
    until(lambda: bool(list(out.glob(".parts/train-*.json"))), first)
    job = job_process(head)
    job.suspend()  # it stays where it is, however long the next start takes
    killed(first)
    second = begin()
    assert second.stderr is not None
    attached = next((line for line in second.stderr if line.endswith("-1, which is at work already\n")), None)
    second.send_signal(signal.SIGINT)
    stops = next((line for line in second.stderr if line.startswith("gan: SIGINT: job ")), None)
    job.resume()
    status, _, said = ended(second)
    assert attached is not None
    assert stops is not None
    assert status == 130
    assert said[-1] == "gan: interrupted; the same command goes on with the shards that are missing"
    status, printed, said = ended(begin())
    assert status == 0, said
    assert head.jobs("generate") == {1: "STOPPED", 2: "SUCCEEDED"}
    made = json.loads(printed)
    assert 0 < made["made_now"] < 60_000
    here = generate_set("digits", str(tmp_path / "here"), Wish(**wish), store=store, profile=Profile(), workers=1)
    assert made["digest"] == here.manifest.digest


def test_sigterm_makes_a_checkpoint_and_a_head_that_dies_is_the_clusters_failure_and_each_time_it_goes_on(
    head: Head, operator: Operator
) -> None:
    number = max(head.jobs("train"), default=0) + 1  # others have had the same run on their own stores
    first = operator.begin("train", *LONG)
    until(lambda: bool(operator.checkpoints()), first)
    first.send_signal(signal.SIGTERM)
    status, _, said = ended(first)
    saved = operator.checkpoints()
    assert status == 143
    assert said[-1] == (f"gan: stopped by SIGTERM at {int(saved[-1].partition('-')[0]):,} of 100,000,000 images; the "
                        "same command goes on from the newest checkpoint")

    second = operator.begin("train", *LONG)
    until(operator.beyond(saved), second)
    assert max(head.jobs("train")) == number + 1
    head.kill()
    status, _, said = ended(second)
    assert status == 1
    assert said[-1].startswith(f"gan: digits: train failed: the head of the Ray cluster at {head.address} stopped "
                               "answering")
    saved = operator.checkpoints()

    head.start()
    third = operator.begin("train", *LONG)
    until(operator.beyond(saved), third)
    killed(third)
    # the attempt that never said its end, in a cluster that knows none
    assert head.jobs("train") == {number + 1: "RUNNING"}
    assert operator.attempts() == 3
    first_again = next(name for name in operator.checkpoints() if name.endswith("-0003"))
    assert int(first_again.partition("-")[0]) - int(saved[-1].partition("-")[0]) == EVERY
