"""How alike two images are, pixel by pixel: PSNR, SSIM and MS-SSIM; and how alike generated images are to one another.

Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity"; Wang et al. 2003,
"Multi-scale structural similarity for image quality assessment"; Odena et al. 2017, arXiv:1610.09585, section 4.2, for
MS-SSIM within a class as a measure of diversity.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from gan_core.errors import DataError
from gan_core.metrics.intervals import Interval
from gan_core.metrics.jackknife import jackknife_interval

LEVELS = 255.0
SIGMA, RADIUS = 1.5, 5
WINDOW = 2 * RADIUS + 1
C1, C2 = (0.01 * LEVELS) ** 2, (0.03 * LEVELS) ** 2
WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, from the finest (Wang et al. 2003, section 3.2)
NUMBERS = 2**21  # pixels of a block of pairs; some ten float64 arrays of that size are held at a time

Images = NDArray[np.uint8]


def psnr(a: Images, b: Images) -> NDArray[np.float64]:
    """10 log10(255² / mean squared error) of each pair, in dB; infinite for equal images.  [n, C, H, W] twice -> [n]"""
    _refuse_unpaired(a, b)
    errors = np.concatenate([np.square(a[rows].astype(np.float64) - b[rows]).mean(axis=(1, 2, 3))
                             for rows in _blocks(a)])
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(LEVELS**2 / errors))


def finite_psnr(a: Images, b: Images) -> NDArray[np.float64]:
    """`psnr` of each pair, at most 58.9 dB: what rounding to 8 bits leaves of an image, 1/12 of a level squared.

    So that their mean is finite where some pairs are equal.  [n, C, H, W] twice -> [n]
    """
    return np.asarray(np.minimum(psnr(a, b), 10 * np.log10(LEVELS**2 * 12)))


def ssim(a: Images, b: Images) -> NDArray[np.float64]:
    """Structural similarity of each pair, −1 … 1; 1 for equal images.  [n, C, H, W] twice -> [n]

    A Gaussian window of 11 pixels and σ = 1.5 wherever it fits, K1 = 0.01, K2 = 0.03, over levels 0 … 255; the mean
    over places and channels.  DataError for images smaller than the window.
    """
    _refuse_unpaired(a, b)
    return np.concatenate([_similarity(a[rows].astype(np.float64), b[rows].astype(np.float64))[0]
                           for rows in _blocks(a)])


def ms_ssim(a: Images, b: Images, scales: int | None = None) -> NDArray[np.float64]:
    """Multi-scale structural similarity of each pair, 0 … 1; 1 for equal images.  [n, C, H, W] twice -> [n]

    Contrast and structure at each scale, times luminance at the coarsest, each to the power of its weight; every scale
    is the one before averaged over 2×2 pixels.  `scales`: as many as `scales_of` when None.  The weights of fewer than
    five are divided by their sum.  A scale whose images are opposed (below 0) counts as 0.
    """
    _refuse_unpaired(a, b)
    most = scales_of(a.shape[2], a.shape[3])
    if scales is not None and not 1 <= scales <= most:
        raise DataError(f"images of {a.shape[2]}x{a.shape[3]} have 1 to {most} scales of {WINDOW} pixels or more, not "
                        f"{scales}")
    return np.concatenate([_multi_scale(a[rows].astype(np.float64), b[rows].astype(np.float64), scales or most)
                           for rows in _blocks(a)])


def scales_of(height: int, width: int) -> int:
    """Halvings, itself included, at which an image still holds the window of 11 pixels; at most 5.

    28 and 32 pixels: 2.  64: 3.  128: 4.  176 and more: 5.  DataError for less than 11 pixels.
    """
    smallest = min(height, width)
    if smallest < WINDOW:
        raise DataError(f"images of {height}x{width} are smaller than SSIM's window of {WINDOW} pixels")
    return next(scales for scales in range(len(WEIGHTS), 0, -1) if smallest >> (scales - 1) >= WINDOW)


@dataclass(frozen=True)
class Similarity:
    """value: mean over the classes of `by_class`, each the mean MS-SSIM of its pairs; the higher, the less diverse.

    scales: of MS-SSIM; figures of unlike scales cannot be compared.  pairs: in all.  by_class: by label, {None: …}
    without labels.  left_out: labels of a single image.  interval: of the value, by leaving out groups of images with
    all their pairs; conservative where an image is in few pairs.  None for few images.
    """

    value: float
    scales: int
    pairs: int
    by_class: dict[int | None, float]
    left_out: tuple[int, ...]
    interval: Interval | None

    @property
    def name(self) -> str:
        """What a metric of this is called: ms_ssim_2_scales_within_classes, for example."""
        return f"ms_ssim_{self.scales}_scales" + ("" if None in self.by_class else "_within_classes")


def ms_ssim_diversity(
    images: Images, labels: NDArray[np.int64] | None = None, pairs: int = 100, seed: int = 0
) -> Similarity:
    """MS-SSIM between images [n, C, H, W] of one set, within a class where labels [n] are given.

    Each class has `pairs` pairs of unlike examples, drawn by the seed without repetition, or all pairs where there are
    no more.  Measure the real images likewise: theirs is the yardstick.  DataError where no class has two images.
    """
    if labels is not None and len(labels) != len(images):
        raise DataError(f"{len(images)} images and {len(labels)} labels do not pair up")
    members: dict[int | None, NDArray[np.int64]] = (
        {None: np.arange(len(images))} if labels is None
        else {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)})
    draw = np.random.default_rng(seed)
    chosen = {label: rows[pairs_of(len(rows), pairs, draw)] for label, rows in members.items() if len(rows) > 1}
    if not chosen:
        raise DataError("no two images belong together, so that nothing can be compared; generate at least two a class")
    of_pairs = {label: ms_ssim(images[a], images[b]) for label, (a, b) in chosen.items()}
    by_class = {label: float(each.mean()) for label, each in of_pairs.items()}

    def mean_among(kept: NDArray[np.int64]) -> float:
        there = np.zeros(len(images), np.bool_)
        there[kept] = True
        among = [of_pairs[label][there[both].all(axis=0)] for label, both in chosen.items()]
        return float(np.mean([each.mean() if len(each) else np.nan for each in among]))

    value = float(np.mean(list(by_class.values())))
    found = jackknife_interval(value, mean_among, np.arange(len(images)), seed=seed)
    return Similarity(
        value=value,
        scales=scales_of(images.shape[2], images.shape[3]),
        pairs=sum(both.shape[1] for both in chosen.values()),
        by_class=by_class,
        left_out=tuple(label for label in members if label is not None and label not in chosen),
        interval=found,
    )


def pairs_of(n: int, most: int, draw: np.random.Generator) -> NDArray[np.int64]:
    """[2, pairs]: indices of unlike pairs among n, each at most once; all n (n − 1) / 2 where there are no more."""
    count = n * (n - 1) // 2
    numbers = np.arange(count) if count <= most else draw.choice(count, most, replace=False)
    first_of = np.arange(n) * (np.arange(n) - 1) // 2  # the pairs are numbered (0, 1), (0, 2), (1, 2), (0, 3), …
    high = np.searchsorted(first_of, numbers, side="right") - 1
    return np.stack([numbers - first_of[high], high])


def _multi_scale(a: NDArray[np.float64], b: NDArray[np.float64], scales: int) -> NDArray[np.float64]:
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    product = np.ones(len(a))
    for scale, weight in enumerate(weights, start=1):
        whole, contrast = _similarity(a, b)
        product *= np.maximum(whole if scale == scales else contrast, 0.0) ** weight
        a, b = _halved(a), _halved(b)
    return product


def _similarity(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """SSIM, and its contrast and structure without luminance; [n, C, H, W] twice -> [n], [n]"""
    if min(a.shape[2:]) < WINDOW:
        raise DataError(f"images of {a.shape[2]}x{a.shape[3]} are smaller than SSIM's window of {WINDOW} pixels")
    mean_a, mean_b = _windowed(a), _windowed(b)
    covariance = _windowed(a * b) - mean_a * mean_b
    variances = _windowed(a * a) - mean_a**2 + _windowed(b * b) - mean_b**2
    contrast = (2 * covariance + C2) / (variances + C2)
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    return (luminance * contrast).mean(axis=(1, 2, 3)), contrast.mean(axis=(1, 2, 3))


def _windowed(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means weighted by the window, where it fits.  [n, C, H, W] -> [n, C, H − 10, W − 10]"""
    inside = slice(RADIUS, -RADIUS)
    return np.asarray(gaussian_filter(x, SIGMA, radius=RADIUS, axes=(2, 3))[:, :, inside, inside])


def _halved(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2×2 pixels; an odd last row or column goes."""
    n, channels, height, width = x.shape
    even = x[:, :, : height // 2 * 2, : width // 2 * 2]
    return np.asarray(even.reshape(n, channels, height // 2, 2, width // 2, 2).mean(axis=(3, 5)))


def _refuse_unpaired(a: Images, b: Images) -> None:
    if a.shape != b.shape or a.ndim != 4 or not a.size or a.dtype != np.uint8 or b.dtype != np.uint8:
        raise DataError(f"images {a.dtype} {a.shape} and {b.dtype} {b.shape} do not pair up; both are uint8 "
                        "(n, C, H, W), one or more")


def _blocks(images: Images) -> Iterator[slice]:
    rows = max(1, NUMBERS // images[0].size)
    for start in range(0, len(images), rows):
        yield slice(start, start + rows)
