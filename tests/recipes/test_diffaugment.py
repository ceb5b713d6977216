from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gan_core.recipes.diffaugment import TRANSFORMS, diffaugment
from gan_core.recipes.draw import Draw

N = 12
SHAPES = [(1, 8, 8), (3, 32, 32), (4, 16, 16), (1, 28, 28), (2, 8, 12)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
each = pytest.mark.parametrize("name", TRANSFORMS)


def draw(n: int = N, position: int = 64) -> Draw:
    return Draw(1, position, n, slice(0, n), torch.device("cpu"))


def images(*shape: int, n: int = N) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


@shapes
@each
def test_each_transform_changes_every_image_and_keeps_its_shape(name: str, shape: tuple[int, int, int]) -> None:
    before = images(*shape)
    after = diffaugment(before, draw(), (name,))
    assert after.shape == before.shape
    assert after.isfinite().all()
    changed = (after != before).flatten(1).any(1)
    assert changed.sum() >= (N - 2 if name == "translation" else N)  # one move in nine or more is none at all


@shapes
def test_two_workers_do_to_their_halves_what_one_does_to_the_whole(shape: tuple[int, int, int]) -> None:
    before = images(*shape)
    halves = [diffaugment(half, draw().part(number, 2)) for number, half in enumerate(before.chunk(2))]
    torch.testing.assert_close(torch.cat(halves), diffaugment(before, draw()))


def test_all_randomness_is_the_draw_s() -> None:
    before = images(3, 8, 8)
    torch.manual_seed(0)
    first = diffaugment(before, draw())
    torch.manual_seed(1)
    assert torch.equal(diffaugment(before, draw()), first)
    for other in (draw(position=128), draw().within("real"), draw().within("fake")):
        assert not torch.equal(diffaugment(before, other), first)


@each
def test_gradients_reach_the_images_and_can_be_differentiated_again(name: str) -> None:
    before = images(3, 5, 5, n=2).double().requires_grad_()
    (gradient,) = torch.autograd.grad(diffaugment(before, draw(2), (name,)).sum(), before)
    assert gradient.flatten(1).any(1).all()
    assert torch.autograd.gradcheck(lambda x: diffaugment(x, draw(2), (name,)), before)
    assert torch.autograd.gradgradcheck(lambda x: diffaugment(x.square(), draw(2), (name,)), before)


def test_a_policy_s_transforms_are_done_in_the_paper_s_order() -> None:
    before = images(3, 8, 8)
    one_by_one = before
    for name in ("color", "translation", "cutout"):
        one_by_one = diffaugment(one_by_one, draw(), (name,))
    assert torch.equal(diffaugment(before, draw(), ("cutout", "color", "translation")), one_by_one)
    assert torch.equal(diffaugment(before, draw()), one_by_one)
    assert torch.equal(diffaugment(before, draw(), ()), before)


def test_images_move_by_up_to_an_eighth_and_zeros_move_in() -> None:
    before = images(1, 8, 12, n=1).expand(400, 1, 8, 12)
    moved = {}
    for down in range(-1, 2):
        for right in range(-2, 3):
            want = torch.zeros(1, 12, 16)
            want[:, 2 + down : 10 + down, 2 + right : 14 + right] = before[0]
            moved[down, right] = want[:, 2:10, 2:14]
    found = [[by for by, want in moved.items() if torch.equal(want, image)]
             for image in diffaugment(before, draw(400), ("translation",))]
    assert {len(matches) for matches in found} == {1}
    assert {matches[0] for matches in found} == {*moved}


@pytest.mark.parametrize("side", [8, 7])
def test_a_square_of_half_the_side_is_cut_out_and_may_stick_out(side: int) -> None:
    n = 600
    holes = diffaugment(torch.ones(n, 2, side, side), draw(n), ("cutout",)) == 0
    assert torch.equal(holes[:, 0], holes[:, 1])
    rows, columns = holes[:, 0].any(2), holes[:, 0].any(1)
    assert torch.equal(holes[:, 0], rows.unsqueeze(2) & columns.unsqueeze(1))
    for hit in (rows, columns):
        size, first = hit.sum(1), hit.int().argmax(1)
        assert torch.equal(hit[:, 1:].logical_xor(hit[:, :-1]).sum(1) <= 2, torch.ones(n, dtype=torch.bool))
        want = {(max(0, start), min(side, start + 4) - max(0, start)) for start in range(-2, side - 1)}
        assert {*zip(first.tolist(), size.tolist(), strict=True)} == want


def test_grey_images_are_made_brighter_or_darker_and_harder_or_softer() -> None:
    n = 500
    before = images(1, 8, 8, n=1).expand(n, 1, 8, 8)
    after = diffaugment(before, draw(n), ("color",))
    mean, spread = before[0].mean(), before[0].std()
    brighter, harder = after.mean((1, 2, 3)) - mean, after.flatten(1).std(1) / spread
    torch.testing.assert_close(after, mean + brighter.view(-1, 1, 1, 1) + harder.view(-1, 1, 1, 1) * (before - mean))
    for amounts, low, high in ((brighter, -0.5, 0.5), (harder, 0.5, 1.5)):
        assert low <= amounts.min() < low + 0.05
        assert high - 0.05 < amounts.max() <= high
        assert (amounts.mean() - (low + high) / 2).abs() < 0.05


def test_colours_are_made_purer_or_greyer() -> None:
    n = 500
    before = images(3, 4, 4, n=1).expand(n, 3, 4, 4)
    before = before - before.mean((1, 2, 3), keepdim=True) + torch.zeros(n, 3, 4, 4)
    after = diffaugment(before, draw(n), ("color",))

    def chroma(x: Tensor) -> Tensor:
        return x - x.mean(1, keepdim=True)

    def luma(x: Tensor) -> Tensor:
        return x.mean(1).flatten(1).std(1)

    purer = chroma(after).flatten(1).norm(dim=1) / chroma(before).flatten(1).norm(dim=1)
    saturation = purer / (luma(after) / luma(before))  # what contrast does, it does to both
    assert 0 <= saturation.min() < 0.1
    assert 1.9 < saturation.max() <= 2.001
    assert (saturation.mean() - 1).abs() < 0.1


@pytest.mark.parametrize("channels", [2, 4])
def test_alpha_keeps_its_values_while_colours_change(channels: int) -> None:
    before = images(channels, 8, 8)
    after = diffaugment(before, draw(), ("color",))
    assert torch.equal(after[:, -1], before[:, -1])
    assert (after[:, :-1] != before[:, :-1]).any()
