"""`gan models mix`: a version that is several, whole by itself, measured, and safe to read from strangers."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from gan_core.bundle import Generator, load_generator, read_generator
from gan_core.bundle_files import SPEC, WEIGHTS
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import ConfigError, DamagedFile
from gan_core.explore.space import refuse_unexplored
from gan_core.interpolation import interpolated
from gan_core.manifest import artefact, read_manifest
from gan_core.mixture import Mixture
from gan_core.store import Store
from pipelines.cli import app
from pipelines.mix_run import Mixed, mix
from tests import artefacts
from tests.artefacts import finish_run, finish_scores, in_fresh_process, publish_as

VERSION = "models/mixed/versions/0001"
HOW = {"n_real": 360, "n_fake": 360, "split": "test", "k": 5, "seed": 0}


@dataclass(frozen=True)
class Place:
    """A store with digits@0001, of fd_domain 1, digits@0002, of 3, and models/mixed/versions/0001 made of both."""

    store: Store
    parts: tuple[Generator, Generator]
    mixed: Mixed


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    store = Store(tmp_path_factory.mktemp("mix"))
    write_shards(Digits(), store, "shards/real", shard_examples=4096, key="real")
    experiment = artefacts.an_experiment(gate={})
    few = experiment.model_copy(update={"evaluate": experiment.evaluate.model_copy(update={
        "samples": 60, "kid_subsets": 2, "networks": ("domain",)})})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artefacts, "finish_shards", lambda store: "shards/real")
        for number, fd in enumerate((1.0, 3.0)):
            run = finish_run(store, f"r{number}", seed=number)
            metrics = {"fd_domain": {"value": fd, **HOW, "network": "domain"},
                       "density_domain": {"value": 0.5 + number, **HOW, "network": "domain"}}
            publish_as(store, f"p{number}", run, finish_scores(store, run, f"e{number}", metrics=metrics), few)
    one, other = (read_generator(store, f"models/digits/versions/000{number}") for number in (1, 2))
    return Place(store, (one, other), mix(store, "mixed", ["digits@0001", "digits@0002"], None, "fd_domain"))


def test_its_samples_are_those_of_the_versions_it_is_made_of(place: Place) -> None:
    mixed = load_generator(f"{place.store.url}/{VERSION}")
    both = Mixture.of(place.parts, [3, 1])
    np.testing.assert_array_equal(mixed.sample(100, seed=5), both.sample(100, seed=5))
    np.testing.assert_array_equal(mixed.sample(9, seed=5, label=3, truncation=0.7),
                                  both.sample(9, seed=5, label=3, truncation=0.7))
    assert {*both.which(100, 5)} == {0, 1}


def test_a_better_version_has_more_of_it(place: Place) -> None:
    assert dict(place.mixed.parts) == pytest.approx({"digits@0001": 0.75, "digits@0002": 0.25})


def test_it_is_measured_and_says_what_it_is(place: Place) -> None:
    files = {path: place.store.read(f"{VERSION}/{path}") for path in place.store.sizes(VERSION)}
    assert {"fd_domain", "coverage_domain"} <= {*place.mixed.metrics} == {*json.loads(files["metrics.json"])}
    card = " ".join(files["README.md"].decode().split())
    assert "a mixture: each is made by one of digits@0001 (75 %), digits@0002 (25 %)." in card
    assert b"A mixture: each image is made by one of digits@0001 (75 %)" in files["report.html"]
    manifest = read_manifest(place.store, VERSION)
    assert manifest is not None
    assert manifest.facts["onnx"]["difference"] < 1e-4
    run = read_manifest(place.store, manifest.parents[0].uri.removeprefix(f"{place.store.url}/"))
    assert run is not None
    assert [parent.kind for parent in run.parents] == ["version", "version"]


def test_the_same_mixture_again_is_the_same_version(place: Place) -> None:
    again = mix(place.store, "mixed", ["digits@0001", "digits@0002"], [3, 1], None)
    assert (again.published.version, again.champion) == ("0001", True)


def test_it_is_whole_where_its_parts_and_their_code_are_not(place: Place, tmp_path: Path) -> None:
    copy = Store(tmp_path)
    for path in place.store.sizes(VERSION):
        copy.write(f"copy/{path}", place.store.read(f"{VERSION}/{path}"))
    script = ("import sys; from gan_core.bundle import load_generator; made = load_generator(sys.argv[1]).sample(20); "
              "assert not {'gan_core.recipes', 'gan_core.data', 'gan_core.train'} & {*sys.modules}; "
              "print(int(made.sum()))")
    alone = in_fresh_process(script, str(tmp_path / "copy"))
    assert int(alone) == int(Mixture.of(place.parts, [3, 1]).sample(20).sum())


def test_the_command_says_the_parts_and_the_version(place: Place) -> None:
    words = ["models", "mix", "mixed", "digits@0001", "digits@0002", "--store", place.store.url, "--weights", "3,1"]
    told = CliRunner().invoke(app, words, catch_exceptions=False)
    assert "0.750" in told.stdout
    assert f"{place.store.uri(VERSION)}  champion" in told.stdout
    assert json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)["version"] == "0001"


@pytest.mark.parametrize(("addresses", "weights", "by", "says"), [
    (["digits@0001", "digits@0002"], [1, 1], "fd_domain", "both say how much of each"),
    (["digits@0001", "digits@0002"], None, "nothing", "--metric nothing: none of these"),
    (["digits@0001", "digits@0002"], None, "density_domain", "neither high nor low values of it are better"),
    (["digits@0001"], None, None, "1 versions; 2 to 8"),
    (["digits@0001", "mixed@0001"], None, None, "is a mixture already; name the versions that it was made from"),
    (["digits@0001", "digits@0002"], [1, -1], None, "not one number of 0 or more"),
])
def test_what_cannot_be_mixed_is_refused(
    place: Place, addresses: list[str], weights: list[float] | None, by: str | None, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        mix(place.store, "mixed", addresses, weights, by)


def test_it_is_not_published_where_it_cannot_be_measured(place: Place, tmp_path: Path) -> None:
    empty, urls = Store(tmp_path), [f"{place.store.url}/models/digits/versions/000{number}" for number in (1, 2)]
    with pytest.raises(ConfigError, match="the prepared data that it was measured on are not in"):
        mix(empty, "mixed", urls, None, None)


def test_on_the_way_from_image_to_image_it_stays_one_network(place: Place) -> None:
    mixed = read_generator(place.store, VERSION)
    part = place.parts[Mixture.of(place.parts, [3, 1]).which(1, 7)[0]]
    np.testing.assert_array_equal(interpolated(mixed, 3, 4, seed=7, label=2), interpolated(part, 3, 4, seed=7, label=2))


def test_its_latent_space_is_no_single_one_to_explore(place: Place) -> None:
    with pytest.raises(ConfigError, match=r"is a mixture.*explore the versions that it was made from"):
        refuse_unexplored(read_generator(place.store, VERSION))


def nested(spec: dict[str, Any]) -> None:
    spec["options"]["parts"][0] = {"family": "mixture", "options": copy.deepcopy(spec["options"])}


def huge(spec: dict[str, Any]) -> None:
    spec["options"]["parts"][1]["options"]["width"] = 10**9


def wide(spec: dict[str, Any]) -> None:
    spec["options"]["parts"][1]["options"]["width"] = 4096


def short(spec: dict[str, Any]) -> None:
    spec["inputs"]["part"]["shares"] = [1.0]


def uneven(spec: dict[str, Any]) -> None:
    spec["inputs"]["part"]["shares"] = [0.9, 0.9]


def shapeless(spec: dict[str, Any]) -> None:
    spec["options"]["parts"] = [3, 4]


def many(spec: dict[str, Any]) -> None:
    spec["options"]["parts"] *= 20
    spec["inputs"]["part"]["shares"] = [1 / 40] * 40


@pytest.mark.parametrize(("spoil", "says"), [
    (nested, "options: mixture cannot be built from them"), (huge, "options.parts.1.width: 1000000000 is more"),
    (wide, "the network of generator.json has .* at least"), (short, "a share for each of options.parts, not 1"),
    (uneven, "do not add up to 1"), (shapeless, "cannot be built"), (many, "a mixture of 40 parts; 2 to 16 work"),
])
def test_a_strangers_mixture_that_cannot_be_is_named_before_it_fills_the_memory(
    place: Place, tmp_path: Path, spoil: Callable[[dict[str, Any]], None], says: str
) -> None:
    spec = json.loads(place.store.read(f"{VERSION}/{SPEC}"))
    spoil(spec)
    store = Store(tmp_path)
    with artefact(store, "bad", kind="version", key="bad") as draft:
        (draft.path / SPEC).write_text(json.dumps(spec))
        (draft.path / WEIGHTS).write_bytes(place.store.read(f"{VERSION}/{WEIGHTS}"))
    with pytest.raises(DamagedFile, match=says):
        read_generator(store, "bad")
