"""What a preflight makes of what nodes say of themselves.  tests/system has real nodes, with real faults."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from ray.job_submission import JobDetails, JobStatus, JobType

from gan_core.config import Experiment
from gan_core.errors import ConfigError, GanError, WorkersFailed
from gan_core.probes.finding import Finding, bad, warning
from gan_core.store import Store
from pipelines import preflight_facts
from pipelines.autoscaler import NodeType, NodeTypes, types_of
from pipelines.jobs_api import JobsApi
from pipelines.preflight import Examined, Question, heed, row
from pipelines.preflight_facts import MARKER, Facts, Room, code_digest, facts_here, tried, versions
from pipelines.preflight_job import FOUND, examined_by_job
from pipelines.preflight_judge import Fault, Here, faults, findings
from pipelines.preflight_nodes import HEAD, Answer, Node
from pipelines.preflight_room import Need, judge_room, must_wait
from pipelines.profile import PreflightConfig, Profile, RayConfig
from pipelines.room import Placed
from pipelines.silence import Silent, heard_in_time

VERSIONS = {"Python": "3.11.7", "ray": "2.60.0", "torch": "2.13.0", "gan-pipelines": "0.1.0"}
HERE = Here(versions=VERSIONS, code="aaaa")
H200 = "NVIDIA H200 (9.0)"
GB = 10**9
GPU_NODE = {"CPU": 8.0, "GPU": 1.0}


def node(name: str, free: dict[str, float] | None = None, **resources: float) -> Node:
    has = resources or {"CPU": 1.0}
    return Node(name, name, name, has, has if free is None else free)


def head(**resources: float) -> Node:
    return node("head", **{HEAD: 1.0, **(resources or {"CPU": 1.0})})


def facts(**others: Any) -> Facts:
    disks = {"TMPDIR": Room(folder="/tmp", device=1, free=100 * GB)}
    known = {"host": "h", "versions": VERSIONS, "code": "aaaa", "image": "", "gpus": (), "driver": "", "disks": disks,
             "shm": 8 * GB, "store": "", "store_s": 0.01, "name_s": 0.01, "interfaces": ("lo", "eth0"),
             "types": None}
    return Facts(**(known | others))


def judged(*answers: Answer, here: Here = HERE, **settings: Any) -> list[tuple[str, str, str]]:
    """(verdict, what of, what is found) of each."""
    found = findings(faults(answers, here, PreflightConfig(**settings)))
    return [(one.verdict, one.name, one.found) for one in found]


def said(name: str, ahead: float = 0.0, give_or_take: float = 0.0, **others: Any) -> Answer:
    return Answer(node(name, CPU=8.0), facts(**others), "", ahead, give_or_take)


def with_gpus(name: str, **others: Any) -> Answer:
    return Answer(node(name, **GPU_NODE), facts(**{"gpus": (H200,), "driver": "580.1"} | others))


def test_nodes_that_are_alike_have_nothing_wrong() -> None:
    assert judged(said("head"), with_gpus("a"), with_gpus("b", image="container 0123456789ab")) == []


def test_a_node_that_does_not_answer_is_named() -> None:
    silent = Answer(node("10.0.0.3"), None, "does not answer within 20 s")
    assert judged(said("a"), silent) == [("bad", "node", "node 10.0.0.3: does not answer within 20 s")]


@pytest.mark.parametrize(("package", "theirs", "verdict"), [
    ("torch", "2.12.0", "bad"), ("ray", "2.59.0", "bad"), ("torch", "missing", "bad"), ("Python", "3.12.1", "bad"),
    ("Python", "3.11.9", "warning"), ("torch", "2.13.0+cu130", None),
])
def test_other_versions_are_named_with_both_but_for_other_builds_of_the_same(
    package: str, theirs: str, verdict: str | None
) -> None:
    found = judged(said("a"), said("b", versions=VERSIONS | {package: theirs}))
    assert found == ([] if verdict is None else
                     [(verdict, "versions", f"node b: {package} {theirs}, here {VERSIONS[package]}")])


def test_other_code_of_the_same_version_is_named() -> None:
    assert judged(said("b", code="bbbb")) == [
        ("bad", "versions", "node b: the code of gan-pipelines is bbbb, here aaaa")]


def test_a_node_that_waits_for_the_names_of_others_is_named() -> None:
    assert judged(said("a"), said("b", name_s=2.0)) == [
        ("warning", "network", "node b: the name of another node's address takes 2.0 s or more")]
    assert judged(said("b", name_s=2.0), skip=("network",)) == []


def test_a_node_without_the_interface_that_the_profile_names_is_named() -> None:
    asked = Here(versions=VERSIONS, code="aaaa", interface="eth0,ib0")
    assert judged(said("a"), said("b", interfaces=("lo", "ens5")), here=asked) == [
        ("bad", "network", "node b: ray.network.interface=eth0,ib0: has no such network interface; it has: ens5")]


def test_an_address_without_a_name_is_found_out_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def silent(address: tuple[str, int], flags: int) -> tuple[str, str]:
        asked.append(address[0])
        time.sleep(30)
        return "", ""

    monkeypatch.setattr(preflight_facts, "NAME_S", 0.05)
    monkeypatch.setattr("socket.getnameinfo", silent)
    assert facts_here("", "", "a", False, False, "10.0.0.9")["name_s"] == 0.05
    assert asked == ["10.0.0.9"]


def test_what_is_so_of_many_nodes_is_one_line() -> None:
    answers = [said(name, store="s3://b: no answer") for name in "abcde"]
    assert judged(*answers) == [("bad", "store", "nodes a, b, c and 2 more: s3://b: no answer")]


def test_nodes_that_train_have_the_same_gpus_and_driver() -> None:
    other = with_gpus("c", gpus=("NVIDIA A100 (8.0)",), driver="570.2")
    assert judged(said("head"), with_gpus("a"), with_gpus("b"), other) == [
        ("warning", "gpus", f"node c: NVIDIA A100 (8.0), elsewhere {H200}"),
        ("warning", "gpus", "node c: CUDA driver 570.2, elsewhere 580.1"),
    ]


def test_gpus_that_nvidia_smi_does_not_find_and_little_shared_memory_are_named() -> None:
    assert judged(with_gpus("a", gpus=())) == [
        ("warning", "gpus", "node a: offers 1 GPUs, and nvidia-smi finds none")]
    assert judged(with_gpus("a", gpus=(H200, H200), shm=64 * 2**20)) == [
        ("warning", "gpus", "node a: 64 MiB of shared memory for 2 GPUs")]


def test_another_image_is_named() -> None:
    assert judged(said("a", image="gan:1"), said("b", image="gan:1"), said("c", image="gan:2")) == [
        ("warning", "image", "node c: image gan:2, elsewhere gan:1")]


def rooms(**free: int) -> dict[str, Room]:
    """Each on a disk of its own."""
    return {name: Room(folder=f"/{name}", device=n, free=amount) for n, (name, amount) in enumerate(free.items())}


def test_a_disk_is_judged_by_what_the_run_keeps_on_it() -> None:
    here = HERE.model_copy(update={"checkpoint": GB, "shards": 20 * GB})
    assert judged(said("a", disks=rooms(TMPDIR=8 * GB, shards=30 * GB, spilling=10 * GB)), here=here) == []
    assert judged(said("a", disks=rooms(TMPDIR=GB, shards=15 * GB, spilling=2**20)), here=here) == [
        ("bad", "disk", "node a: 1.0 GB free in /TMPDIR (TMPDIR), and the run needs 2.0 GB"),
        ("bad", "disk", "node a: 15.0 GB free in /shards (shards), and the run needs 20.0 GB"),
        ("bad", "disk", "node a: 1 MB free in /spilling (spilling), and the run needs 67 MB"),
    ]
    assert judged(said("a", disks=rooms(TMPDIR=3 * GB)), here=here) == [
        ("warning", "disk", "node a: 3.0 GB free in /TMPDIR (TMPDIR)")]


def test_folders_on_one_disk_are_judged_together() -> None:
    here = HERE.model_copy(update={"checkpoint": GB, "shards": 20 * GB})
    one = {name: Room(folder=f"/{name}", device=1, free=21 * GB) for name in ("TMPDIR", "shards")}
    assert judged(said("a", disks=one), here=here) == [
        ("bad", "disk", "node a: 21.0 GB free in /TMPDIR (TMPDIR), and the run needs 22.0 GB")]


def test_a_clock_is_named_when_it_differs_by_more_than_the_limit_and_what_is_uncertain() -> None:
    assert judged(said("a", ahead=5.5, give_or_take=1.0), said("b", ahead=-4.9)) == []
    assert judged(said("a", ahead=6.5, give_or_take=1.0), said("b", ahead=-60.0, give_or_take=0.01)) == [
        ("warning", "clock", "node a: its clock is 6.5 s ahead of this one, give or take 1.00 s"),
        ("warning", "clock", "node b: its clock is 60.0 s behind this one, give or take 0.01 s"),
    ]
    assert judged(said("a", ahead=6.5), clock_s=10) == []


def test_what_a_site_does_not_want_is_skipped() -> None:
    wrong = said("a", code="bbbb", store="s3://b: no answer", ahead=60.0)
    assert [what for _, what, _ in judged(wrong, skip=("store", "clock"))] == ["versions"]


def need(workers: int, cpus: int = 1, gpus: float | None = None) -> Need:
    return Need(field="train.workers", workers=workers, cpus=cpus, gpus=gpus)


def types(most: int, of_all: int | None = None, **resources: float) -> NodeTypes:
    return NodeTypes(types=(NodeType(resources=resources, most=most),), most=most if of_all is None else of_all)


def refused(*arguments: Any) -> list[tuple[str, str, str]]:
    return [(one.verdict, one.found, one.means) for one in judge_room(*arguments)]


def test_a_request_that_the_cluster_and_its_autoscaler_cannot_meet_is_told_in_numbers() -> None:
    cluster = [head(), node("a", **GPU_NODE), node("b", **GPU_NODE)]
    to_cpus = "or the profile's gpus_per_worker: 0 trains on CPUs"
    assert refused(need(4), cluster, types(2, **GPU_NODE)) == [
        ("bad", "train.workers=4 asks for 4 x GPU; the cluster has 2 in 3 nodes and its autoscaler's maximum is 2",
         f"train.workers=2 fits, {to_cpus}")]
    assert refused(need(4), cluster, None) == [
        ("bad", "train.workers=4 asks for 4 x GPU; the cluster has 2 in 3 nodes", f"train.workers=2 fits, {to_cpus}")]
    assert refused(need(4, gpus=0), cluster, None) == []
    assert refused(need(2, cpus=4, gpus=0), [head(CPU=7.0), node("a", CPU=3.0)], None) == [
        ("bad", "train.workers=2 asks for 2 x 4 CPUs; the cluster has 10 in 2 nodes, and no worker is split over nodes",
         "train.workers=1 fits")]
    assert refused(need(1, cpus=9), [head()], None)[0][2] == "add a node, or lower the profile's cpus_per_worker"


def test_nodes_that_an_autoscaler_may_start_are_waited_for_within_its_bound_on_all_together() -> None:
    cluster = [head()]
    assert refused(need(4), cluster, types(3, **GPU_NODE)) != []  # the head has no GPU, and one is wanted of each
    assert refused(need(3), cluster, types(3, **GPU_NODE)) == []
    assert must_wait(need(3), cluster, types(3, **GPU_NODE))
    assert not must_wait(need(1), cluster, None)
    assert refused(need(4), cluster, types(9, of_all=2, CPU=1.0))[0][1] == (
        "train.workers=4 asks for 4 x CPU; the cluster has 1 in 1 node and its autoscaler's maximum is 3")


def test_room_that_others_hold_now_is_a_warning() -> None:
    cluster = [head(CPU=2.0), node("a", free={}, CPU=2.0)]
    assert refused(need(4), cluster, None) == [
        ("warning", "train.workers=4: room for 2 is free now, others hold the rest",
         "training waits until it is free, up to the profile's ray.room_wait_s")]


def test_an_autoscalers_settings_are_read_as_rays_launcher_and_kuberay_have_them() -> None:
    found = types_of({"head_node_type": "h", "max_workers": 5, "available_node_types": {
        "h": {"resources": {"CPU": 4}}, "gpu": {"resources": GPU_NODE, "max_workers": 2}, "cpu": {}}})
    assert found == NodeTypes(types=(NodeType(resources=GPU_NODE, most=2), NodeType(resources={}, most=5)), most=5)
    assert found.nodes()[:2] == [GPU_NODE, GPU_NODE]


@pytest.mark.parametrize(("cluster", "own", "gpus"), [(None, None, 0), ("10.0.0.1:6379", 0, 0), (None, 0, 0)])
def test_a_machine_with_too_few_gpus_trains_on_cpus_and_a_cluster_when_it_is_told_to(
    experiment: Callable[..., Experiment], cluster: str | None, own: Any, gpus: int
) -> None:
    profile = Profile(gpus_per_worker=own, ray=RayConfig(address=cluster))
    assert Placed.among([GPU_NODE], experiment(train={"workers": 2}), profile).gpus == gpus


def test_a_cluster_with_too_few_gpus_is_refused(experiment: Callable[..., Experiment]) -> None:
    profile = Profile(ray=RayConfig(address="10.0.0.1:6379"))
    with pytest.raises(ConfigError, match=r"train\.workers=2 asks for 2 GPUs and the cluster has 1 in 1 node; "
                                          r"train\.workers=1 fits, or the profile.s gpus_per_worker: 0"):
        Placed.among([GPU_NODE], experiment(train={"workers": 2}), profile)


def examined(*wrong: Finding) -> Examined:
    of_cluster = tuple(one for one in wrong if one.name == "room")
    return Examined((), of_cluster, tuple(one for one in wrong if one.name != "room"), 1.234)


SILENT, ROOM = bad("node", "node a: silent", "look"), bad("room", "asks for 4; has 2", "2 fits")
STORE, CLOCK = bad("store", "node a: s3://b: denied", "export a key"), warning("clock", "node b: 6 s", "set it")


@pytest.mark.parametrize(("wrong", "kind", "code"), [
    ((SILENT,), WorkersFailed, 1), ((SILENT, STORE), GanError, 1), ((STORE, ROOM, CLOCK), ConfigError, 2)])
def test_all_that_is_wrong_is_said_at_once_and_the_status_is_of_the_worst(
    wrong: tuple[Finding, ...], kind: type[GanError], code: int
) -> None:
    told: list[str] = []
    with pytest.raises(GanError) as raised:
        heed(examined(*wrong), told.append)
    assert (type(raised.value), raised.value.exit_code) == (kind, code)
    assert told[0] == "preflight: 0 nodes, 1.2 s"
    assert all(any(one.found in line and one.means in line for line in [*told, str(raised.value)]) for one in wrong)
    assert not any("\n" in line for line in [*told, str(raised.value)])


def test_a_warning_stops_nothing() -> None:
    told: list[str] = []
    heed(examined(CLOCK), told.append)
    assert told[1:] == ["preflight: ! node b: 6 s; set it"]


def test_what_was_found_travels_as_json_and_a_node_is_a_row() -> None:
    found = examined(ROOM, CLOCK)
    assert Examined.of(found.as_json()) == found
    fault = Fault("b", "clock", "warning", "its clock is 60.0 s ahead", "set it")
    assert row(said("b"), []).verdict == "good"
    assert (row(said("b"), [fault]).verdict, row(said("b"), [fault]).means) == (
        "warning", "its clock is 60.0 s ahead: set it")


def test_a_store_that_is_not_the_one_that_the_command_sees_is_told_and_a_right_one_is_left_as_it_was(
    tmp_path: Path
) -> None:
    store = Store(tmp_path / "store")
    store.write(f"p/{MARKER}", b"p")
    assert tried(store, "p", "node") == ""
    assert store.names("p") == [MARKER]
    assert "is another store here" in tried(Store(tmp_path / "local"), "p", "node")


def test_a_store_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr(preflight_facts, "STORE_S", 0.05)
    assert preflight_facts._in_time(lambda: str(over.wait())) == "the store does not answer within 0.05 s"
    over.set()


def test_versions_and_code_are_this_programs() -> None:
    assert set(versions()) == set(VERSIONS)
    assert len(code_digest()) == 12


class OneJob:
    """A Jobs API with one job, whose log is given."""

    def __init__(self, log: str, status: JobStatus) -> None:
        self.text, self.status, self.stopped = log, status, False

    def submit(self, job: str, entrypoint: str, environment: dict[str, str]) -> bool:
        return True

    def find(self, job: str) -> JobDetails:
        return JobDetails(type=JobType.SUBMISSION, entrypoint="", status=self.status, message="exit code 127")

    def log(self, job: str) -> str:
        return self.text

    def stop(self, job: str) -> None:
        self.stopped = True


def by_job(log: str, status: JobStatus, **options: Any) -> tuple[Examined | None, list[str], OneJob]:
    told: list[str] = []
    api, question = OneJob(log, status), Question(need=None, store="s3://b", settings=PreflightConfig())
    return examined_by_job(cast(JobsApi, api), question, {}, told.append, **options), told, api


def test_a_cluster_that_takes_jobs_is_looked_at_by_one() -> None:
    found = examined(CLOCK)
    log = f"Runtime env\ngan: preflight: waits\n{FOUND}{json.dumps(found.as_json())}\n"
    assert by_job(log, JobStatus.SUCCEEDED)[:2] == (found, ["preflight: waits"])


def test_a_job_that_ends_without_an_answer_is_the_clusters_failure_and_one_given_up_is_stopped() -> None:
    with pytest.raises(WorkersFailed, match="ended before it could say what the cluster is like: exit code 127; start"):
        by_job("bash: python: not found", JobStatus.FAILED)
    found, _, api = by_job("", JobStatus.RUNNING, given_up=lambda: True)
    assert (found, api.stopped) == (None, True)


def test_items_that_stop_coming_are_given_up_and_errors_and_items_come_through() -> None:
    assert list(heard_in_time(range(5), 10)) == [0, 1, 2, 3, 4]
    over = threading.Event()

    def stuck() -> Iterator[int]:
        yield 1
        over.wait()

    items = heard_in_time(stuck(), 0.05)
    assert next(items) == 1
    with pytest.raises(Silent):
        next(items)
    over.set()

    def broken() -> Iterator[int]:
        yield 1
        raise TimeoutError("its own")

    with pytest.raises(TimeoutError, match="its own"):
        list(heard_in_time(broken(), 10))
