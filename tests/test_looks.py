"""Images made and seen block by block: the same figures wherever and however, and real features are kept."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load

import pipelines.on_ray_looks as on_ray_looks_module
from gan_core.bundle import read_generator
from gan_core.config import Experiment, experiment_from
from gan_core.data.shards import open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.manifest import read_manifest
from gan_core.metrics.look import Block, Looked
from gan_core.store import Store
from pipelines.cluster import ray_for_a_while, start_ray
from pipelines.features import read_features
from pipelines.handles import Shards, Trained
from pipelines.looks import Sight, in_turn
from pipelines.on_ray_looks import on_ray_looks
from pipelines.parts import Parts
from pipelines.profile import Profile
from pipelines.stages.evaluate import evaluate
from tests.artefacts import finish_run, flip_a_byte

LOOK = on_ray_looks_module._look
SHARDS = "shards/digits"
KEY = "f" * 64


@pytest.fixture(autouse=True)
def _without_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures alone: the report's maps and pictures take longer."""
    monkeypatch.setattr("pipelines.stages.evaluate.parts_of", lambda *told: Parts())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, str]:
    """A store with digits, a run of fresh weights, and the data set's feature network; the run's prefix."""
    store = Store(tmp_path_factory.mktemp("looks"))
    write_shards(Digits(), store, SHARDS, shard_examples=200, key="digits")
    return store, finish_run(store)


def an_experiment(**evaluate_: Any) -> Experiment:
    return experiment_from({"name": "digits", "data": {"source": "digits"}, "model": {"recipe": "dcgan"},
                            "evaluate": {"networks": ["domain", "random", "pixels"], **evaluate_}})


def figures(made: tuple[Store, str], place: Any = in_turn, **evaluate_: Any) -> dict[str, Any]:
    store, run = made
    shards, trained = read_manifest(store, SHARDS), read_manifest(store, run)
    assert shards is not None
    assert trained is not None
    evaluate(store, an_experiment(**evaluate_), Shards(store.uri(SHARDS), SHARDS, shards.digest),
             Trained(store.uri(run), run, trained.digest), key="e", prefix="scores/e", features=KEY, place=place)
    found: dict[str, Any] = json.loads(store.read("scores/e/metrics.json"))
    return found


class Counting:
    """Looks in turn, and counts the images and the blocks of inputs and of images that are there."""

    def __init__(self) -> None:
        self.images, self.made, self.there = [], 0, 0

    def __call__(self, sight: Sight, blocks: Iterable[Block], images: int) -> Iterator[Looked]:
        self.images.append(images)
        for block in blocks:
            self.made += not isinstance(block, np.ndarray)
            self.there += isinstance(block, np.ndarray)
            yield sight.look(block)


@pytest.fixture
def forgotten(made: tuple[Store, str]) -> None:
    """No network has seen the real images yet."""
    forget(made[0])


def forget(store: Store) -> None:
    for name in store.names("features"):
        manifest = read_manifest(store, f"features/{name}")
        if manifest is not None and manifest.kind == "seen":
            store.delete(f"features/{name}")


def seen_of(store: Store) -> list[dict[str, Any]]:
    manifests = [read_manifest(store, f"features/{name}") for name in store.names("features")]
    return [manifest.facts for manifest in manifests if manifest is not None and manifest.kind == "seen"]


@pytest.mark.parametrize("block", [64, 1024])
def test_figures_do_not_depend_on_how_many_images_are_looked_at_together(
    made: tuple[Store, str], block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = figures(made)
    images = read_generator(made[0], made[1]).sample(300, seed=5)
    forget(made[0])
    for module in ("pipelines.looks", "gan_core.metrics.look"):
        monkeypatch.setattr(f"{module}.BLOCK", block)
    after = figures(made)
    assert before.keys() == after.keys()
    for name, measured in before.items():
        assert after[name]["value"] == pytest.approx(measured["value"], rel=1e-5, abs=1e-6), name
    made_again = [read_generator(made[0], made[1]).images_of(inputs)
                  for inputs in read_generator(made[0], made[1]).inputs(300, block, seed=5)]
    assert np.array_equal(np.concatenate(made_again), images)


def test_figures_are_the_same_to_the_last_bit_whoever_looks(made: tuple[Store, str], forgotten: None) -> None:
    first = figures(made)
    forget(made[0])

    def backwards(sight: Sight, blocks: Iterable[Block], images: int) -> Iterator[Looked]:
        """As if other processes had looked at the last blocks first."""
        looked = [Sight.model_validate_json(sight.model_dump_json()).look(block) for block in reversed([*blocks])]
        return reversed(looked)

    assert figures(made, backwards) == first


def test_how_networks_see_real_images_is_computed_once(made: tuple[Store, str], forgotten: None) -> None:
    first, again = Counting(), Counting()
    before = figures(made, first)
    assert first.there > 0
    assert figures(made, again, k=4).keys() == before.keys()
    assert (again.made, again.there) == (first.made, 0)
    assert all(facts.keys() == {"network", "split", "images"} for facts in seen_of(made[0]))
    assert {"domain", "random"} <= {facts["network"] for facts in seen_of(made[0])}


@pytest.mark.parametrize("other", [{"samples": 300}, {"split": "validation"}, {"seed": 1, "networks": ["random"]}])
def test_other_images_and_other_networks_are_seen_anew(
    made: tuple[Store, str], forgotten: None, other: dict[str, Any]
) -> None:
    figures(made)
    count = Counting()
    figures(made, count, **other)
    assert count.there > 0


def test_kept_features_that_are_damaged_are_made_again(made: tuple[Store, str], forgotten: None) -> None:
    store = made[0]
    before = figures(made)
    for name in store.names("features"):
        manifest = read_manifest(store, f"features/{name}")
        if manifest is not None and manifest.kind == "seen":
            flip_a_byte(store, f"features/{name}/features.safetensors")
    count = Counting()
    assert figures(made, count) == before
    assert count.there > 0
    count = Counting()
    figures(made, count)
    assert count.there == 0


def test_kept_features_are_those_of_the_images(made: tuple[Store, str], forgotten: None) -> None:
    store = made[0]
    figures(made, samples=300)
    (prefix,) = [f"features/{name}" for name in store.names("features")
                 if (m := read_manifest(store, f"features/{name}")) is not None
                 and (m.facts.get("network"), m.facts.get("split")) == ("domain", "test")]
    kept = load(store.read(f"{prefix}/features.safetensors"))["seen"]
    images = open_shards(store, SHARDS).split("test").images[:300]
    assert np.array_equal(kept, read_features(store, f"features/{KEY[:16]}").features(images))


def test_little_work_is_not_spread_and_progress_is_told(made: tuple[Store, str], forgotten: None) -> None:
    told: list[tuple[int, int]] = []
    place = on_ray_looks(Profile(), lambda done, images: told.append((done, images)))  # no Ray is started
    assert figures(made, place) == figures(made)
    assert told[:2] == [(256, 360), (360, 360)]


def test_a_block_is_looked_at_on_one_thread_whatever_the_process_has(
    made: tuple[Store, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def make(inputs: Any) -> Any:
        threads.append(torch.get_num_threads())
        return np.zeros((1, 1, 8, 8), np.uint8)

    monkeypatch.setattr("pipelines.looks._opened", lambda sight: (make, {}))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        Sight(store="", features="", evaluate=an_experiment().evaluate).look({"z": np.zeros((1, 4))})
        assert (threads, torch.get_num_threads()) == ([1], 3)
    finally:
        torch.set_num_threads(before)


@pytest.mark.system
def test_any_number_of_ray_workers_gives_the_same_figures(
    made: tuple[Store, str], tmp_path: Path
) -> None:
    forget(made[0])
    here = figures(made, samples=None, split="train")
    mark = tmp_path / "died"
    for told in (("1",), ("3",), ("2", str(mark))):
        forget(made[0])
        done = subprocess.run([sys.executable, "-m", "tests.test_looks", made[0].url, made[1], *told],
                              capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == here
    assert mark.exists()


def main(store: str, run: str, cpus: str, mark: str = "") -> None:
    """Evaluates by Ray tasks on a Ray of so many CPUs, and prints the figures.

    mark: a file that a worker leaves where it dies.
    """
    profile = Profile(cpus_per_worker=int(cpus))
    if mark:
        on_ray_looks_module._look = lambda sight, block: dying(mark, sight, block)  # Ray takes no partial
    with ray_for_a_while():
        start_ray(profile, 1)
        print(json.dumps(figures((Store(store), run), on_ray_looks(profile, worth=0), samples=None, split="train")))


def dying(mark: str, sight: str, block: Block) -> Looked | str:
    """Looks at a block, but for the first time, when its process dies at it."""
    with suppress(FileExistsError):
        Path(mark).touch(exist_ok=False)
        os.kill(os.getpid(), signal.SIGKILL)
    return LOOK(sight, block)


if __name__ == "__main__":
    main(*sys.argv[1:])
