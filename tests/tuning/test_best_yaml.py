"""The best settings of a search as an experiment's file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gan_core.config import load_experiment
from gan_core.search_space import with_values
from pipelines.tuning.best_yaml import best_yaml, but_defaults
from pipelines.tuning.leaderboard import leaderboard
from tests.tuning.searches import GAMMA, LEARNING_RATE, VALUES, WIDTH, search, trial

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
AWKWARD = {LEARNING_RATE: 2.1300000000000003e-4, WIDTH: 64, GAMMA: 1e-05}


def best(*args, **options) -> str:
    found = search(*args, **options)
    return best_yaml(found, leaderboard(found)[0])


def head(text: str) -> str:
    """The comments, on one line."""
    return " ".join(line.lstrip("# ") for line in text.splitlines() if line.startswith("#"))


def test_it_loads_again_with_exactly_the_settings_of_the_winner(tmp_path):
    found = search([trial(0, 3.0), trial(1, 1.0, params=AWKWARD, seed=7)])
    row = leaderboard(found)[0]
    (tmp_path / "best.yaml").write_text(best_yaml(found, row))
    loaded = load_experiment(tmp_path / "best.yaml")
    assert loaded == with_values(found.experiment, AWKWARD, seed=7)
    assert loaded.tune is None
    assert loaded.seed == 7
    assert loaded.train.images == found.experiment.train.images


def test_what_was_searched_is_written_out_even_where_it_is_the_default():
    default = 64
    written = yaml.safe_load(best([trial(0, 1.0, params={**VALUES, WIDTH: default})]))
    assert written["model"]["width"] == default
    assert "tune" not in written


def test_what_is_as_the_recipe_has_it_is_left_out():
    written = yaml.safe_load(best([trial(0, 1.0)]))
    assert list(written) == ["name", "seed", "data", "model"]
    assert set(written["model"]) == {"recipe", "generator_optimizer", "width", "penalties"}
    assert written["data"] == {"source": "digits"}


def test_a_condition_that_did_not_hold_leaves_its_field_as_it_was():
    written = yaml.safe_load(best([trial(0, 1.0, params={LEARNING_RATE: 2e-4, WIDTH: 16})]))
    assert "penalties" not in written["model"]


def test_its_head_says_where_it_comes_from_and_how_sure_it_is():
    repeats = [trial(1, 1.5, seed=1), trial(1, 2.0, seed=2)]
    told = head(best([trial(0, 3.0), trial(1, 1.0)], repeats))
    for fact in ("trial 1", "of 2 trials", "tune/abc", "key abc", "minimised: fd_domain = 1.0 after 1,000 images",
                 "n_real = n_fake = 180", "validation split", "3 seeds: 1.5000 ± 0.5000", f"{LEARNING_RATE}=0.0002"):
        assert fact in told


def test_its_head_says_that_nothing_was_repeated():
    assert "luck is not known" in head(best([trial(0, 1.0)]))


def test_its_head_names_both_metrics_of_a_weighted_pair():
    told = head(best([trial(0, 1.0)], objective={"weighted": {"fd_domain": 1.0, "recall_domain": -10.0}}))
    assert "1 * fd_domain + -10 * recall_domain" in told


def test_equal_records_give_equal_bytes():
    first, second = (best([trial(0, 1.0)], [trial(0, 1.5, seed=1)]) for _ in range(2))
    assert first == second


def test_a_value_of_several_lines_stays_in_its_comment():
    text = "first\nname: other"
    space = {"publish.licence": {"choice": [text, "MIT"]}}
    written = yaml.safe_load(best([trial(0, 1.0, params={"publish.licence": text})], space=space))
    assert (written["name"], written["publish"]["licence"]) == ("digits", text)


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_shipped_experiment_is_the_same_without_its_defaults(file, tmp_path):
    experiment = load_experiment(file).model_copy(update={"tune": None})
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(but_defaults(experiment)))
    assert load_experiment(tmp_path / "again.yaml") == experiment
