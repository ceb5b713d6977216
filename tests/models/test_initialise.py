from __future__ import annotations

from math import sqrt

import pytest
import torch
from torch import nn

from gan_core.errors import ConfigError
from gan_core.models.initialise import glorot, initialise, radford
from gan_core.models.spectral import spectral

KINDS = ("normal", "orthogonal", "he", "xavier")
LAYERS = {
    "linear": lambda: nn.Linear(96, 128),
    "conv": lambda: nn.Conv2d(16, 32, 3),
    "transposed": lambda: nn.ConvTranspose2d(32, 16, 4, 2, 1),
    "embedding": lambda: nn.Embedding(64, 96),
}


def made(kind: str, layer: str) -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(LAYERS[layer](), nn.BatchNorm2d(3))
    initialise(network, kind, radford)
    return network[0]


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_rule_reaches_every_kind_of_layer_and_leaves_no_bias(kind: str, layer: str) -> None:
    torch.manual_seed(0)
    untouched = LAYERS[layer]()
    initialised = made(kind, layer)
    assert not torch.equal(initialised.weight, untouched.weight)
    assert not getattr(initialised, "bias", torch.zeros(1)).any()


@pytest.mark.parametrize("layer", LAYERS)
def test_normal_is_radford_s(layer: str) -> None:
    weight = made("normal", layer).weight
    assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert torch.equal(weight, made("auto", layer).weight)


@pytest.mark.parametrize("layer", LAYERS)
def test_orthogonal_weights_have_singular_values_of_one(layer: str) -> None:
    weight = made("orthogonal", layer).weight
    matrix = (weight.transpose(0, 1) if layer == "transposed" else weight).flatten(1)
    torch.testing.assert_close(torch.linalg.svdvals(matrix.detach()), torch.ones(min(matrix.shape)))


@pytest.mark.parametrize(("layer", "shape"), [("linear", (64, 96)), ("conv", (32, 16, 12, 12)),
                                              ("transposed", (32, 32, 12, 12))])
def test_he_keeps_the_mean_square_through_relu(layer: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    out = made("he", layer)(x)
    inside = out[..., 3:-3, 3:-3] if out.dim() == 4 else out  # at the edges of maps less is added up
    assert float(inside.detach().relu().square().mean()) == pytest.approx(1, rel=0.1)


def test_xavier_is_keras_glorot_uniform() -> None:
    weight = made("xavier", "conv").weight
    limit = sqrt(6 / (16 * 9 + 32 * 9))
    assert 0.99 * limit < float(weight.detach().abs().max()) <= limit
    torch.manual_seed(0)
    layer = LAYERS["conv"]()
    glorot(layer)
    assert torch.equal(layer.weight, weight)


def test_auto_is_the_family_s_own() -> None:
    seen: list[nn.Module] = []
    network = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    before = network[0].weight.clone()
    initialise(network, "auto", seen.append)
    assert seen == [network[0], network[1], network]
    assert torch.equal(network[0].weight, before)


def test_an_unknown_rule_is_answered_with_the_known() -> None:
    with pytest.raises(ConfigError, match="init: 'kaiming' is unknown; these are known: auto, normal"):
        initialise(nn.Linear(2, 2), "kaiming", radford)


def test_weights_that_spectral_norm_divides_are_not_initialised_in_vain() -> None:
    network = nn.Sequential(nn.Linear(2, 2))
    spectral(network)
    with pytest.raises(RuntimeError, match="before spectral norm"):
        initialise(network, "normal", radford)
