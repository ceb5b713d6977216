"""A recipe of one's own: a file that registers a class with its options, or an installed package's entry point."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_core import plugin_files
from gan_core.config import experiment_from
from gan_core.errors import ConfigError
from gan_core.recipes.recipe import DataSpec, build_recipe
from gan_core.registry import RECIPES
from gan_core.store import Store
from gan_core.train.state import TrainState
from tests.plug_ins import forgotten
from tests.train.runs import finished, last_state, train

NAME = "softplus_gan"
RECIPE = '''
"""Goodfellow's GAN, as one file."""

from __future__ import annotations

from typing import Literal

from torch import Tensor
from torch.nn.functional import softplus

from gan_core.block import Config
from gan_core.models.mlp import MlpDiscriminator, MlpGenerator
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.options.optimizers import Adam, Optimizer
from gan_core.recipes.recipe import Defaults, Loss, Phase, judgement
from gan_core.registry import RECIPES


class Options(Config):
    recipe: Literal["softplus_gan"] = "softplus_gan"
    latent: int = 8
    width: int = 16
    optimizer: Optimizer = Adam()


REGISTER
class SoftplusGan(Defaults):
    Options = Options

    def __init__(self, options, data):
        self.options, self.shape = options, data.shape

    def networks(self):
        return {"generator": MlpGenerator(self.shape, self.options.latent, self.options.width),
                "discriminator": MlpDiscriminator(self.shape, self.options.width)}

    def phases(self):
        return tuple(Phase(name, (name,), self.options.optimizer) for name in ("discriminator", "generator"))

    def common(self, nets, batch, draw):
        return {"fake": self.generate(nets, self.inputs(draw, None))}

    def loss(self, phase, nets, batch, draw):
        if phase == "generator":
            loss = softplus(-nets["discriminator"](batch["fake"]))
            return Loss(loss, {"loss/generator": loss})
        real, fake = nets["discriminator"](batch["image"]), nets["discriminator"](batch["fake"].detach())
        return Loss(softplus(-real) + softplus(fake), judgement(real, fake))

    def logits(self, nets, batch):
        return {"discriminator": nets["discriminator"](batch["image"])}

    def inputs(self, draw, condition):
        return {"z": draw.normal("z", self.options.latent)}

    def generate(self, nets, inputs):
        return nets["generator"](**inputs)

    def published(self):
        options = {"shape": self.shape, "latent": self.options.latent, "width": self.options.width}
        inputs = {"z": InputSpec(shape=(self.options.latent,), distribution="normal")}
        return ("generator",), GeneratorSpec(family="mlp_generator", options=options, inputs=inputs, output=self.shape)
'''
SETTINGS: dict[str, Any] = {
    "name": "t", "data": {"source": "digits"}, "model": {"recipe": NAME, "latent": 6},
    "train": {"images": 128, "batch": 64, "precision": "float32"},
}


@pytest.fixture
def plugged_in(tmp_path: Path) -> Iterator[Path]:
    """The recipe's file, named as `--plugin` names it."""
    file = tmp_path / "mine.py"
    file.write_text(RECIPE.replace("REGISTER", f'@RECIPES.register("{NAME}")'))
    with forgotten():
        plugin_files.use([file])
        yield file


@pytest.mark.usefixtures("plugged_in")
def test_a_file_s_recipe_is_trained_like_any_other(tmp_path: Path, digits_store: Store) -> None:
    experiment = experiment_from(SETTINGS)
    assert experiment.model.model_dump()["width"] == 16
    store = Store(tmp_path / "store")
    assert train(store, digits_store, experiment)
    recipe = build_recipe(experiment, DataSpec((1, 8, 8), 10))
    fresh = TrainState.fresh(recipe, experiment.seed, torch.device("cpu"))
    for name, network in fresh.networks.items():
        after = last_state(store)["networks"][name]
        assert not any(torch.equal(weight, after[key]) for key, weight in network.named_parameters()), name
    assert last_state(store)["position"] == 128
    assert finished(store).facts["position"] == 128


@pytest.mark.usefixtures("plugged_in")
def test_its_options_are_checked_like_any_other_s() -> None:
    with pytest.raises(ConfigError, match=r"model\.lateent: unknown key; did you mean 'latent'\?"):
        experiment_from({**SETTINGS, "model": {"recipe": NAME, "lateent": 3}})
    with pytest.raises(ConfigError, match=r"model\.optimizer: 'adm' is not known; did you mean adam\?"):
        experiment_from({**SETTINGS, "model": {"recipe": NAME, "optimizer": {"algorithm": "adm"}}})


def test_without_its_file_a_recipe_is_unknown_and_the_nearest_are_named() -> None:
    with forgotten(), pytest.raises(ConfigError, match=f"model.recipe: unknown recipe '{NAME}'; .*known: .*dcgan"):
        experiment_from(SETTINGS)
    assert NAME not in RECIPES


def install(folder: Path, entry_points: str) -> None:
    """What pip leaves behind of a package with the recipe, and its options once more where torch is not imported."""
    (folder / "my_gan.py").write_text(RECIPE.replace("REGISTER", ""))
    (folder / "my_options.py").write_text(
        "from gan_core.block import Config\n\n\nclass Options(Config):\n    recipe: str\n    latent: int = 8\n")
    info = folder / "my_gan-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: my-gan\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)


def said_by(code: str, folder: Path) -> list[str]:
    """The words that a process prints that finds the packages in this folder too."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False,
                          env={**os.environ, "PYTHONPATH": str(folder)})
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


BY_ENTRY_POINT = f"""
import sys
from gan_core.config import experiment_from
experiment = experiment_from({SETTINGS!r})
print(experiment.model.latent, type(experiment.model).__module__, "torch" in sys.modules)
"""


def test_an_installed_package_s_recipe_is_found_by_its_entry_point(tmp_path: Path) -> None:
    install(tmp_path, f"[gan_pipelines.recipes]\n{NAME} = my_gan:SoftplusGan\n")
    built = ("from gan_core.recipes.recipe import DataSpec, build_recipe\n"
             "print(type(build_recipe(experiment, DataSpec((1, 8, 8), 10))).__name__)")
    assert said_by(BY_ENTRY_POINT + built, tmp_path) == ["6", "my_gan", "True", "SoftplusGan"]


def test_options_with_an_entry_point_of_their_own_are_read_without_torch(tmp_path: Path) -> None:
    install(tmp_path, f"[gan_pipelines.recipes]\n{NAME} = my_gan:SoftplusGan\n"
                      f"[gan_pipelines.recipe_options]\n{NAME} = my_options:Options\n")
    assert said_by(BY_ENTRY_POINT, tmp_path) == ["6", "my_options", "False"]
