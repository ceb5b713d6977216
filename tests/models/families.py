"""What every family of image networks must do, for the families' tests."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gan_core.models.dropout import Dropout, dropout_from
from gan_core.models.layout import ToMaps

N = 4
CLASSES = {"classes": 3}
ATTRIBUTES = {"attributes": [
    {"name": "smiling", "kind": "binary"}, {"name": "hair", "kind": "categorical", "values": 3},
    {"name": "age", "kind": "continuous", "low": 10.0, "high": 90.0},
]}
CONDITIONS: list[dict[str, Any]] = [{}, CLASSES, ATTRIBUTES]


def labels(conditions: dict[str, Any], n: int = N) -> Tensor | None:
    """Of n examples, all different where there are enough values."""
    if "classes" in conditions:
        return torch.arange(n) % conditions["classes"]
    if "attributes" in conditions:
        return torch.stack([torch.arange(n) % 2, torch.arange(n) % 3, torch.linspace(10, 90, n)], dim=1)
    return None


def noise(latent: int, n: int = N) -> Tensor:
    return torch.randn(n, latent, generator=torch.Generator().manual_seed(1))


def pictures(shape: tuple[int, int, int], n: int = N) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(2)) * 2 - 1


def count(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def as_trained(network: nn.Module) -> nn.Module:
    """The network with nothing in it left at 0, as after some steps."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for weight in network.parameters():
            spread = max(float(weight.std()) if weight.numel() > 1 else 0.0, 0.1)
            weight.add_(0.3 * spread * torch.randn(weight.shape, generator=generator))
    for module in network.modules():
        if hasattr(module, "stepped"):
            module.stepped()
    return network


def check_images(made: nn.Module, shape: tuple[int, int, int], latent: int, conditions: dict[str, Any]) -> None:
    images = as_trained(made)(noise(latent), labels(conditions))
    assert images.shape == (N, *shape)
    assert images.dtype == torch.float32
    evaluated = made.eval()(noise(latent), labels(conditions))
    assert evaluated.isfinite().all()
    assert -1 <= evaluated.min() < evaluated.max() <= 1
    assert evaluated.std() > 0.01
    made.train()


def check_logits(judge: nn.Module, shape: tuple[int, int, int], conditions: dict[str, Any], heads: int = 0) -> None:
    logits = as_trained(judge)(pictures(shape), labels(conditions))
    assert logits.shape == ((N, 1 + heads) if heads else (N,))
    assert logits.isfinite().all()
    assert logits.std() > 0


def check_every_weight_learns(network: nn.Module, *inputs: Tensor | None) -> None:
    """One forward reaches every parameter, as DDP asks; nothing but what a shift takes out again stays without."""
    as_trained(network)
    found = network(*inputs)
    (found * torch.randn(found.shape, generator=torch.Generator().manual_seed(4))).sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        if "conv1.bias" not in name:  # a batch norm takes out the shift of the convolution before it
            assert weight.grad.abs().max() > 0, name


def check_penalty(judge: nn.Module, shape: tuple[int, int, int], label: Tensor | None) -> None:
    """The gradient of a gradient's norm, against finite differences in float64 along one direction of the weights."""
    as_trained(judge).double()
    images = pictures(shape, 2).double().requires_grad_()
    label = None if label is None else label[:2]

    def penalty() -> Tensor:
        logits = judge(images, label)
        (gradient,) = torch.autograd.grad(logits.sum(), images, create_graph=True)
        return gradient.square().sum()

    weights = [weight for weight in judge.parameters() if weight.dim() > 1]
    gradients = torch.autograd.grad(penalty(), weights, allow_unused=True)
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)
    directions = [torch.randn_like(weight) for weight in weights]
    slope = sum(float((g * d).sum().detach()) for g, d in zip(gradients, directions, strict=True) if g is not None)
    step = 1e-8  # small: a gradient jumps where an activation's slope does
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.add_(sign * step * direction)
        values.append(float(penalty().detach()))
        with torch.no_grad():
            for weight, direction in zip(weights, directions, strict=True):
                weight.sub_(sign * step * direction)
    measured = (values[0] - values[1]) / (2 * step)
    assert abs(slope) > 1e-6
    assert abs(measured - slope) < 1e-4 * abs(slope)


def check_checkpointing(build: Callable[[bool], nn.Module], *inputs: Tensor | None) -> None:
    """The same output, gradients and buffers, the gradient of a gradient included, and less than half is kept."""
    torch.manual_seed(0)
    plain = as_trained(build(False))
    saving = copy.deepcopy(build(True))
    saving.load_state_dict(plain.state_dict())
    found, kept = [], [0, 0]
    for number, network in enumerate((plain, saving)):
        given = [None if x is None else x.clone().requires_grad_(x.is_floating_point()) for x in inputs]

        def keep(tensor: Tensor, number: int = number) -> Tensor:
            kept[number] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            out = network(*given)
        assert isinstance(given[0], Tensor)
        (by_input,) = torch.autograd.grad(out.square().sum(), given[0], create_graph=True)
        (out.sum() + by_input.square().sum()).backward()
        found.append((out, [weight.grad for weight in network.parameters()], [*network.buffers()]))
    for one, other in zip(found[0], found[1], strict=True):
        torch.testing.assert_close(one, other)
    assert kept[1] < kept[0] / 2


def check_dropout(build: Callable[[float], nn.Module], *inputs: Tensor | None) -> None:
    """Each block draws masks in training, and none in evaluation."""
    network = as_trained(build(0.5))
    drawn: list[int] = []

    def draw() -> torch.Generator:
        drawn.append(len(drawn))
        return torch.Generator().manual_seed(drawn[-1])

    with dropout_from(draw, slice(0, N), N):
        one, other = network(*inputs), network(*inputs)
    assert not torch.equal(one, other)
    blocks = sum(isinstance(module, Dropout) for module in network.modules())
    assert len(drawn) == 2 * blocks > 0
    plain = build(0.0)
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network.eval()(*inputs), plain.eval()(*inputs))


def runs_in(order: torch.memory_format, network: nn.Module, *inputs: Tensor | None) -> Tensor:
    """What a network returns when it is run in a memory order."""
    network = copy.deepcopy(network).to(memory_format=order)
    for module in network.modules():
        if isinstance(module, ToMaps):
            module.memory_format = order
    found: Tensor = network(*(x.contiguous(memory_format=order) if x is not None and x.dim() == 4 else x
                              for x in inputs))
    return found
