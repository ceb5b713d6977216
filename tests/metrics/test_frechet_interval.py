"""The interval of the Fréchet distance holds the true distance of two Gaussians as often as it says."""

from __future__ import annotations

import numpy as np
import pytest

from gan_core.errors import DataError
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.frechet_interval import frechet_interval, without
from gan_core.metrics.moments import Moments, merge

TRUE = 3**2 + (2 - 1) ** 2 + 2 * 0  # N(0, 1) and N(3, 2²) in the first of three dimensions, equal in the others


def drawn(n: int, draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    return draw.normal(size=(n, 3)), draw.normal(size=(n, 3)) * [2, 1, 1] + [3, 0, 0]


def test_it_holds_the_true_distance_as_often_as_it_says_and_its_error_is_the_spread():
    draw = np.random.default_rng(0)
    found = [frechet_interval(*drawn(300, draw)) for _ in range(200)]
    held = np.mean([each.interval.low <= TRUE <= each.interval.high for each in found])
    assert 0.9 < held < 0.99
    spread = np.std([each.value for each in found])
    assert np.sqrt(np.mean([each.error**2 for each in found])) == pytest.approx(spread, rel=0.15)


def test_the_bias_is_what_few_examples_add():
    """Equal Gaussians are 0 apart; what is measured of them is bias."""
    draw = np.random.default_rng(0)
    found = [frechet_interval(*draw.normal(size=(2, 200, 8))) for _ in range(30)]
    measured = np.mean([each.value for each in found])
    assert np.mean([each.bias for each in found]) == pytest.approx(measured, rel=0.1)


def test_the_value_is_the_distance_and_lies_within():
    real, fake = drawn(100, np.random.default_rng(0))
    found = frechet_interval(real, fake)
    assert found.value == frechet_distance(Moments.of(real), Moments.of(fake))
    assert found.interval.low < found.value < found.interval.high
    assert frechet_interval(real, fake) == found
    assert frechet_interval(real, fake, seed=1) != found


def test_more_examples_are_surer():
    draw = np.random.default_rng(0)
    few, many = (np.mean([frechet_interval(*drawn(n, draw)).error for _ in range(20)]) for n in (100, 1600))
    assert few / many == pytest.approx(4, rel=0.2)


def test_what_was_merged_can_be_left_out_again():
    draw = np.random.default_rng(0)
    kept, left = Moments.of(draw.normal(size=(40, 5))), Moments.of(draw.normal(size=(9, 5)) + 3)
    found = without(merge(kept, left), left)
    assert found.n == kept.n
    np.testing.assert_allclose(found.mean, kept.mean, atol=1e-12)
    np.testing.assert_allclose(found.scatter, kept.scatter, atol=1e-10)


@pytest.mark.parametrize(("n", "groups"), [(19, 10), (100, 1)])
def test_groups_that_cannot_be_made_are_refused(n, groups):
    with pytest.raises(DataError, match="groups=10 and 20 examples"):
        frechet_interval(*drawn(n, np.random.default_rng(0)), groups=groups)


def test_a_level_that_is_no_share_is_refused():
    with pytest.raises(DataError, match=r"level=0\.95 works"):
        frechet_interval(*drawn(30, np.random.default_rng(0)), level=95)
