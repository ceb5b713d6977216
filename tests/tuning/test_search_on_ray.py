"""Whole searches by `gan tune` on one Ray: to the end, killed, with several workers, as a population."""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from gan_core.manifest import missing_files, read_manifest
from gan_core.store import Store
from pipelines.cluster import LOOPBACK
from pipelines.local_ray import LocalRay
from pipelines.tuning.records import Search, Trial, read_search
from tests.conftest import TINY
from tests.pipeline import GAN, Prefect, only
from tests.tuning.trials import HALF_LIFE, RATE, SPACE

pytestmark = pytest.mark.slow

SECRET = "a-text-that-is-known-to-this-test-alone"
IMAGES, LOOK_EVERY = 1024, 128
TUNE: dict[str, Any] = {"space": SPACE, "samples": 3, "look_every": LOOK_EVERY, "look_samples": 64,
                        "repeats": {"top": 1, "seeds": 1}}
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), **LOOPBACK}
LONGEST_S = 240


@dataclass(frozen=True)
class Place:
    """Where `gan tune` is given: a store, the experiments beside it, and a Ray that has two CPUs."""

    folder: Path
    profile: Path
    prefect: Prefect

    @property
    def store(self) -> Store:
        return Store(self.folder / "store")

    def command(self, *words: str, **tune: Any) -> list[str]:
        file = self.folder / "tiny.yaml"
        train = {**TINY["train"], "images": IMAGES}
        file.write_text(yaml.safe_dump({**TINY, "train": train, "tune": {**TUNE, **tune}}))
        return [*GAN, "tune", str(file), "--store", str(self.folder / "store"), "--profile", str(self.profile),
                "--no-publish", *words]

    @property
    def environment(self) -> dict[str, str]:
        secret = {**TOKEN, "AWS_SECRET_ACCESS_KEY": SECRET}
        return {**self.prefect.environment(), **secret, "OMP_NUM_THREADS": "1"}

    def tune(self, *words: str, **tune: Any) -> subprocess.CompletedProcess[str]:
        """To its end, which must be a good one."""
        done = subprocess.run(self.command(*words, **tune), env=self.environment, capture_output=True, text=True,
                              timeout=LONGEST_S)
        assert done.returncode == 0, done.stderr
        return done

    def search(self) -> Search | None:
        """The one there is; None before it was begun."""
        folder = self.folder / "store" / "tune"
        return read_search(self.store, f"tune/{only(folder).name}") if folder.exists() else None

    def found(self) -> Search:
        search = self.search()
        assert search is not None
        return search

    def rows(self) -> list[dict[str, Any]]:
        """Of the leaderboard, without what the clock said."""
        board = json.loads(self.store.read(f"{self.found().prefix}/leaderboard.json"))
        return [{name: value for name, value in row.items() if name != "seconds"} for row in board["rows"]]

    def written(self, prefix: str) -> dict[str, int]:
        """When each file below a prefix was written."""
        root = self.folder / "store"
        below = root / prefix
        files = [below] if below.is_file() else [path for path in below.rglob("*") if path.is_file()]
        named = [path for path in files if not path.name.startswith(".")]  # a killed process leaves halves of others
        return {str(path.relative_to(root)): path.stat().st_mtime_ns for path in named}


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a Ray with two CPUs."""
    ray = LocalRay.start(2, {"RAY_USAGE_STATS_ENABLED": "0", **TOKEN})
    file = tmp_path_factory.mktemp("profile") / "two-cpus.yaml"
    file.write_text(yaml.safe_dump({"ray": {"address": ray.address()}}))
    yield file
    ray.stop()
    ray.process.communicate()
    ray.log.close()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, profile: Path, served: Prefect) -> Place:
    """A search that nothing happened to, recorded on a Prefect server."""
    place = Place(tmp_path_factory.mktemp("whole-search"), profile, served)
    place.tune()
    return place


@pytest.fixture
def place(whole: Place, tmp_path: Path, embedded: Prefect) -> Place:
    """Shards and features, and no search yet; no server."""
    for kept in ("shards", "features"):
        shutil.copytree(whole.folder / "store" / kept, tmp_path / "store" / kept)
    return Place(tmp_path, whole.profile, embedded)


def killed_when(place: Place, ready: Callable[[Search], bool], **tune: Any) -> None:
    """Begins a search and kills the process that conducts it."""
    process = subprocess.Popen(place.command(**tune), env=place.environment, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + LONGEST_S
    try:
        while (search := place.search()) is None or not ready(search):
            assert process.poll() is None, "the search ended before it could be killed"
            assert time.monotonic() < deadline, "the search did not come so far"
            time.sleep(0.005)
    finally:
        process.kill()
        process.wait(timeout=60)


def at_work(trials: tuple[Trial, ...]) -> list[Trial]:
    """Those with a look that have not ended."""
    return [trial for trial in trials if trial.end is None and trial.looks]


def saved(place: Place, trial: Trial) -> bool:
    """Whether a checkpoint of it is whole: a look is told once its checkpoint is on its way."""
    return any(path.endswith("/MANIFEST.json") for path in place.written(f"{trial.run_prefix}/checkpoints"))


def attempts(place: Place, trial: Trial) -> int:
    return len(place.store.names(f"{trial.run_prefix}/attempts"))


def test_a_search_leaves_a_manifest_whose_files_are_there(whole: Place) -> None:
    search = whole.found()
    manifest = read_manifest(whole.store, search.prefix)
    assert manifest is not None
    assert missing_files(whole.store, search.prefix, manifest) == []
    assert {"leaderboard.json", "best.yaml", "report.html"} <= {file.path for file in manifest.files}
    assert [trial.end and trial.end.status for trial in search.trials] == ["finished"] * 3
    assert [trial.images for trial in search.trials] == [IMAGES] * 3
    assert manifest.facts["trials"] == 3
    best, *others = whole.rows()
    assert manifest.facts["best"] == best["number"]
    assert all(best["value"] <= row["value"] for row in others)
    (repeat,) = search.repeats
    assert (repeat.number, repeat.settings.seed, repeat.params) == (best["number"], 1, best["params"])
    assert best["repeats"] == [{"seed": 1, "value": repeat.value, "status": "finished"}]


def test_a_search_that_is_finished_is_not_searched_again(whole: Place) -> None:
    before = whole.written("tune")
    done = whole.tune("--json")
    assert [stage["status"] for stage in json.loads(done.stdout)["stages"]] == ["REUSED", "REUSED"]
    assert "starting Ray" not in done.stderr
    assert whole.written("tune") == before


def test_prefect_shows_the_leaderboard_and_where_the_best_settings_are(whole: Place) -> None:
    with temporary_settings({PREFECT_API_URL: whole.prefect.server}), get_client(sync_client=True) as client:
        runs = [run for run in client.read_flow_runs() if "tiny" in (run.tags or [])]
        artifacts = {artifact.key: str(artifact.data) for artifact in client.read_artifacts()}
    assert [run.state_name for run in runs][:1] == ["Completed"]
    shown = json.loads(artifacts["tiny-leaderboard"])
    assert [row["trial"] for row in shown] == [row["number"] for row in whole.rows()]
    assert whole.store.uri(f"{whole.found().prefix}/best.yaml") in artifacts["tiny-search"]


def test_what_a_search_keeps_holds_no_secret_and_no_pickle(whole: Place) -> None:
    files = [path for path in (whole.folder / "store").rglob("*") if path.is_file()]
    assert len(files) > 50
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []
    assert [path for path in files if path.suffix == ".pkl"] == []
    checkpoints = [path for path in files if path.name == "state.pt"]
    others = [path for path in files if path not in checkpoints]
    assert [path for path in others if path.read_bytes()[:2] in (b"\x80\x04", b"\x80\x05")] == []


@pytest.mark.system
def test_a_search_whose_process_was_killed_goes_on_and_ends_as_if_nothing_had_been(
    place: Place, whole: Place
) -> None:
    killed_when(place, lambda search: sum(trial.end is not None for trial in search.trials) >= 2
                and any(saved(place, trial) for trial in at_work(search.trials)))
    before = place.found()
    ended = [trial for trial in before.trials if trial.end is not None]
    (going,) = at_work(before.trials)
    kept = {trial.number: place.written(trial.prefix) for trial in ended}
    looks = place.written(f"{going.prefix}/looks")
    place.tune()
    after = place.found()
    for trial in ended:
        now = place.written(trial.prefix)
        assert {path: now[path] for path in kept[trial.number]} == kept[trial.number]
        assert [path for path in now.keys() - kept[trial.number].keys() if "/starts/" not in path] == []
        assert attempts(place, trial) == 1
    assert attempts(place, going) == 2
    now = place.written(f"{going.prefix}/looks")
    assert {path: now[path] for path in looks} == looks
    assert place.store.names(f"{going.run_prefix}/checkpoints")[-1] == f"{IMAGES:012d}-0002"
    first = f"{going.run_prefix}/metrics/{LOOK_EVERY:012d}.jsonl"
    again = place.written(f"{going.run_prefix}/attempts")
    assert place.written(first)[first] < again[f"{going.run_prefix}/attempts/0002.json"], "it begins at a checkpoint"
    assert [trial.end and trial.end.status for trial in after.trials] == ["finished"] * 3
    assert place.rows() == whole.rows()


@pytest.mark.system
def test_trials_with_two_workers_take_turns_and_come_to_the_same(place: Place, whole: Place) -> None:
    place.tune(workers=2, images=256, samples=3, repeats={"top": 0})
    two = place.found()
    assert [trial.end and trial.end.status for trial in two.trials] == ["finished"] * 3
    one = whole.found()
    for ours, theirs in zip(two.trials, one.trials, strict=True):
        assert ours.params == theirs.params
        assert [look.position for look in ours.looks] == [128, 256]
        values = [look.value for look in theirs.looks[:2]]
        # both add the same numbers in another order: 4e-6 apart where trials are 5e-4 apart
        assert [look.value for look in ours.looks] == pytest.approx(values, rel=2e-5)
    beats = [place.written(f"{trial.run_prefix}/checkpoints") for trial in two.trials]
    spans = sorted((min(times.values()), max(times.values())) for times in beats)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(spans)), "one at a time"


@pytest.mark.system
def test_a_population_takes_over_its_best_and_goes_on_from_there(place: Place) -> None:
    # one learning rate learns nothing: it is among the worst, and must be left
    space = {RATE: {"choice": [1e-6, 2e-3, 4e-3, 8e-3]}, HALF_LIFE: "uniform(100, 1000)"}
    place.tune(scheduler="pbt", samples=4, images=768, perturb_every=256, space=space, repeats={"top": 0})
    search = place.found()
    assert [trial.end and trial.end.status for trial in search.trials] == ["finished"] * 4
    changed = [trial for trial in search.trials if trial.changes]
    assert changed
    for trial in changed:
        change = trial.changes[-1]
        donor = search.trials[change.donor]
        assert donor.number != trial.number
        assert change.position in [look.position for look in donor.looks]
        assert [look.position for look in trial.looks] == list(range(LOOK_EVERY, 769, LOOK_EVERY))
        assert place.store.exists(f"{trial.run_prefix}/attempts/0001.json")
        begun = f"{change.position:012d}-0000"
        assert place.store.names(f"{trial.run_prefix}/checkpoints")[0] >= begun
        assert trial.params != trial.settings.params
        assert 100 <= trial.params[HALF_LIFE] <= 1000
