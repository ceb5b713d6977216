"""Resizers against their definitions, written out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import affine_grid, grid_sample

from gan_core.metrics.resize import resized

RESIZERS = ["tf1-bilinear", "pil-bicubic", "torch-antialias"]
SIZES = [(5, 7), (16, 16), (3, 20), (1, 1), (13, 10)]


def noise(*shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def corner_to_corner(line: np.ndarray, to: int) -> np.ndarray:
    """TensorFlow 1: output j reads the input at j · in / out."""
    made = []
    for j in range(to):
        at = j * len(line) / to
        before = int(np.floor(at))
        after = min(before + 1, len(line) - 1)
        made.append(line[before] + (line[after] - line[before]) * (at - before))
    return np.array(made)


def cubic(x: float) -> float:
    """Keys 1981 with a = −0.5."""
    x = abs(x)
    if x < 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0


def triangle(x: float) -> float:
    return max(0.0, 1 - abs(x))


def widened(line: np.ndarray, to: int, kernel) -> np.ndarray:
    """Between pixel centres, with the kernel as wide as the reduction and its weights summing to 1."""
    reduction = len(line) / to
    wide = max(1.0, reduction)
    made = []
    for j in range(to):
        centre = (j + 0.5) * reduction
        weights = np.array([kernel((i + 0.5 - centre) / wide) for i in range(len(line))])
        made.append(weights @ line / weights.sum())
    return np.array(made)


DEFINITIONS = {
    "tf1-bilinear": corner_to_corner,
    "pil-bicubic": lambda line, to: widened(line, to, cubic),
    "torch-antialias": lambda line, to: widened(line, to, triangle),
}


def by_definition(images: torch.Tensor, size: tuple[int, int], resizer: str) -> np.ndarray:
    lines = images.numpy().astype(np.float64)
    for axis, to in ((3, size[1]), (2, size[0])):
        lines = np.apply_along_axis(DEFINITIONS[resizer], axis, lines, to)
    return lines.clip(0, 255)


@pytest.mark.parametrize("resizer", RESIZERS)
@pytest.mark.parametrize("size", SIZES)
def test_every_resizer_follows_its_definition(resizer, size):
    images = noise(2, 3, 10, 9)
    np.testing.assert_allclose(resized(images, size, resizer).numpy(), by_definition(images, size, resizer), atol=2e-4)


def test_two_pixels_drawn_to_four_by_hand():
    two = torch.tensor([0, 100], dtype=torch.uint8).view(1, 1, 1, 2)
    assert resized(two, (1, 4), "tf1-bilinear").flatten().tolist() == [0, 50, 100, 100]
    assert resized(two, (1, 4), "torch-antialias").flatten().tolist() == [0, 25, 75, 100]


def test_tf1_bilinear_is_the_shifted_grid_that_the_inception_file_samples():
    """StyleGAN2-ADA's file moves torch's grid by half the difference of the pixels' sizes."""
    images = noise(2, 3, 32, 24).float()
    size = 75, 50
    theta = torch.eye(2, 3)
    theta[0, 2] += 1 / 24 - 1 / size[1]
    theta[1, 2] += 1 / 32 - 1 / size[0]
    grid = affine_grid(theta.expand(2, 2, 3), [2, 3, *size], align_corners=False)
    sampled = grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)
    torch.testing.assert_close(resized(images, size, "tf1-bilinear"), sampled, atol=2e-3, rtol=0)


@pytest.mark.parametrize("resizer", RESIZERS)
def test_images_of_the_size_asked_for_stay_as_they_are(resizer):
    images = noise(2, 3, 10, 9)
    assert torch.equal(resized(images, (10, 9), resizer), images.float())


@pytest.mark.parametrize("resizer", RESIZERS)
def test_even_pictures_stay_even(resizer):
    made = resized(torch.full((1, 3, 10, 9), 200, dtype=torch.uint8), (7, 21), resizer)
    torch.testing.assert_close(made, torch.full((1, 3, 7, 21), 200.0))


@pytest.mark.parametrize("resizer", RESIZERS)
def test_levels_stay_within_0_and_255_and_are_not_rounded(resizer):
    made = resized(255 * noise(1, 1, 12, 12).ge(128).byte(), (31, 31), resizer)
    assert 0 <= made.min() <= made.max() <= 255
    assert not torch.equal(made, made.round())


@pytest.mark.parametrize("size", [(5, 5), (40, 40)])
def test_no_two_resizers_agree(size):
    images = noise(1, 1, 20, 20)
    made = [resized(images, size, resizer) for resizer in RESIZERS]
    apart = [float((made[i] - made[j]).abs().mean()) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(apart) > 1  # level


def test_only_tf1_bilinear_drops_pixels_when_it_makes_images_smaller():
    stripes = torch.tensor([0, 255, 0, 255, 0, 255, 0, 255], dtype=torch.uint8).view(1, 1, 1, 8)
    assert resized(stripes, (1, 4), "tf1-bilinear").flatten().tolist() == [0, 0, 0, 0]
    for resizer in ("pil-bicubic", "torch-antialias"):
        assert float(resized(stripes, (1, 4), resizer).mean()) == pytest.approx(127.5, abs=1e-3)


@pytest.mark.parametrize("resizer", RESIZERS)
def test_images_are_resized_one_by_one_and_channel_by_channel(resizer):
    images = noise(3, 2, 11, 11)
    whole = resized(images, (6, 8), resizer)
    assert torch.equal(whole[1:2, 1:], resized(images[1:2, 1:], (6, 8), resizer))
