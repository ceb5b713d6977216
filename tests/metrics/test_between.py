"""How sure the figures between two sets are: each lies in its interval, which holds the truth often enough."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from gan_core.metrics.between import frechet, kernel, nearby, sliced
from gan_core.metrics.few_examples import warning_of_few
from gan_core.metrics.figure import Figure, jackknifed, share
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.intervals import Interval
from gan_core.metrics.kernel import kernel_distance
from gan_core.metrics.moments import Moments
from gan_core.metrics.neighbours import neighbours
from gan_core.metrics.sliced_wasserstein import sliced_wasserstein


def shifted(n: int, draw: np.random.Generator, by: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    return draw.normal(size=(n, 4)), draw.normal(size=(n, 4)) + by


def kid(real: np.ndarray, fake: np.ndarray) -> Figure:
    return kernel(real, fake, subsets=1, subset_size=len(real), seed=0)


@pytest.mark.parametrize("by", [0.0, 0.5])
def test_the_kernel_distance_of_endless_sets_is_held_at_least_as_often_as_is_said(by):
    draw = np.random.default_rng(0)
    true = kernel_distance(*shifted(3000, draw, by), subset_size=3000)
    found = [kid(*shifted(80, draw, by)) for _ in range(200)]
    assert np.mean([each.low <= true <= each.high for each in found]) > 0.92


def test_the_density_of_other_generated_examples_is_held_as_often_as_is_said():
    draw = np.random.default_rng(0)
    real = draw.normal(size=(60, 2))
    true = neighbours(real, draw.normal(size=(4_000, 2)), 3).density
    found = [nearby(neighbours(real, draw.normal(size=(60, 2)), 3), "density", 60, 60) for _ in range(200)]
    assert 0.88 < np.mean([each.low <= true <= each.high for each in found]) < 0.99


def test_the_sliced_distance_of_as_many_examples_is_held_often():
    draw = np.random.default_rng(0)
    many = [sliced_wasserstein(*shifted(80, draw)) for _ in range(100)]
    held = [sliced(*shifted(80, draw), seed=0) for _ in range(100)]
    assert np.mean([each.low <= np.mean(many) <= each.high for each in held]) > 0.9


@pytest.mark.parametrize("n", [19, 20, 57])
def test_values_are_those_of_their_own_files_and_lie_within(n):
    real, fake = shifted(n, np.random.default_rng(0))
    near = neighbours(real, fake, 3)
    found = {
        frechet_distance(Moments.of(real), Moments.of(fake)): frechet(real, fake, n),
        kernel_distance(real, fake): kid(real, fake),
        sliced_wasserstein(real, fake): sliced(real, fake, 0),
        **{getattr(near, name): nearby(near, name, n, n) for name in ("density",)},
    }
    for value, figure in found.items():
        assert figure.value == value
        if n < 20:
            assert (figure.low, figure.high, figure.level, figure.interval) == (None, None, None, None)
        else:
            assert figure.low < value < figure.high
            assert (figure.level, figure.interval) == (0.95, "jackknife")


def test_shares_are_of_the_set_that_they_are_counted_in():
    near = dataclasses.replace(neighbours(*shifted(30, np.random.default_rng(0)), 3), precision=0.5, recall=0.5)
    precision, recall = nearby(near, "precision", 10, 1000), nearby(near, "recall", 10, 1000)
    assert (precision.interval, recall.interval) == ("wilson", "wilson")
    assert recall.high - recall.low > 5 * (precision.high - precision.low)


def test_intervals_end_where_figures_do_and_a_value_is_always_inside():
    assert (share(1.0, 7).high, share(0.0, 7).low) == (1.0, 0.0)
    cut = jackknifed(0.1, Interval(-0.5, 0.7, 0.95), lowest=0.0, highest=0.3)
    assert (cut.low, cut.high) == (0.0, 0.3)
    assert jackknifed(0.1, None) == Figure(0.1)


def test_few_examples_of_many_features_are_warned_of_with_what_would_do():
    draw = np.random.default_rng(0)
    real, fake = draw.normal(size=(2, 100, 30))
    warning = frechet(real, fake, most=400).warning
    assert warning is not None
    assert warning.startswith("100 images are few for 30 features: about ")
    assert warning.endswith("of it is for want of examples; evaluate.samples=150 would do, or compare only figures of "
                            "equal n")
    said = float(warning.split("about ")[1].split(" of it")[0])
    assert said == pytest.approx(frechet(real, fake, most=400).value, rel=0.3)  # of equal Gaussians it is all bias
    small = frechet(real, fake, most=149).warning
    assert small is not None
    assert "; the split has 149: compare only figures of equal n" in small
    assert frechet(real[:, :20], fake[:, :20], most=100).warning is None


def test_a_warning_without_a_known_bias_names_none_and_scales_what_is_asked_for():
    assert warning_of_few(36, 64, None, samples=360, most=5000, what="images of a class") == (
        "36 images of a class are few for 64 features: evaluate.samples=3200 would do, or compare only figures of "
        "equal n")
