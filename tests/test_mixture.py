from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from gan_core.bundle import Generator, read_generator
from gan_core.errors import ConfigError
from gan_core.mixture import Mixture, averaged
from gan_core.models.spec import GeneratorSpec
from gan_core.store import Store
from tests.artefacts import SHAPE, finish_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("mixture"))


@pytest.fixture(scope="module")
def one(store: Store) -> Generator:
    return read_generator(store, finish_run(store, "one"))


@pytest.fixture(scope="module")
def other(store: Store) -> Generator:
    return read_generator(store, finish_run(store, "other", seed=1))


def far(one: Generator, by: float) -> Generator:
    """The same generator with every weight moved."""
    network = copy.deepcopy(one.network)
    with torch.no_grad():
        for weight in network.parameters():
            weight += by
    return Generator("far", one.spec, network)


def with_inputs(one: Generator, **changes: Any) -> Generator:
    spec = one.spec.model_dump()
    return Generator("changed", GeneratorSpec.model_validate(spec | changes), one.network)


def test_each_image_of_a_mixture_is_that_image_of_one_of_its_generators(one: Generator, other: Generator) -> None:
    mixture = Mixture.of([one, other], [0.7, 0.3])
    which, mixed = mixture.which(100, 4), mixture.sample(100, seed=4)
    alone = [generator.sample(100, seed=4) for generator in (one, other)]
    assert {*which} == {0, 1}
    np.testing.assert_array_equal(mixed, np.where(which[:, None, None, None] == 0, *alone))
    assert (alone[0] != alone[1]).reshape(100, -1).any(axis=1).all()


@pytest.mark.parametrize(("weights", "shares"), [([0.7, 0.3], [0.7, 0.3]), ([1, 3], [0.25, 0.75]), (None, [0.5, 0.5]),
                                                 ([0, 2], [0, 1])])
def test_each_generator_makes_its_share(one: Generator, other: Generator, weights: Any, shares: list[float]) -> None:
    mixture = Mixture.of([one, other], weights)
    assert mixture.shares == pytest.approx(shares)
    made = np.bincount(mixture.which(100_000), minlength=2) / 100_000
    np.testing.assert_allclose(made, shares, atol=0.01)
    assert (made[0] == 0) == (shares[0] == 0)


def test_the_first_n_of_more_samples_of_a_mixture_are_the_n_samples(one: Generator, other: Generator) -> None:
    mixture = Mixture.of([one, other])
    np.testing.assert_array_equal(mixture.sample(130, seed=1)[:65], mixture.sample(65, seed=1))
    assert (mixture.which(130, 1) != mixture.which(130, 2)).any()


def test_a_mixture_is_asked_for_labels_like_one_generator(one: Generator, other: Generator) -> None:
    mixture = Mixture.of([one, other])
    np.testing.assert_array_equal(mixture.sample(6, label=3), mixture.sample(6, label=np.full(6, 3)))
    with pytest.raises(ConfigError, match=r"label=10: not a class of .*one and .*other; label=0 to label=9 work"):
        mixture.sample(6, label=10)


def test_generators_of_other_noise_can_be_mixed(one: Generator) -> None:
    class Plain(torch.nn.Module):
        def forward(self, w: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return torch.tanh(w).expand(len(w), 64).unflatten(1, SHAPE)

    noise = {"w": {"shape": (1,), "distribution": "normal"}, "label": one.spec.inputs["label"].model_dump()}
    plain = Generator("plain", GeneratorSpec(family="any", options={}, inputs=noise, output=SHAPE), Plain())
    mixture = Mixture.of([one, plain])
    which, mixed = mixture.which(20), mixture.sample(20)
    np.testing.assert_array_equal(mixed[which == 1], plain.sample(20)[which == 1])
    np.testing.assert_array_equal(mixed[which == 0], one.sample(20)[which == 0])


def test_generators_that_are_asked_for_differently_are_not_mixed(one: Generator, other: Generator) -> None:
    with pytest.raises(ConfigError, match=r"makes images of \[1, 8, 8\] and changed of \[1, 16, 16\]"):
        Mixture.of([one, with_inputs(one, output=(1, 16, 16))])
    fewer = one.spec.model_dump()["inputs"]
    fewer["label"]["classes"] = 9
    with pytest.raises(ConfigError, match=r"one and changed are asked for differently.*trained by the same"):
        Mixture.of([one, with_inputs(one, inputs=fewer)])


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [-1, 2], [0, 0], [float("nan"), 1]])
@pytest.mark.parametrize("make", [Mixture.of, averaged])
def test_weights_that_do_not_fit_are_refused(one: Generator, other: Generator, make: Any, weights: list[float]) -> None:
    with pytest.raises(ConfigError, match=r"weights=.*: not one number of 0 or more for each of 2.*weights=1,1 works"):
        make([one, other], weights)


def test_no_generator_makes_nothing() -> None:
    with pytest.raises(ConfigError, match="no generator was named"):
        Mixture.of([])


@pytest.mark.parametrize("weights", [None, [1, 2, 3], [0, 0.1, 0.3]])
def test_the_average_of_a_generator_with_itself_is_itself(one: Generator, weights: Any) -> None:
    again = averaged([one, one, one], weights).network.state_dict()
    assert all(torch.equal(again[name], value) for name, value in one.network.state_dict().items())


def test_weights_and_statistics_are_averaged_by_their_shares(one: Generator, other: Generator) -> None:
    mean = averaged([one, other], [3, 1])
    ours, theirs = one.network.state_dict(), other.network.state_dict()
    for name, value in mean.network.state_dict().items():
        want = 0.75 * ours[name] + 0.25 * theirs[name] if value.is_floating_point() else ours[name]
        torch.testing.assert_close(value, want)
    assert mean.sample(3).shape == (3, *SHAPE)


def test_averaging_leaves_the_generators_as_they_were(one: Generator) -> None:
    before = one.sample(4)
    moved = averaged([one, far(one, 0.5)])
    np.testing.assert_array_equal(one.sample(4), before)
    assert (moved.sample(4) != before).any()


def test_generators_that_are_built_differently_have_no_average(store: Store, one: Generator) -> None:
    unlike = read_generator(store, finish_run(store, "unlike", classes=0))
    with pytest.raises(ConfigError, match=r"built differently \(dcgan_generator with .*without --average"):
        averaged([one, unlike])
