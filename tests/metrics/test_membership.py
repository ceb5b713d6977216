"""Membership: known areas, and a discriminator that has learnt its training set by heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from gan_core.errors import DataError
from gan_core.metrics.membership import membership_auc


def test_by_hand_a_tie_counts_half():
    assert membership_auc(np.array([3.0, 1.0]), np.array([2.0, 1.0])) == (1 + 1 + 0 + 0.5) / 4


def test_logits_that_part_both_sets_give_all_away_and_equal_ones_nothing():
    assert membership_auc(np.array([2.0, 3.0]), np.array([-1.0, 0.0, 1.0])) == 1
    assert membership_auc(np.array([-2.0]), np.array([-1.0])) == 0
    assert membership_auc(np.ones(5), np.ones(3)) == 0.5


def test_gaussian_logits_have_the_area_of_their_means_apart():
    draw = np.random.default_rng(0)
    found = membership_auc(draw.normal(1, 1, 20_000).astype(np.float32), draw.normal(0, 1, 20_000).astype(np.float32))
    assert found == pytest.approx(norm.cdf(1 / np.sqrt(2)), abs=0.01)


def test_a_discriminator_that_was_trained_for_long_knows_its_training_set():
    """Pure noise has nothing to learn but the examples themselves."""
    draw = torch.Generator().manual_seed(0)
    real, held_out, fake = (torch.randn(64, 30, generator=draw) for _ in range(3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        critic = nn.Sequential(nn.Linear(30, 256), nn.ReLU(), nn.Linear(256, 1))
    descent = torch.optim.Adam(critic.parameters(), 1e-2)

    def auc() -> float:
        with torch.no_grad():
            return membership_auc(critic(real).flatten().numpy(), critic(held_out).flatten().numpy())

    before = auc()
    for _ in range(60):
        loss = nn.functional.softplus(-critic(real)).mean() + nn.functional.softplus(critic(fake)).mean()
        descent.zero_grad()
        loss.backward()
        descent.step()
    assert before == pytest.approx(0.5, abs=0.15)
    assert auc() > 0.9


@pytest.mark.parametrize("wrong", [np.array([1.0, np.nan]), np.zeros(0), np.zeros((3, 1))])
def test_what_is_not_one_finite_number_an_example_is_refused(wrong):
    with pytest.raises(DataError, match="logits"):
        membership_auc(wrong, np.ones(3))
