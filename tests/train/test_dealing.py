from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from gan_core.config import Experiment
from gan_core.errors import ConfigError
from gan_core.models.norm import BatchNorm
from gan_core.store import Store
from gan_core.train.dealing import norms_over_parts, refuse_uneven
from tests.train.runs import Scripted, train

Make = Callable[..., Experiment]
ELASTIC = {"workers": {"min": 1, "max": 4}}
NORMED = {"generator": nn.Sequential(nn.Linear(2, 2), BatchNorm(2)), "discriminator": nn.Linear(2, 2)}


def test_a_fixed_number_of_workers_must_divide_the_batch(experiment: Make) -> None:
    refuse_uneven(experiment(), 4)
    with pytest.raises(ConfigError, match=r"train\.batch=64 does not split over 3 workers; train\.batch=66 does"):
        refuse_uneven(experiment(), 3)


def test_an_elastic_one_only_has_to_leave_each_a_row_of_each_part(experiment: Make) -> None:
    refuse_uneven(experiment(train=ELASTIC), 3)
    refuse_uneven(experiment(train=ELASTIC | {"accumulate": 16}), 4)
    with pytest.raises(ConfigError, match=r"too few images for 5 workers and train\.accumulate=16; train\.batch=80"):
        refuse_uneven(experiment(train=ELASTIC | {"accumulate": 16}), 5)


@pytest.mark.parametrize(("accumulate", "networks"), [(1, NORMED), (8, {"generator": nn.Linear(2, 2)})])
def test_without_parts_or_without_a_norm_over_them_there_is_nothing_to_tell(
    accumulate: int, networks: Any, experiment: Make
) -> None:
    assert norms_over_parts(experiment(train={"accumulate": accumulate}), networks) == ""


def test_a_norm_over_parts_is_told_and_over_tiny_parts_refused(experiment: Make) -> None:
    told = norms_over_parts(experiment(train={"accumulate": 4}), NORMED)
    assert told.startswith("train.accumulate=4: the batch norm of generator is over 16 images at a time, not 64")
    with pytest.raises(ConfigError, match=r"generator would see 12 images at a time.*train\.accumulate=4 works"):
        norms_over_parts(experiment(train={"accumulate": 5}), NORMED)


def test_a_run_notes_it_once(tmp_path: Any, digits_store: Store, experiment: Make) -> None:
    reporter = Scripted()
    train(Store(tmp_path), digits_store, experiment(train={"accumulate": 2, "images": 64}), reporter)
    assert [note for note in reporter.notes if "batch norm of generator" in note] == reporter.notes
    assert len(reporter.notes) == 1
