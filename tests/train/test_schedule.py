from __future__ import annotations

import pytest

from gan_core.train.schedule import crossed, ema_decay


def test_an_average_keeps_half_of_itself_after_a_half_life_however_large_the_steps() -> None:
    for batch in (1, 50, 250, 1000):
        left = 1.0
        for step in range(1000 // batch):
            left *= ema_decay(batch, 1000, step * batch)
        assert left == pytest.approx(0.5)


def test_without_a_half_life_it_is_the_network_itself() -> None:
    assert ema_decay(64, 0, 1000) == 0


@pytest.mark.parametrize(("position", "half_life"), [(1_000, 50), (10_000, 500), (40_000, 2_000), (1_000_000, 2_000)])
def test_ramping_up_the_half_life_is_a_share_of_what_was_seen_until_it_is_reached(
    position: int, half_life: float
) -> None:
    assert ema_decay(64, 2_000, position, ramp_up=0.05) == pytest.approx(0.5 ** (64 / half_life))


def test_ramping_up_the_first_step_leaves_nothing_of_the_fresh_weights() -> None:
    assert ema_decay(64, 2_000, 0, ramp_up=0.05) == 0
    assert ema_decay(64, 2_000, 0) > 0.97


def test_a_cadence_is_crossed_by_the_step_that_ends_on_it_or_passes_it() -> None:
    ends = range(64, 641, 64)
    assert [end for end in ends if crossed(end, step=64, every=200)] == [256, 448, 640]
    assert [end for end in ends if crossed(end, step=64, every=128)] == [128, 256, 384, 512, 640]
    assert [end for end in ends if crossed(end, step=64, every=10)] == [*ends]
