"""How many trials a cluster has room for at a time."""

from __future__ import annotations

from typing import Any

import pytest

from gan_core.errors import ConfigError
from pipelines.profile import Profile
from pipelines.tuning.places import Places
from tests.tuning.trials import Make, searched

Nodes = list[dict[str, float]]
LAPTOP: Nodes = [{"CPU": 2}]
ONE_GPU: Nodes = [{"CPU": 16, "GPU": 1}]


@pytest.mark.parametrize(("nodes", "cpus_per_worker", "tune", "at_once"), [
    (LAPTOP, 1, {}, 2),
    (LAPTOP, 1, {"samples": 1}, 1),
    (LAPTOP, 1, {"concurrent": 1}, 1),
    (LAPTOP, 1, {"concurrent": 9}, 2),
    ([{"CPU": 3}, {"CPU": 3}], 2, {}, 2),  # a trial is on one node
    (ONE_GPU, 1, {}, 1),
    (ONE_GPU, 1, {"gpus": 0.25}, 4),
    (ONE_GPU, 1, {"gpus": 0.1, "samples": 32}, 10),
    ([{"CPU": 2, "GPU": 1}], 1, {"gpus": 0.25}, 2),
    (ONE_GPU, 1, {"gpus": 0}, 4),
    ([{"CPU": 16, "GPU": 1}, {"CPU": 16}], 1, {}, 1),
    ([{"CPU": 16, "GPU": 4}], 1, {"gpus": 2}, 2),
    (LAPTOP, 1, {"workers": 2}, 1),
    ([{"CPU": 2}, {"CPU": 3}], 1, {"workers": 2}, 2),
    ([{"CPU": 16, "GPU": 4}], 1, {"workers": 2}, 2),
    ([{"CPU": 16, "GPU": 2}], 1, {"workers": 2, "gpus": 2}, 1),  # of a trial, and each worker has its share
    ([{"CPU": 16, "GPU": 8}], 1, {"workers": 2, "gpus": 4}, 2),
])
def test_as_many_trials_at_a_time_as_find_room(
    experiment: Make, nodes: Nodes, cpus_per_worker: int, tune: dict[str, Any], at_once: int
) -> None:
    places = Places.among(nodes, searched(experiment, tune), Profile(cpus_per_worker=cpus_per_worker))
    assert places.at_once == at_once


def test_a_trial_asks_tune_for_its_share_of_a_gpu(experiment: Make) -> None:
    places = Places.among(ONE_GPU, searched(experiment, {"gpus": 0.25}), Profile(cpus_per_worker=2))
    assert (places.cpus, places.gpus, places.takes_turns) == (2, 0.25, False)
    assert Places.among(ONE_GPU, searched(experiment), Profile()).gpus == 1
    assert Places.among(LAPTOP, searched(experiment), Profile()).gpus == 0


def test_trials_with_several_workers_take_turns(experiment: Make) -> None:
    assert Places.among(LAPTOP, searched(experiment, {"workers": 2}), Profile()).takes_turns


@pytest.mark.parametrize(("nodes", "profile", "tune", "said"), [
    (LAPTOP, {}, {"workers": 4}, "tune.workers=4: a trial asks for 4 CPUs and 0 GPUs, and the cluster has 2 CPUs, 0 "
     "GPUs in 1 node: it would wait for ever; tune.workers=2 fits"),
    (LAPTOP, {"cpus_per_worker": 3}, {}, "tune.workers=1: a trial asks for 3 CPUs and 0 GPUs, and the cluster has 2 "
     "CPUs, 0 GPUs in 1 node: it would wait for ever; lower tune.gpus or the profile's cpus_per_worker"),
    ([{"CPU": 4, "GPU": 1}, {"CPU": 4, "GPU": 1}], {}, {"gpus": 2}, "tune.workers=1: a trial asks for 1 CPUs and 2 "
     "GPUs, and the cluster has 8 CPUs, 2 GPUs in 2 nodes: it would wait for ever; lower tune.gpus or the profile's "
     "cpus_per_worker"),
    (LAPTOP, {}, {"gpus": 0.5}, "tune.workers=1: a trial asks for 1 CPUs and 0.5 GPUs, and the cluster has 2 CPUs, 0 "
     "GPUs in 1 node: it would wait for ever; lower tune.gpus or the profile's cpus_per_worker"),
])
def test_a_trial_that_never_finds_room_is_refused(
    experiment: Make, nodes: Nodes, profile: dict[str, Any], tune: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        Places.among(nodes, searched(experiment, tune), Profile.model_validate(profile))
    assert str(refused.value) == said


def test_what_the_advice_says_fits(experiment: Make) -> None:
    assert Places.among(LAPTOP, searched(experiment, {"workers": 2}), Profile()).at_once == 1
