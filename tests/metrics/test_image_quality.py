"""PSNR, SSIM and MS-SSIM against scikit-image, closed forms and definitions; diversity by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from gan_core.errors import DataError
from gan_core.metrics import image_quality
from gan_core.metrics.image_quality import (
    WEIGHTS,
    finite_psnr,
    ms_ssim,
    ms_ssim_diversity,
    pairs_of,
    psnr,
    scales_of,
    ssim,
)

SHAPES = [(1, 28, 28), (3, 32, 32), (3, 11, 40), (2, 45, 23)]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def smooth(n: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Pictures with structure: waves of random direction and phase."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[1], : shape[2]]
    waves = [np.sin(draw.uniform(0.05, 0.4) * x + draw.uniform(0.05, 0.4) * y + draw.uniform(0, 6))
             for _ in range(n * shape[0])]
    return (127.5 * (1 + np.array(waves))).astype(np.uint8).reshape(n, *shape)


def changed(images: np.ndarray, by: int, seed: int = 1) -> np.ndarray:
    moved = images.astype(int) + np.random.default_rng(seed).integers(-by, by + 1, images.shape)
    return moved.clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", SHAPES)
def test_psnr_is_that_of_scikit_image(shape):
    a, b = noise(4, *shape), noise(4, *shape, seed=1)
    expected = [peak_signal_noise_ratio(x, y, data_range=255) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(psnr(a, b), expected, rtol=1e-12)


def test_images_one_level_apart_have_a_psnr_of_20_log10_255():
    a = np.full((2, 1, 4, 4), 255, np.uint8)
    assert psnr(a, a - 1).tolist() == pytest.approx(2 * [20 * np.log10(255)])
    assert psnr(np.zeros_like(a), a).tolist() == [0, 0]  # as far apart as can be; uint8 does not wrap


def test_equal_images_have_an_infinite_psnr_and_no_mean():
    a = noise(3, 1, 4, 4)
    b = changed(a, 9)
    b[1] = a[1]
    assert np.isinf(psnr(a, b)).tolist() == [False, True, False]
    assert finite_psnr(a, b) == pytest.approx([psnr(a, b)[0], 58.92, psnr(a, b)[2]], abs=0.01)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("by", [5, 60, 255])
def test_ssim_is_that_of_scikit_image_with_wangs_settings(shape, by):
    a = smooth(3, shape)
    b = changed(a, by)
    expected = [structural_similarity(x, y, channel_axis=0, data_range=255, gaussian_weights=True, sigma=1.5,
                                      use_sample_covariance=False) for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(ssim(a, b), expected, rtol=0, atol=1e-10)


def test_ssim_of_two_even_grey_images_is_their_luminance_term():
    a, b = np.full((1, 3, 12, 12), 100, np.uint8), np.full((1, 3, 12, 12), 150, np.uint8)
    c1 = 2.55**2
    assert ssim(a, b)[0] == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rel=1e-9)


@pytest.mark.parametrize("measured", [ssim, ms_ssim])
def test_an_image_is_as_like_itself_as_can_be_and_likeness_is_mutual(measured):
    a, b = smooth(3, (1, 32, 32)), noise(3, 1, 32, 32)
    np.testing.assert_allclose(measured(a, a), 1, atol=1e-12)
    np.testing.assert_allclose(measured(a, b), measured(b, a), atol=1e-12)
    assert (measured(a, b) < 0.9).all()


def test_the_first_four_scales_are_those_of_torchmetrics_formula():
    """Its definition written out: contrast and structure of all scales but the last, which is whole."""
    a = smooth(2, (3, 96, 90))
    b = changed(a, 40)
    weights = np.array(WEIGHTS[:4]) / sum(WEIGHTS[:4])
    for x, y, found in zip(a.astype(np.float64), b.astype(np.float64), ms_ssim(a, b, 4), strict=True):
        factors = []
        for scale in range(4):
            _, whole = structural_similarity(x, y, channel_axis=0, data_range=255, gaussian_weights=True, sigma=1.5,
                                             use_sample_covariance=False, full=True)
            luminance = luminance_of(x, y)
            inner = whole[:, 5:-5, 5:-5]
            factors.append((inner if scale == 3 else inner / luminance).mean())
            x, y = (z[:, : z.shape[1] // 2 * 2, : z.shape[2] // 2 * 2].reshape(
                3, z.shape[1] // 2, 2, z.shape[2] // 2, 2).mean((2, 4)) for z in (x, y))
        assert found == pytest.approx(np.prod(np.array(factors) ** weights), abs=1e-9)


def luminance_of(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Its term of SSIM, where the window fits; the window as an outer product."""
    line = np.exp(-np.arange(-5, 6) ** 2 / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    means = [(np.lib.stride_tricks.sliding_window_view(z, (11, 11), axis=(1, 2)) * window).sum((3, 4)) for z in (x, y)]
    return (2 * means[0] * means[1] + 2.55**2) / (means[0] ** 2 + means[1] ** 2 + 2.55**2)


def test_one_scale_is_ssim():
    a, b = smooth(3, (1, 16, 16)), smooth(3, (1, 16, 16), seed=1)
    np.testing.assert_allclose(ms_ssim(a, b), np.maximum(ssim(a, b), 0), atol=1e-12)


@pytest.mark.parametrize(("side", "scales"), [(11, 1), (21, 1), (22, 2), (28, 2), (32, 2), (64, 3), (128, 4), (175, 4),
                                              (176, 5), (1024, 5)])
def test_small_images_have_fewer_scales(side, scales):
    assert scales_of(side, 2000) == scales_of(2000, side) == scales


def test_images_smaller_than_the_window_are_refused():
    for measured in (ssim, ms_ssim):
        with pytest.raises(DataError, match="10x40 are smaller than SSIM's window of 11"):
            measured(noise(1, 1, 10, 40), noise(1, 1, 10, 40))


@pytest.mark.parametrize("scales", [0, 3])
def test_more_scales_than_an_image_has_are_refused(scales):
    with pytest.raises(DataError, match="have 1 to 2 scales"):
        ms_ssim(noise(1, 1, 28, 28), noise(1, 1, 28, 28), scales)


@pytest.mark.parametrize("other", [noise(2, 1, 12, 12), noise(3, 1, 12, 12).astype(float), noise(3, 12, 12)])
def test_images_that_do_not_pair_up_are_refused(other):
    for measured in (psnr, ssim, ms_ssim):
        with pytest.raises(DataError, match="do not pair up"):
            measured(noise(3, 1, 12, 12), other)


def test_blocks_do_not_change_the_result(monkeypatch):
    a, b = smooth(5, (3, 24, 24)), smooth(5, (3, 24, 24), seed=1)
    whole = [measured(a, b) for measured in (psnr, ssim, ms_ssim)]
    monkeypatch.setattr(image_quality, "NUMBERS", 2 * 3 * 24 * 24)
    for measured, expected in zip((psnr, ssim, ms_ssim), whole, strict=True):
        np.testing.assert_array_equal(measured(a, b), expected)


def test_diversity_is_the_mean_over_all_pairs_where_they_are_few():
    images = smooth(5, (1, 28, 28))
    found = ms_ssim_diversity(images)
    expected = [ms_ssim(images[[i]], images[[j]])[0] for i, j in combinations(range(5), 2)]
    assert found.value == pytest.approx(np.mean(expected), rel=1e-12)
    assert (found.pairs, found.scales, found.name) == (10, 2, "ms_ssim_2_scales")


def test_diversity_within_classes_compares_no_two_classes():
    images = np.concatenate([np.repeat(noise(1, 1, 28, 28, seed=s), 4, axis=0) for s in range(3)])
    labels = np.repeat([4, 7, 9], 4)
    found = ms_ssim_diversity(images, labels)
    assert found.by_class == pytest.approx({4: 1, 7: 1, 9: 1})  # one image a class, over and over
    assert found.name == "ms_ssim_2_scales_within_classes"
    assert ms_ssim_diversity(images).value < 0.6  # of which the whole set knows nothing


def test_a_class_of_one_image_is_named_and_left_out():
    found = ms_ssim_diversity(smooth(5, (1, 28, 28)), np.array([0, 0, 1, 2, 2]))
    assert found.left_out == (1,)
    assert set(found.by_class) == {0, 2}
    with pytest.raises(DataError, match="at least two a class"):
        ms_ssim_diversity(smooth(2, (1, 28, 28)), np.array([0, 1]))


def test_a_collapsed_generator_is_less_diverse_than_the_real_set():
    real = smooth(60, (1, 32, 32))
    assert ms_ssim_diversity(changed(np.repeat(real[:1], 60, axis=0), 20)).value > 0.8
    assert ms_ssim_diversity(real).value < 0.5


def test_diversity_is_a_function_of_its_seed():
    images = smooth(40, (1, 28, 28))
    assert ms_ssim_diversity(images, pairs=20, seed=1) == ms_ssim_diversity(images, pairs=20, seed=1)
    assert ms_ssim_diversity(images, pairs=20, seed=1).value != ms_ssim_diversity(images, pairs=20, seed=2).value


@pytest.mark.parametrize(("n", "most"), [(2, 100), (15, 105), (15, 104), (400, 100)])
def test_pairs_are_unlike_and_drawn_once(n, most):
    drawn = pairs_of(n, most, np.random.default_rng(0))
    assert drawn.shape == (2, min(most, n * (n - 1) // 2))
    assert (drawn[0] < drawn[1]).all()
    assert (drawn >= 0).all()
    assert (drawn < n).all()
    assert len(set(zip(*drawn.tolist(), strict=True))) == drawn.shape[1]
