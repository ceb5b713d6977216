"""Arithmetic on latent vectors: between two of them, closer to the middle, along directions that mean something.

z is float64 [n, Z], a row of numbers from N(0, 1) for each image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]

PARALLEL = 1e-6  # sine of an angle below which an arc between two vectors is not defined well
SMALLEST_SHARE = 1e-12  # of the variance, below which a component is rounding


def slerp(start: Array, end: Array, at: Array) -> Array:
    """Points on the arc from `start` to `end`, each [Z], at shares from 0 to 1, [t].  Returns [t, Z].

    Shoemake 1985, with the angle between directions as in White 2016 (arXiv:1609.04468): on a straight line between two
    draws of N(0, I) lengths fall to where the generator has seen none.  Vectors on one line have no arc between them
    alone, and are joined by that line.
    """
    lengths = np.linalg.norm(start) * np.linalg.norm(end)
    cosine = float(np.clip(start @ end / lengths, -1, 1)) if lengths else 1.0
    angle = np.arccos(cosine)
    if np.sin(angle) < PARALLEL:
        return np.outer(1 - at, start) + np.outer(at, end)
    arc: Array = (np.outer(np.sin((1 - at) * angle), start) + np.outer(np.sin(at * angle), end)) / np.sin(angle)
    return arc


def loop(points: Array, steps: int) -> Array:
    """Arcs from each of n points to the next, and from the last to the first: [n, …] to [n · steps, …].

    Each arc is `steps` points of `slerp` at even shares; it begins with its own point and ends before the next one.
    """
    flat = points.reshape(len(points), -1)
    at = np.arange(steps) / steps
    arcs = [slerp(start, end, at) for start, end in zip(flat, np.roll(flat, -1, axis=0), strict=True)]
    return np.concatenate(arcs).reshape(-1, *points.shape[1:])


def truncated(z: Array, most: float) -> Array:
    """The draws as if none could be beyond ±most: the truncation trick (Brock et al. 2019, arXiv:1809.11096, 3.1).

    A number goes to the number of the same quantile, so that it keeps its sign and its place among the others: the
    images of a seed stay recognisable.  They are distributed as the paper's, which draws again what is beyond.
    """
    outside = ndtr(-most)
    quantile = outside + ndtr(-np.abs(z)) * (1 - 2 * outside)
    kept: Array = np.copysign(np.clip(-ndtri(quantile), 0, most), z)
    return kept


def whitened(z: Array) -> Array:
    """The draws moved as little as makes their mean 0 and their covariance the identity, exactly.

    What is measured on them of a linear map is then the map's own, without the noise of sampling.  ValueError unless
    there are more draws than numbers in each.
    """
    n, size = z.shape
    if n <= size:
        raise ValueError(f"{n} draws of {size} numbers have no covariance to divide by; {2 * size} draws work")
    centred = z - z.mean(axis=0)
    root = np.linalg.cholesky(centred.T @ centred / n)
    white: Array = solve_triangular(root, centred.T, lower=True).T
    return white


@dataclass(frozen=True)
class Components:
    """Directions in z, [k, Z], that move the values by one standard deviation of a component each, largest first.

    explained: [k], shares of the values' variance.
    """

    directions: Array
    explained: Array


def principal(values: Array, z: Array, count: int) -> Components:
    """The first `count` principal components of values [n, F] as directions in z, which is white, [n, Z].

    GANSpace (Härkönen et al. 2020, arXiv:2004.02546, section 2.2): z is regressed on each component's coordinate.  A
    direction's largest number is positive.  There are fewer components where the values vary in fewer directions.
    """
    centred = values - values.mean(axis=0)
    variances, scores = _scores(centred)
    share = variances / variances.sum() if variances.sum() > 0 else variances
    kept = min(count, z.shape[1], int((share > SMALLEST_SHARE).sum()))
    directions = scores[:, :kept].T @ z / len(z)
    largest = np.abs(directions).argmax(axis=1)[:, None]
    return Components(directions * np.sign(np.take_along_axis(directions, largest, axis=1)), share[:kept])


def _scores(centred: Array) -> tuple[Array, Array]:
    """Variances of the components, largest first, and every example's coordinates in units of their deviations, [n, k].

    From the smaller of the two matrices that have these variances.
    """
    n, size = centred.shape
    if size >= n:
        variances, vectors = np.linalg.eigh(centred @ centred.T / n)
        return np.maximum(variances[::-1], 0), vectors[:, ::-1] * np.sqrt(n)
    variances, vectors = np.linalg.eigh(centred.T @ centred / n)
    variances = np.maximum(variances[::-1], 0)
    deviations = np.sqrt(np.where(variances > 0, variances, np.inf))
    return variances, centred @ vectors[:, ::-1] / deviations


@dataclass(frozen=True)
class ClassDirection:
    """The direction in z, [Z] of length 1, along which images come to be read as a class.

    share: of the images that are read as it.  explained: share of the reading's variance that is linear in z.
    """

    direction: Array
    share: float
    explained: float


def class_directions(z: Array, read: NDArray[np.int64], classes: int) -> dict[int, ClassDirection]:
    """By least squares of 'is read as this class' on z, which is white, [n, Z].  read: [n], 0 … classes − 1.

    A class that no image is read as, or every one, has no direction and is left out.
    """
    found = {}
    for label in range(classes):
        share = float((read == label).mean())
        if 0 < share < 1:
            slope = z.T @ ((read == label) - share) / len(z)
            length = float(np.linalg.norm(slope))
            if length > 0:
                found[label] = ClassDirection(slope / length, share, length**2 / (share * (1 - share)))
    return found
