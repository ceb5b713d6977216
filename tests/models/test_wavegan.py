from __future__ import annotations

from itertools import count
from typing import Any

import pytest
import torch
from torch import Tensor

from gan_core.models.dropout import dropout_from
from gan_core.models.wavegan import PhaseShuffle, WaveganDiscriminator, WaveganGenerator
from tests.models.families import count as parameters
from tests.models.family_contract import FamilyContract


class TestWavegan(FamilyContract):
    Generator = WaveganGenerator
    Discriminator = WaveganDiscriminator
    shape: Any = (1, 150)
    generator_options = ({"dropout": 0.5}, {"init": "he"}, {"spectral": True})
    discriminator_options = ({"phase_shuffle": 0}, {"dropout": 0.5}, {"init": "he"}, {"spectral": True})


def shuffled(x: Tensor, most: int, rows: slice, batch: int) -> Tensor:
    seeds = count()
    with dropout_from(lambda: torch.Generator().manual_seed(next(seeds)), rows, batch):
        return PhaseShuffle(most)(x)


def test_at_16384_samples_width_64_is_the_published_network() -> None:
    d, ends = 64, [(1, 64), (64, 128), (128, 256), (256, 512), (512, 1024)]  # tables 3 and 4: kernels of 25
    with torch.device("meta"):
        made, judge = WaveganGenerator((1, 16_384), 100, d), WaveganDiscriminator((1, 16_384), d)
    assert parameters(made) == 101 * 256 * d + sum(25 * a * b + a for a, b in ends)
    assert parameters(judge) == sum(25 * a * b + b for a, b in ends) + 256 * d + 1


@pytest.mark.parametrize("length", [1, 5, 31, 32, 127, 128, 1000, 4097])
@pytest.mark.parametrize("channels", [1, 2])
def test_recordings_of_any_length_are_made_and_judged(length: int, channels: int) -> None:
    made = WaveganGenerator((channels, length), 6, 2).eval()(torch.randn(3, 6))
    assert made.shape == (3, channels, length)
    assert WaveganDiscriminator((channels, length), 2).eval()(made).shape == (3,)


def test_phase_shuffle_moves_each_example_by_a_few_samples_and_reflects_its_ends() -> None:
    x = torch.arange(20.0).expand(200, 2, 20)
    moved = shuffled(x, 2, slice(0, 200), 200)
    by = moved[:, 0, 10] - 10
    assert sorted(by.unique().tolist()) == [-2, -1, 0, 1, 2]
    assert torch.equal(moved[:, 0], moved[:, 1])
    up, = moved[by == 2][:1, 0]
    assert up.tolist() == [*range(2, 20), 18, 17]
    down, = moved[by == -2][:1, 0]
    assert down.tolist() == [2, 1, *range(18)]


def test_phase_shuffle_is_the_same_whoever_has_the_rows_and_nothing_in_evaluation() -> None:
    x = torch.randn(8, 3, 30)
    whole = shuffled(x, 2, slice(0, 8), 8)
    halves = [shuffled(x[rows], 2, rows, 8) for rows in (slice(0, 4), slice(4, 8))]
    assert torch.equal(whole, torch.cat(halves))
    assert not torch.equal(whole, x)
    assert torch.equal(PhaseShuffle(2).eval()(x), x)
