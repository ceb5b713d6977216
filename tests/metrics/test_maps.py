"""Maps against what they promise: principal components by their definition, neighbours kept, the same every time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from gan_core.errors import DataError
from gan_core.metrics import maps as module
from gan_core.metrics.maps import Maps, evenly, maps


def clusters(n: int, seed: int, spread: float = 0.05) -> np.ndarray:
    """[n, 6] around three corners, one after another."""
    draw = np.random.default_rng(seed)
    return np.eye(6)[np.arange(n) % 3] + spread * draw.normal(size=(n, 6))


@pytest.fixture(scope="module")
def made() -> Maps:
    return maps(clusters(60, 0), clusters(45, 1))


def test_the_plane_of_the_principal_components_is_that_of_both_sets_together(made: Maps) -> None:
    points = np.concatenate([clusters(60, 0), clusters(45, 1)])
    _, lengths, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    flat = np.concatenate([made.pca.real, made.pca.fake])
    assert_allclose(np.abs(flat), np.abs((points - points.mean(axis=0)) @ axes[:2].T), atol=1e-12)
    assert_allclose(made.explained, (lengths**2 / (lengths**2).sum())[:2])


def test_what_is_near_in_the_features_is_near_on_the_map(made: Maps) -> None:
    assert (made.tsne.real.shape, made.tsne.fake.shape) == ((60, 2), (45, 2))
    apart = np.linalg.norm(made.tsne.fake[:, None] - made.tsne.real[None], axis=2)
    assert_array_equal(apart.argmin(axis=1) % 3, np.arange(45) % 3)


def test_equal_features_give_equal_maps(made: Maps) -> None:
    again = maps(clusters(60, 0), clusters(45, 1))
    for one, other in ((made.pca, again.pca), (made.tsne, again.tsne)):
        assert_array_equal(one.real, other.real)
        assert_array_equal(one.fake, other.fake)


def test_of_a_large_set_some_are_shown_spread_over_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ITERATIONS", 250)
    real, fake = clusters(100, 0), clusters(30, 1)
    found, whole = maps(real, fake, most=40), maps(real[evenly(100, 40)], fake)
    assert (len(found.pca.real), len(found.pca.fake)) == (40, 30)
    assert_array_equal(found.pca.real, whole.pca.real)
    assert evenly(100, 40)[[0, -1]].tolist() == [0, 97]
    assert evenly(3, 40).tolist() == [0, 1, 2]


@pytest.mark.parametrize("n", [(10, 10), (1, 19), (0, 20)])
def test_few_points_still_make_a_map(n: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ITERATIONS", 250)
    found = maps(clusters(n[0], 0), clusters(n[1], 1))
    assert np.isfinite(np.concatenate([found.tsne.real, found.tsne.fake])).all()


@pytest.mark.parametrize(("real", "fake", "says"), [
    (clusters(10, 0), clusters(9, 1), "19 points make no map; 20 do"),
    (np.ones((30, 4)), np.ones((30, 4)), "all features are the same"),
    (clusters(30, 0), clusters(30, 1)[:, :5], "from the same network"),
    (np.ones((30, 1)), np.ones((30, 1)), "d ≥ 2"),
])
def test_what_makes_no_map_is_said(real: np.ndarray, fake: np.ndarray, says: str) -> None:
    with pytest.raises(DataError, match=says):
        maps(real, fake)
