"""Figures of images that are made of others, on pairs whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from gan_core.config import EvaluateConfig
from gan_core.metrics.image_quality import ssim
from gan_core.metrics.pairs import measure_pairs
from gan_core.pictures import pictured

CONFIG = EvaluateConfig(split="test")
WANTED = np.random.default_rng(0).integers(20, 200, (30, 1, 12, 12), dtype=np.uint8)


def test_images_that_are_off_by_some_levels_have_that_error() -> None:
    found = measure_pairs(WANTED + 40, WANTED + 10, WANTED, CONFIG)
    assert found["pair_l1"].value == pytest.approx(10 / 255)
    assert found["pair_l1_before"].value == pytest.approx(40 / 255)
    assert found["pair_psnr"].value == pytest.approx(10 * np.log10(255**2 / 100))
    assert found["pair_ssim"].value == pytest.approx(float(ssim(WANTED + 10, WANTED).mean()))
    assert (found["pair_l1"].n_real, found["pair_l1"].split, found["pair_l1"].interval) == (30, "test", "jackknife")


def test_what_cannot_be_compared_is_left_out() -> None:
    small = WANTED[:, :, :8, :8]
    assert {*measure_pairs(None, small, small, CONFIG)} == {"pair_l1", "pair_psnr"}
    three = np.repeat(WANTED, 3, 1)
    assert {*measure_pairs(WANTED, three, three, CONFIG)} == {"pair_l1", "pair_psnr", "pair_ssim"}


def test_what_was_given_is_drawn_beside_what_was_made_of_it() -> None:
    index = np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2)
    coloured = pictured(index, 3, 4)
    assert coloured.shape == (1, 3, 2, 2)
    assert len({tuple(colour) for colour in coloured[0].reshape(3, 4).T.tolist()}) == 4
    grey = pictured(index, 1, 4)
    assert (np.diff(grey.ravel().astype(int)) > 0).all()
    assert (pictured(WANTED, 3) == np.repeat(WANTED, 3, 1)).all()
    assert (pictured(np.repeat(WANTED, 3, 1), 1) == WANTED).all()
    assert pictured(WANTED, 1) is WANTED
