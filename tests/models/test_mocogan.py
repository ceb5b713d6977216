"""MoCoGAN's networks: content stays, motion goes on, and every size from 4 pixels and one frame on can be judged."""

from __future__ import annotations

import json
from itertools import product

import pytest
import torch
from torch import Tensor

from gan_core.errors import ConfigError
from gan_core.models.mocogan import SMALLEST, ClipDiscriminator, ClipShape, MocoganGenerator, halved
from gan_core.options.conditions import Conditions

N, CONTENT, MOTION = 4, 5, 3
CLASSES = Conditions(classes=3).model_dump()
LABEL = torch.tensor([0, 1, 2, 1])
SHAPE = (6, 1, 8, 8)


def generator(shape: ClipShape = SHAPE, told: bool = True) -> MocoganGenerator:
    torch.manual_seed(0)
    made = MocoganGenerator(shape, CONTENT, MOTION, 2, CLASSES if told else None)
    return at_large(made).eval()


def at_large(network: MocoganGenerator) -> MocoganGenerator:
    """With weights so large that what they make is not nearly 0."""
    with torch.no_grad():
        for weight in network.parameters():
            weight.mul_(8)
    return network


def noise(frames: int = SHAPE[0]) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return {"z": torch.randn(N, CONTENT, generator=draw), "motion": torch.randn(N, frames + 1, MOTION, generator=draw)}


def clips(shape: ClipShape = SHAPE) -> Tensor:
    return torch.randn(N, *shape, generator=torch.Generator().manual_seed(2))


def test_clips_are_in_their_range_and_differ_by_label_and_by_what_is_seen() -> None:
    made, given = generator(), noise()
    found = made(**given, label=LABEL)
    assert found.shape == (N, *SHAPE)
    assert found.dtype == torch.float32
    assert -1 <= found.min() < -0.3 < 0.3 < found.max() <= 1
    assert not torch.allclose(found, made(**given, label=LABEL.flip(0)))
    assert not torch.allclose(found, made(given["z"].flip(0), given["motion"], LABEL))
    assert generator(told=False)(**given).shape == (N, *SHAPE)


@pytest.mark.parametrize("frame", [0, 1, 4, 6])
def test_noise_of_a_frame_changes_it_and_those_after_it(frame: int) -> None:
    made, given = generator(), noise()
    before = made(**given, label=LABEL)
    given["motion"][:, frame] += 1
    changed = (made(**given, label=LABEL) != before).flatten(2).any(2).any(0)
    first = max(frame - 1, 0)  # the first noise is the state that the first frame comes from
    assert changed.tolist() == [number >= first for number in range(SHAPE[0])]


def test_a_clip_depends_on_its_own_noise_alone() -> None:
    made, given = generator(), noise()
    whole = made(**given, label=LABEL)
    assert torch.allclose(made(given["z"][2:3], given["motion"][2:3], LABEL[2:3]), whole[2:3], atol=1e-6)


def test_every_weight_of_the_generator_has_a_part_in_its_clips() -> None:
    made = generator().train()
    (made(**noise(), label=LABEL) * clips()).sum().backward()
    assert [name for name, weight in made.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_every_weight_of_the_judge_and_the_label_have_a_part_in_its_verdict() -> None:
    torch.manual_seed(0)
    judge = ClipDiscriminator(SHAPE, 2, CLASSES)
    found = judge(clips(), LABEL)
    assert found.shape == (N,)
    assert not torch.allclose(found, judge(clips(), LABEL.flip(0)))
    found.sum().backward()
    assert [name for name, weight in judge.named_parameters() if weight.grad is None or not weight.grad.any()] == []


def test_the_judge_sees_the_order_of_frames() -> None:
    torch.manual_seed(0)
    judge = ClipDiscriminator(SHAPE, 2)
    assert not torch.allclose(judge(clips()), judge(clips().flip(1)))


@pytest.mark.parametrize(("frames", "side"), [*product([1, 2, 5, 16, 33], [4, 9]), (3, 30)])
def test_clips_of_any_length_and_size_are_made_and_judged(frames: int, side: int) -> None:
    shape = (frames, 3, side, side + 2)
    found = generator(shape, told=False)(**noise(frames))
    assert found.shape == (N, *shape)
    assert ClipDiscriminator(shape, 2)(found).shape == (N,)


def test_an_axis_is_halved_until_it_is_4_at_most() -> None:
    assert halved((16, 64, 64)) == [(16, 64, 64), (8, 32, 32), (4, 16, 16), (4, 8, 8)]
    assert halved((40, 16, 9)) == [(40, 16, 9), (20, 8, 4), (10, 4, 4), (5, 4, 4)]
    assert halved((1, 4, 4)) == [(1, 4, 4)]


def test_frames_too_small_are_refused() -> None:
    with pytest.raises(ConfigError, match=rf"clips of 3 by 8.*sides of {SMALLEST} and more work"):
        ClipDiscriminator((4, 1, 3, 8), 2)


def test_options_as_json_and_a_state_dict_make_the_same_network() -> None:
    options = json.loads(json.dumps({"shape": SHAPE, "content": CONTENT, "motion": MOTION, "width": 2,
                                     "conditions": CLASSES}))
    first, again = MocoganGenerator(**options).eval(), MocoganGenerator(**options).eval()
    again.load_state_dict(first.state_dict())
    assert torch.equal(first(**noise(), label=LABEL), again(**noise(), label=LABEL))
