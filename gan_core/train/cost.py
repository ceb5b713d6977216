"""What a step costs, counted without taking it: parameters, floating-point operations, and memory at its peak.

The engine's own step is run on tensors that have shapes and no bytes, so every phase, penalty, part and recomputation
is in the count.  An operation's bytes are those of its outputs as long as anything holds them; a convolution also takes
the copies that it makes of arguments that lie in no memory order.

Not counted: what convolutions otherwise work in, what an allocator keeps of freed memory, DDP's buckets, the data set,
and what torch itself takes.  Against the resident memory of a step on a CPU (torch 2.13, glibc), DCGANs of 32 to 128
pixels took 1.00 to 1.03 times the count where freed memory goes back to the system at once, and 1.10 to 1.23 times
where glibc keeps some, the least for the largest; BigGAN, SAGAN, R3GAN and WGAN-GP at 32 pixels 1.00 to 1.03 times.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gan_core.config import Experiment, TrainConfig
from gan_core.data.batches import Batches
from gan_core.data.sampler import share
from gan_core.errors import GanError
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Recipe, build_recipe
from gan_core.train.curves import Curves
from gan_core.train.descent import optimizer_of
from gan_core.train.distributed import Workers
from gan_core.train.state import TrainState
from gan_core.train.step import Step
from gan_core.train.switches import BFLOAT16, FLOAT16, Switches
from gan_core.train.tally import Called, Tally

CPU = torch.device("cpu")


class Uncountable(Exception):  # noqa: N818 - named for what it is
    """A step that cannot be counted: it reads a tensor's values, or does what tensors without bytes cannot do."""


@dataclass(frozen=True)
class NetworkCost:
    """parameters: numbers that are learned.  flops: of one image forward, a multiplication and an addition being two;
    0 for a network that the step does not call."""

    name: str
    parameters: int
    flops: int


@dataclass(frozen=True)
class Cost:
    """One worker's part of a step in which every phase is due.

    rows: its images.  world: workers.  flops: of all phases, backward passes included.  kept: bytes of weights,
    gradients, optimizer states and averages.  peak: bytes when most are in use, `kept` among them.
    """

    networks: tuple[NetworkCost, ...]
    rows: int
    world: int
    flops: int
    kept: int
    peak: int

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        networks = {net.name: {"parameters": net.parameters, "flops": net.flops} for net in self.networks}
        return {"networks": networks, "workers": self.world, "images": self.rows, "flops": self.flops,
                "kept_bytes": self.kept, "peak_bytes": self.peak}


def count(
    experiment: Experiment, data: DataSpec, switches: Switches, *, world: int = 1, device: torch.device = CPU
) -> Cost:
    """What the largest share of a batch costs, of `world` workers' shares.

    Takes 0.3 s of processor time for a DCGAN and 1 to 6 s for a BigGAN; what torch imports for it takes a second more,
    which the first step of a run would take else.  Raises ConfigError where recipe and data do not fit; Uncountable.
    """
    with _counting(experiment):
        recipe = build_recipe(experiment, data)
        networks, averages = _without_weights(recipe)
        return _counted(experiment, data, recipe, networks, averages, _countable(switches), world, device)


def networks_of(experiment: Experiment, data: DataSpec) -> dict[str, nn.Module]:
    """The recipe's networks, with shapes and without weights.  ConfigError and Uncountable as of `count`."""
    with _counting(experiment):
        return _without_weights(build_recipe(experiment, data))[0]


@contextmanager
def _counting(experiment: Experiment) -> Iterator[None]:
    """What a recipe raises that cannot do without values becomes Uncountable."""
    try:
        yield
    except GanError:
        raise
    except Exception as error:
        first = (str(error).strip() or "no reason given").splitlines()[0]
        raise Uncountable(f"the step of recipe {experiment.recipe} cannot be counted: {type(error).__name__}: {first}"
                          ) from error


def expected_switches(train: TrainConfig, device: torch.device = CPU) -> Switches:
    """The switches that a run on such a device would take; a precision that is asked for is taken as had."""
    asked = train.model_copy(update={"precision": "auto", "compile": False})
    found = Switches.resolved(asked, device, 1)
    return found if train.precision == "auto" else replace(found, precision=train.precision)


def _without_weights(recipe: Recipe) -> tuple[dict[str, nn.Module], dict[str, nn.Module]]:
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        networks = recipe.networks()
        return networks, {name: copy.deepcopy(networks[name]) for name in recipe.averaged}


def _countable(switches: Switches) -> Switches:
    """The same bytes without a compiler, and without a loss scaler that looks at gradients."""
    precision = BFLOAT16 if switches.precision == FLOAT16 else switches.precision
    return replace(switches, precision=precision, compile=False)


def _counted(
    experiment: Experiment, data: DataSpec, recipe: Recipe, networks: Mapping[str, nn.Module],
    averages: Mapping[str, nn.Module], switches: Switches, world: int, device: torch.device,
) -> Cost:
    rows, tally, of = most_rows(experiment.train.batch, world), Tally(), experiment.train.accumulate
    with FakeTensorMode(allow_fallback_kernels=False), tally:  # falling back is computing with tensors of that size
        state = _state(recipe, _on(device, networks), _on(device, averages))
        whole = Step.of(experiment, recipe, _Blank(data, rows, device), _OneOf(world - 1, world, device), state,
                        switches)
        step = _OfFewParts(**{part.name: getattr(whole, part.name) for part in fields(whole)})
        called = {name: Called(tally, net) for name, net in state.networks.items()}
        curves = Curves()
        step.parts = 2
        step.take(curves)
        of_two, kept = tally.flops, tally.live
        # of the second step on, gradients and optimizers are there from the beginning; at position 0 all phases are due
        state.position, step.parts, tally.flops, tally.peak = 0, 3, 0, tally.live
        step.take(curves)
    flops = tally.flops if of <= 3 else of_two + (of - 2) * (tally.flops - of_two)
    found = (NetworkCost(name, sum(p.numel() for p in net.parameters()), called[name].flops)
             for name, net in state.networks.items())
    return Cost(tuple(net for net in found if net.parameters), rows, world, flops, kept, tally.peak)


@dataclass
class _OfFewParts(Step):
    """A step of its last parts alone, which are as large as any: all parts are alike, and may be many."""

    parts: int = 0

    def _parts(self, batch: Batch, draw: Draw) -> list[tuple[Batch, Draw]]:
        return super()._parts(batch, draw)[-self.parts :]


def most_rows(batch: int, world: int) -> int:
    """How many images of a batch the last of so many workers takes; none takes more."""
    rows = share(batch, world - 1, world)
    return int(rows.stop) - int(rows.start)


def _on(device: torch.device, networks: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """The networks' tensors made anew, as if they were on the device."""
    return {name: net._apply(lambda t: torch.empty(t.shape, dtype=t.dtype, device=device)).train()
            for name, net in networks.items()}


def _state(recipe: Recipe, networks: dict[str, nn.Module], averages: dict[str, nn.Module]) -> TrainState:
    averages = {name: net.eval().requires_grad_(False) for name, net in averages.items()}
    phases = recipe.phases()
    optimizers = {phase.name: optimizer_of(phase, phases, networks) for phase in phases if phase.shares is None}
    return TrainState(networks, averages, optimizers, {})


class _OneOf(Workers):
    """One worker of several that does without the others."""

    def share_gradients(self, network: nn.Module) -> nn.Module:
        return network


class _Blank(Batches):
    """Batches of the right shapes, [rows, …]."""

    def __init__(self, data: DataSpec, rows: int, device: torch.device) -> None:
        self._data, self._rows, self._device = data, rows, device

    def at(self, position: int) -> dict[str, Tensor]:
        data, zeros = self._data, partial(torch.zeros, device=self._device)
        dtype = torch.int64 if data.kind == "tokens" else torch.float32
        batch: dict[str, Tensor] = {data.kind: zeros(self._rows, *data.shape, dtype=dtype)}
        if data.domains:
            return {**batch, "image_b": zeros(self._rows, *data.shape)}
        if data.classes:
            batch["label"] = zeros(self._rows, dtype=torch.int64)
        if data.attributes:
            batch["attributes"] = zeros(self._rows, len(data.attributes))
        return batch
