from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_core.models.spectral import SpectralNorm, spectral

LAYERS = {
    "linear": lambda: nn.Linear(7, 5),
    "conv": lambda: nn.Conv2d(3, 6, 3),
    "transposed": lambda: nn.ConvTranspose2d(3, 6, 4),
    "embedding": lambda: nn.Embedding(4, 9),
}


def matrix(layer: nn.Module, weight: Tensor) -> Tensor:
    """Outputs as rows."""
    return (weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else weight).flatten(1)


def largest(layer: nn.Module, weight: Tensor) -> float:
    return float(torch.linalg.svdvals(matrix(layer, weight.detach()))[0])


def original(layer: nn.Module) -> nn.Parameter:
    return layer.parametrizations.weight.original


def normed(kind: str, seed: int = 0) -> tuple[nn.Module, SpectralNorm]:
    """A layer with a spectral norm that has followed its weight far."""
    torch.manual_seed(seed)
    layer = LAYERS[kind]().double()
    spectral(layer)
    norm = layer.parametrizations.weight[0]
    for _ in range(200):
        norm.stepped()
    return layer, norm


@pytest.mark.parametrize("kind", LAYERS)
def test_the_weight_is_divided_by_its_largest_singular_value(kind: str) -> None:
    layer, _ = normed(kind)
    raw = original(layer)
    torch.testing.assert_close(layer.weight, raw / largest(layer, raw))
    assert largest(layer, layer.weight) == pytest.approx(1)


def test_a_fresh_network_is_close_already() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 32, 3)
    spectral(layer)
    assert largest(layer, layer.weight) == pytest.approx(1, abs=0.05)


def test_each_step_follows_the_weight_and_no_forward_does() -> None:
    layer, norm = normed("linear")
    with torch.no_grad():
        original(layer).copy_(torch.randn(5, 7, dtype=torch.float64))
    before = norm.u.clone(), norm.v.clone()
    for _ in range(3):
        layer(torch.randn(2, 7, dtype=torch.float64))
    assert torch.equal(norm.u, before[0])
    assert torch.equal(norm.v, before[1])
    distances = []
    for _ in range(60):
        distances.append(abs(largest(layer, layer.weight) - 1))
        norm.stepped()
    assert distances[0] > 0.1
    assert distances[-1] < 1e-6


def test_the_gradient_is_of_the_weight_over_u_w_v_with_u_and_v_held() -> None:
    layer, norm = normed("conv")
    weight, u, v = original(layer), norm.u, norm.v

    def normalised(w: Tensor) -> Tensor:
        return w / (u @ w.flatten(1) @ v)

    picked = torch.randn_like(weight)
    (found,) = torch.autograd.grad((layer.weight * picked).sum(), weight)
    (want,) = torch.autograd.grad((normalised(weight) * picked).sum(), weight)
    torch.testing.assert_close(found, want)
    assert found.abs().max() > 0
    assert torch.autograd.gradcheck(norm, weight)
    assert torch.autograd.gradgradcheck(norm, weight)


def test_in_evaluation_averaged_vectors_are_only_where_an_iteration_starts() -> None:
    layer, norm = normed("linear")
    with torch.no_grad():
        norm.u.mul_(0.3)  # as averages of unit vectors are
        norm.v.copy_(torch.randn_like(norm.v))
    kept = {name: tensor.clone() for name, tensor in layer.state_dict().items()}
    assert largest(layer, layer.weight) != pytest.approx(1, abs=0.1)
    layer.eval()
    assert largest(layer, layer.weight) == pytest.approx(1)
    assert all(torch.equal(kept[name], tensor) for name, tensor in layer.state_dict().items())


def test_a_copy_steps_by_its_own_weight() -> None:
    layer, _ = normed("linear")
    network = nn.Sequential(layer, nn.ReLU())
    copied = copy.deepcopy(network)
    with torch.no_grad():
        original(copied[0]).copy_(torch.randn(5, 7, dtype=torch.float64))
    for _ in range(200):
        copied[0].parametrizations.weight[0].stepped()
    assert largest(copied[0], copied[0].weight) == pytest.approx(1)
    assert largest(layer, layer.weight) == pytest.approx(1)
    assert not torch.equal(layer.weight, copied[0].weight)


def test_a_state_dict_holds_the_weight_once_and_brings_back_the_same_layer() -> None:
    layer, _ = normed("conv", seed=1)
    saved = layer.state_dict()
    assert {*saved} == {"bias", "parametrizations.weight.original", "parametrizations.weight.0.u",
                        "parametrizations.weight.0.v"}
    again, _ = normed("conv", seed=2)
    again.load_state_dict(saved)
    assert torch.equal(again.weight, layer.weight)


def test_after_a_change_of_type_it_still_follows_its_weight() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(7, 5)
    spectral(layer)
    layer.double()
    norm = layer.parametrizations.weight[0]
    for _ in range(200):
        norm.stepped()
    assert layer.weight.dtype == norm.u.dtype == torch.float64
    assert largest(layer, layer.weight) == pytest.approx(1, abs=1e-12)


def test_the_memory_order_of_a_weight_is_kept_and_changes_nothing() -> None:
    layer, norm = normed("conv")
    want = layer.weight
    weight = original(layer)
    weight.data = weight.data.to(memory_format=torch.channels_last)
    assert layer.weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(layer.weight, want)
    norm.stepped()
    torch.testing.assert_close(layer.weight, want)


def test_autocast_does_not_blunt_the_singular_value() -> None:
    layer, _ = normed("linear")
    layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        weight = layer.weight
    assert torch.equal(weight, layer.weight)


def test_a_whole_network_is_normed_and_its_other_layers_left_alone() -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)), nn.Embedding(2, 3))
    spectral(network)
    assert [parametrize.is_parametrized(part) for part in (network[0], network[1][0], network[1][1], network[2])] \
        == [True, True, False, True]
    assert sum(hasattr(part, "stepped") for part in network.modules()) == 3
