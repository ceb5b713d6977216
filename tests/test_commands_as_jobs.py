"""`gan generate` and `gan dataset prepare` as jobs, on a cluster of a few lines that runs them in this process."""

from __future__ import annotations

import os
import shlex
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobStatus

from gan_core.config import load_experiment
from gan_core.errors import ConfigError, GanError, StoreError
from gan_core.manifest import Manifest
from gan_core.store import Store
from pipelines import on_ray_jobs, stage_job
from pipelines.generate_order import Wish
from pipelines.generate_run import Made, generate_set
from pipelines.plan import Planner
from pipelines.prepare_run import Prepared, prepare_dataset
from pipelines.profile import Profile
from pipelines.run import Opened
from pipelines.stage_order import GenerateOrder, Order, read_order
from tests.artefacts import publish_one
from tests.pipeline import EXPERIMENT
from tests.test_on_ray_jobs import PROFILE, Cluster


@dataclass
class Running(Cluster):
    """A job is over, and well or not, when it is submitted.  lazy: it ends without having done anything."""

    lazy: bool = False

    def submit_job(self, *, entrypoint: str, submission_id: str, runtime_env: dict[str, Any]) -> str:
        super().submit_job(entrypoint=entrypoint, submission_id=submission_id, runtime_env=runtime_env)
        _, words = entrypoint.split("pipelines.stage_job ")
        if self.lazy:
            stage_job.write_outcome(Store(shlex.split(words)[1]), shlex.split(words)[2], stage_job.Outcome())
        status = 0 if self.lazy else stage_job.main(shlex.split(words))
        self.put(submission_id, JobStatus.FAILED if status else JobStatus.SUCCEEDED)
        return submission_id


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Running:
    running = Running()
    monkeypatch.setattr(on_ray_jobs, "jobs_api", lambda profile, given_up: running.api(given_up))
    monkeypatch.setattr(on_ray_jobs, "refuse_other_versions", lambda api, profile: None)  # it is this process
    monkeypatch.setattr(stage_job, "ray_for_a_while", nullcontext)  # the session may have a Ray
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # the job's program sets it
    return running


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """With digits@latest."""
    store = Store(tmp_path_factory.mktemp("store"))
    publish_one(store)
    return store


def generate(store: Store, out: Path, profile: Profile, **wish: Any) -> Made:
    return generate_set("digits", str(out), Wish(**wish), store=store, profile=profile)


def ordered(store: Store, job: str) -> Order | GenerateOrder:
    name, _, number = job.rpartition("-")
    return read_order(store, f"jobs/{name}/{number}")


def test_a_set_that_a_job_makes_is_the_one_that_is_made_here_and_is_found_again(
    store: Store, cluster: Running, tmp_path: Path
) -> None:
    wish = {"n": 50, "seed": 3, "shard_images": 20}
    made = generate(store, tmp_path / "there", PROFILE, **wish)
    here = generate(store, tmp_path / "here", Profile(), **wish)
    assert (made.status, made.images, made.manifest.digest) == ("RUN", 50, here.manifest.digest)
    again = generate(store, tmp_path / "there", PROFILE, **wish)
    assert (again.status, again.images) == ("REUSED", 0)
    ((job, _),) = cluster.jobs.items()
    assert job.startswith("gan-digits-generate-")
    assert job.endswith("-1")


def test_a_job_is_told_of_the_version_and_of_whole_urls_and_another_output_is_another_job(
    store: Store, cluster: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    generate(store, Path("uneven"), Profile(), counts={0: 4, 1: 2})
    made = [generate(store, Path(out), PROFILE, fill="uneven").as_json() for out in ("a", "b")]
    assert made[0]["histogram"] == {"1": 2, **{str(label): 4 for label in range(2, 10)}}
    assert made[0]["digest"] == made[1]["digest"]
    orders = [ordered(store, job) for job in cluster.jobs]
    assert len(orders) == 2
    for order, out in zip(orders, ("a", "b"), strict=True):
        assert isinstance(order, GenerateOrder)
        assert order.address == store.uri("models/digits/versions/0001")
        assert (order.out, order.wish.fill) == (f"file://{tmp_path}/{out}", f"file://{tmp_path}/uneven")
        assert order.profile.backend == "local"


def test_what_the_generator_cannot_be_asked_for_comes_back_as_it_was_raised(
    store: Store, cluster: Running, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"^label=12: not a class of .*label=0 to label=9 work$"):
        generate(store, tmp_path / "out", PROFILE, n=5, label=12)


def test_a_set_that_only_the_clusters_machines_have_is_said_to_be_missing(
    store: Store, cluster: Running, tmp_path: Path
) -> None:
    cluster.lazy = True
    with pytest.raises(StoreError, match=r"is not there after the job made it .* such as s3://bucket/synthetic, works"):
        generate(store, tmp_path / "out", PROFILE, n=5)


def opened(store: Store, profile: Profile) -> Opened:
    experiment = load_experiment(EXPERIMENT)
    return Opened(experiment, profile, store, Planner(store, experiment))


def prepare(store: Store, profile: Profile) -> tuple[Prepared, Manifest]:
    prepared = prepare_dataset(opened(store, profile), workers=1)
    return prepared, prepared.manifest


def test_data_is_prepared_by_the_job_that_a_run_would_follow(
    cluster: Running, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there, here = Store(tmp_path / "there"), Store(tmp_path / "here")
    prepared, manifest = prepare(there, PROFILE)
    assert (prepared.status, manifest.digest) == ("RUN", prepare(here, Profile())[1].digest)
    assert prepare(there, PROFILE)[0].status == "REUSED"
    (job,) = cluster.jobs
    assert job == f"gan-digits-prepare-{manifest.key[:16]}-1"
    order = ordered(there, job)
    assert (order.stage, order.workers) == ("prepare", 1)
    assert "1,797 / 1,797 items" in capsys.readouterr().err  # which the orchestrator hears in the job's log


def test_memory_of_one_process_is_no_place_for_jobs(store: Store, cluster: Running, tmp_path: Path) -> None:
    with pytest.raises(GanError, match="lives in one process"):
        generate_set("digits", "memory://jobs/out", Wish(n=5), store=store, profile=PROFILE)
    with pytest.raises(GanError, match="lives in one process"):
        prepare(Store("memory://jobs"), PROFILE)
    assert not cluster.jobs
