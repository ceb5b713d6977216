"""The runs of a store: their ends, their logs, and what people do about them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gan_core.config import Experiment
from gan_core.errors import ConfigError, DataError, GanError, GateRefused, Interrupted
from gan_core.store import Store
from pipelines import run_log, runs
from pipelines.attempt import Attempt, attempt
from pipelines.cli import main
from pipelines.execute import Run
from pipelines.failure import paragraph
from pipelines.interrupt import Terminated
from pipelines.lock import AlreadyRunning
from pipelines.outcome import Outcome
from pipelines.profile import Profile
from pipelines.records import RunRecord, StageResult, read_record, record_path, write_record
from pipelines.run_log import RunLog, log_path
from pipelines.runs import find_run, list_runs
from tests.test_lock import lay, until

DIE = """
import os, signal, sys
from gan_core.config import load_experiment
from gan_core.store import Store
from pipelines.attempt import attempt
from pipelines.profile import Profile
with attempt(Store(sys.argv[1]), load_experiment("configs/digits.yaml"), Profile(), frozenset(), by="gan run"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def tiny(experiment: Callable[..., Experiment]) -> Experiment:
    return experiment()


def attempted(store: Store, tiny: Experiment, error: BaseException | None = None, **about: Any) -> Attempt:
    """One that ended, by an error of its stage of training where there is one."""
    with attempt(store, tiny, Profile(), frozenset(), by="gan run", **about) as made:
        run = Run.of(tiny.as_json(), store.url, {}, path=made.path)
        run._write(running="train")
        if error is not None:
            raise error
        run._write(running="")
    return made


def waiting(store: Store, tiny: Experiment, meanwhile: Callable[[], object]) -> None:
    """One that has nothing to do but to be stopped."""
    with attempt(store, tiny, Profile(), frozenset(), by="gan run"):
        meanwhile()
        time.sleep(20)


def record_of(store: Store, made: Attempt) -> RunRecord:
    found = read_record(store, made.path)
    assert found is not None
    return found


def gan(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    return int(ended.value.code or 0)


@pytest.mark.parametrize(("error", "outcome", "code", "said"), [
    (None, "done", 0, ""),
    (DataError("a row is missing; add it"), "failed", 1, "tiny: train failed: a row is missing; add it; its log: `"),
    (ConfigError("train.lr=0: is too small; 1e-4 works"), "failed", 2, "train.lr=0: is too small; 1e-4 works"),
    (GateRefused("coverage 0.1 is below 0.9"), "refused", 3, "tiny: the gate refused: coverage 0.1 is below 0.9"),
    (Interrupted("stopped by SIGTERM at 5", 143), "stopped", 143, "tiny: stopped in train: stopped by SIGTERM at 5"),
    (ZeroDivisionError("by nought"), "failed", 1, "ZeroDivisionError: by nought; this is not expected, the traceback"),
    (ConnectionRefusedError(111, "Connection refused"), "failed", 1, "does not answer: Connection refused; look at"),
])
def test_how_a_run_ended_is_in_its_record_and_in_its_log(
    store: Store, tiny: Experiment, error: BaseException | None, outcome: str, code: int, said: str
) -> None:
    made = attempted(store, tiny, error)
    record = record_of(store, made)
    assert record.outcome == outcome
    assert (made.error.exit_code if made.error else 0) == code
    assert said in record.problem
    assert record.problem in runs.log_of(store, find_run(store, "tiny@latest"))
    assert (record.pid, record.by, record.store) == (os.getpid(), "gan run", store.url)
    assert record.updated
    assert record.ended


def test_a_run_that_found_all_done_is_marked_so(store: Store, tiny: Experiment) -> None:
    with attempt(store, tiny, Profile(), frozenset(), by="schedule") as made:
        found = StageResult(name="prepare", status="REUSED", seconds=0.1, uri="")
        write_record(store, made.path, record_of(store, made).model_copy(update={"results": (found,)}))
    assert record_of(store, made).outcome == "nothing new"


def test_what_nobody_expected_has_its_traceback_in_the_log(store: Store, tiny: Experiment) -> None:
    made = attempted(store, tiny, ZeroDivisionError("by nought"))
    log = runs.log_of(store, find_run(store, made.path.removeprefix("experiments/")[:12]))
    assert "Traceback (most recent call last)" in log
    assert "raise error" in log


def test_ctrl_c_and_sigterm_are_recorded_and_go_on_up(store: Store, tiny: Experiment) -> None:
    with pytest.raises(KeyboardInterrupt):
        attempted(store, tiny, KeyboardInterrupt())
    with pytest.raises(Terminated):
        waiting(store, tiny, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert [run.state for run in list_runs(store)] == ["stopped", "stopped"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_no_secret_reaches_a_record_or_a_log(
    store: Store, tiny: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2hunter2")
    made = attempted(store, tiny, ValueError("key hunter2hunter2 of s3://me:secret@host/b is wrong"))
    kept = store.read(made.path) + store.read(log_path(made.path))
    assert b"hunter2" not in kept
    assert b"secret@" not in kept


def test_two_runs_of_one_experiment_are_one_run_and_one_line(store: Store, tiny: Experiment) -> None:
    with attempt(store, tiny, Profile(), frozenset(), by="schedule", flow_run="abc") as made:
        with pytest.raises(AlreadyRunning) as refused:
            attempted(store, tiny)
        (run,) = list_runs(store)
        assert (run.state, run.path, run.holder) == ("running", made.path, refused.value.holder)
        assert run.holder.flow_run == run.record.flow_run == "abc"
    assert "\n" not in str(refused.value)
    assert [run.state for run in list_runs(store)] == ["done"]


def test_a_run_that_died_is_lost_and_the_next_says_so(
    store: Store, tiny: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run([sys.executable, "-c", DIE, store.url], check=False)
    (died,) = list_runs(store)
    assert died.state == "lost"
    assert died.record.outcome == ""  # whoever only looks writes nothing
    with attempt(store, tiny.model_copy(update={"name": "digits"}), Profile(), frozenset(), by="gan run"):
        pass
    assert f"gan: run {died.name} of process" in capsys.readouterr().err
    assert [run.record.outcome for run in list_runs(store, "digits")] == ["done", "lost"]


def test_a_record_of_before_ends_were_recorded_still_loads(store: Store) -> None:
    result = StageResult(name="prepare", status="RUN", seconds=2.0, uri="")
    for minute, results in enumerate([(result,), (result.model_copy(update={"status": "FAILED"}),), ()]):
        old = RunRecord(started="2026-01-01T00:00:00+00:00", experiment={}, results=results)
        text = old.model_dump_json(include={"started", "experiment", "results"})
        store.write(record_path("old", datetime(2026, 1, 1, 0, minute, tzinfo=UTC)), text.encode())
    assert [run.state for run in list_runs(store)] == ["lost", "failed", "done"]


def test_lists_are_newest_first_over_all_experiments_and_bounded(store: Store) -> None:
    for minute, name in enumerate(["a", "b", "a"]):
        started = datetime(2026, 1, 1, 0, minute, tzinfo=UTC)
        write_record(store, record_path(name, started), RunRecord(started=started.isoformat(), experiment={}))
    assert [run.name[:15] for run in list_runs(store)] == ["a/20260101T0002", "b/20260101T0001", "a/20260101T0000"]
    assert [run.name[:15] for run in list_runs(store, "a", limit=1)] == ["a/20260101T0002"]


@pytest.mark.parametrize(("address", "said"), [
    ("faces@latest", "faces: no such experiment has run in {url}; known: tiny"),
    ("tiny/1999", "tiny/1999: no such run in {url}; the newest: tiny/2"),
    ("tiny/2", "tiny/2: 2 runs begin so in {url}"),
    ("tiny@0001", "tiny@0001: a run is named as tiny@latest or tiny/2"),
])
def test_a_run_that_is_not_there_is_one_line_with_what_there_is(
    store: Store, tiny: Experiment, capsys: pytest.CaptureFixture[str], address: str, said: str
) -> None:
    attempted(store, tiny)
    attempted(store, tiny)
    capsys.readouterr()
    assert gan("runs", "show", address, "--store", store.url) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"gan: {said.format(url=store.url)}")


def test_list_and_show_tell_machines_the_same_as_people(
    store: Store, tiny: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    made = attempted(store, tiny, DataError("a row is missing"))
    capsys.readouterr()
    assert gan("runs", "list", "--store", store.url, "--json") == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert gan("runs", "show", "tiny@latest", "--store", store.url, "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert {name: shown[name] for name in listed} == listed
    assert (listed["state"], listed["stage"], listed["run"]) == ("failed", "train", made.path[12:-5])
    assert shown["settings"]["name"] == "tiny"
    assert gan("runs", "list", "tiny", "--store", store.url) == 0
    assert f"{listed['run'][:20]}  FAILED" in capsys.readouterr().out
    assert gan("runs", "show", "tiny@latest", "--store", store.url) == 0
    assert "problem     tiny: train failed: a row is missing" in capsys.readouterr().out


@pytest.fixture
def _short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_LEASE_S", "0.3")


@pytest.mark.usefixtures("_short_lease")
def test_cancel_has_the_run_stop_and_says_by_whom(
    store: Store, tiny: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("runs", "cancel", "tiny@latest", "--store", store.url)
    with pytest.raises(Terminated):
        waiting(store, tiny, lambda: gan(*words, "--reason", "a typing error"))
    assert "hears of it within 0.1 s" in capsys.readouterr().err
    (run,) = list_runs(store)
    assert run.state == "stopped"
    assert "asked it to stop: a typing error" in run.record.problem
    assert gan(*words) == 1
    assert "is not running: stopped; `gan runs list tiny" in capsys.readouterr().err


@pytest.mark.usefixtures("_short_lease")
def test_a_run_that_was_replaced_stops_and_says_why(store: Store, tiny: Experiment) -> None:
    with pytest.raises(Terminated):
        waiting(store, tiny, lambda: store.create("locks/tiny/000002.json", b"another"))
    assert "another run took over" in list_runs(store)[0].record.problem


def test_a_followed_log_is_told_once_and_to_its_end(
    store: Store, tiny: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_log, "EVERY_S", 0.02)
    monkeypatch.setattr(runs, "LISTEN_S", 0.02)
    told: list[str] = []
    with attempt(store, tiny, Profile(), frozenset(), by="gan run") as made:
        listener = threading.Thread(target=lambda: told.extend(runs.follow_log(store, find_run(store, "tiny"))))
        listener.start()
        for line in ("one\n", "two\n"):
            made.log.write(line)
            until(lambda: line in "".join(told))  # noqa: B023 - asked before the next
        made.log.write("three\n")
    listener.join()
    assert [line[9:] for line in "".join(told).splitlines()[1:]] == ["one", "two", "three"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, str]]:
    """(what was open, by what) of the runs that a retry began, which do nothing."""
    begun: list[tuple[Any, str]] = []

    def begin(opened: Any, by: str) -> Outcome:
        begun.append((opened, by))
        return Outcome((), None, None)

    monkeypatch.setattr("pipelines.run.run_opened", begin)
    monkeypatch.setattr("pipelines.train_run.train_opened", lambda opened: begin(opened, "gan train"))
    monkeypatch.setattr("pipelines.evaluate_run.evaluate_opened", lambda opened: begin(opened, "gan evaluate"))
    return begun


def test_retry_runs_what_was_recorded_with_its_profile(store: Store, tiny: Experiment, asked: list[Any]) -> None:
    remake, done = frozenset({"prepare", "evaluate"}), StageResult(name="prepare", status="RUN", seconds=1, uri="")
    with attempt(store, tiny, Profile(cpus_per_worker=2), remake, by="gan run") as made:
        write_record(store, made.path, record_of(store, made).model_copy(update={"results": (done,)}))
    assert gan("runs", "retry", "tiny@latest", "--store", store.url) == 0
    assert gan("runs", "retry", "tiny@latest", "--store", store.url, "--from", "train") == 0
    (first, by), (second, _) = asked
    assert (first.experiment, first.profile.cpus_per_worker, by) == (tiny, 2, "gan runs retry")
    assert first.planner.remake == {"evaluate"}  # preparing was asked for, and done
    assert second.planner.remake == {"train", "evaluate", "publish"}


@pytest.mark.parametrize("command", ["gan train", "gan evaluate"])
def test_a_retry_of_the_first_stages_goes_no_further(
    store: Store, tiny: Experiment, asked: list[Any], command: str
) -> None:
    with attempt(store, tiny, Profile(), frozenset(), by=command):
        pass
    runs.retry(store, find_run(store, "tiny"), None)
    assert [by for _, by in asked] == [command]
    with pytest.raises(ConfigError, match="--from score: no such stage; known: prepare, train, evaluate, publish"):
        runs.retry(store, find_run(store, "tiny"), "score")


def test_a_long_log_keeps_its_beginning_and_its_end(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_log, "LIMIT", 2000)
    with RunLog(store, "logs/a/b.txt") as log:
        for number in range(1000):
            log.write(f"line {number}\n")
    kept = store.read("logs/a/b.txt").decode()
    first, *_, last = kept.splitlines()
    assert (first[9:], last[9:]) == ("line 0", "line 999")
    left = 1001 - len(kept.splitlines())
    assert f"… {left:,} lines are left out here …" in kept
    assert len(kept) < 2100


def test_a_store_that_fails_costs_the_log_and_not_the_run(
    store: Store, tiny: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Store.write

    def refuse(self: Store, path: str, data: bytes) -> None:
        if path.startswith("logs/"):
            raise OSError("no room")
        write(self, path, data)

    monkeypatch.setattr(Store, "write", refuse)
    made = attempted(store, tiny)
    assert record_of(store, made).outcome == "done"
    assert not store.names("logs")


def test_what_is_said_on_standard_error_is_in_the_log_too(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stderr
    with RunLog(store, "logs/a/b.txt") as log, log.hearing():
        print("a warning", file=sys.stderr)
    assert sys.stderr is before
    assert store.read("logs/a/b.txt").decode()[9:] == "a warning\n"
    assert capsys.readouterr().err == "a warning\n"


def test_a_paragraph_is_one_line() -> None:
    said = paragraph("tiny", "", GanError("one\ntwo"), "`gan runs logs tiny@latest`")
    assert said == "tiny failed: one two; its log: `gan runs logs tiny@latest`"


def test_a_silent_holder_of_another_host_makes_its_run_lost(store: Store) -> None:
    path = record_path("digits", datetime(2026, 1, 1, tzinfo=UTC))
    write_record(store, path, RunRecord(started="2026-01-01T00:00:00+00:00", experiment={}, host="elsewhere"))
    lay(store, run=path)
    assert [run.state for run in list_runs(store)] == ["lost"]
