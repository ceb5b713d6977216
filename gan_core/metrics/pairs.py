"""Metrics of a generator that makes one image of a pair from the other, on pairs that training has not seen.

    scores = measure_pairs(given, made, wanted, config)

    pair_l1           mean absolute error of what is made, pixels going from 0 to 1
    pair_l1_before    the same of the image that was given, where it has as many channels and is no map of classes
    pair_psnr         mean PSNR in dB (an image that is made just as it is counts as 58.9)
    pair_ssim         mean SSIM, for sides of 11 pixels and more

A pair has more than one right answer where the image that is given leaves something open: the distance of the made
images' features from the real ones' (`fd_domain`, coverage and the others) says whether they look real, these whether
they are the one of the pair.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from gan_core.config import EvaluateConfig
from gan_core.metrics.evaluate import Measured
from gan_core.metrics.figure import jackknifed
from gan_core.metrics.image_quality import WINDOW, finite_psnr, ssim
from gan_core.metrics.jackknife import mean_interval

Images = NDArray[np.uint8]
RANGES = {"pair_l1": (0.0, 1.0), "pair_l1_before": (0.0, 1.0), "pair_psnr": (0.0, math.inf), "pair_ssim": (-1.0, 1.0)}


def measure_pairs(
    given: Images | None, made: Images, wanted: Images, config: EvaluateConfig
) -> dict[str, Measured]:
    """All of the above.  given: [n, C, H, W], None for maps of classes; made, wanted: [n, C', H, W]."""
    found = {"pair_l1": errors(made, wanted), "pair_psnr": finite_psnr(made, wanted)}
    if given is not None and given.shape == wanted.shape:
        found["pair_l1_before"] = errors(given, wanted)
    if min(wanted.shape[2:]) >= WINDOW:
        found["pair_ssim"] = ssim(made, wanted)
    measured = {}
    for name, each in found.items():
        lowest, highest = RANGES[name]
        figure = jackknifed(float(each.mean()), mean_interval(each), lowest=lowest, highest=highest)
        measured[name] = Measured(n_real=len(wanted), n_fake=len(made), network="pixels", split=config.split,
                                  seed=config.seed, **figure.fields())
    return measured


def errors(images: Images, others: Images) -> NDArray[np.float64]:
    """[n]: mean absolute difference of each image from the other, pixels going from 0 to 1.  [n, C, H, W] twice."""
    return np.asarray(np.abs(images.astype(np.int16) - others).mean(axis=(1, 2, 3)) / 255)
