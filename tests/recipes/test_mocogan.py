"""MoCoGAN: its losses against the paper's formulas, and a small run of it on moving digits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import softplus

from gan_core.config import Experiment, experiment_from
from gan_core.errors import ConfigError
from gan_core.options.mocogan import MocoganOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.mocogan import JUDGES, Mocogan
from gan_core.recipes.recipe import DataSpec
from gan_core.store import Store
from tests.clips import of_clips
from tests.domains import written
from tests.train.runs import close_enough, finished, last_state, train
from tests.workers import run_workers

SHAPE, N, WORKERS = (3, 1, 8, 8), 4, 2
CLIPS = DataSpec(SHAPE, 10, "video")  # type: ignore[arg-type]
DRAW = Draw(0, 0, N, slice(0, N), torch.device("cpu"))
LABEL = torch.arange(N)


def recipe(**options: Any) -> Mocogan:
    return Mocogan(MocoganOptions(width=2, content=3, motion=2, **options), CLIPS)


def clips(*levels: float) -> Tensor:
    """[n, 3, 1, 8, 8]: the frames of each have its level, and 1 and 2 more."""
    frames = torch.tensor(levels)[:, None] + torch.arange(3.0)
    return frames[:, :, None, None, None].expand(-1, -1, *SHAPE[1:]).clone()


REAL, FAKE = clips(0.1, -0.2, 0.3, 0.0), clips(0.5, 0.4, -0.6, 0.2)


class Judged:
    """Says the mean of what it sees, three times, and remembers it."""

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, given: Tensor, label: Tensor | None = None) -> Tensor:
        self.seen.append(given.detach())
        return 3 * given.flatten(1).mean(1)


def judged(phase: str, **options: Any) -> tuple[Tensor, dict[str, Tensor], dict[str, list[Tensor]]]:
    judges = {name: Judged() for name in JUDGES}
    loss = recipe(**options).loss(phase, judges, {"video": REAL, "fake": FAKE, "label": LABEL}, DRAW)
    return loss.per_example, dict(loss.scalars), {name: judge.seen for name, judge in judges.items()}


def mean(given: Tensor) -> Tensor:
    return 3 * given.flatten(1).mean(1)


def test_judges_tell_frames_and_clips_apart_as_in_the_paper_with_r1_of_each() -> None:
    found, scalars, seen = judged("judges", r1=2.0)
    (real, fake), pixels = seen["judge_frames"], 64
    frames = softplus(-mean(real)) + softplus(mean(fake))
    whole = softplus(-mean(REAL)) + softplus(mean(FAKE))
    slopes = 3**2 / pixels + 3**2 / (3 * pixels)  # of the mean of so many numbers
    assert torch.allclose(found, frames + whole + 2.0 / 2 * slopes)
    assert torch.allclose(scalars["loss/judge_frames"], frames)
    assert torch.allclose(scalars["loss/judge_clips"], whole)
    assert torch.allclose(judged("judges", r1=0)[0], frames + whole)


def test_one_judge_sees_a_frame_at_random_of_each_clip_and_the_other_all() -> None:
    _, _, seen = judged("judges")
    assert [list(given.shape) for given in seen["judge_frames"]] == [[N, *SHAPE[1:]]] * 2
    for given, of in zip(seen["judge_frames"], (REAL, FAKE), strict=True):
        assert all((frame == clip).flatten(1).all(1).any() for frame, clip in zip(given, of, strict=True))
    assert torch.equal(seen["judge_clips"][0], REAL)
    assert torch.equal(seen["judge_clips"][1], FAKE)
    many = Draw(0, 0, 300, slice(0, 300), torch.device("cpu"))
    made, judges = recipe(), {name: Judged() for name in JUDGES}
    given = clips(*[0.0] * 300)
    made.loss("judges", judges, {"video": given, "fake": given, "label": LABEL}, many)
    real, fake = (seen.mean((1, 2, 3)).tolist() for seen in judges["judge_frames"].seen)
    assert {*real} == {*fake} == {0.0, 1.0, 2.0}
    assert real != fake


def test_the_generator_minimises_what_both_judges_say_of_its_clips() -> None:
    found, scalars, seen = judged("generator")
    (fake,) = seen["judge_frames"]
    assert torch.allclose(scalars["loss/generator_frames"], softplus(-mean(fake)))
    assert torch.allclose(found, softplus(-mean(fake)) + softplus(-mean(FAKE)))


@pytest.mark.parametrize("objective", ["non_saturating", "least_squares", "hinge"])
def test_each_objective_pulls_clips_towards_what_the_judges_call_real(objective: Any) -> None:
    fake = clips(0.0, 0.0, 0.0, 0.0).sub(1).requires_grad_()
    judges: dict[str, Callable[..., Tensor]] = {name: Judged() for name in JUDGES}
    recipe(objective=objective).loss("generator", judges, {"fake": fake, "label": LABEL}, DRAW).per_example.sum().backward()
    assert fake.grad is not None
    assert bool((fake.grad.mean((1, 2, 3, 4)) < 0).all())


@pytest.mark.parametrize("spec", [DataSpec((1, 8, 8), 10), DataSpec((1, 800, 1), 0, "audio")])
def test_data_without_clips_is_refused_with_some_that_works(spec: DataSpec) -> None:
    with pytest.raises(ConfigError, match=r"mocogan makes clips.*holds (image|audio).*data\.source=moving_digits"):
        Mocogan(MocoganOptions(), spec)


def test_clips_without_labels_need_a_recipe_that_asks_for_none() -> None:
    unlabelled = DataSpec(SHAPE, 0, "video")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"model\.conditional=false works"):
        Mocogan(MocoganOptions(), unlabelled)
    made = Mocogan(MocoganOptions(width=2, conditional=False), unlabelled)
    nets, batch = made.networks(), {"video": REAL}
    batch |= made.common(nets, batch, DRAW)
    for phase in made.phases():
        assert made.loss(phase.name, nets, batch, DRAW).per_example.shape == (N,)
    assert {*made.published()[1].inputs} == {"z", "motion"}
    assert {name: said.shape for name, said in made.logits(nets, batch).items()} == dict.fromkeys(JUDGES, (N,))


def test_what_is_published_makes_what_the_recipe_makes() -> None:
    made = recipe()
    nets = made.networks()
    _, spec = made.published()
    built = spec.build()
    built.load_state_dict(nets["generator"].state_dict())
    inputs = made.inputs(DRAW, LABEL)
    assert {name: (N, *given.shape) for name, given in spec.inputs.items()} \
        == {name: tuple(given.shape) for name, given in inputs.items()}
    assert torch.equal(built(**inputs), made.generate(nets, inputs))
