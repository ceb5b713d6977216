"""The page on tuning: its example can be searched, and what it says trains a trial alone is that trial."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from gan_core.config import Experiment, TuneConfig, experiment_from, load_experiment
from gan_core.search_space import refuse_unsearchable
from gan_core.store import Store
from pipelines.records import RunRecord, StageRecord, write_record
from pipelines.tuning.records import Look, SearchSettings, TrialEnd, TrialSettings, trial_prefix, write
from pipelines.tuning.settings import checkpoint_key, trial_experiment
from pipelines.tuning.standing import trial_yaml

PAGE = Path("docs/tuning.md").read_text(encoding="utf-8")
SEARCHED = "configs/tune/digits_dcgan.yaml"
ALONE = ["train.images=20480", "train.workers=1"]  # as the page has it
SEED, SHARDS = 3, "0" * 64
PARAMS = {
    "model.generator_optimizer.learning_rate": 0.0015312734445557695, "model.width": 24,
    "model.discriminator_optimizer.learning_rate": 5e-05, "model.penalties.r1.gamma": 2.806398458721247,
    "train.ema_half_life": 1395.0712541368159,
}


def test_the_example_of_the_block_can_be_searched() -> None:
    example = re.search(r"^```yaml\n(name: .*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert example is not None
    refuse_unsearchable(experiment_from(yaml.safe_load(example[1])))


def test_the_table_has_every_field_of_the_block() -> None:
    section = PAGE[PAGE.index("## The `tune:` block"):]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [*TuneConfig.model_fields]


def from_options(folder: Path) -> Experiment:
    values = [f"{name}={json.dumps(value)}" for name, value in PARAMS.items()]
    return load_experiment(SEARCHED, [*values, f"seed={SEED}", *ALONE])


def from_the_written_file(folder: Path) -> Experiment:
    """As `--yaml 1` prints it, of a search whose second trial it is."""
    store, key, begun = Store(folder / "store"), "ab" * 32, load_experiment(SEARCHED)
    prefix = f"tune/{key[:16]}"
    stages = {"tune": StageRecord(key=key, config={}, inputs={}, code={})}
    write_record(store, "experiments/digits/1.json", RunRecord(started="", experiment={}, stages=stages))
    write(store, f"{prefix}/search.json", SearchSettings(key=key, experiment=begun.as_json(), shards=SHARDS))
    for number, value in ((0, 1.0), (1, 2.0)):
        at = trial_prefix(prefix, number)
        write(store, f"{at}/trial.json", TrialSettings(number=number, params=PARAMS, seed=SEED))
        write(store, f"{at}/looks/000000020480.json", Look(position=20480, value=value, metrics={}, seconds=1.0))
        write(store, f"{at}/ended.json", TrialEnd(status="finished"))
    file = folder / "trial-1.yaml"
    file.write_text(trial_yaml("digits", store.url, 1))
    return load_experiment(file, ALONE)


@pytest.mark.parametrize("told", [from_options, from_the_written_file])
def test_a_trial_alone_is_trained_as_the_search_trained_it(told, tmp_path) -> None:
    alone, trial = told(tmp_path), trial_experiment(load_experiment(SEARCHED), PARAMS, SEED)
    assert " ".join(f"--set {setting}" for setting in ALONE) in PAGE
    assert checkpoint_key(alone, SHARDS) == checkpoint_key(trial, SHARDS)
    assert alone.train.workers == trial.train.workers
