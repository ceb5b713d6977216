"""Submitting, finding, following and stopping jobs, on a cluster of a few lines.  tests/system has a real one."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.job_submission import JobStatus

from gan_core import errors
from gan_core.errors import ConfigError, GanError, Interrupted, WorkersFailed
from gan_core.store import Store
from pipelines import doctor_services, jobs_api, on_ray_jobs
from pipelines.handles import Published
from pipelines.interrupt import Detached, StopSignals
from pipelines.on_ray_jobs import Following, submit_or_attach
from pipelines.profile import Profile
from pipelines.records import RunRecord, StageRecord, write_record
from pipelines.stage_order import Order, Outcome, folder, read_outcome, record_of, write_outcome
from tests.pretend_cluster import STARTED, Cluster

PROFILE = Profile.model_validate({"backend": "ray-jobs", "ray": {"address": "http://127.0.0.1:8265"}})


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(on_ray_jobs, "LOOK_S", 0.0)
    monkeypatch.setattr(on_ray_jobs, "LISTEN_EVERY", 1)
    monkeypatch.setattr(jobs_api, "PAUSES_S", (0.001, 0.002))
    monkeypatch.setattr(on_ray_jobs, "refuse_other_versions", lambda api, profile: None)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def order(stage: str = "train", key: str = "0123456789abcdef0123", **others: Any) -> Order:
    facts = {"experiment": {"name": "digits"}, "profile": PROFILE.in_a_job(), "remake": False, "prefixes": {},
             "digests": {}, "python": "3.11", "code": "0.1.0"} | others
    return Order(stage=stage, record=StageRecord(key=key, config={}, inputs={}, code={}), **facts)


NAME = "gan-digits-train-0123456789abcdef"


def start(cluster: Cluster, store: Store) -> tuple[int, int]:
    return submit_or_attach(cluster.api(), store, order(), {})


def ends(cluster: Cluster, store: Store, number: int, outcome: Outcome | None, status: JobStatus,
         **facts: Any) -> Callable[[], None]:
    def end() -> None:
        if outcome is not None:
            write_outcome(store, folder(NAME, number), outcome)
        cluster.put(f"{NAME}-{number}", status, **facts)

    return end


@pytest.mark.parametrize("ship", ["code", "none"])
def test_a_job_brings_the_code_or_finds_it_there_and_no_token_in_either_case(
    cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ship: str
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret-of-the-cluster")
    profile = PROFILE.model_copy(update={"ray": PROFILE.ray.model_copy(update={"ship": ship})})
    ordered = order(profile=profile.in_a_job())
    submit_or_attach(cluster.api(), store, ordered, on_ray_jobs.environment(profile))
    given = cluster.environments[f"{NAME}-1"]
    assert given.get("py_modules", []) == list(cluster.kept)
    assert bool(cluster.kept) is (ship == "code")
    written = [file.read_bytes() for file in Path(store.url.removeprefix("file://")).rglob("*") if file.is_file()]
    everything = [str(given).encode(), capsys.readouterr().err.encode(), *written, *cluster.kept.values()]
    assert written
    assert not any(b"secret-of-the-cluster" in each for each in everything)


def test_what_is_shipped_is_said_when_the_cluster_has_it_not_yet(
    cluster: Cluster, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    start(cluster, store)
    assert "gan: ships gan_core, pipelines to the cluster: " in capsys.readouterr().err
    cluster.put(f"{NAME}-1", JobStatus.STOPPED)
    start(cluster, store)
    assert "ships" not in capsys.readouterr().err


def test_another_version_on_the_cluster_speaks_against_a_job_before_anything_is_written(
    cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(api: object, profile: object) -> None:
        raise ConfigError("another Python")

    monkeypatch.setattr(on_ray_jobs, "refuse_other_versions", refuse)
    with pytest.raises(ConfigError, match="another Python"):
        start(cluster, store)
    assert (cluster.jobs, store.names("jobs")) == ({}, [])


def test_a_jobs_name_is_the_works_and_a_number(cluster: Cluster, store: Store) -> None:
    assert start(cluster, store) == (1, 0)
    job = cluster.jobs[f"{NAME}-1"]
    assert job.entrypoint == f"exec python -P -m pipelines.stage_job --store {store.url} jobs/{NAME}/1"


def test_a_second_orchestrator_attaches_to_the_live_job_and_hears_what_it_says_from_then(
    cluster: Cluster, store: Store
) -> None:
    start(cluster, store)
    cluster.logs[f"{NAME}-1"] += "gan: said before\n"
    assert start(cluster, store) == (1, len(cluster.logs[f"{NAME}-1"]))
    assert list(cluster.jobs) == [f"{NAME}-1"]


def test_the_slower_of_two_that_submit_at_once_attaches(
    cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither found a job when it looked; Ray takes a name once."""
    cluster.at_look = [lambda: None, lambda: cluster.put(f"{NAME}-1", JobStatus.PENDING, entrypoint=ours)]
    ours = f"exec python -P -m pipelines.stage_job --store {store.url} jobs/{NAME}/1"
    submit = cluster.submit_job

    def beaten(**asked: Any) -> str:
        cluster.put(f"{NAME}-1", JobStatus.PENDING, entrypoint=ours)
        return submit(**asked)

    monkeypatch.setattr(cluster, "submit_job", beaten)
    assert start(cluster, store) == (1, len(STARTED))


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STOPPED, JobStatus.SUCCEEDED])
def test_an_ended_job_is_followed_by_the_next_number(cluster: Cluster, store: Store, status: JobStatus) -> None:
    start(cluster, store)
    cluster.put(f"{NAME}-1", status)
    assert start(cluster, store)[0] == 2


def test_after_a_new_head_an_attempt_that_said_its_end_is_not_begun_again_and_one_that_did_not_is(
    store: Store,
) -> None:
    start(Cluster(), store)
    assert start(Cluster(), store)[0] == 1
    write_outcome(store, folder(NAME, 1), Outcome(error="WorkersFailed", message="m", exit_code=1))
    assert start(Cluster(), store)[0] == 2


def test_a_job_of_another_store_is_left_to_it(cluster: Cluster, store: Store, tmp_path: Path) -> None:
    start(cluster, Store(tmp_path / "another"))
    assert start(cluster, store)[0] == 2


def test_what_speaks_against_a_new_job_does_not_speak_against_one_at_work(cluster: Cluster, store: Store) -> None:
    def refuse() -> None:
        raise ConfigError("no room")

    with pytest.raises(ConfigError, match="no room"):
        submit_or_attach(cluster.api(), store, order(), {}, refuse)
    assert cluster.jobs == {}
    start(cluster, store)
    assert submit_or_attach(cluster.api(), store, order(), {}, refuse)[0] == 1


def test_doctor_asks_a_cluster_that_takes_jobs_for_its_nodes(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(on_ray_jobs, "jobs_api", lambda profile: cluster.api())
    monkeypatch.setattr(jobs_api, "list_nodes", lambda **asked: [SimpleNamespace(resources_total={"CPU": 2.0})] * 2)
    found = doctor_services.ray(PROFILE, start=False)
    assert found.found.endswith("takes jobs at http://127.0.0.1:8265: 2 nodes, 4 CPUs, 0 GPUs")


def test_a_log_that_cannot_be_had_ends_nothing(
    cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(job: str) -> str:
        raise RuntimeError("Request failed with status code 500: no agent")

    start(cluster, store)
    monkeypatch.setattr(cluster, "get_job_logs", gone)
    cluster.at_look = [lambda: None, ends(cluster, store, 1, Outcome(), JobStatus.SUCCEEDED)]
    assert follow(cluster, store) == Outcome()


def follow(cluster: Cluster, store: Store, signals: StopSignals | None = None, heard: int = 0,
           told: list[str] | None = None) -> Outcome:
    tell = [] if told is None else told
    return Following(cluster.api(), store, NAME, 1, signals or StopSignals(""), tell.append, heard).to_its_end()


def test_a_followed_job_hands_on_its_lines_its_progress_and_what_it_published(
    cluster: Cluster, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    start(cluster, store)
    capsys.readouterr()
    published = Published(store.uri("v"), "0003", promoted=False, refusals=("coverage",))

    def goes_on() -> None:
        cluster.logs[f"{NAME}-1"] += "gan: worker 0 died\ngan: half of a li"
        write_record(store, record_of(NAME, 1), RunRecord(started="", experiment={}, detail="256/360 images"))

    def goes_on_again() -> None:
        cluster.logs[f"{NAME}-1"] += "ne\n"
        ends(cluster, store, 1, Outcome.made(published), JobStatus.SUCCEEDED)()

    cluster.at_look = [goes_on, goes_on_again]
    told: list[str] = []
    assert follow(cluster, store, told=told).version() == published
    assert capsys.readouterr().err == "gan: worker 0 died\ngan: half of a line\n"
    assert told == ["256/360 images"]


@pytest.mark.parametrize("kind", [kind for kind in vars(errors).values()
                                  if isinstance(kind, type) and issubclass(kind, GanError)])
def test_a_jobs_error_is_raised_as_the_same_error_and_said_once(
    cluster: Cluster, store: Store, capsys: pytest.CaptureFixture[str], kind: type[GanError]
) -> None:
    start(cluster, store)
    capsys.readouterr()
    cluster.logs[f"{NAME}-1"] += "gan: ended: X: what and how\n"
    cluster.at_look = [ends(cluster, store, 1, Outcome.of(kind("what and how")), JobStatus.FAILED)]
    with pytest.raises(kind, match=r"^what and how$") as raised:
        follow(cluster, store)
    assert type(raised.value) is kind
    assert raised.value.exit_code == kind("").exit_code
    assert capsys.readouterr().err == ""


def test_an_error_that_nobody_foresaw_names_the_job(cluster: Cluster, store: Store) -> None:
    start(cluster, store)
    cluster.at_look = [ends(cluster, store, 1, Outcome.of(ValueError("odd")), JobStatus.FAILED)]
    with pytest.raises(GanError, match=f"{NAME}-1 ended by an error in the program: ValueError: odd; its log"):
        follow(cluster, store)


@pytest.mark.parametrize(("facts", "words"), [
    ({"message": "Job supervisor actor died: node gone"}, "node gone; its machine may have been taken away"),
    ({"message": "sh: 1: exec: python: not found", "driver_exit_code": 127}, "start Ray on the cluster's machines in"),
    ({"message": "No module named pipelines", "driver_exit_code": 1}, "start Ray on the cluster's machines in"),
    ({"driver_exit_code": -9}, "with status -9 before it could say why: no reason given"),
])
def test_a_job_that_ended_without_a_word_is_the_clusters_failure(
    cluster: Cluster, store: Store, facts: dict[str, Any], words: str
) -> None:
    start(cluster, store)
    cluster.at_look = [ends(cluster, store, 1, None, JobStatus.FAILED, **facts)]
    with pytest.raises(WorkersFailed, match=words):
        follow(cluster, store)


def test_a_head_that_is_away_for_a_moment_is_waited_for(cluster: Cluster, store: Store) -> None:
    start(cluster, store)
    cluster.away = 3
    cluster.at_look = [ends(cluster, store, 1, Outcome(), JobStatus.SUCCEEDED)]
    assert follow(cluster, store) == Outcome()


def test_a_head_that_stays_away_is_the_clusters_failure(cluster: Cluster, store: Store) -> None:
    start(cluster, store)
    cluster.away = 10_000
    with pytest.raises(WorkersFailed, match=r"the head of the Ray cluster at http://127.0.0.1:8265 stopped answering"):
        follow(cluster, store)


def test_a_head_that_was_started_anew_is_the_clusters_failure(cluster: Cluster, store: Store) -> None:
    start(cluster, store)
    cluster.jobs.clear()
    with pytest.raises(WorkersFailed, match=f"does not know job {NAME}-1 any more"):
        follow(cluster, store)


def test_a_head_that_does_not_count_itself_yet_is_asked_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [[], [SimpleNamespace(resources_total={"CPU": 2.0})]]
    monkeypatch.setattr(jobs_api, "list_nodes", lambda **asked: answers.pop(0))
    assert cluster.api().nodes() == [{"CPU": 2.0}]


def signalled(number: int) -> StopSignals:
    signals = StopSignals("")
    signals.number = number
    return signals


def test_a_signal_stops_the_job_once_and_is_reported_as_the_signal_it_was(cluster: Cluster, store: Store) -> None:
    start(cluster, store)
    stopped = Outcome.of(Interrupted("stopped by SIGINT at 1,280 of 5,120 images", 130))
    cluster.at_look = [lambda: None, lambda: None, ends(cluster, store, 1, stopped, JobStatus.STOPPED)]
    with pytest.raises(Interrupted, match=r"^stopped by SIGTERM at 1,280 of 5,120 images$") as raised:
        follow(cluster, store, signalled(signal.SIGTERM))
    assert raised.value.exit_code == 143
    assert cluster.stopped == [f"{NAME}-1"]


def test_ctrl_c_that_is_to_detach_leaves_the_job_at_work_and_says_how_to_come_back(
    cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(cluster, store)
    signals = signalled(signal.SIGINT)
    monkeypatch.setattr(on_ray_jobs, "detach_or_stop", lambda job: "goes on" in signals.advice)
    with pytest.raises(Detached, match=f"^job {NAME}-1 goes on; .*`gan jobs attach {NAME}-1 --profile") as raised:
        follow(cluster, store, signals)
    assert raised.value.exit_code == 0
    assert cluster.stopped == []


def test_sigterm_stops_a_job_and_asks_nobody(
    cluster: Cluster, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(cluster, store)
    monkeypatch.setattr(on_ray_jobs, "detach_or_stop", lambda job: pytest.fail("asked"))
    signals = signalled(signal.SIGTERM)
    cluster.at_look = [lambda: None, ends(cluster, store, 1, None, JobStatus.STOPPED)]
    with pytest.raises(KeyboardInterrupt):
        follow(cluster, store, signals)
    assert cluster.stopped == [f"{NAME}-1"]
    assert signals.advice.startswith(f"job {NAME}-1 stops by itself")


@pytest.mark.parametrize("outcome", [None, Outcome(error="KeyboardInterrupt", exit_code=130), Outcome()])
def test_a_signal_ends_a_run_also_where_the_job_had_nothing_to_save(
    cluster: Cluster, store: Store, outcome: Outcome | None
) -> None:
    start(cluster, store)
    cluster.at_look = [ends(cluster, store, 1, outcome, JobStatus.STOPPED)]
    with pytest.raises(KeyboardInterrupt):
        follow(cluster, store, signalled(signal.SIGINT))


def test_a_job_that_somebody_else_stopped_is_an_interruption(cluster: Cluster, store: Store) -> None:
    start(cluster, store)
    cluster.at_look = [ends(cluster, store, 1, None, JobStatus.STOPPED)]
    with pytest.raises(Interrupted, match=f"{NAME}-1 was stopped on the cluster"):
        follow(cluster, store)


def test_a_gate_refused_in_a_job_is_known_to_the_run(store: Store) -> None:
    refused = Published(store.uri("models/digits/versions/0001"), "0001", False, ("a", "b"), judged=True)
    write_outcome(store, folder(NAME, 1), Outcome.made(refused))
    outcome = read_outcome(store, NAME, 1)
    assert outcome is not None
    assert outcome.version() == refused


def test_jobs_are_stopped_by_sigint_and_have_time_for_a_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_PLUGINS", "/data/plug.py")
    monkeypatch.setenv("RAY_AUTH_TOKEN", "secret")
    assert on_ray_jobs.environment(PROFILE) == {
        "RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "300", "GAN_PLUGINS": "/data/plug.py"}
