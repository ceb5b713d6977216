"""CUT: its losses against the paper's formulas, and a small run of it between digits and their negatives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize

from gan_core.bundle import load_generator
from gan_core.config import Experiment, experiment_from
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError
from gan_core.losses.contrastive import patch_nce
from gan_core.options.cut import CutOptions
from gan_core.recipes.cut import Cut
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import DataSpec
from gan_core.store import Store
from tests.domains import PREFIX, translation, write_negatives, written
from tests.pairs import pairs
from tests.train.runs import RUN, close_enough, curves, finished, last_state, train
from tests.workers import run_workers

SHAPE = (1, 8, 8)
UNPAIRED = DataSpec(SHAPE, 2, domains="unpaired")
DRAW = Draw(0, 0, 3, slice(0, 3), torch.device("cpu"))
WORKERS = 2


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


A, B = random(3, *SHAPE), random(3, *SHAPE, seed=1)


def translator(image: Tensor, places: Tensor | None = None) -> Tensor:
    """Half the image; of places the pixels there, in as many maps as are asked for."""
    if places is None:
        return image / 2
    return torch.cat([image.flatten(1)[:, chosen] for chosen in places], 1)


def heads(packed: Tensor) -> Tensor:
    """[n, 2, S, 2] of length 1: each pixel, and its square."""
    pixels = packed.view(len(packed), 2, -1)
    return normalize(torch.stack([pixels, pixels**2 + 0.1], -1), dim=-1)


NETS: dict[str, Callable[..., Tensor]] = {
    "translator": translator, "heads": heads,
    "judge": lambda images: torch.tensor([0.0, 1.0]) + images.mean((1, 2, 3))[:, None],
}


def losses(phase: str, **options: Any) -> tuple[Tensor, dict[str, Tensor]]:
    made = Cut(CutOptions(width=4, blocks=1, patches=7, **options), UNPAIRED)
    batch = {"image": A, "image_b": B}
    found = made.loss(phase, NETS, {**batch, **made.common(NETS, batch, DRAW)}, DRAW)
    return found.per_example, dict(found.scalars)


def test_a_patch_is_told_from_the_other_patches_of_its_image() -> None:
    queries, keys = (normalize(random(2, 3, 5, 4, seed=seed), dim=-1) for seed in (2, 3))
    expected = torch.stack([torch.stack([
        cross_entropy(q @ k.T / 0.07, torch.arange(5)) for q, k in zip(of, those, strict=True)]).mean()
        for of, those in zip(queries, keys, strict=True)])
    assert torch.allclose(patch_nce(queries, keys, 0.07), expected)
    keys.requires_grad_()
    assert not patch_nce(queries, keys, 0.07).requires_grad  # keys are what is compared with


def test_the_translator_is_real_to_the_judge_and_each_patch_like_its_own() -> None:
    made = Cut(CutOptions(width=4, blocks=1, patches=7), UNPAIRED)
    fake = A / 2
    fooled = ((fake.mean((1, 2, 3)) - 1) ** 2 + fake.mean((1, 2, 3)) ** 2) / 2
    places, others = made._places(DRAW), made._places(DRAW.within("identity"))
    nce = patch_nce(heads(translator(fake, places)), heads(translator(A, places)), 0.07)
    identity = patch_nce(heads(translator(B / 2, others)), heads(translator(B, others)), 0.07)
    found, scalars = losses("translator")
    assert torch.allclose(found, fooled + nce + identity)
    assert torch.allclose(scalars["loss/nce"], nce)
    fast, _ = losses("translator", nce=10.0, identity_nce=0.0)
    assert torch.allclose(fast, fooled + 10 * nce)


def test_the_judge_minimises_half_the_squares_of_each_patch() -> None:
    real, fake = B.mean((1, 2, 3)), A.mean((1, 2, 3)) / 2
    expected = ((real - 1) ** 2 + real**2 + fake**2 + (fake + 1) ** 2) / 4
    assert torch.allclose(losses("judge")[0], expected)


def test_places_are_drawn_anew_each_step_and_are_the_same_on_every_worker() -> None:
    made = Cut(CutOptions(width=4, blocks=1), DataSpec((1, 16, 16), 2, domains="unpaired"))
    whole, part = Draw(0, 64, 4, slice(0, 4), torch.device("cpu")), Draw(0, 64, 4, slice(2, 4), torch.device("cpu"))
    assert torch.equal(made._places(whole), made._places(part))
    assert not torch.equal(made._places(whole), made._places(Draw(0, 128, 4, slice(0, 4), torch.device("cpu"))))
    assert made._places(whole).shape == (3, 64)  # no more than the smallest map has
    assert all(len({*row.tolist()}) == 64 for row in made._places(whole))


@pytest.mark.parametrize("spec", [DataSpec(SHAPE, 10), DataSpec((1, 8000, 1), 0, "audio", domains="unpaired")])
def test_data_without_two_domains_of_images_is_refused_with_some_that_works(spec: DataSpec) -> None:
    with pytest.raises(ConfigError, match=r"two unpaired domains of images.*data\.source=two_domains works"):
        Cut(CutOptions(), spec)


@pytest.fixture(scope="module")
def negatives(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_negatives(tmp_path_factory.mktemp("npz") / "negatives.npz")


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory, negatives: str) -> Store:
    return written(translation(negatives), tmp_path_factory.mktemp("domains"))


RATES = {"learning_rate": 1e-3, "betas": [0.5, 0.999]}


def cut(negatives: str, **train_: Any) -> Experiment:
    model = {"recipe": "cut", "features": 32, "translator_optimizer": RATES, "judge_optimizer": RATES}
    return translation(negatives, model=model, train={"batch": 32, "ema_half_life": 100, "report_every": 256, **train_})


def test_light_digits_become_as_dark_as_dark_ones_and_patches_are_found_again(
    tmp_path: Path, domains: Store, negatives: str
) -> None:
    store = Store(tmp_path)
    assert train(store, domains, cut(negatives, images=1024))
    assert {*last_state(store)["averages"]} == {"translator"}
    generator, test = load_generator(store.uri(RUN)), open_shards(domains, PREFIX).split("test")
    light, dark = (test.gather(np.flatnonzero(np.asarray(test.labels) == label)[:100]) for label in (0, 1))
    there = generator.sample(100, images=light)
    assert abs(there.mean() - dark.mean()) < 0.5 * abs(light.mean() - dark.mean())
    rows = [json.loads(line) for line in curves(store).splitlines()]
    assert rows[-1]["loss/nce"] < 0.9 * rows[0]["loss/nce"]


def both(folder: str) -> dict[str, tuple[Experiment, str]]:
    """An experiment of either recipe that is new here, by name, with the folder of its data."""
    few = {"images": 96, "batch": 32, "precision": "float32", "report_every": 32}
    return {"cut": (cut(f"{folder}/negatives.npz", **few), f"{folder}/domains"),
            "pix2pix": (pairs({"width": 4}, train=few), f"{folder}/pairs")}


def work(rank: int, raw: dict[str, tuple[dict[str, Any], str]], folder: str) -> None:
    """One of two workers of both runs."""
    torch.set_num_threads(1)
    for name, (settings, data) in raw.items():
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{name}", rank=rank, world_size=WORKERS)
        train(Store(f"{folder}/two-{name}"), Store(data), experiment_from(settings))
        dist.destroy_process_group()


@pytest.mark.slow
def test_two_workers_take_the_steps_that_one_takes(tmp_path: Path) -> None:
    write_negatives(tmp_path / "negatives.npz")
    runs = both(str(tmp_path))
    for experiment, data in runs.values():
        written(experiment, Path(data))
    run_workers(work, ({name: (one.as_json(), data) for name, (one, data) in runs.items()}, str(tmp_path)), WORKERS)
    for name, (experiment, data) in runs.items():
        alone, shared = Store(tmp_path / f"one-{name}"), Store(tmp_path / f"two-{name}")
        assert train(alone, Store(data), experiment)
        assert finished(shared).facts["worlds"] == [WORKERS]
        assert close_enough(last_state(shared), last_state(alone), learning_rate=1e-3 if name == "cut" else 2e-4), name
