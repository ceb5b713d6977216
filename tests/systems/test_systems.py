"""Each system is its paper's: the settings that it states, the networks that it names, and no torch to read them."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import nn

from gan_core.config import experiment_from
from gan_core.errors import ConfigError
from gan_core.models.dropout import dropout_from
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import DataSpec, build_recipe
from gan_core.registry import FAMILIES, RECIPE_OPTIONS, RECIPES, recipe_options

SYSTEMS = [name for name in RECIPES if RECIPES.module_of(name) == ImageGan.__module__]
SIDES = {"dcgan_original": 28}  # and 64; the others make any of 32
RECORDINGS = DataSpec((1, 300), 10, "audio", rate=8000.0)
DATA = {"wavegan": RECORDINGS}  # others are given images

ADAM_05 = {"algorithm": "adam", "learning_rate": 2e-4, "betas": (0.5, 0.999)}
PAPERS: dict[str, dict[str, Any]] = {
    "gan": {"objective": "non_saturating", "critic_steps": 1, "generator.family": "mlp", "discriminator.family": "mlp",
            "conditional": False},
    "dcgan": {"objective": "non_saturating", "penalties.r1.gamma": 1.0, "discriminator.norm": "none",
              "conditional": True},
    "dcgan_original": {"objective": "non_saturating", "latent": 100, "generator.norm": "batch",
                       "discriminator.norm": "batch", "generator_optimizer": ADAM_05,
                       "discriminator_optimizer": ADAM_05, "conditional": False},
    "wgan": {"objective": "wasserstein", "critic_steps": 5, "penalties.clip": 0.01,
             "generator_optimizer": {"algorithm": "rmsprop", "learning_rate": 5e-5},
             "discriminator_optimizer": {"algorithm": "rmsprop", "learning_rate": 5e-5}},
    "wgan_gp": {"objective": "wasserstein", "critic_steps": 5, "penalties.gradient.weight": 10.0,
                "penalties.gradient.one_sided": False, "penalties.clip": None, "discriminator.norm": "none",
                "discriminator_optimizer": {"learning_rate": 1e-4, "betas": (0.0, 0.9)},
                "generator_optimizer": {"learning_rate": 1e-4, "betas": (0.0, 0.9)}},
    "lsgan": {"objective": "least_squares", "critic_steps": 1},
    "dragan": {"objective": "non_saturating", "critic_steps": 1, "penalties.dragan.weight": 10.0,
               "penalties.dragan.spread": 0.5},
    "acgan": {"objective": "non_saturating", "discriminator.condition": "auxiliary", "discriminator.dropout": 0.5,
              "latent": 110, "conditional": True, "auxiliary_weight": 1.0},
    "sngan": {"objective": "hinge", "critic_steps": 5, "latent": 128, "discriminator.spectral": True,
              "generator.spectral": False, "generator.norm": "conditional_batch",
              "discriminator.condition": "projection", "generator.family": "resnet",
              "discriminator_optimizer": {"learning_rate": 2e-4, "betas": (0.0, 0.9)}},
    "sagan": {"objective": "hinge", "critic_steps": 1, "generator.spectral": True, "discriminator.spectral": True,
              "generator_optimizer": {"learning_rate": 1e-4, "betas": (0.0, 0.9)},
              "discriminator_optimizer": {"learning_rate": 4e-4, "betas": (0.0, 0.9)}},
    "biggan": {"objective": "hinge", "critic_steps": 2, "generator.family": "biggan", "generator.shared": 128,
               "generator.hierarchical": True, "generator.spectral": True, "discriminator.spectral": True,
               "penalties.generator_weights.orthogonal": 1e-4, "penalties.discriminator_weights.orthogonal": 0.0,
               "generator_optimizer": {"learning_rate": 5e-5, "betas": (0.0, 0.999)},
               "discriminator_optimizer": {"learning_rate": 2e-4, "betas": (0.0, 0.999)}},
    "r3gan": {"objective": "relativistic", "penalties.r1.gamma": 1.0, "penalties.r2.gamma": 1.0,
              "generator.family": "r3gan", "discriminator.family": "r3gan",
              "generator_optimizer": {"betas": (0.0, 0.99)}},
    "wavegan": {"objective": "wasserstein", "critic_steps": 5, "latent": 100, "width": 64, "conditional": False,
                "penalties.gradient.weight": 10.0, "discriminator.phase_shuffle": 2, "generator.family": "wavegan",
                "generator_optimizer": {"learning_rate": 1e-4, "betas": (0.5, 0.9)},
                "discriminator_optimizer": {"learning_rate": 1e-4, "betas": (0.5, 0.9)}},
}


def test_every_system_is_compared_with_its_paper() -> None:
    assert {*PAPERS} == {*SYSTEMS}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_s_settings_are_its_paper_s(system: str) -> None:
    options = recipe_options(system)().model_dump()
    assert options["recipe"] == system
    for path, wanted in PAPERS[system].items():
        found: Any = options
        for step in path.split("."):
            found = found[step]
        if isinstance(wanted, dict):
            found = {name: found[name] for name in wanted}
        assert found == wanted, path


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_has_no_other_penalties_than_its_paper(system: str) -> None:
    penalties = recipe_options(system)().penalties.model_dump()
    of_weights = {f"{name}.{norm}": value for name in ("discriminator_weights", "generator_weights")
                  for norm, value in penalties.pop(name).items()}
    on = {name for name, settings in {**penalties, **of_weights}.items() if settings}
    assert on == {path.split(".", 1)[1].removesuffix(".weight").removesuffix(".gamma").removesuffix(".spread")
                  for path, value in PAPERS[system].items() if path.startswith("penalties.") and value}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_s_file_names_its_source(system: str) -> None:
    module = import_module(RECIPE_OPTIONS.module_of(system))
    assert "arXiv:" in (module.__doc__ or "")
    assert recipe_options(system).__doc__


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_with_its_own_settings_plays_on_small_images(system: str) -> None:
    side, n = SIDES.get(system, 32), 3
    data = DATA.get(system, DataSpec((3, side, side), 10))
    made = build_recipe(experiment_from({"name": "t", "data": {"source": "digits"},
                                         "model": {"recipe": system, "width": 8}}), data)
    assert isinstance(made, ImageGan)
    assert {*made.options.families} <= {*FAMILIES}
    torch.manual_seed(0)
    nets: dict[str, nn.Module] = made.networks()
    told = (torch.arange(n),) if made.options.conditional else ()
    with torch.no_grad(), dropout_from(lambda: torch.Generator().manual_seed(0), slice(0, n), n):
        images = nets["generator"].train()(torch.randn(n, made.options.latent), *told)
        verdict = nets["discriminator"].train()(images, *told)
    assert images.shape == (n, *data.shape)
    assert verdict.shape == ((n, 11) if system == "acgan" else (n,))
    assert images.isfinite().all()
    assert verdict.isfinite().all()


def test_every_recipe_is_resolved_without_torch() -> None:
    """A plan is made from the settings alone, in the time that this takes."""
    code = """
import sys
from gan_core.config import experiment_from
from gan_core.errors import ConfigError
from gan_core.registry import RECIPES

for recipe in RECIPES:
    source = {"source": "unpaired", "url": "a.zip"} if recipe in ("cyclegan", "cut") else {"source": "digits"}
    experiment = experiment_from({"name": "t", "data": source, "model": {"recipe": recipe}})
    assert experiment_from(experiment.as_json()) == experiment
    print(recipe)
assert "torch" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [*RECIPES]


@pytest.mark.parametrize("field", ["critic_steps", "latent", "width", "discriminators"])
@pytest.mark.parametrize("recipe", [name for name in RECIPES if RECIPES.module_of(name).endswith(".image_gan")])
def test_a_count_of_nothing_is_refused_by_every_system(recipe: str, field: str) -> None:
    raw = {"name": "nothing", "data": {"source": "digits"}, "model": {"recipe": recipe, field: 0}}
    with pytest.raises(ConfigError, match=rf"model\.{field}: 0: input should be greater than or equal to 1"):
        experiment_from(raw)
