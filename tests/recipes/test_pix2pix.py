"""pix2pix: its losses against the paper's formulas, and small runs of it on pairs made of digits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import softplus

from gan_core.bundle import load_generator
from gan_core.config import Experiment
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError
from gan_core.metrics.pairs import errors
from gan_core.models.class_map import one_hot
from gan_core.options.pix2pix import Pix2pixOptions
from gan_core.recipes.draw import Draw
from gan_core.recipes.pix2pix import Pix2pix
from gan_core.recipes.recipe import DataSpec
from gan_core.store import Store
from tests.domains import PREFIX, written
from tests.pairs import pairs
from tests.train.runs import RUN, curves, equal, last_state, stop_at, train

SHAPE = (1, 8, 8)
PAIRS = DataSpec(SHAPE, 10, shape_b=(3, 8, 8))
DRAW = Draw(0, 0, 3, slice(0, 3), torch.device("cpu"))
X, Y, MADE = (torch.rand(3, channels, 8, 8, generator=torch.Generator().manual_seed(channels)) * 2 - 1
              for channels in (1, 3, 3))
LEARNS = {"generator_optimizer": {"learning_rate": 2e-3, "betas": [0.5, 0.999]}}


def patches(images: Tensor) -> Tensor:
    """A judge's logits, [n, 2]: of two patches, from all channels."""
    return torch.stack([images[:, :, :4].mean((1, 2, 3)), images[:, :, 4:].sum((1, 2, 3))], 1)


NETS: dict[str, Callable[..., Tensor]] = {"generator": lambda image: MADE, "judge": patches}


def losses(phase: str, x: Tensor = X, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
    made = Pix2pix(Pix2pixOptions(width=4, **options), PAIRS)
    batch = {"image": x, "image_b": Y}
    found = made.loss(phase, NETS, {**batch, **made.common(NETS, batch, DRAW)}, DRAW)
    return found.per_example, dict(found.scalars)


def test_the_generator_fools_the_judge_of_pairs_and_is_near_the_real_image() -> None:
    fooled = softplus(-patches(torch.cat([X, MADE], 1))).mean(1)
    apart = (Y - MADE).abs().mean((1, 2, 3))
    found, scalars = losses("generator")
    assert torch.allclose(found, fooled + 100 * apart)
    assert torch.allclose(scalars["loss/l1"], apart)
    weighed, _ = losses("generator", l1=3.0)
    assert torch.allclose(weighed, fooled + 3 * apart)


@pytest.mark.parametrize("objective", ["non_saturating", "least_squares"])
def test_the_judge_descends_half_the_loss_of_each_patch_of_both_pairs(objective: Any) -> None:
    real, fake = patches(torch.cat([X, Y], 1)), patches(torch.cat([X, MADE], 1))
    each = softplus(-real) + softplus(fake) if objective == "non_saturating" else (real - 1) ** 2 + fake**2
    found, scalars = losses("judge", objective=objective)
    assert torch.allclose(found, each.mean(1) / 2)
    assert torch.allclose(scalars["loss/judge"], found)


def test_the_judge_sees_a_channel_a_class_of_a_map_of_classes() -> None:
    x = torch.randint(0, 5, (3, 1, 8, 8)) / 127.5 - 1
    real, fake = (patches(torch.cat([one_hot(x, 5), image], 1)) for image in (Y, MADE))
    found, _ = losses("judge", x, classes_in_input=5)
    assert torch.allclose(found, (softplus(-real) + softplus(fake)).mean(1) / 2)


def test_b2a_makes_the_first_image_of_the_second() -> None:
    names, spec = Pix2pix(Pix2pixOptions(direction="b2a", width=4), PAIRS).published()
    assert (spec.inputs["image"].column, spec.inputs["image"].shape, spec.output) == ("image_b", (3, 8, 8), SHAPE)
    assert Pix2pixOptions(direction="b2a").target == "image"
    assert names == ("generator",)


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (DataSpec(SHAPE, 10), {}, r"pairs of images, and this data set has none; data\.source=paired works"),
        (DataSpec((1, 8000, 1), 0, "audio"), {}, "pairs of images, and this data set has none"),
        (DataSpec(SHAPE, 0, shape_b=(1, 16, 12)), {}, r"8x8 and 16x12; prepare\.transforms=\[\{resize: 8\}\] works"),
        (DataSpec((3, 8, 8), 0, shape_b=SHAPE), {"classes_in_input": 4},
         r"classes_in_input=4: image has 3 channels, and a map of class indices has one"),
        (DataSpec((1, 2, 2), 0, shape_b=(1, 2, 2)), {}, "2x2 are too small"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_some_that_works(
    data: DataSpec, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Pix2pix(Pix2pixOptions(**options), data).networks()


def held_out_l1(data: Store, uri: str) -> float:
    """Of 200 pairs of the test split."""
    generator, test = load_generator(uri), open_shards(data, PREFIX).split("test")
    given, real = (test.of(column).gather(np.arange(200)) for column in (
        generator.given, "image" if generator.given == "image_b" else "image_b"))
    return float(errors(generator.sample(200, images=given), real).mean())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return written(pairs(pair="levels"), tmp_path_factory.mktemp("pairs"))


def settings(images: int, **model: Any) -> Experiment:
    return pairs({"classes_in_input": 2, **LEARNS, **model}, "levels",
                 train={"images": images, "batch": 32, "ema_half_life": 200, "report_every": 512})


def test_digits_made_of_maps_of_two_classes_are_nearer_to_the_real_ones_than_at_the_beginning(
    tmp_path: Path, data: Store
) -> None:
    begun, learned = Store(tmp_path / "begun"), Store(tmp_path / "learned")
    assert train(begun, data, settings(32))
    assert train(learned, data, settings(2048))
    assert held_out_l1(data, learned.uri(RUN)) < 0.5 * held_out_l1(data, begun.uri(RUN))
    loaded = subprocess.run(
        [sys.executable, "-c", LOADED, learned.uri(RUN)], capture_output=True, text=True, check=False)
    assert (loaded.returncode, loaded.stdout.strip()) == (0, "(2, 1, 8, 8)"), loaded.stderr


LOADED = """
import sys
import numpy as np
from gan_core.bundle import load_generator
made = load_generator(sys.argv[1]).sample(2, images=np.zeros((2, 1, 8, 8), np.uint8))
loaded = [name for name in sys.modules if name.startswith(("gan_core.recipes", "gan_core.losses", "gan_core.train"))]
assert not loaded, loaded
print(made.shape)
"""


def test_it_is_resumed_bit_for_bit(tmp_path: Path, data: Store) -> None:
    experiment = pairs({"classes_in_input": 2, "direction": "a2b"}, "levels")
    whole, parted = Store(tmp_path / "whole"), Store(tmp_path / "parted")
    assert train(whole, data, experiment)
    assert not train(parted, data, experiment, stop_at(192))
    assert train(parted, data, experiment)
    assert equal(last_state(parted), last_state(whole))
    assert curves(parted) == curves(whole)
