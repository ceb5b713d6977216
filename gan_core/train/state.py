"""All that training changes, in one record: what a checkpoint holds and a resume restores."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam as TorchAdam
from torch.optim import Optimizer

from gan_core.errors import Diverged
from gan_core.recipes.recipe import Phase, Recipe


@dataclass
class TrainState:
    """networks and averages by name, optimizers by phase, position in images seen."""

    networks: dict[str, nn.Module]
    averages: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    position: int

    @staticmethod
    def fresh(recipe: Recipe, seed: int, device: torch.device) -> TrainState:
        """Position 0.  The weights depend on the seed alone, not on the device or the worker."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int.from_bytes(hashlib.sha256(f"{seed}/weights".encode()).digest()[:8], "big") >> 1)
            networks = {name: net.to(device).train() for name, net in recipe.networks().items()}
        averages = {name: copy.deepcopy(networks[name]).eval().requires_grad_(False) for name in recipe.averaged}
        optimizers = {phase.name: _optimizer(phase, networks) for phase in recipe.phases()}
        return TrainState(networks, averages, optimizers, 0)

    def average(self, decay: float) -> None:
        """Moves each average towards its network: average ← decay · average + (1 − decay) · network.

        Running statistics of norms are averaged like weights; counters are copied.
        """
        with torch.no_grad():
            for name, average in self.averages.items():
                ours, theirs = list(_tensors(average)), list(_tensors(self.networks[name]))
                real = [(a, b) for a, b in zip(ours, theirs, strict=True) if a.is_floating_point()]
                torch._foreach_lerp_([a for a, _ in real], [b for _, b in real], 1 - decay)
                for a, b in zip(ours, theirs, strict=True):
                    if not a.is_floating_point():
                        a.copy_(b)

    def refuse_non_finite(self) -> None:
        """Diverged, naming the tensor, when a weight or running statistic is not finite."""
        for network_name, network in self.networks.items():
            for name, tensor in network.state_dict().items():
                if not bool(torch.isfinite(tensor).all()):
                    raise Diverged(f"{network_name}.{name} is not finite after {self.position} images; "
                                   "lower the learning rates")

    def snapshot(self) -> dict[str, Any]:
        """A copy on the CPU that later steps do not change; tensors, numbers, strings and dicts only."""
        live = {
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "averages": {name: net.state_dict() for name, net in self.averages.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "position": self.position,
        }
        copied: dict[str, Any] = _copied(live)
        return copied

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Takes over what `snapshot` gave."""
        for name, net in self.networks.items():
            net.load_state_dict(saved["networks"][name])
        for name, net in self.averages.items():
            net.load_state_dict(saved["averages"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        self.position = saved["position"]


def _optimizer(phase: Phase, networks: Mapping[str, nn.Module]) -> Optimizer:
    weights = [weight for name in phase.networks for weight in networks[name].parameters()]
    return TorchAdam(weights, phase.optimizer.learning_rate, phase.optimizer.betas, fused=True)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().to("cpu", copy=True)
    if isinstance(value, Mapping):
        return {name: _copied(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_copied(inner) for inner in value]
    return value
