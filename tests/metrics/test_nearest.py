"""Nearest training examples against their definition, ties and blocks included."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from gan_core.errors import DataError
from gan_core.metrics import nearest as module
from gan_core.metrics.nearest import nearest, nearest_few


def normal(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d))


def levels(n: int, d: int, most: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most, (n, d), np.uint8)


@pytest.mark.parametrize(("queries", "train"), [
    (normal(40, 6), normal(70, 6, 1)),
    (normal(40, 6).astype(np.float32), normal(70, 6, 1).astype(np.float32)),
    (levels(40, 6, 256), levels(70, 6, 256, 1)),
    (levels(40, 3, 3), levels(70, 3, 3, 1)),  # many ties
])
@pytest.mark.parametrize("blocks", [(4096, 1024), (7, 11), (1, 1)])
def test_nearest_rows_follow_the_definition(monkeypatch, queries, train, blocks):
    for name, size in zip(("QUERIES", "COLUMNS"), blocks, strict=True):
        monkeypatch.setattr(module, name, size)
    distances = cdist(queries.astype(np.float64), train.astype(np.float64))
    found = nearest(queries, train)
    np.testing.assert_array_equal(found.indices, distances.argmin(axis=1))
    np.testing.assert_allclose(found.distances, distances.min(axis=1), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("queries", "train"), [
    (normal(40, 6), normal(70, 6, 1)),
    (levels(40, 3, 3), levels(70, 3, 3, 1)),  # many ties
])
@pytest.mark.parametrize("blocks", [(4096, 1024), (7, 11), (1, 1)])
@pytest.mark.parametrize("k", [3, 70])
def test_the_few_nearest_rows_follow_the_definition(monkeypatch, queries, train, blocks, k):
    for name, size in zip(("QUERIES", "COLUMNS"), blocks, strict=True):
        monkeypatch.setattr(module, name, size)
    distances = cdist(queries.astype(np.float64), train.astype(np.float64))
    found = nearest_few(queries, train, k)
    np.testing.assert_array_equal(found.indices, distances.argsort(axis=1, kind="stable")[:, :k])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :k], rtol=1e-13, atol=1e-13)


def test_more_neighbours_than_there_are_rows_are_refused():
    with pytest.raises(DataError, match="k=9 works"):
        nearest_few(normal(2, 5), normal(9, 5), 10)


def test_a_copy_is_exactly_0_away_however_far_from_the_origin():
    train = normal(50, 20) + 1e6
    found = nearest(train[::-1].copy(), train)
    assert found.indices.tolist() == list(range(50))[::-1]
    assert found.distances.tolist() == [0] * 50


@pytest.mark.parametrize("queries", [normal(3, 4), normal(3, 5)[:0], normal(3, 5)[0]])
def test_unlike_features_are_refused(queries):
    with pytest.raises(DataError, match="same network"):
        nearest(queries, normal(9, 5))
