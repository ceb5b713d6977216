"""CycleGAN: its losses against the paper's formulas, and a small run of it on digits and their negatives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from gan_core.bundle import load_generator
from gan_core.config import Experiment
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError
from gan_core.options.cyclegan import CycleganOptions
from gan_core.recipes.cyclegan import JUDGES, TRANSLATORS, Cyclegan
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import DataSpec
from gan_core.store import Store
from tests.domains import PREFIX, translation, write_negatives, written
from tests.train.runs import RUN, curves, equal, last_state, stop_at, train

SHAPE = (1, 8, 8)
UNPAIRED = DataSpec(SHAPE, 2, domains="unpaired")
DRAW = Draw(0, 0, 3, slice(0, 3), torch.device("cpu"))


def recipe(**options: Any) -> Cyclegan:
    return Cyclegan(CycleganOptions(width=4, blocks=1, **options), UNPAIRED)


def flat(*values: float) -> Tensor:
    """Images [n, 1, 8, 8], each of one value."""
    return torch.tensor(values, dtype=torch.float32)[:, None, None, None].expand(-1, *SHAPE)


def patches(*logits: float) -> Callable[[Tensor], Tensor]:
    """A judge that gives every image these logits, and the image's own mean on top."""
    return lambda images: torch.tensor(logits) + images.mean((1, 2, 3))[:, None]


A, B = flat(0.1, -0.2, 0.3), flat(0.5, 0.4, -0.6)
NETS: dict[str, Callable[..., Tensor]] = {
    "to_b": lambda image: 0.5 * image + 0.25, "to_a": lambda image: image - 0.5,
    "judge_b": patches(0.0, 1.0), "judge_a": patches(0.5, -0.5),
}


def losses(phase: str, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
    made = recipe(**options)
    batch = {"image": A, "image_b": B}
    found = made.loss(phase, NETS, {**batch, **made.common(NETS, batch, DRAW)}, DRAW)
    return found.per_example, dict(found.scalars)


def test_translators_minimise_least_squares_cycle_and_identity_as_in_the_paper() -> None:
    a, b = torch.tensor([0.1, -0.2, 0.3]), torch.tensor([0.5, 0.4, -0.6])
    fake_b, fake_a = 0.5 * a + 0.25, b - 0.5
    gan = ((fake_b - 1) ** 2 + fake_b**2) / 2 + ((fake_a - 0.5) ** 2 + (fake_a - 1.5) ** 2) / 2
    cycle = (fake_b - 0.5 - a).abs() + (0.5 * fake_a + 0.25 - b).abs()
    identity = (0.5 * b + 0.25 - b).abs() + (a - 0.5 - a).abs()
    found, scalars = losses("translators")
    assert torch.allclose(found, gan + 10 * cycle + 5 * identity)
    assert torch.allclose(scalars["loss/translators"], gan)
    assert torch.allclose(scalars["loss/cycle"], cycle)
    assert torch.allclose(scalars["loss/identity"], identity)
    weighed, _ = losses("translators", cycle=3.0, identity=0.0)
    assert torch.allclose(weighed, gan + 3 * cycle)


def test_judges_minimise_half_the_squares_of_each_patch() -> None:
    a, b = torch.tensor([0.1, -0.2, 0.3]), torch.tensor([0.5, 0.4, -0.6])
    fake_b, fake_a = 0.5 * a + 0.25, b - 0.5
    of_b = 0.5 * ((b - 1) ** 2 + b**2) / 2 + 0.5 * (fake_b**2 + (fake_b + 1) ** 2) / 2
    of_a = 0.5 * ((a - 0.5) ** 2 + (a - 1.5) ** 2) / 2 + 0.5 * ((fake_a + 0.5) ** 2 + (fake_a - 0.5) ** 2) / 2
    found, scalars = losses("judges", pool=0)
    assert torch.allclose(found, of_a + of_b)
    assert torch.allclose(scalars["loss/judge_b"], of_b)
    assert float(scalars["accuracy/discriminator_a"].mean()) == pytest.approx(7 / 12)  # above 0.5: 2 of 6, 1 of 6


def test_judges_see_what_the_pool_returns_and_translators_do_not() -> None:
    made, asked = recipe(), []

    def pool(fresh: Tensor, draw: Draw) -> Tensor:
        asked.append(draw.purpose)
        return torch.zeros_like(fresh)

    batch = {"image": A, "image_b": B, "fake_a": flat(1, 1, 1), "fake_b": flat(1, 1, 1)}
    nets = {**NETS, "pool_a": pool, "pool_b": pool}
    found = made.loss("judges", nets, batch, DRAW)
    assert found.scalars["logits/fake_a"].flatten().tolist() == [0.5, -0.5] * 3
    assert len({*asked}) == 2  # of either pool its own draw
    made.loss("translators", nets, batch, DRAW)
    assert len(asked) == 2


@pytest.mark.parametrize("objective", ["least_squares", "non_saturating", "hinge"])
def test_each_objective_pulls_translations_towards_what_the_judge_calls_real(objective: Any) -> None:
    made = recipe(objective=objective, cycle=0, identity=0)
    fake = flat(0.0, 0.0, 0.0).clone().requires_grad_()
    loss = made.loss("translators", NETS, {"image": A, "image_b": B, "fake_a": fake, "fake_b": fake}, DRAW)
    loss.per_example.sum().backward()
    assert fake.grad is not None
    assert bool((fake.grad < 0).all())


@pytest.mark.parametrize("spec", [DataSpec(SHAPE, 10), DataSpec((1, 8000, 1), 0, "audio", domains="unpaired")])
def test_data_without_two_domains_of_images_is_refused_with_some_that_works(spec: DataSpec) -> None:
    with pytest.raises(ConfigError, match=r"two unpaired domains of images.*data\.source=two_domains works"):
        Cyclegan(CycleganOptions(), spec)


def test_what_is_asked_of_it_is_an_image_and_a_domain() -> None:
    made = recipe()
    nets = made.networks()
    names, spec = made.published()
    built = spec.build()
    built.load_state_dict({f"{name}.{key}": value for name in names for key, value in nets[name].state_dict().items()})
    inputs = {"image": torch.rand(4, *SHAPE), **made.inputs(DRAW, torch.tensor([0, 1, 1, 0]))}
    assert {*inputs} == {*spec.inputs}
    assert torch.equal(built(**inputs), made.generate(nets, inputs))


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    return translation(write_negatives(tmp_path_factory.mktemp("npz") / "negatives.npz"))


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory, settings: Experiment) -> Store:
    return written(settings, tmp_path_factory.mktemp("domains"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, domains: Store, settings: Experiment) -> Store:
    store = Store(tmp_path_factory.mktemp("trained"))
    assert train(store, domains, settings)
    return store


def test_translators_and_judges_learn_and_a_checkpoint_holds_the_pools(trained: Store) -> None:
    saved = last_state(trained)
    assert {*saved["averages"]} == {*TRANSLATORS}
    assert {*saved["optimizers"]} == {"translators", "judges"}
    for name in (*TRANSLATORS, *JUDGES):
        assert saved["networks"][name]
    for name in ("pool_a", "pool_b"):
        assert bool(saved["networks"][name]["filled"].all())
    light, dark = (saved["networks"][f"pool_{domain}"]["images"].mean() for domain in "ab")
    assert light < dark
    rows = [json.loads(line) for line in curves(trained).splitlines()]
    assert rows[-1]["loss/cycle"] < 0.9 * rows[0]["loss/cycle"]


def test_it_is_resumed_bit_for_bit_pools_included(
    tmp_path: Path, trained: Store, domains: Store, settings: Experiment
) -> None:
    store = Store(tmp_path)
    assert not train(store, domains, settings, stop_at(192))
    assert train(store, domains, settings)
    assert equal(last_state(store), last_state(trained))
    assert curves(store) == curves(trained)


def test_the_finished_run_is_a_bundle_that_translates_both_ways(trained: Store, domains: Store) -> None:
    published = load_file(trained.local_path(RUN) / "generator.safetensors")
    averages = last_state(trained)["averages"]
    assert equal(published, {f"{name}.{key}": value for name in TRANSLATORS for key, value in averages[name].items()})
    generator = load_generator(trained.uri(RUN))
    images = open_shards(domains, PREFIX).split("test").images[:5]
    there = generator.sample(5, images=images, label=1)
    assert there.shape == (5, *SHAPE)
    assert there.dtype == np.uint8
    assert (there != generator.sample(5, images=images, label=0)).any()


@pytest.mark.system
def test_light_digits_become_dark_ones_and_come_back(
    tmp_path: Path, domains: Store, settings: Experiment
) -> None:
    raw = settings.as_json()
    longer = translation(raw["data"]["b"]["url"], model={"width": 8, "translator_optimizer": {"learning_rate": 1e-3},
                                                        "judge_optimizer": {"learning_rate": 1e-3}},
                         train={"images": 7680, "batch": 32, "ema_half_life": 500})
    store = Store(tmp_path)
    assert train(store, domains, longer)
    generator, test = load_generator(store.uri(RUN)), open_shards(domains, PREFIX).split("test")
    light, dark = (test.gather(np.flatnonzero(np.asarray(test.labels) == label)[:100]) for label in (0, 1))
    there = generator.sample(100, images=light, label=1)
    back = generator.sample(100, images=there, label=0)
    assert light.mean() < 90 < 150 < dark.mean()
    assert there.mean() == pytest.approx(dark.mean(), abs=20)
    assert np.abs(back.astype(float) - light).mean() < 0.3 * np.abs(there.astype(float) - light).mean()
