"""`gan augment` as it is run: kept and reused, gone on with after a kill, and silent about nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from gan_core.errors import ConfigError
from gan_core.manifest import read_manifest
from gan_core.metrics import augmentation
from gan_core.store import Store
from pipelines.augment_facts import sentence
from pipelines.augment_run import Augmented, AugmentWish, augment
from pipelines.cli import app
from pipelines.profile import Profile
from pipelines.run import open_to_run
from tests.artefacts import finish_scores, publish_as, publish_one
from tests.domains import written
from tests.tones import PITCHES, recordings, write_tones
from tests.train.runs import RUN, train

FEW = {"images": 640, "seeds": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the champion of an experiment whose data have a long tail; its weights were never trained."""
    place = tmp_path_factory.mktemp("augment")
    publish_one(Store(place / "store"))
    (place / "digits.yaml").write_text(yaml.safe_dump(
        {"name": "digits", "data": {"source": "digits", "imbalance": 20}, "model": {"recipe": "dcgan"}}))
    return place


def made(place: Path, *settings: str, model: str | None = None, **wish: Any) -> Augmented:
    opened = open_to_run(str(place / "digits.yaml"), str(place / "store"), settings, Profile(), [])
    return augment(opened, model, AugmentWish(**{**FEW, **wish}))


@pytest.fixture(scope="module")
def first(place: Path) -> Augmented:
    return made(place)


def trainings(monkeypatch: pytest.MonkeyPatch, killed_at: int | None = None) -> list[tuple[str, int]]:
    """The classifiers that are trained from now on; the one of that number is killed before it has learnt."""
    seen: list[tuple[str, int]] = []
    real = augmentation.answers

    def watched(way: str, *sets: Any, seed: int, **options: Any) -> Any:
        if len(seen) == killed_at:
            raise KeyboardInterrupt
        seen.append((way, seed))
        return real(way, *sets, seed=seed, **options)

    monkeypatch.setattr(augmentation, "answers", watched)
    return seen


def test_noise_is_not_recommended_and_the_numbers_say_why(first: Augmented) -> None:
    facts = first.as_json()
    assert first.status == "RUN"
    assert not facts["recommended"]
    assert {*facts["ways"]} == {"real", "real_balanced", "synthetic", "real_synthetic"}
    for of in facts["ways"].values():
        assert 0 <= of["accuracy"]["low"] <= of["accuracy"]["value"] <= of["accuracy"]["high"] <= 1
        assert {*of["recall"]} == {str(label) for label in range(10)}
    assert facts["ways"]["synthetic"]["accuracy"]["value"] < facts["ways"]["real"]["accuracy"]["value"]
    assert (facts["test"], facts["seeds"], facts["images"], facts["per_class"]) == (360, 2, 640, 128)
    assert [facts["classes"][label]["train"] for label in (0, 9)] == [128, 6]


def test_it_is_an_artefact_of_the_version_and_the_shards_with_a_report_of_every_class(
    place: Path, first: Augmented
) -> None:
    store = Store(place / "store")
    prefix = first.uri.removeprefix(f"{store.url}/")
    manifest = read_manifest(store, prefix)
    assert manifest is not None
    assert [parent.kind for parent in manifest.parents] == ["version", "shards"]
    names = {file.path for file in manifest.files}
    assert {"augmentation.json", "report.html", "results/real-0.json", "results/real_synthetic-1.json"} <= names
    page = store.read(f"{prefix}/report.html").decode()
    assert sentence(first.facts).replace("'", "&#39;") in page
    assert page.count('<th scope="row">') == 10 + 4  # classes and ways
    assert "<svg" in page


def test_the_same_command_again_trains_and_writes_nothing(
    place: Path, first: Augmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = trainings(monkeypatch)
    again = made(place)
    assert (again.status, again.uri, again.facts) == ("REUSED", first.uri, first.facts)
    assert not seen


def test_killed_between_classifiers_it_goes_on_and_comes_to_the_same(
    place: Path, first: Augmented, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(place / "store")
    facts = store.read(f"{first.uri.removeprefix(f'{store.url}/')}/augmentation.json")
    store.delete(first.uri.removeprefix(f"{store.url}/"))
    with monkeypatch.context() as patch:
        trainings(patch, killed_at=5)
        with pytest.raises(KeyboardInterrupt):
            made(place)
    with monkeypatch.context() as patch:
        seen = trainings(patch)
        assert made(place).status == "RUN"
    assert seen == [("real_balanced", 1), ("synthetic", 1), ("real_synthetic", 1)]
    assert store.read(f"{first.uri.removeprefix(f'{store.url}/')}/augmentation.json") == facts


def test_other_settings_are_another_augmentation(place: Path, first: Augmented) -> None:
    assert made(place, images=128, seeds=1).uri != first.uri


def test_a_generator_of_other_data_is_told_of(first: Augmented) -> None:
    (note,) = first.facts["notes"]
    assert "may have seen more, even test examples" in note


def test_what_is_not_shown_to_help_is_no_error_unless_a_gain_is_required(place: Path, first: Augmented) -> None:
    words = ["augment", str(place / "digits.yaml"), "--store", str(place / "store"), "--images", "640", "--seeds", "2"]
    told = CliRunner().invoke(app, words)
    assert told.exit_code == 0
    assert sentence(first.facts) in told.stdout
    machine = CliRunner().invoke(app, [*words, "--json"])
    assert json.loads(machine.stdout)["verdict"] == first.facts["verdict"]
    refused = CliRunner().invoke(app, [*words, "--require-gain"])
    assert "without --require-gain this is no error" in str(refused.exception)
    assert getattr(refused.exception, "exit_code", None) == 3


@pytest.mark.parametrize(("wish", "settings", "model", "says"), [
    ({"seeds": 0}, (), None, "--seeds 0: from 1 to 100"),
    ({"images": 0}, (), None, "--images 0: nothing is learnt"),
    ({"per_class": 0}, (), None, "--per-class 0: from 1 on"),
    ({"per_class": 6}, (), None, "--per-class 6: no class has fewer than 6 .*--per-class 256 works"),
    ({}, (), "digits@0009", "digits@0009: no such version"),
])
def test_what_cannot_work_is_refused_in_one_line(
    place: Path, wish: dict[str, Any], settings: tuple[str, ...], model: str | None, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        made(place, *settings, model=model, **wish)


def test_a_generator_without_labels_cannot_be_asked_for_rare_classes(place: Path, tmp_path: Path) -> None:
    plain = publish_one(Store(tmp_path), "plain", "plain", classes=0)
    with pytest.raises(ConfigError, match="was trained without labels, and cannot be asked for the classes"):
        made(place, model=plain.uri)


def test_recordings_of_rare_classes_are_made_and_judged_too(tmp_path: Path) -> None:
    experiment = recordings(write_tones(tmp_path / "tones", 20))
    store = written(experiment, tmp_path / "store")
    train(store, store, experiment)
    publish_as(store, "p", RUN, finish_scores(store, RUN), experiment)
    (tmp_path / "tones.yaml").write_text(yaml.safe_dump(experiment.as_json()))
    opened = open_to_run(str(tmp_path / "tones.yaml"), store.url, ["data.imbalance=4"], Profile(), [])
    facts = augment(opened, "tones", AugmentWish(images=256, seeds=1)).facts
    assert [each["name"] for each in facts["classes"]] == [str(pitch) for pitch in PITCHES]
    assert facts["classes"][0]["train"] > 2 * facts["classes"][-1]["train"] > 0
    assert facts["ways"]["real_balanced"]["accuracy"]["value"] > 0.4
