from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
import torch
from torch import nn

from gan_core.models.dropout import Dropout, SameMasks, dropout_from

BATCH, WIDTH = 12, 50


def seeded(first: int = 0) -> Callable[[], torch.Generator]:
    """Generators of one seed after the other."""
    seeds = count(first)
    return lambda: torch.Generator().manual_seed(next(seeds))


def dropped(rows: slice, kinds: int = 1, first: int = 0) -> torch.Tensor:
    with dropout_from(seeded(first), rows, BATCH):
        return Dropout(0.25)(torch.ones(kinds * (rows.stop - rows.start), WIDTH, 4))


def test_a_share_is_dropped_and_the_mean_stays() -> None:
    found = dropped(slice(0, BATCH))
    assert found.unique().tolist() == [0, pytest.approx(1 / 0.75)]
    assert float((found == 0).float().mean()) == pytest.approx(0.25, abs=0.03)


def test_what_is_dropped_does_not_depend_on_the_number_of_workers() -> None:
    whole = dropped(slice(0, BATCH))
    parts = [dropped(slice(start, start + 4)) for start in range(0, BATCH, 4)]
    assert torch.equal(torch.cat(parts), whole)


def test_kinds_judged_together_have_masks_of_their_own_which_workers_share() -> None:
    real, fake = dropped(slice(0, BATCH), kinds=2).chunk(2)
    assert not torch.equal(real, fake)
    first, second = (dropped(rows, kinds=2).chunk(2) for rows in (slice(0, 5), slice(5, BATCH)))
    assert torch.equal(torch.cat([first[0], second[0]]), real)
    assert torch.equal(torch.cat([first[1], second[1]]), fake)


def test_every_layer_of_a_forward_draws_anew_and_the_same_place_gives_the_same() -> None:
    layers = nn.Sequential(Dropout(0.25), Dropout(0.25))
    with dropout_from(seeded(), slice(0, BATCH), BATCH):
        twice = layers(torch.ones(BATCH, WIDTH))
    assert float((twice == 0).float().mean()) == pytest.approx(1 - 0.75**2, abs=0.06)
    assert torch.equal(dropped(slice(0, BATCH)), dropped(slice(0, BATCH)))
    assert not torch.equal(dropped(slice(0, BATCH)), dropped(slice(0, BATCH), first=1))


def test_torch_s_global_random_state_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    found = dropped(slice(0, BATCH))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(dropped(slice(0, BATCH)), found)


@pytest.mark.parametrize("layer", [Dropout(0.5).eval(), Dropout(0.0)])
def test_in_evaluation_and_with_a_share_of_nothing_it_needs_no_source(layer: nn.Module) -> None:
    x = torch.randn(3, 4)
    assert layer(x) is x


def test_training_outside_a_source_s_block_is_refused() -> None:
    with dropout_from(seeded(), slice(0, 2), 2):
        pass
    with pytest.raises(RuntimeError, match="nothing to draw from"):
        Dropout(0.5)(torch.ones(2, 2))


def test_rows_of_another_number_than_the_worker_s_are_refused() -> None:
    with dropout_from(seeded(), slice(0, 4), BATCH), pytest.raises(RuntimeError, match=r"6 rows, .* worker's 4"):
        Dropout(0.5)(torch.ones(6, 2))


def test_a_run_can_be_had_again_as_often_as_wanted_and_outside_the_block() -> None:
    layers, x = nn.Sequential(Dropout(0.25), Dropout(0.25)), torch.ones(BATCH, WIDTH)
    with dropout_from(seeded(), slice(0, BATCH), BATCH):
        Dropout(0.25)(x)
        masks = SameMasks()
        with masks.first():
            first = layers(x)
        later = layers(x)
    for _ in range(2):
        with masks.again():
            assert torch.equal(layers(x), first)
    assert not torch.equal(later, first)


def test_it_can_be_differentiated_twice_and_keeps_a_narrow_type() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)

    def layer(given: torch.Tensor) -> torch.Tensor:
        with dropout_from(seeded(), slice(0, 3), 3):
            return Dropout(0.5)(given).sin()

    assert torch.autograd.gradgradcheck(layer, x)
    assert layer(x.bfloat16()).dtype == torch.bfloat16
