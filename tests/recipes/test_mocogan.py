"""MoCoGAN: its losses against the paper's formulas, and a small run of it on moving digits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image, ImageSequence
from torch import Tensor
from torch.nn.functional import softplus

from gan_core.bundle import load_generator
from gan_core.config import Experiment, experiment_from
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError
from gan_core.metrics.domain import train_domain
from gan_core.metrics.in_training import fd_domain_against
from gan_core.modalities.kinds import modality_of
from gan_core.modalities.modality import Layout
from gan_core.options.mocogan import MocoganOptions
from gan_core.pictures import grid
from gan_core.recipes.draw import Draw
from gan_core.recipes.mocogan import JUDGES, Mocogan
from gan_core.recipes.recipe import DataSpec, build_recipe, data_of
from gan_core.store import Store
from tests.clips import of_clips
from tests.domains import PREFIX, written
from tests.train.runs import RUN, close_enough, finished, last_state, train
from tests.workers import run_workers

SHAPE, N, WORKERS = (3, 1, 8, 8), 4, 2
CLIPS = DataSpec(SHAPE, 10, "video")
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
    batch = {"fake": fake, "label": LABEL}
    recipe(objective=objective).loss("generator", judges, batch, DRAW).per_example.sum().backward()
    assert fake.grad is not None
    assert bool((fake.grad.mean((1, 2, 3, 4)) < 0).all())


@pytest.mark.parametrize("spec", [DataSpec((1, 8, 8), 10), DataSpec((1, 800, 1), 0, "audio")])
def test_data_without_clips_is_refused_with_some_that_works(spec: DataSpec) -> None:
    with pytest.raises(ConfigError, match=r"mocogan makes clips.*holds (image|audio).*data\.source=moving_digits"):
        Mocogan(MocoganOptions(), spec)


def test_clips_without_labels_need_a_recipe_that_asks_for_none() -> None:
    unlabelled = DataSpec(SHAPE, 0, "video")
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


@pytest.fixture(scope="module")
def settings() -> Experiment:
    quick = {"learning_rate": 2e-3, "betas": [0.0, 0.99]}
    return of_clips(model={"width": 8, "r1": 0.2, "generator_optimizer": quick, "judge_optimizer": quick},
                    train={"images": 4800, "batch": 32, "checkpoint_every": 2400, "sample_every": 4800,
                           "ema_half_life": 500, "precision": "float32"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, settings: Experiment) -> Store:
    return written(settings, tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, data: Store, settings: Experiment) -> Store:
    store = Store(tmp_path_factory.mktemp("trained"))
    assert train(store, data, settings)
    return store


@pytest.mark.slow
def test_clips_come_nearer_to_the_data(trained: Store, data: Store, settings: Experiment) -> None:
    """By FD on features of a classifier of moving digits: from 347 of fresh weights to 9.3."""
    shards = open_shards(data, PREFIX)
    domain = train_domain(shards.split("train"), shards.form, shards.classes, seed=0, most=5_000)
    distance = fd_domain_against(domain, shards.split("test").gather(np.arange(300)))
    fresh = build_recipe(settings, data_of(settings, shards))
    torch.manual_seed(settings.seed)
    nets, asked = fresh.networks(), Draw(1, 0, 300, slice(0, 300), torch.device("cpu"))
    with torch.no_grad():
        first = fresh.generate({"generator": nets["generator"].eval()}, fresh.inputs(asked, torch.arange(300) % 10))
    before = distance(modality_of(shards.form).stored(first.numpy()))["fd_domain"]
    after = distance(load_generator(trained.uri(RUN)).sample(300))["fd_domain"]
    assert before > 10 * after, (before, after)


ONLY_THE_LAYERS_BELOW = """
import sys
from gan_core.bundle import load_generator
clips = load_generator(sys.argv[1]).sample(4, seed=7, label=3)
print(clips.dtype, *clips.shape, int(clips.sum()), *sorted({m.split(".")[1] for m in sys.modules if "gan_core." in m}))
"""


@pytest.mark.slow
def test_the_bundle_makes_clips_in_a_fresh_process_without_what_trained_it(trained: Store) -> None:
    uri = trained.uri(RUN)
    done = subprocess.run([sys.executable, "-c", ONLY_THE_LAYERS_BELOW, uri], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    dtype, *rest = done.stdout.split()
    here = load_generator(uri).sample(4, seed=7, label=3)
    assert (dtype, *map(int, rest[:6])) == ("uint8", *here.shape, here.sum())
    assert not {*rest[6:]} & {"recipes", "losses", "data", "train", "metrics"}


@pytest.mark.slow
def test_samples_are_a_gif_in_which_all_clips_move_together(trained: Store, tmp_path: Path) -> None:
    kind = load_generator(trained.uri(RUN)).spec.modality.files()[".gif"]
    clips = load_generator(trained.uri(RUN)).sample(6, seed=1)
    (tmp_path / "clips.gif").write_bytes(kind.encode(clips, Layout(columns=3, seconds=2.0)))
    with Image.open(tmp_path / "clips.gif") as moving:
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(moving)]
        assert moving.info["duration"] == 500
    assert len(frames) == clips.shape[1] == 4
    for number, frame in enumerate(frames):
        assert np.array_equal(frame, np.asarray(grid(clips[:, number], 3)))


def work(rank: int, raw: dict[str, Any], shards: str, folder: str) -> None:
    """One of two workers of the same run, for the first three steps."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORKERS)
    train(Store(f"{folder}/store"), Store(shards), experiment_from(raw))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_with_half_the_batch_take_the_steps_one_takes_with_all_of_it(tmp_path: Path, data: Store) -> None:
    raw = of_clips(train={"images": 192, "batch": 64, "precision": "float32", "channels_last": False}).as_json()
    alone = Store(tmp_path / "alone")
    train(alone, data, experiment_from(raw))
    run_workers(work, (raw, data.url, str(tmp_path)), WORKERS)
    shared = Store(tmp_path / "store")
    assert finished(shared).facts["worlds"] == [WORKERS]
    assert close_enough(last_state(shared), last_state(alone), learning_rate=2e-4)
