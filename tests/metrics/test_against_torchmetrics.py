"""FD, KID, the Inception Score, PSNR and SSIM against torchmetrics, whose code is another's.

All is float64: torchmetrics answers in the type of the features it is given, and float32 would leave seven digits.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance, poly_mmd

from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.image_quality import psnr, ssim
from gan_core.metrics.inception_score import inception_score
from gan_core.metrics.kernel import kernel_distance, unbiased_mmd2
from gan_core.metrics.moments import Moments

CLASSES = 24
buffered = pytest.mark.filterwarnings("ignore:.*will save all extracted features in buffer:UserWarning")


class Network(torch.nn.Module):
    """Two layers of fixed weights: images [n, 1, 6, 6] uint8 to features, or logits, [n, 24] float64."""

    num_features = CLASSES

    def __init__(self) -> None:
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.first, self.second = (torch.randn(shape, generator=draw, dtype=torch.float64) / 6
                                   for shape in ((36, 48), (48, CLASSES)))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images.double().flatten(1) / 32 @ self.first).relu() @ self.second


class Same(torch.nn.Module):
    """Features [n, d] as they come."""

    def __init__(self, d: int) -> None:
        super().__init__()
        self.num_features = d

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features


def drawn(n: int, seed: int, most: int = 256) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, most, (n, 1, 6, 6), np.uint8)


REAL, FAKE = drawn(300, seed=0), drawn(280, seed=1, most=180)


def features(images: np.ndarray) -> np.ndarray:
    return Network()(torch.from_numpy(images)).numpy()


def between(metric: FrechetInceptionDistance | KernelInceptionDistance, real: np.ndarray, fake: np.ndarray) -> float:
    """What a metric of torchmetrics says of two sets that it is given in parts; of KID the mean."""
    for rows, are_real in ((real, True), (fake, False)):
        for part in torch.from_numpy(rows).split(70):
            metric.update(part, real=are_real)
    found = metric.compute()
    return float(found[0] if isinstance(found, tuple) else found)


def test_the_frechet_distance_of_images_is_that_of_torchmetrics():
    theirs = between(FrechetInceptionDistance(feature=Network()), REAL, FAKE)
    assert frechet_distance(Moments.of(features(REAL)), Moments.of(features(FAKE))) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("d", "shift"), [(2, 0.0), (64, 0.1), (200, 3.0)])
def test_the_frechet_distance_of_features_is_that_of_torchmetrics(d, shift):
    draw = np.random.default_rng(d)
    real, fake = draw.normal(size=(5 * d, d)), draw.normal(shift, draw.uniform(0.5, 2, d), (6 * d, d))
    theirs = between(FrechetInceptionDistance(feature=Same(d)), real, fake)
    assert frechet_distance(Moments.of(real), Moments.of(fake)) == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (40, 300), (300, 8)])
def test_the_polynomial_discrepancy_is_that_of_torchmetrics(n, d):
    x, y = np.random.default_rng(n).normal([[[0.0]], [[0.3]]], 1, (2, n, d))
    theirs = float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y)))
    assert unbiased_mmd2(x, y) == pytest.approx(theirs, rel=1e-9)


@buffered
def test_the_kernel_distance_of_whole_sets_is_that_of_torchmetrics():
    real, fake = REAL[:280], FAKE
    theirs = between(KernelInceptionDistance(feature=Network(), subsets=1, subset_size=280), real, fake)
    assert kernel_distance(features(real), features(fake)) == pytest.approx(theirs, rel=1e-9)


@buffered
def test_the_kernel_distance_of_the_same_subsets_is_that_of_torchmetrics(monkeypatch):
    """It takes the first rows of torch.randperm, for real and generated in turn; here those that we draw."""
    draw = np.random.default_rng(5)
    monkeypatch.setattr(torch, "randperm", lambda n: torch.from_numpy(draw.choice(n, 50, replace=False)))
    theirs = between(KernelInceptionDistance(feature=Network(), subsets=7, subset_size=50), REAL, FAKE)
    ours = kernel_distance(features(REAL), features(FAKE), subsets=7, subset_size=50, seed=5)
    assert ours == pytest.approx(theirs, rel=1e-9)


@buffered
@pytest.mark.parametrize("splits", [2, 3, 10])
def test_the_inception_score_is_that_of_torchmetrics(splits, monkeypatch):
    """It shuffles by torch.randperm, here into our order, and divides its deviation by one part fewer."""
    order = torch.from_numpy(np.random.default_rng(7).permutation(300))
    monkeypatch.setattr(torch, "randperm", lambda n: order[:n])
    metric = InceptionScore(feature=Network(), splits=splits)
    metric.update(torch.from_numpy(REAL))
    mean, deviation = map(float, metric.compute())
    ours = inception_score(softmax(features(REAL), axis=1), splits, seed=7)
    assert ours.mean == pytest.approx(mean, rel=1e-9)
    assert ours.deviation == pytest.approx(deviation * np.sqrt((splits - 1) / splits), rel=1e-9)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 20, 33)])
def test_psnr_and_ssim_are_those_of_torchmetrics(shape):
    """Its mean of SSIM takes the border in, where the window is made whole by reflection; ours is of the inside."""
    draw = np.random.default_rng(0)
    a = draw.integers(0, 256, (4, *shape), np.uint8)
    b = (a + draw.integers(-40, 41, a.shape)).clip(0, 255).astype(np.uint8)
    pair = torch.from_numpy(a).double(), torch.from_numpy(b).double()
    theirs = peak_signal_noise_ratio(*pair, data_range=255.0, reduction="none", dim=(1, 2, 3))
    np.testing.assert_allclose(psnr(a, b), theirs, rtol=1e-6)  # the logarithm of its range is float32 always
    _, whole = structural_similarity_index_measure(*pair, data_range=255.0, reduction="none", return_full_image=True)
    np.testing.assert_allclose(ssim(a, b), whole[:, :, 5:-5, 5:-5].mean((1, 2, 3)), rtol=0, atol=1e-10)
