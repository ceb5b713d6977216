"""All that training changes, in one record: what a checkpoint holds and a resume restores."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.optim import Optimizer

from gan_core.errors import Diverged
from gan_core.recipes.recipe import Recipe
from gan_core.train.descent import optimizer_of, scale_learning_rate
from gan_core.train.switches import FLOAT16, Switches

PLAIN = ("position", "rollbacks", "recent", "rules", "best", "worlds", "ended")


@dataclass
class TrainState:
    """Everything that a step or a decision about the run reads and changes.

    networks and averages by name; optimizers and loss scalers (float16 alone) by phase; position in images seen;
    rollbacks: {"at", "to", "learning_rates", "why"} each, newest last; recent: the newest rows of the curves; rules:
    what the stop rules remember; best: {"position", "value"} of the best checkpoint; worlds: the numbers of workers
    that took its steps, in order; ended: the stop rule's reason that ended the run here.  The last five are rank 0's.
    """

    networks: dict[str, nn.Module]
    averages: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    scalers: dict[str, GradScaler]
    position: int = 0
    rollbacks: list[dict[str, Any]] = field(default_factory=list)
    recent: list[dict[str, float]] = field(default_factory=list)
    rules: dict[str, Any] = field(default_factory=dict)
    best: dict[str, float] | None = None
    worlds: list[int] = field(default_factory=list)
    ended: str | None = None

    @staticmethod
    def fresh(recipe: Recipe, seed: int, device: torch.device, switches: Switches | None = None) -> TrainState:
        """Position 0.  The weights depend on the seed alone, not on the device or the worker."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int.from_bytes(hashlib.sha256(f"{seed}/weights".encode()).digest()[:8], "big") >> 1)
            networks = {name: net.to(device).train() for name, net in recipe.networks().items()}
        if switches is not None:
            _lay_out(networks.values(), switches.memory_format)
        averages = {name: copy.deepcopy(networks[name]).eval().requires_grad_(False) for name in recipe.averaged}
        owners = [phase for phase in recipe.phases() if phase.shares is None]
        optimizers = {phase.name: optimizer_of(phase, recipe.phases(), networks) for phase in owners}
        scaled = switches is not None and switches.precision == FLOAT16
        scalers = {phase.name: GradScaler(device.type) for phase in owners} if scaled else {}
        return TrainState(networks, averages, optimizers, scalers)

    def scale_learning_rates(self, factor: float) -> None:
        """Multiplies the learning rate of every optimizer; its state keeps it."""
        for optimizer in self.optimizers.values():
            scale_learning_rate(optimizer, factor)

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
        """Diverged, naming the tensors, when a weight or running statistic is not finite."""
        tensors = {f"{net}.{name}": tensor for net, network in self.networks.items()
                   for name, tensor in network.state_dict().items()}
        finite = torch.stack([torch.isfinite(tensor).all() for tensor in tensors.values()]).tolist()
        bad = [name for name, good in zip(tensors, finite, strict=True) if not good]
        if bad:
            others = f" and {len(bad) - 1} other tensors are" if bad[1:] else " is"
            raise Diverged(f"{bad[0]}{others} not finite after {self.position} images")

    def snapshot(self) -> dict[str, Any]:
        """A copy on the CPU that later steps do not change; tensors, numbers, strings and dicts only."""
        copied: dict[str, Any] = _copied({
            "networks": {name: net.state_dict() for name, net in self.networks.items()},
            "averages": {name: net.state_dict() for name, net in self.averages.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "scalers": {name: scaler.state_dict() for name, scaler in self.scalers.items()},
            **{name: getattr(self, name) for name in PLAIN},
        })
        return copied

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Takes over what `snapshot` gave."""
        for name, net in self.networks.items():
            net.load_state_dict(saved["networks"][name])
        for name, net in self.averages.items():
            net.load_state_dict(saved["averages"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(saved["optimizers"][name])
        for name, scaler in self.scalers.items():
            scaler.load_state_dict(saved["scalers"][name])
        for name in PLAIN:
            setattr(self, name, _copied(saved[name]))


def _lay_out(networks: Iterable[nn.Module], order: torch.memory_format) -> None:
    """Puts weights of maps in a memory order.

    Where both orders are the same bytes, as with one channel, convolutions go by the strides of a weight and give its
    gradient those of the other order; it is given the weight's, or DDP would copy it and warn.
    """
    for network in networks:
        for weight in network.parameters():
            if weight.dim() == 4:
                weight.data = weight.data.to(memory_format=order)
                if weight.is_contiguous() and order is not torch.contiguous_format:
                    weight.register_hook(partial(_with_strides, weight.stride()))


def _with_strides(strides: tuple[int, ...], gradient: Tensor) -> Tensor:
    """The same bytes under other strides."""
    return gradient.contiguous().as_strided(gradient.shape, strides)


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
