from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import nn

from gan_core.errors import ConfigError
from gan_core.models.mlp import MlpDiscriminator, MlpGenerator
from tests.models.family_contract import FamilyContract, N, Options, Shape

COMMON: tuple[Options, ...] = (
    *({"norm": norm} for norm in ("batch", "layer", "group")), {"layers": 1}, {"activation": "silu"}, {"dropout": 0.3},
    {"init": "orthogonal"}, {"spectral": True},
)


class TestMlp(FamilyContract):
    Generator: ClassVar[type[nn.Module]] = MlpGenerator
    Discriminator: ClassVar[type[nn.Module]] = MlpDiscriminator
    shape: ClassVar[Shape] = (1, 5, 3)
    generator_options = COMMON
    discriminator_options = COMMON

    @pytest.mark.parametrize("shape", [(2, 1, 1), (1, 8, 8), (3, 28, 28), (4, 7, 13)])
    def test_any_shape_will_do(self, shape: Shape) -> None:
        images = self.generator(shape=shape)(self.noise())
        assert images.shape == (N, *shape)
        assert self.discriminator(shape=shape)(images).shape == (N,)

    def test_norms_over_maps_are_refused(self) -> None:
        for make in (self.generator, self.discriminator):
            with pytest.raises(ConfigError, match=r"norm: instance .* norm=layer works"):
                make(norm="instance")


def test_the_paper_s_generator_for_mnist_has_1200_units_in_each_hidden_layer() -> None:
    made = MlpGenerator((1, 28, 28), 100, 300, layers=2)
    assert sum(w.numel() for w in made.parameters()) == (100 + 1) * 1200 + (1200 + 1) * 1200 + (1200 + 1) * 784


def test_fresh_weights_neither_fade_nor_saturate() -> None:
    torch.manual_seed(0)
    made = MlpGenerator((3, 16, 16), 64, 64, layers=8)
    images = made(torch.randn(32, 64))
    assert 0.2 < float(images.detach().std()) < 0.8
