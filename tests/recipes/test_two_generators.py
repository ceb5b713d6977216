"""The seam carries a system of two generators and two discriminators: CycleGAN between digits and their negatives.

Zhu et al. 2017 (arXiv:1703.10593) in small: adversarial losses both ways and a cycle loss.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
import torch.distributed as dist
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import relu

from gan_core.config import Config, Experiment, experiment_from
from gan_core.losses.adversarial import non_saturating_d, non_saturating_g
from gan_core.losses.penalties import zero_centred
from gan_core.models.dcgan import DcganDiscriminator
from gan_core.models.norm import BatchNorm
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.options.optimizers import Adam
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Defaults, Loss, Networks, Phase, build_recipe
from gan_core.registry import RECIPE_OPTIONS, RECIPES
from gan_core.store import Store
from gan_core.train.state import TrainState
from tests.train.runs import RUN, close_enough, curves, equal, finished, last_state, stop_at, train
from tests.workers import run_workers

GENERATORS, DISCRIMINATORS = ("to_dark", "to_light"), ("judge_dark", "judge_light")
WORKERS = 2
Make = Callable[..., Experiment]


class CycleOptions(Config):
    recipe: Literal["cycle"] = "cycle"
    width: int = 8
    cycle: float = 10.0
    r1_gamma: float = 1.0
    optimizer: Adam = Adam(learning_rate=1e-3)


class Translator(nn.Module):
    """Images [n, C, H, W] to images of the other domain."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.into = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
        self.norm = BatchNorm(width)
        self.out = nn.Conv2d(width, channels, 3, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        return torch.tanh(self.out(relu(self.norm(self.into(image)))))


class Cycle(Defaults):
    """Translates light digits into dark ones and back.  Half of each batch is of either domain."""

    averaged = GENERATORS

    def __init__(self, options: CycleOptions, data: DataSpec) -> None:
        self.options, self.shape = options, data.shape

    def networks(self) -> dict[str, nn.Module]:
        width = self.options.width
        return {name: Translator(self.shape[0], width) for name in GENERATORS} \
            | {name: DcganDiscriminator(self.shape, width) for name in DISCRIMINATORS}

    def phases(self) -> tuple[Phase, ...]:
        return (Phase("generators", GENERATORS, self.options.optimizer),
                Phase("discriminators", DISCRIMINATORS, self.options.optimizer))

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        return {}

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        return {"judge_light": nets["judge_light"](batch["image"])}

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        light, dark = batch["image"], -batch["image"] + 0.01 * draw.normal("grain", *self.shape)
        return self._g_loss(nets, light, dark) if phase == "generators" else self._d_loss(nets, light, dark)

    def _g_loss(self, nets: Networks, light: Tensor, dark: Tensor) -> Loss:
        to_dark, to_light = nets["to_dark"](light), nets["to_light"](dark)
        adversarial = non_saturating_g(nets["judge_dark"](to_dark)) + non_saturating_g(nets["judge_light"](to_light))
        there_and_back = (nets["to_light"](to_dark) - light).abs() + (nets["to_dark"](to_light) - dark).abs()
        cycle = there_and_back.flatten(1).mean(1)
        return Loss(adversarial + self.options.cycle * cycle, {"loss/generators": adversarial, "loss/cycle": cycle})

    def _d_loss(self, nets: Networks, light: Tensor, dark: Tensor) -> Loss:
        with torch.no_grad():
            fakes = {"judge_dark": nets["to_dark"](light), "judge_light": nets["to_light"](dark)}
        total = torch.zeros(len(light))
        for name, real in (("judge_dark", dark), ("judge_light", light)):
            real = real.detach().requires_grad_()
            logits = nets[name](real)
            total = total + non_saturating_d(logits, nets[name](fakes[name]))
            total = total + self.options.r1_gamma / 2 * zero_centred(real, logits)
        return Loss(total, {"loss/discriminators": total})

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        return {"image": draw.normal("image", *self.shape)}

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return nets["to_dark"](**inputs)

    def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
        options: dict[str, Any] = {"channels": self.shape[0], "width": self.options.width}
        inputs = {"image": InputSpec(shape=self.shape, distribution="normal")}
        return ("to_dark",), GeneratorSpec(family="translator", options=options, inputs=inputs, output=self.shape)


def register() -> None:
    RECIPES.register("cycle")(Cycle)
    RECIPE_OPTIONS.register("cycle")(CycleOptions)


def unregister() -> None:
    RECIPES.unregister("cycle")
    RECIPE_OPTIONS.unregister("cycle")


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    register()
    yield
    unregister()


@pytest.fixture(scope="module")
def settings(experiment: Make) -> Experiment:
    raw = experiment().as_json() | {"model": {"recipe": "cycle"}}
    return experiment_from(raw)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, digits_store: Store, settings: Experiment) -> Store:
    store = Store(tmp_path_factory.mktemp("trained"))
    assert train(store, digits_store, settings)
    return store


def test_both_generators_and_both_discriminators_learn(trained: Store, settings: Experiment) -> None:
    saved = last_state(trained)
    fresh = TrainState.fresh(build_recipe(settings, DataSpec((1, 8, 8), 10)), settings.seed, torch.device("cpu"))
    for name in (*GENERATORS, *DISCRIMINATORS):
        start, end = fresh.networks[name].state_dict(), saved["networks"][name]
        assert not any(torch.equal(start[weight], end[weight]) for weight in start), name
    assert {*saved["averages"]} == {*GENERATORS}
    assert {*saved["optimizers"]} == {"generators", "discriminators"}


def test_the_cycle_closes_better_than_at_the_beginning(trained: Store) -> None:
    rows = [json.loads(line) for line in curves(trained).splitlines()]
    assert rows[-1]["loss/cycle"] < 0.9 * rows[0]["loss/cycle"]


def test_the_finished_run_holds_all_four_networks_and_publishes_one(trained: Store) -> None:
    folder = trained.local_path(RUN)
    raw, published = load_file(folder / "networks.safetensors"), load_file(folder / "generator.safetensors")
    assert {name.partition(".")[0] for name in raw} == {*GENERATORS, *DISCRIMINATORS}
    assert equal(published, last_state(trained)["averages"]["to_dark"])
    assert GeneratorSpec.model_validate_json((folder / "generator.json").read_text()).family == "translator"


@pytest.mark.parametrize("stop", [128, 192])
def test_it_is_resumed_bit_for_bit(
    stop: int, tmp_path: Path, trained: Store, digits_store: Store, settings: Experiment
) -> None:
    store = Store(tmp_path)
    assert not train(store, digits_store, settings, stop_at(stop))
    assert train(store, digits_store, settings)
    assert equal(last_state(store), last_state(trained))
    assert curves(store) == curves(trained)


def work(rank: int, raw: dict[str, Any], digits: str, folder: str) -> None:
    """One of two workers of the same run, for the first three steps."""
    register()
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORKERS)
    train(Store(f"{folder}/store"), Store(digits), experiment_from(raw))
    dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_with_half_the_batch_take_the_steps_one_takes_with_all_of_it(
    tmp_path: Path, digits_store: Store, settings: Experiment
) -> None:
    raw = settings.as_json() | {"train": {**settings.as_json()["train"], "images": 192, "precision": "float32"}}
    alone = Store(tmp_path / "alone")
    train(alone, digits_store, experiment_from(raw))
    run_workers(work, (raw, digits_store.url, str(tmp_path)), WORKERS)
    shared = Store(tmp_path / "store")
    assert finished(shared).facts["worlds"] == [WORKERS]
    assert close_enough(last_state(shared), last_state(alone), learning_rate=1e-3)
