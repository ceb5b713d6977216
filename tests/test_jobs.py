"""The jobs that a cluster knows: named, listed, followed to their end and stopped, by whoever comes by."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobStatus

from gan_core.errors import ConfigError, DataError, GanError, GateRefused
from gan_core.store import Store
from pipelines import jobs, jobs_api, on_ray_jobs
from pipelines.cli import main
from pipelines.handles import Published
from pipelines.jobs import attach, find_job
from pipelines.stage_order import Outcome, folder, write_outcome
from tests.pretend_cluster import Cluster

KEY = "0123456789abcdef"
TRAIN = f"gan-long-tail-train-{KEY}"
EVALUATE = f"gan-digits-evaluate-{KEY}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "a store")


@pytest.fixture
def cluster(store: Store, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Two attempts at a training, an evaluation, and jobs that are none of ours."""
    monkeypatch.setattr(on_ray_jobs, "LOOK_S", 0.0)
    monkeypatch.setattr(jobs_api, "PAUSES_S", (0.001, 0.002))
    made = Cluster()
    ours = {f"{TRAIN}-9": JobStatus.FAILED, f"{TRAIN}-10": JobStatus.RUNNING, f"{EVALUATE}-1": JobStatus.PENDING}
    for at, (job, status) in enumerate(ours.items()):
        work, _, number = job.rpartition("-")
        entrypoint = f"exec python -P -m pipelines.stage_job --store '{store.url}' {folder(work, int(number))}"
        made.put(job, status, entrypoint=entrypoint, start_time=1_764_000_000_000 + 1000 * at)
    made.put("gan-versions-1", JobStatus.SUCCEEDED)
    made.put("raysubmit_1", JobStatus.RUNNING)
    monkeypatch.setattr(jobs, "cluster", lambda profile, ray_address: made.api())
    return made


def gan_jobs(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What `gan jobs` prints as JSON."""
    with pytest.raises(SystemExit) as ended:
        main(["jobs", *words, "--json"])
    assert ended.value.code == 0
    return json.loads(capsys.readouterr().out)


def test_our_jobs_are_listed_newest_first_with_what_their_names_say(
    cluster: Cluster, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = gan_jobs(capsys, "list")
    assert [job["name"] for job in listed] == [f"{EVALUATE}-1", f"{TRAIN}-10", f"{TRAIN}-9"]
    assert listed[1] == {"name": f"{TRAIN}-10", "experiment": "long-tail", "stage": "train", "status": "RUNNING",
                         "since": "2025-11-24T16:00:01+00:00", "ended": "", "store": store.url}
    assert [job["name"] for job in gan_jobs(capsys, "list", "digits")] == [f"{EVALUATE}-1"]


def test_a_table_of_jobs_shows_names_whole(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["jobs", "list"])
    assert re.search(rf"^{TRAIN}-10 +RUNNING +11-24 16:00$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(("name", "found"), [
    (f"{TRAIN}-9", f"{TRAIN}-9"), (TRAIN, f"{TRAIN}-10"), ("gan-long-tail-train", f"{TRAIN}-10"),
    ("gan-digits", f"{EVALUATE}-1"),
])
def test_a_job_is_found_by_its_name_or_its_beginning(cluster: Cluster, name: str, found: str) -> None:
    assert find_job(cluster.api(), name).name == found


@pytest.mark.parametrize(("name", "said"), [
    (f"{EVALUATE}-7", rf"knows no such job; did you mean {EVALUATE}-1\? `gan jobs list`"),
    ("gan-", "several jobs begin so: .*; say more of it"),
    ("raysubmit_1", "knows no such job"),
])
def test_a_name_that_is_no_job_of_ours_is_refused_with_one_that_is(cluster: Cluster, name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        find_job(cluster.api(), name)


def test_attaching_says_all_that_the_job_said_and_ends_as_it_ends(
    cluster: Cluster, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.logs[f"{TRAIN}-10"] += "gan: said before\n"

    def end() -> None:
        cluster.logs[f"{TRAIN}-10"] += "gan: said at last\ngan: ended: DataError: no such file\n"
        write_outcome(store, folder(TRAIN, 10), Outcome.of(DataError("no such file")))
        cluster.put(f"{TRAIN}-10", JobStatus.FAILED)

    cluster.at_look = [lambda: None, end]
    with pytest.raises(SystemExit) as ended:
        main(["jobs", "attach", TRAIN])
    assert ended.value.code == 1
    assert capsys.readouterr().err.splitlines() == ["gan: said before", "gan: said at last", "gan: no such file"]


def test_attaching_to_a_job_that_has_ended_well_ends_well(
    cluster: Cluster, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    write_outcome(store, folder(TRAIN, 10), Outcome())
    cluster.put(f"{TRAIN}-10", JobStatus.SUCCEEDED)
    told = gan_jobs(capsys, "attach", f"{TRAIN}-10")
    assert (told["status"], told["published"]) == ("SUCCEEDED", None)


def test_a_gate_that_refused_in_a_job_is_what_attaching_ends_with(cluster: Cluster, store: Store) -> None:
    refused = Published(store.uri("models/digits/versions/0001"), "0001", False, ("coverage",), judged=True)
    write_outcome(store, folder(EVALUATE, 1), Outcome.made(refused))
    cluster.put(f"{EVALUATE}-1", JobStatus.SUCCEEDED)
    with pytest.raises(GateRefused, match=r"coverage; .*versions/0001 is published and not champion"):
        attach(cluster.api(), find_job(cluster.api(), EVALUATE))


def test_a_log_is_printed_as_it_is(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["jobs", "logs", TRAIN])
    assert capsys.readouterr().out == cluster.logs[f"{TRAIN}-10"]


def test_a_job_is_asked_to_stop_once_it_is_found_at_work(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    assert gan_jobs(capsys, "stop", TRAIN)["asked_to_stop"] is True
    assert cluster.stopped == [f"{TRAIN}-10"]
    with pytest.raises(GanError, match="9 is not at work: FAILED"):
        jobs.stop(cluster.api(), find_job(cluster.api(), f"{TRAIN}-9"))


def test_a_profile_without_jobs_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["jobs", "list", "--profile", "configs/profiles/local.yaml"])
    assert ended.value.code == 2
    assert "backend=local has no jobs; --ray-address http://127.0.0.1:8265 works" in capsys.readouterr().err
