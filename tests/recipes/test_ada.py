from __future__ import annotations

from itertools import pairwise
from math import pi
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import grid_sample

from gan_core.data.augment import shifted
from gan_core.options.losses import Ada
from gan_core.recipes.ada import TRANSFORMS, AdaAugment, _hue_turned, resampled
from gan_core.recipes.draw import Draw
from tests.workers import run_workers

N, WORKERS = 12, 2
SHAPES = [(1, 8, 8), (3, 32, 32), (4, 16, 16), (1, 28, 28), (2, 8, 12)]
shapes = pytest.mark.parametrize("shape", SHAPES, ids=str)
each = pytest.mark.parametrize("name", TRANSFORMS)


def draw(n: int = N, position: int = 64) -> Draw:
    return Draw(1, position, n, slice(0, n), torch.device("cpu"))


def images(*shape: int, n: int = N) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1


def augment(*transforms: str, p: float = 1.0, **options: Any) -> AdaAugment:
    return AdaAugment(Ada(method="ada", start=p, transforms=transforms or tuple(TRANSFORMS), **options))


@shapes
def test_at_p_0_the_images_stay_as_they_are_bit_for_bit(shape: tuple[int, int, int]) -> None:
    before = images(*shape)
    before[0] = -0.0
    assert torch.equal(augment(p=0.0)(before, draw()).view(torch.int32), before.view(torch.int32))


@shapes
@each
def test_at_p_1_each_transform_changes_images_and_keeps_their_shape(name: str, shape: tuple[int, int, int]) -> None:
    before = images(*shape)
    after = augment(name)(before, draw())
    assert after.shape == before.shape
    assert after.isfinite().all()
    changed = (after != before).flatten(1).any(1)
    assert changed.sum() >= (N // 2 if name == "blit" else N)  # which draws what changes nothing too


@pytest.mark.parametrize(("name", "share"), [
    # each of four: scale, stretch, move, and one turn at least of two
    ("geometry", 1 - 0.7**4), ("noise", 0.3), ("cutout", 0.3),
    # brightness, contrast, one image in two inverted; hue and saturation leave what is grey
    ("color", 1 - 0.7**2 * (1 - 0.15)),
])
def test_transforms_are_done_with_probability_p_and_otherwise_nothing_is(name: str, share: float) -> None:
    n = 4000
    before = images(1, 4, 4, n=n)
    kept = (augment(name, p=0.3)(before, draw(n)) - before).abs().flatten(1).amax(1) < 1e-6
    assert (1 - kept.float().mean() - share).abs() < 0.03  # four standard errors


@shapes
def test_two_workers_do_to_their_halves_what_one_does_to_the_whole(shape: tuple[int, int, int]) -> None:
    before, made = images(*shape), augment(p=0.7)
    halves = [made(half, draw().part(number, 2)) for number, half in enumerate(before.chunk(2))]
    torch.testing.assert_close(torch.cat(halves), made(before, draw()))


def test_all_randomness_is_the_draw_s() -> None:
    before, made = images(3, 8, 8), augment(p=0.7)
    torch.manual_seed(0)
    first = made(before, draw())
    torch.manual_seed(1)
    assert torch.equal(made(before, draw()), first)
    for other in (draw(position=128), draw().within("real"), draw().within("fake")):
        assert not torch.equal(made(before, other), first)


def test_only_the_transforms_that_are_asked_for_are_done_in_the_paper_s_order() -> None:
    before = images(3, 8, 8)
    one_by_one = augment("color")(augment("geometry")(augment("blit")(before, draw()), draw()), draw())
    assert torch.equal(augment("color", "blit", "geometry")(before, draw()), one_by_one)


@each
def test_gradients_reach_the_images_and_can_be_differentiated_again(name: str) -> None:
    before, made = images(3, 5, 5, n=2).double().requires_grad_(), augment(name)
    (gradient,) = torch.autograd.grad(made(before, draw(2)).sum(), before)
    assert gradient.flatten(1).any(1).all()
    assert torch.autograd.gradcheck(lambda x: made(x, draw(2)), before)
    assert torch.autograd.gradgradcheck(lambda x: made(x.square(), draw(2)), before)


def test_autocast_leaves_places_and_colours_in_full_precision() -> None:
    before = images(3, 16, 16)
    with torch.autocast("cpu", torch.bfloat16):
        found = augment()(before, draw())
    assert torch.equal(found, augment()(before, draw()))


@pytest.mark.parametrize("side", [8, 9])
def test_blits_of_squares_are_mirror_images_quarter_turns_and_whole_pixel_moves(side: int) -> None:
    n = 300
    before = images(1, side, side, n=1)
    poses = [turned for mirrored in (before, before.flip(-1)) for turned in
             (mirrored.rot90(quarters, (2, 3)) for quarters in range(4))]
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    want = {(number, move): shifted(pose, torch.tensor([move])) for number, pose in enumerate(poses) for move in moves}
    found = [[how for how, image in want.items() if torch.equal(image[0], after)]
             for after in augment("blit")(before.expand(n, -1, -1, -1), draw(n))]
    assert {len(matches) for matches in found} == {1}
    assert {matches[0][0] for matches in found} == set(range(8))
    assert {matches[0][1] for matches in found} == {*moves}


def test_images_that_are_not_square_are_turned_by_halves() -> None:
    n = 200
    before = torch.zeros(n, 1, 8, 24)
    before[:, :, 2, 8:12] = 1  # far enough from the edges to leave nothing of itself behind
    flat = augment("blit")(before, draw(n)).sum(2).squeeze(1)
    assert (flat.amax(1) <= 1).all()  # what lies flat goes on lying flat: no column has two of its pixels
    upper = augment("blit")(before, draw(n))[:, 0, :4].sum((1, 2)) > 0
    assert 0.4 < upper.float().mean() < 0.6


def test_a_resampled_image_is_what_torch_s_own_sampling_gives() -> None:
    n, height, width = 6, 7, 10
    before = images(2, height, width, n=n)
    generator = torch.Generator().manual_seed(3)
    matrices, moves = torch.randn(n, 2, 2, generator=generator), 5 * torch.randn(n, 2, generator=generator)
    half = torch.tensor([width - 1, height - 1]) / 2
    y, x = torch.meshgrid(torch.arange(height) - half[1], torch.arange(width) - half[0], indexing="ij")
    places = torch.stack([x, y], dim=-1) - moves.view(n, 1, 1, 2)
    grid = (matrices.view(n, 1, 1, 2, 2) @ places.unsqueeze(-1)).squeeze(-1) / half
    want = grid_sample(before, grid, padding_mode="reflection", align_corners=True)
    torch.testing.assert_close(resampled(before, matrices, moves), want, atol=1e-4, rtol=0)


def test_resampling_of_whole_pixels_and_quarter_turns_moves_pixels_alone() -> None:
    before = images(1, 6, 6, n=1)
    unturned, still = torch.eye(2).unsqueeze(0), torch.zeros(1, 2)
    assert torch.equal(resampled(before, unturned, still), before)
    moved = resampled(before, unturned, torch.tensor([[2.0, -1.0]]))
    assert torch.equal(moved, shifted(before, torch.tensor([[-1, 2]])))
    turned = resampled(before, torch.tensor([[[0.0, -1.0], [1.0, 0.0]]]), still)
    assert torch.equal(turned, before.rot90(1, (2, 3)))


def test_scales_turns_and_moves_have_the_paper_s_sizes() -> None:
    """Seen by an image whose value is its place: what is resampled says where it came from."""
    n, side = 3000, 33
    across = (torch.arange(side) - side // 2) / (side // 2)
    plane = torch.stack(torch.broadcast_tensors(across, across.unsqueeze(1), torch.ones(()))).expand(n, 3, side, side)
    middle = slice(side // 2 - 1, side // 2 + 2)
    found = augment("geometry")(plane, draw(n))[:, :2, middle, middle]
    slopes = torch.stack([(found[:, :, 1, 2] - found[:, :, 1, 0]), (found[:, :, 2, 1] - found[:, :, 0, 1])], dim=2)
    singular = torch.linalg.svdvals(slopes * (side // 2) / 2).log2()
    whole = (found.abs().amax((1, 2, 3)) < 0.8).nonzero().squeeze(1)  # edges that are reflected tell nothing
    assert len(whole) > 0.95 * n
    scale, stretch = singular[whole].mean(1), (singular[whole, 0] - singular[whole, 1]) / 2
    assert (scale.std() - 0.2).abs() < 0.02  # log-normal, with a deviation of 0.2 ln 2
    assert (stretch.square().mean().sqrt() - 0.2).abs() < 0.02
    turn = torch.atan2(slopes[whole, 1, 0] - slopes[whole, 0, 1], slopes[whole, 0, 0] + slopes[whole, 1, 1])
    assert torch.histc(turn, 4, -pi, pi).div(len(whole)).sub(0.25).abs().max() < 0.04
    moved = found[whole, :, 1, 1]  # in halves of the side, by up to what the scale makes of it
    assert (moved.std() - 0.25).abs() < 0.03


def test_a_third_of_the_hue_circle_makes_red_green_green_blue_and_blue_red() -> None:
    chroma = images(3, 4, 4, n=2)
    chroma = chroma - chroma.mean(1, keepdim=True)
    torch.testing.assert_close(_hue_turned(chroma, torch.full((2,), 2 * pi / 3)), chroma.roll(1, 1))
    torch.testing.assert_close(_hue_turned(chroma, torch.zeros(2)), chroma)


def test_colours_have_the_paper_s_sizes() -> None:
    n = 4000
    grey = images(1, 2, 2, n=1).expand(n, 3, 2, 2)
    chroma = images(3, 2, 2, n=1)
    chroma = (chroma - chroma.mean(1, keepdim=True)).expand(n, 3, 2, 2)
    after = augment("color")(grey + chroma, draw(n))
    luma = after.mean(1)
    contrast = (luma[:, 0, 0] - luma[:, 1, 1]) / (grey[0, 0, 0, 0] - grey[0, 0, 1, 1])
    assert ((contrast < 0).float().mean() - 0.5).abs() < 0.04
    assert (contrast.abs().log2().std() - 0.5).abs() < 0.03
    brightness = luma.mean((1, 2)) / contrast - grey[0].mean()
    assert (brightness.std() - 0.2).abs() < 0.02
    purer = (after - luma.unsqueeze(1)).flatten(1).norm(dim=1) / chroma[0].norm() / contrast.abs()
    assert (purer.log2().std() - 1).abs() < 0.06


def test_grey_images_stay_grey_and_alpha_as_it_is() -> None:
    grey = images(1, 8, 8).expand(-1, 3, -1, -1)
    found = augment("color")(grey, draw())
    torch.testing.assert_close(found, found[:, :1].expand(-1, 3, -1, -1))
    torch.testing.assert_close(found[:, :1], augment("color")(grey[:, :1], draw()))
    with_alpha = images(4, 8, 8)
    found = augment("color")(with_alpha, draw())
    assert torch.equal(found[:, 3], with_alpha[:, 3])
    torch.testing.assert_close(found[:, :3], augment("color")(with_alpha[:, :3], draw()))


def test_noise_is_as_loud_as_the_paper_s() -> None:
    n = 2000
    before = torch.zeros(n, 1, 8, 8)
    loud = augment("noise")(before, draw(n)).flatten(1).square().mean(1)
    assert (loud.mean().sqrt() - 0.1).abs() < 0.005


def steps(made: AdaAugment, margins: list[float], times: int) -> list[float]:
    """p after each of several steps in which the discriminator says this of real images."""
    found = []
    for _ in range(times):
        made.observe(torch.tensor(margins))
        made.stepped()
        found.append(made.probability.item())
    return found


def test_p_rises_every_fourth_step_while_real_images_are_told_too_surely_and_falls_while_not() -> None:
    rising = steps(augment(p=0.5, images=1000), [3.0, 0.1], 9)
    assert rising == pytest.approx([0.5] * 3 + [0.508] * 4 + [0.516] * 2)
    falling = steps(augment(p=0.5, images=1000), [-3.0, 0.1], 9)  # r_t is 0, below 0.6
    assert falling == pytest.approx([0.5] * 3 + [0.492] * 4 + [0.484] * 2)


def test_p_stays_within_0_and_1() -> None:
    assert steps(augment(p=0.99, images=8), [1.0], 8)[-1] == 1
    assert steps(augment(p=0.01, images=8), [-1.0], 8)[-1] == 0


@pytest.mark.parametrize(("target", "up"), [(0.4, True), (0.6, False)])
def test_r_t_is_the_mean_sign_and_is_steered_to_its_target(target: float, up: bool) -> None:
    made = augment(p=0.5, target=target)
    found = steps(made, [0.1, 9.0, 2.0, -5.0], 4)  # three of four
    assert made.scalars()["augment/r_t"] == 0.5
    assert (found[-1] > 0.5) == up
    assert made.scalars()["augment/p"] == found[-1]


def test_r_t_is_of_the_images_since_p_was_last_moved_and_parts_of_a_batch_count_alike() -> None:
    made = augment(p=0.5)
    steps(made, [-1.0], 4)
    for _ in range(4):
        made.observe(torch.tensor([1.0, 1.0]))
        made.observe(torch.tensor([1.0, -1.0]))
        made.stepped()
    assert made.scalars()["augment/r_t"] == 0.5


def test_a_fixed_p_stays_while_r_t_is_still_measured() -> None:
    made = augment(p=0.3, fixed=True, images=10)
    assert steps(made, [1.0], 8) == pytest.approx([0.3] * 8)
    assert made.scalars()["augment/r_t"] == 1


def test_steps_that_saw_no_image_move_nothing() -> None:
    made = augment(p=0.5)
    for _ in range(4):
        made.stepped()
    assert made.probability == 0.5
    assert made.r_t == 0


@pytest.mark.parametrize("at", range(1, 9))
def test_it_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(at: int) -> None:
    said = [[1.0, -1.0], [1.0, 2.0], [-1.0, -2.0]]
    whole, first, second = (augment(p=0.5, images=100) for _ in range(3))
    want = [steps(whole, said[number % 3], 1)[0] for number in range(12)]
    assert len({*want}) == 4
    for number in range(at):
        steps(first, said[number % 3], 1)
    second.load_state_dict({name: value.clone() for name, value in first.state_dict().items()})
    assert [steps(second, said[number % 3], 1)[0] for number in range(at, 12)] == want[at:]
    assert torch.equal(second(images(3, 8, 8), draw()), whole(images(3, 8, 8), draw()))


def test_it_has_no_weights_and_its_scalars_are_not_changed_by_later_steps() -> None:
    made = augment(p=0.5, images=10)
    assert not [*made.parameters()]
    before = made.scalars()
    steps(made, [1.0], 4)
    assert before["augment/p"] == 0.5
    assert before["augment/r_t"] == 0


SAID = torch.tensor([[1.0, -1, 2, 3], [-1, -1, -1, 2], [1, 1, 1, 1], [4, -1, 1, -2], [1, 1, 1, -1]])


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORKERS)
    torch.save(control(slice(2 * rank, 2 * rank + 2)), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def control(rows: slice) -> list[dict[str, Tensor]]:
    """All that a checkpoint holds after each step."""
    made, found = augment(p=0.5, images=100), []
    for said in SAID:
        made.observe(said[rows])
        made.stepped()
        found.append({name: value.clone() for name, value in made.state_dict().items()})
    return found


@pytest.mark.slow
def test_each_of_two_workers_holds_after_every_step_what_one_alone_holds(tmp_path: Path) -> None:
    whole = control(slice(None))
    assert any(not torch.equal(before["probability"], after["probability"]) for before, after in pairwise(whole))
    run_workers(work, (str(tmp_path),), WORKERS)
    for rank in range(WORKERS):
        for theirs, want in zip(torch.load(tmp_path / f"{rank}.pt", weights_only=True), whole, strict=True):
            assert theirs.keys() == want.keys()
            assert all(torch.equal(theirs[name], want[name]) for name in want)
