"""What evaluate takes from a run for its report besides metrics: sample grids that lie beside it, and how it went."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from gan_core.bundle import load_generator
from gan_core.config import Experiment, experiment_from
from gan_core.data.shards import open_shards
from gan_core.data.source import SPLITS, Example, Source
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.manifest import artefact, read_manifest, read_named
from gan_core.metrics.judge import judge_of
from gan_core.metrics.membership import membership_auc
from gan_core.metrics.translation import cycle_errors, domain_of
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.options.conditions import Attribute, Conditions
from gan_core.pictures import GAP
from gan_core.store import Store
from pipelines.handles import Shards, Trained
from pipelines.report import MOST_GRIDS
from pipelines.stages.evaluate import evaluate, grids_over_time, notes_of
from tests.domains import PREFIX, translation, write_negatives, written
from tests.train.runs import RUN, train


def test_grids_of_a_long_run_are_spread_over_it_and_other_files_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    positions = [10_240 * (i + 1) for i in range(50)]
    for position in positions:
        store.write(f"runs/r/samples/{position:012d}.png", str(position).encode())
    store.write("runs/r/samples/readme.txt", b"")
    found = grids_over_time(store, "runs/r")
    assert len(found) == MOST_GRIDS
    assert (found[0][0], found[-1][0]) == (positions[0], positions[-1])
    assert all(content == str(position).encode() for position, content in found)


def test_a_run_without_grids_has_none(tmp_path: Path) -> None:
    assert grids_over_time(Store(tmp_path), "runs/r") == []


def test_a_run_that_went_through_without_events_needs_no_notes() -> None:
    assert notes_of({"position": 102_400, "rollbacks": [], "ended": None, "best": None}) == []
    assert notes_of({}) == []
    slow = {"rank": 1, "host": "host2", "spells": 2, "seconds": 1130, "times": 3.1}
    assert notes_of({"slow_workers": [slow]}) == [
        "Worker 1 on host2 took up to 3.1 x as long for a step as the others, for 1,130 s in all: training waited for "
        "it."]


def test_an_early_end_roll_backs_and_the_best_checkpoint_are_told() -> None:
    notes = notes_of({
        "position": 51_200, "ended": "target: fd is 2, at most 3", "best": {"position": 40_960, "value": 2.0},
        "weights_of": 40_960, "rollbacks": [{"at": 30_720, "to": 20_480, "learning_rates": 0.5, "why": "loss is nan"}],
    })
    assert notes == [
        "A rule of the experiment ended training after 51,200 images: target: fd is 2, at most 3.",
        "After 30,720 images training went back to 20,480, and on with learning rates times 0.5: loss is nan.",
        "The weights are those of the best checkpoint, after 40,960 images.",
    ]


def test_curves_that_compare_with_training_examples_say_so() -> None:
    compared = {"split": "validation", "n_real": 180, "n_fake": 180}
    assert notes_of({"fd": compared}) == []
    assert notes_of({"fd": compared | {"split": "train"}}) == [
        "There is no validation split: fd_domain in the curves compares 180 samples with examples of the train split."]


@pytest.fixture(autouse=True)
def _fewer_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps as quick as scikit-learn allows."""
    monkeypatch.setattr("gan_core.metrics.maps.ITERATIONS", 250)


def handle(kind: Any, store: Store, prefix: str) -> Any:
    manifest = read_manifest(store, prefix)
    assert manifest is not None
    return kind(store.uri(prefix), prefix, manifest.digest)


def evaluated(store: Store, experiment: Experiment, run: str = RUN) -> dict[str, Any]:
    """metrics.json of the run in that store, on the shards beside it."""
    evaluate(store, experiment, handle(Shards, store, PREFIX), handle(Trained, store, run), key="e", prefix="scores/e",
             features="f" * 64)
    metrics: dict[str, Any] = json.loads(store.read("scores/e/metrics.json"))
    return metrics


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Experiment]:
    """A store with domains and a CycleGAN that has hardly learned."""
    folder = tmp_path_factory.mktemp("translator")
    negatives = write_negatives(folder / "negatives.npz")
    experiment = translation(negatives, evaluate={"samples": 60}, train={"images": 64, "batch": 32})
    store = written(experiment, folder / "store")
    assert train(store, store, experiment)
    return store, experiment


@pytest.mark.slow
def test_a_generator_that_translates_is_measured_on_the_images_of_both_domains(
    translator: tuple[Store, Experiment]
) -> None:
    store, experiment = translator
    metrics = evaluated(store, experiment)
    assert {*metrics} >= {"fd_domain", "coverage_pixels", "class_agreement", "agreement_before", "cycle_error_b"}
    generator, test = load_generator(store.uri(RUN)), open_shards(store, PREFIX).split("test")
    dark = domain_of(test, 1, 60).images
    there = generator.sample(60, images=dark, label=0)
    back = generator.sample(60, images=there, label=1)
    assert metrics["cycle_error_b"]["value"] == pytest.approx(cycle_errors(dark, back).mean())
    assert metrics["cycle_error_b"]["n_real"] == 60


@pytest.mark.slow
def test_its_grid_has_rows_of_images_their_translations_and_these_translated_back(
    translator: tuple[Store, Experiment]
) -> None:
    store, experiment = translator
    evaluated(store, experiment)
    picture = Image.open(io.BytesIO(store.read("scores/e/samples.png")))
    factor = picture.width // (10 * (8 + GAP) + GAP)
    assert picture.size == (factor * (10 * 9 + 1), factor * (12 * 9 + 1))
    sheet = np.asarray(picture)[::factor, ::factor]
    rows = [sheet[1 + 9 * row : 9 + 9 * row, 1:9] for row in range(12)]
    generator, test = load_generator(store.uri(RUN)), open_shards(store, PREFIX).split("test")
    for row, label in ((0, 0), (6, 1)):
        first = domain_of(test, label, 20).images[:10]
        there = generator.sample(10, images=first, label=1 - label)
        assert np.array_equal(rows[row], first[0, 0])
        assert np.array_equal(rows[row + 1], there[0, 0])
        assert np.array_equal(rows[row + 2], generator.sample(10, images=there, label=label)[0, 0])
    report = store.read("scores/e/report.html").decode()
    assert "a row of light, the same translated to dark" in report


class Inked(Source):
    """Digits with how dark they are and whether they are even."""

    def examples(self, split: str) -> Any:
        for example in Digits().examples(split):
            assert isinstance(example, Example)
            assert example.image is not None
            assert example.label is not None
            known = {"even": float(example.label % 2 == 0), "ink": float(example.image.mean() / 255)}
            yield Example(example.image, attributes=known)


ATTRIBUTES = (Attribute(name="ink", kind="continuous"), Attribute(name="even", kind="binary"))


def run_that_knows_attributes(store: Store, prefix: str) -> None:
    """A finished run of a generator that is asked for both attributes, with fresh weights."""
    inputs = {"z": InputSpec(shape=(8,), distribution="normal"),
              "label": InputSpec(shape=(2,), distribution="condition", attributes=ATTRIBUTES)}
    options = {"shape": (1, 8, 8), "latent": 8, "width": 4,
               "conditions": Conditions(attributes=ATTRIBUTES).model_dump(mode="json")}
    spec = GeneratorSpec(family="dcgan_generator", options=options, inputs=inputs, output=(1, 8, 8))
    torch.manual_seed(0)
    network = spec.build()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.5)
    with artefact(store, prefix, kind="run", key="r") as draft:
        (draft.path / "generator.json").write_text(spec.model_dump_json())
        save_file(network.state_dict(), draft.path / "generator.safetensors")
        (draft.path / "metrics.jsonl").write_text('{"position": 64, "loss/generator": 1.0}\n')


def test_a_generator_of_attributes_is_asked_for_those_of_the_real_examples(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_shards(Inked(), store, PREFIX, shard_examples=4096, key="inked")
    run_that_knows_attributes(store, RUN)
    experiment = experiment_from({"name": "inked", "data": {"source": "digits"}, "model": {"recipe": "dcgan"},
                                  "evaluate": {"samples": 100, "networks": ["pixels"]}})
    metrics = evaluated(store, experiment)
    assert {*metrics} == {f"{name}_pixels" for name in ("precision", "recall", "density", "coverage")}
    test = list(Inked().examples(SPLITS[2]))[:100]
    asked = np.array([[e.attributes["ink"], e.attributes["even"]] for e in test], np.float32)
    made = load_generator(store.uri(RUN)).sample(100, seed=0, attributes=asked)
    picture = Image.open(io.BytesIO(store.read("scores/e/samples.png")))
    sheet = np.asarray(picture)[:: picture.width // 91, :: picture.width // 91]
    assert np.array_equal(sheet[1:9, 10:18], made[1, 0])
    assert np.array_equal(sheet[82:90, 82:90], made[99, 0])


def test_the_facts_of_the_report_name_the_data_the_run_and_the_feature_network(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_shards(Inked(), store, PREFIX, shard_examples=4096, key="inked")
    run_that_knows_attributes(store, RUN)
    experiment = experiment_from({"name": "inked", "data": {"source": "digits"}, "model": {"recipe": "dcgan"},
                                  "evaluate": {"samples": 100, "networks": ["pixels"]},
                                  "publish": {"gate": {"coverage_pixels": {"at_least": 0}}}})
    metrics = evaluated(store, experiment)
    first = json.loads(store.read("scores/e/report.json"))
    assert first["metrics"] == metrics
    assert first["gate"] == {"coverage_pixels": {"at_least": 0.0, "passed": True}}
    assert first["experiment"] == experiment.as_json()
    digests = {kind: handle(Shards, store, prefix).digest for kind, prefix in (("shards", PREFIX), ("run", RUN))}
    assert {one["kind"]: one["digest"] for one in first["lineage"]} == digests
    assert first["features"] == handle(Shards, store, f"features/{'f' * 16}").digest
    evaluated(store, experiment)
    assert json.loads(store.read("scores/e/report.json")) == first  # by the network that the store has now


@pytest.mark.slow
def test_what_is_asked_of_the_discriminator_is_measured_of_the_runs_own(tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_shards(Digits(), store, PREFIX, shard_examples=4096, key="digits")
    experiment = experiment_from({
        "name": "judged", "data": {"source": "digits"}, "model": {"recipe": "dcgan", "width": 8},
        "train": {"images": 64, "batch": 32},
        "evaluate": {"samples": 100, "networks": ["pixels"], "also": ["membership", "linear_probe"]}})
    assert train(store, store, experiment)
    metrics = evaluated(store, experiment)
    data, run = open_shards(store, PREFIX), read_manifest(store, RUN)
    assert run is not None
    judge = judge_of(experiment, data, read_named(store, RUN, run, "networks.safetensors"))
    known, fresh = (judge.logits(split.images[rows], np.asarray(split.labels)[rows]) for split, rows in (
        (data.split("train"), np.arange(100) * len(data.split("train")) // 100), (data.split("test"), np.arange(100))))
    assert metrics["membership_auc"]["value"] == membership_auc(known, fresh)
    assert metrics["membership_auc"]["low"] < 0.6
    assert metrics["linear_probe_discriminator"]["value"] > 0.5
