"""What is added up is added in one order in every process, or a resume would differ in its last bits."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PENALTIES = """
import torch
from gan_core.recipes.draw import Draw
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import DataSpec
from gan_core.systems.dcgan import Dcgan

recipe = ImageGan(Dcgan(width=4, latent=4, penalties={"r1": {}, "r2": {}}), DataSpec((1, 8, 8), 2))
draw, nets = Draw(0, 0, 4, slice(0, 4), torch.device("cpu")), recipe.networks()
batch = {"image": torch.zeros(4, 1, 8, 8), "label": torch.tensor([0, 1, 0, 1])}
found = recipe.loss("discriminator", nets, {**batch, **recipe.common(nets, batch, draw)}, draw)
print(*[name for name in found.scalars if name.startswith("penalty/")])
"""


@pytest.mark.parametrize("hashes", ["0", "2"])  # by which a set of the two names has either order
def test_penalties_come_in_the_order_of_the_settings(hashes: str) -> None:
    done = subprocess.run([sys.executable, "-c", PENALTIES], env={**os.environ, "PYTHONHASHSEED": hashes},
                          capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["penalty/r1", "penalty/r2"]
