"""Whether a cluster's versions fit: asked once of a cluster, and again before a run is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from typing import Any

import pytest
import ray
from ray.job_submission import JobStatus

from gan_core.errors import ConfigError
from pipelines import jobs_api, parity
from pipelines.parity import ANSWER, NAME, PROBE, differences, refuse_other_versions
from pipelines.profile import Profile
from pipelines.stage_order import python_here
from tests.pretend_cluster import Cluster

PROFILE = Profile.model_validate({"backend": "ray-jobs", "ray": {"address": "http://127.0.0.1:8265"}})


def installed() -> dict[str, str]:
    """What the question itself finds in this environment."""
    said = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout
    told: dict[str, str] = json.loads(said.removeprefix(ANSWER))
    return told


FOUND = installed()


class Answering(Cluster):
    """A cluster whose Python answers with these versions, or ends with an exit status."""

    versions: dict[str, str] | int = FOUND

    def submit_job(self, **asked: Any) -> str:
        job = super().submit_job(**asked)
        if isinstance(self.versions, int):
            self.put(job, JobStatus.FAILED, driver_exit_code=self.versions)
        else:
            self.logs[job] += f"{ANSWER}{json.dumps(self.versions)}\n"
            self.put(job, JobStatus.SUCCEEDED, driver_exit_code=0)
        return job


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Answering:
    monkeypatch.setattr(parity, "LOOK_S", 0.0)
    monkeypatch.setattr(jobs_api, "PAUSES_S", (0.001, 0.002))
    return Answering()


def test_the_question_is_answered_with_what_is_installed() -> None:
    assert FOUND["torch"] == metadata.version("torch")
    assert FOUND["ray"] == ray.__version__
    assert FOUND["python"].startswith(f"{python_here()}.")
    assert FOUND["gan-pipelines"] == metadata.version("gan-pipelines")


@pytest.mark.parametrize("ship", ["code", "none"])
def test_a_cluster_like_this_machine_fits(ship: str) -> None:
    assert differences(FOUND, ship) == []


@pytest.mark.parametrize(("ship", "changed", "said"), [
    ("code", {"python": "3.9.2"}, f"the cluster runs Python 3.9.2, and here is {python_here()}"),
    ("code", {"torch": "2.1.0"}, "the cluster has torch 2.1.0; pip install 'torch=="),
    ("code", {"ray": "2.9.3"}, "the cluster has ray 2.9.3; pip install 'ray[default]=="),
    ("code", {"pydantic": "1.10.2"}, "the cluster has pydantic 1.10.2; pip install 'pydantic"),
    ("code", {"torch": None}, "the cluster has no torch; pip install 'torch=="),
    ("code", {"fsspec": None}, "the cluster has no fsspec; pip install 'fsspec>="),
    ("none", {"gan-pipelines": "0.0.9"}, "the cluster has gan-pipelines 0.0.9; pip install 'gan-pipelines=="),
    ("none", {"gan-pipelines": None}, "the cluster has no gan-pipelines; pip install 'gan-pipelines=="),
])
def test_another_version_is_named_with_one_that_works(ship: str, changed: dict[str, str | None], said: str) -> None:
    there = {name: value for name, value in {**FOUND, **changed}.items() if value is not None}
    (found,) = differences(there, ship)
    assert found.startswith(said)
    assert found.endswith(" works")


def test_what_need_not_be_the_same_may_differ() -> None:
    built = metadata.version("torch").partition("+")[0] + "+cu130"
    assert differences({**FOUND, "torch": built, "gan-pipelines": "0.0.1"}, "code") == []
    assert differences({**FOUND, "pydantic": "1.10.2"}, "none") == []


def test_where_there_is_no_torch_here_the_range_that_we_work_with_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parity, "_here", lambda: {"python": python_here()})
    assert differences({**FOUND, "torch": "2.8.0"}, "code") == []
    (found,) = differences({**FOUND, "torch": "2.7.1"}, "code")
    assert "pip install 'torch<2." in found


def test_a_cluster_is_asked_once_and_its_answer_read_by_every_later_command(cluster: Answering) -> None:
    for _ in range(3):
        refuse_other_versions(cluster.api(), PROFILE)
    assert list(cluster.jobs) == [f"{NAME}-1"]
    assert cluster.environments[f"{NAME}-1"] == {}


def test_an_answer_that_would_refuse_is_asked_for_again_as_the_cluster_may_have_been_mended(cluster: Answering) -> None:
    cluster.versions = {**FOUND, "torch": "2.1.0"}
    with pytest.raises(ConfigError, match=r"^ray.address=http://127.0.0.1:8265: the cluster has torch 2.1.0"):
        refuse_other_versions(cluster.api(), PROFILE)
    cluster.versions = FOUND
    refuse_other_versions(cluster.api(), PROFILE)
    refuse_other_versions(cluster.api(), PROFILE)
    assert list(cluster.jobs) == [f"{NAME}-1", f"{NAME}-2"]


def test_a_cluster_without_python_is_told_so(cluster: Answering) -> None:
    cluster.versions = 127
    with pytest.raises(ConfigError, match="`python` does not work, exit status 127, in job gan-versions-1; start Ray"):
        refuse_other_versions(cluster.api(), PROFILE)


def test_an_answer_that_is_lost_refuses_nothing(cluster: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "get_job_logs", lambda job: "")
    refuse_other_versions(cluster.api(), PROFILE)
