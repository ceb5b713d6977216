from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from gan_core.models.spread import std_over_workers


def images(n: int = 12, seed: int = 0) -> Tensor:
    return 3 + 2 * torch.randn(n, 3, 4, 4, generator=torch.Generator().manual_seed(seed))


def test_it_is_the_standard_deviation_of_all_numbers() -> None:
    found = std_over_workers(images())
    torch.testing.assert_close(found, images().std(correction=0))
    assert found.shape == ()
    assert found.dtype == torch.float32


def test_images_that_are_all_alike_have_none_however_bright() -> None:
    assert std_over_workers(torch.full((4, 3, 4, 4), 0.9)) == pytest.approx(0, abs=1e-6)


def test_a_small_spread_about_a_large_mean_is_not_lost() -> None:
    torch.testing.assert_close(std_over_workers(1000 + images() / 100), (1000 + images() / 100).double().std(
        correction=0).float(), rtol=1e-5, atol=0)


def test_nothing_is_learned_by_it() -> None:
    assert not std_over_workers(images().requires_grad_()).requires_grad


@pytest.mark.parametrize("cuts", [(6, 6), (1, 11), (3, 4, 5)])
def test_workers_with_uneven_rows_have_the_standard_deviation_of_the_whole_batch(
    cuts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one message is caught, and answered for every worker."""
    parts, sent = images().split(list(cuts)), []
    monkeypatch.setattr(dist, "is_initialized", lambda: True)
    monkeypatch.setattr(dist, "get_world_size", lambda: len(cuts))

    def gather(every: list[Tensor], ours: Tensor) -> None:
        sent.append(ours)
        for place, known in zip(every, (*sent, *[ours] * len(every)), strict=False):
            place.copy_(known)

    monkeypatch.setattr(dist, "all_gather", gather)
    for part in parts:
        found = std_over_workers(part)
    torch.testing.assert_close(found, images().std(correction=0))
    assert len(sent) == len(cuts)
