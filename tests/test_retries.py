"""Which failures are tried again, what is said and recorded of that, and that everything else fails at once."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
from email.message import Message
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests
from ray.exceptions import ActorDiedError, RayTaskError

from gan_core import errors
from gan_core.errors import (
    CheckpointError,
    ConfigError,
    DamagedFile,
    DataError,
    Diverged,
    ExportDiffers,
    GanError,
    GateRefused,
    Interrupted,
    NotExportable,
    Outage,
    ProgramFailed,
    StoreError,
    Superseded,
    WorkersDisagree,
    WorkersFailed,
)
from gan_core.patience import Patience
from gan_core.store import Store
from pipelines import execute
from pipelines.execute import Run
from pipelines.handles import Scored, Trained
from pipelines.profile import Profile
from pipelines.records import RunRecord, read_record, write_record
from pipelines.retries import LONGEST_WAIT_S, Retries, waits, worth_retrying
from pipelines.worker_errors import as_text, from_text
from tests.artefacts import a_parent, an_experiment, finish_run, finish_scores
from tests.pipeline import EXPERIMENT, Prefect, ask, soon

WORTH = {
    GanError: False, ConfigError: False, DataError: False, DamagedFile: False, StoreError: False, Outage: True,
    CheckpointError: False, Superseded: False, WorkersFailed: True, ProgramFailed: False, WorkersDisagree: False,
    Diverged: False, NotExportable: False, ExportDiffers: False, Interrupted: False, GateRefused: False,
}


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def on_ray(cause: Exception) -> RayTaskError:
    return RayTaskError("look", "Traceback …", cause)


def test_of_every_error_that_a_person_can_meet_it_is_known_whether_a_second_try_may_help() -> None:
    known = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GanError)}
    assert known == set(WORTH)
    assert {kind: worth_retrying(kind("why")) for kind in known} == WORTH


@pytest.mark.parametrize("error", [
    ConnectionResetError("by peer"),
    TimeoutError("silent"),
    urllib.error.URLError(ConnectionRefusedError(111, "refused")),
    urllib.error.HTTPError("http://host/x", 503, "busy", Message(), None),
    httpx.ConnectError("refused"),
    httpx.HTTPStatusError("busy", request=httpx.Request("GET", "http://host"), response=httpx.Response(502)),
    requests.exceptions.ConnectionError("refused"),
    ActorDiedError(),
    on_ray(ConnectionError("refused")),
    caused(WorkersFailed("died"), ActorDiedError()),
])
def test_what_networks_and_ray_raise_is_tried_again(error: Exception) -> None:
    assert worth_retrying(error)


@pytest.mark.parametrize("error", [
    TypeError("a bug"),
    FileNotFoundError(2, "no such file"),
    OSError(28, "No space left on device"),
    KeyboardInterrupt(),
    SystemExit(1),
    urllib.error.HTTPError("http://host/x", 404, "not there", Message(), None),
    httpx.HTTPStatusError("no", request=httpx.Request("GET", "http://host"), response=httpx.Response(403)),
    requests.exceptions.SSLError("certificate verify failed: CERTIFICATE_VERIFY_FAILED"),
    on_ray(TypeError("a bug")),
    on_ray(TypeError("a bug")).as_instanceof_cause(),
    caused(WorkersFailed("failed"), on_ray(TypeError("a bug"))),
])
def test_what_needs_a_person_is_not(error: BaseException) -> None:
    assert not worth_retrying(error)


def test_a_store_that_does_not_answer_is_an_outage_and_one_that_refuses_is_not() -> None:
    def raises(error: Exception) -> Any:
        raise error

    with pytest.raises(Outage, match="access to the store failed: refused"):
        Patience("access to the store", 0)(lambda: raises(ConnectionRefusedError(111, "refused")))
    with pytest.raises(StoreError) as refused:
        Patience("access to the store", 0)(lambda: raises(RuntimeError("no")))
    assert not isinstance(refused.value, Outage)


@pytest.mark.parametrize("error", [Outage("gone"), DataError("no images"), ConfigError("no")])
def test_an_error_of_a_worker_keeps_its_class_and_its_words(error: GanError) -> None:
    again = from_text(as_text(error))
    assert (type(again), str(again)) == (type(error), str(error))


def test_waits_double_up_to_the_longest_and_are_spread() -> None:
    for _ in range(20):
        first, second, *_, last = waits(Profile(retries=10, retry_wait_s=10))
        assert 7.5 <= first <= 12.5
        assert 15 <= second <= 25
        assert 0.75 * LONGEST_WAIT_S <= last <= 1.25 * LONGEST_WAIT_S
    assert len({next(waits(Profile(retry_wait_s=100))) for _ in range(20)}) > 1
    assert list(waits(Profile(retries=0))) == []


class Failing:
    """Raises these errors one after another, and then returns."""

    def __init__(self, *raised: BaseException) -> None:
        self.left, self.calls = list(raised), 0

    def __call__(self, *given: Any, **named: Any) -> str:
        self.calls += 1
        if self.left:
            raise self.left.pop(0)
        return "done"


def test_an_outage_is_told_in_one_line_and_tried_again(capsys: pytest.CaptureFixture[str]) -> None:
    act, waited = Failing(Outage("the store did not answer; nothing is lost"), WorkersFailed("died")), list[str]()
    retries = Retries("evaluate", (0.1, 0.0), lambda error: waited.append(str(error)))
    assert retries(act) == "done"
    assert waited == ["the store did not answer; nothing is lost", "died"]
    assert capsys.readouterr().err.splitlines() == [
        "gan: evaluate: the store did not answer; tried again in 0.1 s (1 of 2)",
        "gan: evaluate: died; tried again in 0 s (2 of 2)"]


@pytest.mark.parametrize(("raised", "calls"), [
    ([Outage("1"), Outage("2"), Outage("3")], 3),
    ([Outage("1"), ConfigError("2")], 2),
    ([DataError("1")], 1),
    ([KeyboardInterrupt()], 1),
    ([Interrupted("1")], 1),
    ([TypeError("1")], 1),
])
def test_the_last_failure_and_what_no_second_try_helps_come_as_they_are(
    raised: list[BaseException], calls: int
) -> None:
    act = Failing(*raised)
    with pytest.raises(type(raised[calls - 1])) as error:
        Retries("train", (0.0, 0.0), lambda error: None)(act)
    assert error.value is raised[calls - 1]
    assert act.calls == calls


def test_a_stage_that_waits_runs_and_one_that_succeeds_later_has_not_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run.of(an_experiment().as_json(), str(tmp_path / "store"), {})
    states: list[tuple[str, str, list[str]]] = []

    def seen() -> None:
        record = read_record(run.store, run.path)
        assert record is not None
        states.append((record.running, record.error, [f"{r.name} {r.status}" for r in record.results]))

    def waiting(error: BaseException) -> None:
        run.waits("prepare", error)
        seen()

    from pipelines.stages import prepare as stage

    real, failing = stage.prepare, Failing(Outage("gone"))

    def prepare(*given: Any, **named: Any) -> None:
        failing()
        real(*given, **named)

    monkeypatch.setattr(stage, "prepare", prepare)
    Retries("prepare", (0.0,), waiting)(run.prepare)
    seen()
    assert states == [("prepare", "gone", ["prepare FAILED"]), ("", "", ["prepare RUN"])]


@pytest.mark.parametrize(("error", "stopped"), [(WorkersFailed("the head died"), 1), (Outage("gone"), 0)])
def test_ray_is_connected_to_anew_where_it_failed_and_kept_where_a_store_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: GanError, stopped: int
) -> None:
    stops: list[int] = []
    monkeypatch.setattr(execute, "stop_ray", lambda: stops.append(1))
    Run.of(an_experiment().as_json(), str(tmp_path / "store"), {}).waits("train", error)
    assert len(stops) == stopped


def test_a_publication_whose_record_was_lost_is_not_published_twice_and_keeps_its_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = an_experiment({"coverage_pixels": {"at_least": 2}})
    run = Run.of(experiment.as_json(), str(tmp_path / "store"), {})
    made = finish_run(run.store)
    scores = finish_scores(run.store, made)
    trained, scored = (kind(parent.uri, prefix, parent.digest) for kind, prefix in ((Trained, made), (Scored, scores))
                       for parent in [a_parent(run.store, prefix)])
    run.digests = {"train": trained.digest, "evaluate": scored.digest}
    lost = Failing(Outage("the store did not answer"))

    def write(store: Store, path: str, record: RunRecord) -> None:
        if record.results:
            lost()
        write_record(store, path, record)

    monkeypatch.setattr(execute, "write_record", write)
    retries = Retries("publish", (0.0,), lambda error: run.waits("publish", error))
    published = retries(lambda: run.publish(trained, scored))
    assert lost.calls > 1
    assert run.store.names("models/digits/versions") == ["0001"]
    assert published.judged
    assert published.refusals


UNDER_PREFECT = """
import sys
from pipelines.execute import Run
from pipelines.stages import prepare as preparing
from gan_core.config import load_experiment
from gan_core.errors import ConfigError, WorkersFailed
real, calls = preparing.prepare, []

def prepare(*given, **named):
    calls.append(1)
    if len(calls) < 3:
        raise WorkersFailed("a worker died; look at it")
    real(*given, **named)

def train(*given, **named):
    raise ConfigError("train.batch=0 cannot work; 64 works")

preparing.prepare, Run._fetch_networks = prepare, train
from pipelines.flow import pipeline
try:
    pipeline(load_experiment(sys.argv[1], []).as_json(), sys.argv[2], {"retry_wait_s": 0.2}, record="record.json")
except ConfigError as error:
    print(error)
"""


@pytest.mark.slow
def test_prefect_tries_a_stage_again_after_its_workers_died_and_not_after_a_wrong_setting(
    served: Prefect, tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    command = [sys.executable, "-c", UNDER_PREFECT, EXPERIMENT, store.url]
    done = subprocess.run(command, env=served.environment(), capture_output=True, text=True, timeout=100)
    assert done.stdout == "train.batch=0 cannot work; 64 works\n", done.stderr
    told = [line.partition("; tried again in ") for line in done.stderr.splitlines() if "tried again" in line]
    assert [(what, rest.partition(" s ")[2]) for what, _, rest in told] == [
        ("gan: prepare: a worker died", "(1 of 2)"), ("gan: prepare: a worker died", "(2 of 2)")]
    record = read_record(store, "record.json")
    assert record is not None
    assert [(r.name, r.status) for r in record.results] == [("prepare", "RUN"), ("train", "FAILED")]

    def tries() -> set[tuple[str, int, str]]:
        mine = [run for run in ask(served, "task_runs/filter") if run["name"].partition("-")[0] in ("prepare", "train")]
        return {(run["name"].partition("-")[0], run["run_count"], run["state_type"]) for run in mine}

    assert soon(lambda: tries() >= {("prepare", 3, "COMPLETED"), ("train", 1, "FAILED")})
