from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_core.data.augment import flipped, shifted


def images(height: int = 5, width: int = 4) -> Tensor:
    return torch.arange(3 * 2 * height * width, dtype=torch.float32).view(3, 2, height, width)


def test_the_chosen_images_are_mirrored_left_to_right() -> None:
    found = flipped(images(), torch.tensor([True, False, True]))
    assert torch.equal(found[0], images()[0].flip(-1))
    assert torch.equal(found[1], images()[1])
    assert torch.equal(found[2], images()[2].flip(-1))


@pytest.mark.parametrize("by", [(0, 0), (1, 0), (0, -1), (2, 1), (-3, 2), (4, -3)])
def test_an_image_moves_by_whole_pixels_and_its_edges_are_reflected(by: tuple[int, int]) -> None:
    found = shifted(images(), torch.tensor([by] * 3))
    down, right = by
    wide = np.pad(images().numpy(), ((0, 0), (0, 0), (4, 4), (3, 3)), mode="reflect")
    want = wide[:, :, 4 - down : 4 - down + 5, 3 - right : 3 - right + 4]
    assert np.array_equal(found.numpy(), want)


def test_each_image_moves_by_its_own() -> None:
    found = shifted(images(), torch.tensor([[0, 0], [1, 1], [0, 2]]))
    assert torch.equal(found[0], images()[0])
    for number, by in ((1, (1, 1)), (2, (0, 2))):
        assert torch.equal(found[number], shifted(images(), torch.tensor([by] * 3))[number])


def test_a_single_row_stays_where_it_is() -> None:
    assert torch.equal(shifted(images(height=1), torch.tensor([[3, 0]] * 3)), images(height=1))


def test_a_move_of_more_than_the_image_is_reflected_back_into_it() -> None:
    found = shifted(images(), torch.tensor([[9, -11]] * 3))
    assert found.shape == images().shape
    assert {*found.flatten().tolist()} <= {*images().flatten().tolist()}


def test_what_was_given_is_not_changed() -> None:
    given = images()
    flipped(given, torch.tensor([True, True, True]))
    shifted(given, torch.tensor([[1, 1]] * 3))
    assert torch.equal(given, images())
