"""What one trial trains, how long, and when it is looked at."""

from __future__ import annotations

from typing import Any

import pytest

from gan_core.errors import ConfigError
from gan_core.search_space import with_values
from pipelines.tuning.settings import checkpoint_key, lengths_of, looks_at, looks_in_all, trial_experiment
from tests.tuning.trials import HALF_LIFE, RATE, Make, searched

SHARDS = "digest-of-shards"


def key(make: Make, params: dict[str, Any], seed: int = 0, shards: str = SHARDS, **tune: Any) -> str:
    return checkpoint_key(trial_experiment(searched(make, tune), params, seed), shards)


@pytest.mark.parametrize(("tune", "images", "look_every", "looks"), [
    ({}, 384, 128, 3),
    ({"images": None}, 512, 128, 4),
    ({"images": 300}, 300, 128, 3),  # the last one is at the end
    ({"images": None, "look_every": None}, 512, 64, 8),
])
def test_looks_are_at_their_cadence_and_at_the_end(
    experiment: Make, tune: dict[str, Any], images: int, look_every: int, looks: int
) -> None:
    search = searched(experiment, tune)
    lengths = lengths_of(search)
    assert (lengths.images, lengths.look_every, looks_in_all(search)) == (images, look_every, looks)
    assert trial_experiment(search, {}, 0).train.images == images


@pytest.mark.parametrize(("batch", "positions"), [
    (64, [128, 256, 384, 512]),
    (32, [128, 256, 384, 512]),
    (96, [192, 288, 384, 576]),  # the first position with so many images, of whole batches
    (128, [128, 256, 384, 512]),
])
def test_looks_are_counted_alike_at_searched_batch_sizes(experiment: Make, batch: int, positions: list[int]) -> None:
    search = searched(experiment, {"images": None, "space": {"train.batch": "choice(32, 64, 96, 128)"}})
    assert trial_experiment(search, {"train.batch": batch}, 0).train.batch == batch
    assert [looks_at(search, position) for position in positions] == [1, 2, 3, 4]


def test_a_trial_that_fails_before_its_first_look_counts_as_one(experiment: Make) -> None:
    assert looks_at(searched(experiment), 0) == 1


def test_a_trial_differs_from_the_experiment_by_its_values_length_and_cadence_alone(experiment: Make) -> None:
    params = {RATE: 3e-3, HALF_LIFE: 321}
    search = searched(experiment, {"images": 256}, seed=5, publish={"gate": {}})
    trial = trial_experiment(search, params, 9).as_json()
    expected = with_values(search, params, seed=9).as_json()
    expected["train"] |= {
        "images": 256, "workers": 1, "fd_samples": 64, "keep_checkpoints": 2, "keep_every": None, "fd_every": 128,
        "sample_every": 128, "checkpoint_every": 128, "report_every": 128,
    }
    assert trial == expected
    assert (trial["seed"], trial["tune"]) == (9, None)


@pytest.mark.parametrize(("scheduler", "workers", "kept"), [
    ("asha", 1, 2), ("asha", 2, 2), ("hyperband", 2, 2), ("pbt", 1, 3), ("pbt", 2, 5),
])
def test_what_another_trial_may_take_over_is_kept_until_it_has(
    experiment: Make, scheduler: str, workers: int, kept: int
) -> None:
    """512 images in four looks, two from one exchange to the next; several workers train on beyond it."""
    block = {"images": 512, "workers": workers, "scheduler": scheduler}
    search = searched(experiment, block | ({"perturb_every": 256} if scheduler == "pbt" else {}))
    assert trial_experiment(search, {}, 0).train.keep_checkpoints == kept


def test_values_that_make_no_trial_are_refused(experiment: Make) -> None:
    with pytest.raises(ConfigError, match=r"^tiny with model\.width=0: "):
        trial_experiment(searched(experiment), {"model.width": 0}, 0)


def test_a_checkpoint_belongs_to_values_a_seed_and_shards(experiment: Make) -> None:
    keys = {key(experiment, {RATE: 1e-3}), key(experiment, {RATE: 2e-3}), key(experiment, {RATE: 1e-3}, seed=1),
            key(experiment, {RATE: 1e-3}, shards="others"), key(experiment, {RATE: 1e-3, HALF_LIFE: 200})}
    assert len(keys) == 5


def test_a_checkpoint_does_not_belong_to_when_it_was_looked_at(experiment: Make) -> None:
    assert key(experiment, {RATE: 1e-3}, look_every=256) == key(experiment, {RATE: 1e-3})
    assert key(experiment, {RATE: 1e-3}, scheduler="asha", samples=9) == key(experiment, {RATE: 1e-3})
