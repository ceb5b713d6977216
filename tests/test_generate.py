"""`gan generate` as a data engineer runs it: what it refuses, repeats and keeps, here, on S3 and on Ray."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from gan_core.data.shards import open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import ConfigError, GanError
from gan_core.store import Store
from pipelines import on_ray_generate
from pipelines.cli import app
from pipelines.generate_order import Wish, counts_in
from pipelines.generate_run import Made, generate_set
from pipelines.profile import Profile
from tests.artefacts import CLASSES, finish_run, in_fresh_process, publish_one
from tests.pipeline import GAN, kill_tree
from tests.s3_server import s3_server

PLAIN = "plain"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with digits@latest, a run without labels, and digits of unequal classes as shards."""
    store = Store(tmp_path_factory.mktemp("store"))
    publish_one(store)
    finish_run(store, PLAIN, classes=0)
    write_shards(Digits(imbalance=10), store, "shards/tail", shard_examples=4096, key="tail")
    return store


def generate(
    store: Store, out: Path | str, *, address: str = "digits", workers: int | None = None, **wish: Any
) -> Made:
    return generate_set(address, str(out), Wish(**wish), store=store, profile=Profile(), workers=workers)


def hashes(folder: Path) -> dict[str, str]:
    """sha256 of every shard."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.arrow")}


def histogram(made: Made) -> list[int]:
    found = made.as_json()["histogram"]
    return [found.get(str(label), 0) for label in range(CLASSES)]


# How many of what


def test_n_images_are_of_all_classes_or_of_one(store: Store, tmp_path: Path) -> None:
    assert histogram(generate(store, tmp_path / "all", n=104)) == [11] * 4 + [10] * 6
    made = generate(store, tmp_path / "one", n=30, label=4, shard_images=20)
    assert histogram(made) == [0, 0, 0, 0, 30, 0, 0, 0, 0, 0]
    assert made.as_json()["shards"] == 2


def test_classes_are_asked_for_one_by_one(store: Store, tmp_path: Path) -> None:
    assert histogram(generate(store, tmp_path / "each", per_class=7)) == [7] * CLASSES
    assert histogram(generate(store, tmp_path / "some", counts=counts_in("3=5, 8=2"))) == [0, 0, 0, 5, 0, 0, 0, 0, 2, 0]


def test_a_set_is_filled_up_to_classes_of_one_size(store: Store, tmp_path: Path) -> None:
    made = generate(store, tmp_path / "rest", fill=f"{store.url}/shards/tail")
    assert generate(store, tmp_path / "rest", fill="tail").status == "REUSED"
    labels = open_shards(store, "shards/tail").split("train").labels
    assert labels is not None
    before = np.bincount(labels, minlength=CLASSES)
    assert len(set(before.tolist())) > 1
    assert set((before + histogram(made)).tolist()) == {before.max()}
    assert [parent.kind for parent in made.manifest.parents] == ["version", "shards"]
    with pytest.raises(ConfigError, match="nothing is missing; --per-class 1000 works"):
        generate(store, tmp_path / "more", fill=generate(store, tmp_path / "even", per_class=3).uri)


def test_a_generator_without_labels_makes_images_without(store: Store, tmp_path: Path) -> None:
    generate(store, tmp_path / "plain", address=f"{store.url}/runs/{PLAIN}", n=20)
    assert open_shards(Store(tmp_path), "plain").classes == 0
    assert open_shards(Store(tmp_path), "plain").split("train").labels is None


@pytest.mark.parametrize(("wish", "says"), [
    ({}, "nothing says how many images; .*--n 100000 works"),
    ({"n": 5, "per_class": 5}, "--n and --per-class says how many"),
    ({"n": 0}, "--n 0: from 1 to"),
    ({"per_class": 0}, "--per-class 0: from 1 to"),
    ({"n": 5, "shard_images": 0}, "--shard-images 0: from 1 to"),
    ({"label": 3, "per_class": 5}, "--label 3: .*--label 3 --n 1000 works"),
    ({"n": 5, "label": 12}, "label=12: not a class of .*label=0 to label=9 work"),
    ({"counts": {12: 3}}, "--counts 12=3: 12 is no class of .*; 0 to 9 are"),
    ({"counts": {2: 0}}, "--counts: 0 images in all"),
    ({"n": 5, "seed": -1}, "seed=-1: not from 0"),
    ({"n": 5, "truncation": -1}, "truncation=-1.0: not a number above 0"),
    ({"n": 5, "attributes": "smiling=1"}, "--attributes smiling=1: .* was trained without attributes"),
    ({"fill": "nowhere"}, "--fill nowhere: unknown data set 'nowhere' in .*; prepared: .*tail"),
])
def test_what_cannot_be_asked_for_is_refused_before_anything_is_written(
    store: Store, tmp_path: Path, wish: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        generate(store, tmp_path / "out", **wish)
    assert not (tmp_path / "out").exists()


def test_labels_are_refused_where_a_generator_knows_none(store: Store, tmp_path: Path) -> None:
    for wish in ({"per_class": 5}, {"counts": {0: 5}}, {"n": 5, "label": 1}):
        with pytest.raises(ConfigError, match="was trained without labels"):
            generate(store, tmp_path / "out", address=f"{store.url}/runs/{PLAIN}", **wish)


@pytest.mark.parametrize("text", ["3", "3=", "=5", "a=1", "3=-1", "3=5,", "3=5,3=6"])
def test_counts_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--counts 0=100,1=5000 works"):
        counts_in(text)


# Where


def test_the_same_command_again_does_nothing_and_loads_no_torch(store: Store, tmp_path: Path) -> None:
    first = generate(store, tmp_path / "out", n=50, seed=2)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    script = ("import sys; from pipelines.cli import app; app(sys.argv[1:], standalone_mode=False); "
              "print('torch' in sys.modules)")
    words = ("generate", "digits", "--n", "50", "--seed", "2", "--out", str(tmp_path / "out"), "--store", store.url)
    *told, torch = in_fresh_process(script, *words, "--json").splitlines()
    again = json.loads("".join(told))
    assert torch == "False"
    assert (again["status"], again["made_now"], again["digest"]) == ("REUSED", 0, first.manifest.digest)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_a_set_made_from_other_things_is_left_alone(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out"
    generate(store, out, n=50)
    before = hashes(out)
    for other in ({"n": 51}, {"n": 50, "seed": 1}, {"n": 50, "precision": "float64"}, {"n": 50, "label": 1}):
        with pytest.raises(ConfigError, match=r"holds a finished set that was made from other things; .*out-2 works"):
            generate(store, out, **other)
    assert hashes(out) == before


def test_a_beginning_of_another_set_and_other_files_are_left_alone(store: Store, tmp_path: Path) -> None:
    begun, other = tmp_path / "begun", tmp_path / "other"
    (begun / ".parts").mkdir(parents=True)
    (begun / ".parts/order.json").write_text('{"key": "another"}')
    with pytest.raises(ConfigError, match="holds the beginning of a set that is made from other things"):
        generate(store, begun, n=5)
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="is not empty, and what is there is no set of `gan generate`"):
        generate(store, other, n=5)
    with pytest.raises(ConfigError, match="is not empty"):
        generate(store, other / "thesis.txt", n=5)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(("out", "says"), [
    ("s3://bucket", "names no folder of its own; --out s3://bucket/synthetic works"),
    ("/", "names no folder of its own; --out /synthetic works"),
    ("/proc/nowhere/out", "cannot be written: .*; name a directory of yours"),
])
def test_an_output_that_cannot_be_is_refused(store: Store, out: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        generate(store, out, n=5)


def test_workers_cannot_share_the_memory_of_one_process(store: Store) -> None:
    with pytest.raises(ConfigError, match="lives in one process, and workers are several"):
        generate(store, "memory://generate/out", n=5, workers=2)
    assert generate(store, "memory://generate/out", n=5).as_json()["images"] == 5


def test_the_command_prints_what_came_of_it(store: Store, tmp_path: Path) -> None:
    words = ["generate", "digits@latest", "--counts", "0=3,9=4", "--out", str(tmp_path / "out"), "--store", store.url]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert re.search(r"RUN  7 images \[1, 8, 8\] of file://.*/versions/0001 in 1 shards", done.stderr)
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["histogram"] == {"0": 3, "9": 4}
    assert told["generator"].endswith("models/digits/versions/0001")


def test_the_manifest_says_how_it_was_made(store: Store, tmp_path: Path) -> None:
    facts = generate(store, tmp_path / "out", n=40, seed=5, truncation=0.8, precision="float64").manifest.facts
    assert facts["generated"] == {"generator": store.uri("models/digits/versions/0001"), "images": 40, "seed": 5,
                                  "attributes": None, "truncation": 0.8, "precision": "float64", "shards": 1}


def test_it_goes_to_s3_and_on_after_an_outage_there(store: Store, tmp_path: Path, monkeypatch: Any) -> None:
    here = generate(store, tmp_path / "here", n=60, shard_images=20)
    monkeypatch.setenv("GAN_STORE_PATIENCE_S", "0")
    with s3_server("synthetic", "a-secret") as server:
        server.fault = lambda method, path: (
            (503, "SlowDown") if method == "PUT" and path.endswith("train-00001.arrow") else None)
        with pytest.raises(GanError, match=r"train-00001\.arrow"):
            generate(store, "s3://synthetic/digits", n=60, shard_images=20)
        server.fault, server.asked = lambda method, path: None, []
        made = generate(store, "s3://synthetic/digits", n=60, shard_images=20)
        assert made.manifest.digest == here.manifest.digest
        assert made.images == 40
        assert ("PUT", "/synthetic/digits/train-00000.arrow") not in server.asked
        assert sorted(Store("s3://synthetic").sizes("digits")) == sorted(["MANIFEST.json", *hashes(tmp_path / "here")])
        assert generate(store, "s3://synthetic/digits", n=60, shard_images=20).status == "REUSED"


# On Ray

LARGE = ("--n", "150000", "--shard-images", "2000")


def command(store: Store, out: Path, *words: str) -> list[str]:
    return [*GAN, "generate", "digits", "--store", store.url, "--out", str(out), *LARGE, *words]


@pytest.fixture(scope="module")
def alone(store: Store, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The shards that this process makes."""
    out = tmp_path_factory.mktemp("alone") / "out"
    generate(store, out, n=150_000, shard_images=2000, workers=1)
    return hashes(out)


def until_some_are_there(process: subprocess.Popen[Any], out: Path) -> dict[Path, int]:
    """Waits for three notes; the shards that they are of, and when each was written."""
    deadline = time.monotonic() + 120
    while len(notes := list(out.glob(".parts/train-*.json"))) < 3:
        assert process.poll() is None, "it ended before it could be disturbed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    shards = [out / f"{note.stem}.arrow" for note in notes]
    return {shard: shard.stat().st_mtime_ns for shard in shards}


@pytest.mark.system
@pytest.mark.parametrize("workers", ["1", "3"])
def test_any_number_of_ray_workers_makes_the_same_bytes(
    store: Store, alone: dict[str, str], tmp_path: Path, workers: str
) -> None:
    script = ("import sys; from pipelines import on_ray_generate as spread; "
              "spread.in_turn = lambda writer, parts, tell: spread._spread(spread.Profile(), 1, writer, parts, tell); "
              "from pipelines.cli import app; app(sys.argv[1:])")
    words = command(store, tmp_path / "out", "--workers", workers)[len(GAN):]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert hashes(tmp_path / "out") == alone


@pytest.mark.system
@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_killed_command_goes_on_with_the_missing_shards(
    store: Store, alone: dict[str, str], tmp_path: Path, workers: str
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(command(store, out, "--workers", workers), stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    written = until_some_are_there(process, out)
    kill_tree(process)
    assert not (out / "MANIFEST.json").exists()
    done = subprocess.run(command(store, out, "--workers", "1", "--json"), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["made_now"] <= 150_000 - 2000 * len(written)
    assert {shard: shard.stat().st_mtime_ns for shard in written} == written
    assert hashes(out) == alone
    assert sorted(path.name for path in out.iterdir()) == ["MANIFEST.json", *sorted(alone)]


def at_work(process: subprocess.Popen[Any]) -> psutil.Process:
    """A worker of the command that writes a shard, as its title says; between two shards it says that it is idle."""
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if "ray::_write" in " ".join(child.cmdline()):
                    return child
    raise AssertionError("it ended before it could be disturbed")


@pytest.mark.system
def test_a_worker_that_dies_is_replaced(store: Store, alone: dict[str, str], tmp_path: Path) -> None:
    process = subprocess.Popen(command(store, tmp_path / "out", "--workers", "2"), stderr=subprocess.PIPE, text=True)
    until_some_are_there(process, tmp_path / "out")
    at_work(process).kill()
    said = process.communicate(timeout=300)[1]
    assert process.returncode == 0, said
    assert hashes(tmp_path / "out") == alone


@pytest.mark.system
def test_workers_that_keep_dying_are_one_clear_error(store: Store, tmp_path: Path) -> None:
    script = ("import os, sys; from pipelines import on_ray_generate as spread; "
              "spread._write = lambda *told: os._exit(1); from pipelines.cli import main; main(sys.argv[1:])")
    words = command(store, tmp_path / "out", "--workers", "2")[len(GAN):]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert re.fullmatch("gan: a worker that makes images failed: .*; the same command goes on with the shards that are "
                        "missing", done.stderr.splitlines()[-1])
    assert "Traceback" not in done.stderr


def test_work_is_spread_where_it_would_take_long(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []

    def spread(profile: Profile, workers: int | None, writer: Any, parts: Any, tell: Any) -> Any:
        asked.append(workers)
        return on_ray_generate.in_turn(writer, parts, tell)

    monkeypatch.setattr(on_ray_generate, "_spread", spread)
    generate(store, tmp_path / "little", n=40, shard_images=20)
    generate(store, tmp_path / "one", n=40, workers=2)
    generate(store, tmp_path / "here", n=40, shard_images=20, workers=1)
    assert not asked
    generate(store, tmp_path / "told", n=40, shard_images=20, workers=2)
    monkeypatch.setattr(on_ray_generate, "_seconds", lambda writer, parts: 30.0)
    generate(store, tmp_path / "much", n=40, shard_images=20)
    assert asked == [2, None]


@pytest.mark.system
def test_ctrl_c_ends_it_with_one_line(store: Store, tmp_path: Path) -> None:
    process = subprocess.Popen(command(store, tmp_path / "out", "--workers", "2"), stderr=subprocess.PIPE, text=True,
                               start_new_session=True)
    until_some_are_there(process, tmp_path / "out")
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "gan: interrupted; the same command goes on with the shards that are missing"
    assert "Traceback" not in said
