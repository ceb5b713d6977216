"""`train.init_from` in plans: an address is looked up once, and what it names is an input of the train stage."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_core.config import Experiment, load_experiment
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import ConfigError
from gan_core.manifest import Parent
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from pipelines.handles import Shards
from pipelines.models import lineage, set_alias
from pipelines.plan import Action, Planner, Step
from pipelines.records import RunRecord, write_record
from pipelines.stages.train import train
from tests.artefacts import a_parent, finish_run, finish_scores, publish_as
from tests.domains import PREFIX as DOMAINS
from tests.domains import translation, write_negatives, written

KNOWN = {"prepare": "0" * 64}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with two versions of a model, of which the older one is champion."""
    store = Store(tmp_path / "store")
    for number, seed in (("1", 0), ("2", 1)):
        run = finish_run(store, f"r{number}", seed=seed)
        publish_as(store, f"p{number}", run, finish_scores(store, run, f"e{number}"))
    set_alias(store, "digits", "champion", "1", why="it is the first")
    return store


def experiment(address: str | None) -> Experiment:
    words = [] if address is None else [f"train.init_from={address}"]
    return load_experiment("configs/digits.yaml", words)


def step(store: Store, address: str | None) -> Step:
    return Planner(store, experiment(address)).step("train", KNOWN)


def version(store: Store, number: str) -> Parent:
    return a_parent(store, f"models/digits/versions/{number}")


def test_the_version_that_an_address_names_is_in_the_key(store: Store) -> None:
    keys = {address: step(store, address).key for address in (None, "digits@0001", "digits@latest")}
    assert len({*keys.values()}) == 3
    assert step(store, "digits@0002").key == step(store, "digits").key == keys["digits@latest"]


def test_where_a_version_lies_is_not_in_the_key(store: Store, tmp_path: Path) -> None:
    elsewhere = Store(tmp_path / "elsewhere")
    for path in store.sizes("models"):
        elsewhere.write(f"models/{path}", store.read(f"models/{path}"))
    there = step(store, f"{elsewhere.url}/models/digits@champion")
    assert there.key == step(store, "digits@champion").key
    assert there.begins_from == version(elsewhere, "0001")


def test_the_key_changes_when_the_alias_moves_and_the_plan_says_why(store: Store) -> None:
    before = step(store, "digits@champion")
    record = RunRecord(started="now", experiment=experiment("digits@champion").as_json(),
                       stages={"train": before.record})
    write_record(store, "experiments/digits/20260101T000000.000000Z.json", record)
    assert step(store, "digits@champion").key == before.key
    set_alias(store, "digits", "champion", "2", why="it is better")
    after = step(store, "digits@champion")
    assert after.key != before.key
    assert (before.begins_from, after.begins_from) == (version(store, "0001"), version(store, "0002"))
    assert after.reason == "the weights that train.init_from names changed"
    assert step(store, None).reason == "the weights that train.init_from names changed"


def test_a_plan_keeps_to_the_version_that_it_looked_up(store: Store) -> None:
    planner = Planner(store, experiment("digits@champion"))
    first = planner.step("train", KNOWN)
    set_alias(store, "digits", "champion", "2", why="it is better")
    assert planner.step("train", KNOWN) == first


def test_other_stages_do_not_depend_on_it(store: Store) -> None:
    for stage in ("prepare", "evaluate", "publish"):
        known = {"prepare": "0", "train": "1", "evaluate": "2"}
        plain, begun = (Planner(store, experiment(address)).step(stage, known) for address in (None, "digits@1"))
        assert plain == begun
        assert plain.begins_from is None


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("digit@champion", r"^train\.init_from: unknown model 'digit' .*did you mean 'digits'"),
        ("digits@best", r"^train\.init_from: digits@best: no such version .*aliases: digits@champion, digits@l"),
        ("digits@0009", r"^train\.init_from: digits@0009: no such version .*versions: 0001, 0002"),
        ("{store}/runs/r1", r"^train\.init_from=.*runs/r1 is no published version; `gan models list`"),
    ],
)
def test_an_address_that_names_nothing_is_refused_before_anything_starts(
    store: Store, address: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Planner(store, experiment(address.replace("{store}", store.url))).plan()


def test_the_workers_are_given_the_version_and_its_lineage_is_the_runs(store: Store) -> None:
    given: list[tuple[Parent, ...]] = []

    def launch(place: RunPlace, shards: str, parents: tuple[Parent, ...]) -> None:
        given.append(parents)

    planned = step(store, "digits@champion")
    assert planned.action is Action.RUN
    prefix = real_shards(store)
    made = a_parent(store, prefix)
    handle = Shards(made.uri, prefix, made.digest)
    settings = experiment("digits@champion")
    assert planned.begins_from is not None
    train(store, settings, handle, launch, key=planned.key, prefix=planned.prefix, also_from=(planned.begins_from,))
    train(store, settings, handle, launch, key=planned.key, prefix=planned.prefix)
    assert given == [(made, version(store, "0001")), (made,)]
    kinds = [parent.kind for parent in lineage(store, given[0])]
    assert kinds == ["shards", "shards", "run", "scores", "version"]


def real_shards(store: Store) -> str:
    write_shards(Digits(), store, "shards/digits", shard_examples=4096, key="digits")
    return "shards/digits"


def test_networks_that_are_not_made_for_the_data_are_refused_before_any_worker_starts(store: Store) -> None:
    def launch(place: RunPlace, shards: str, parents: tuple[Parent, ...]) -> None:
        raise AssertionError("workers were started")

    prefix = real_shards(store)
    made = a_parent(store, prefix)
    settings = load_experiment("configs/digits.yaml", ["model={recipe: dcgan_original}"])
    with pytest.raises(ConfigError, match="no images of 8 by 8; 28 by 28 and 64 by 64 work"):
        train(store, settings, Shards(made.uri, prefix, made.digest), launch, key="0" * 64, prefix="runs/x")


def test_what_is_not_measured_of_translations_is_refused_before_any_worker_starts(tmp_path: Path) -> None:
    def launch(place: RunPlace, shards: str, parents: tuple[Parent, ...]) -> None:
        raise AssertionError("workers were started")

    settings = translation(write_negatives(tmp_path / "negatives.npz"), evaluate={"also": ["memorisation"]})
    store = written(settings, tmp_path / "store")
    made = a_parent(store, DOMAINS)
    message = r'evaluate.also=\["memorisation"\] is not measured .*evaluate.also=\[\] works'
    with pytest.raises(ConfigError, match=message):
        train(store, settings, Shards(made.uri, DOMAINS, made.digest), launch, key="0" * 64, prefix="runs/x")


def test_what_is_measured_of_translations_alone_is_refused_of_others_before_any_worker_starts(tmp_path: Path) -> None:
    def launch(place: RunPlace, shards: str, parents: tuple[Parent, ...]) -> None:
        raise AssertionError("workers were started")

    store = Store(tmp_path)
    write_shards(Digits(), store, DOMAINS, shard_examples=4096, key="digits")
    made = a_parent(store, DOMAINS)
    settings = load_experiment("configs/digits.yaml", ["evaluate.also=[class_kl, image_quality]"])
    message = r'evaluate.also=\["image_quality"\] is not measured .*evaluate.also=\["class_kl"\] works'
    with pytest.raises(ConfigError, match=message):
        train(store, settings, Shards(made.uri, DOMAINS, made.digest), launch, key="0" * 64, prefix="runs/x")
