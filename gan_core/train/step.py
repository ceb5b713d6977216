"""One step: every phase of the recipe on one global batch, the same whatever the number of workers and parts.

    deal the rows → augment → what the phases share → each phase: losses, one backward a part, one optimizer step → EMA

Every part's loss is the sum over its rows times world / batch: DDP takes the mean over the workers, so what is
descended is the mean over the global batch, however unevenly it was dealt.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from gan_core.config import Experiment
from gan_core.data.augment import flipped, shifted
from gan_core.data.batches import Batches
from gan_core.data.sampler import share
from gan_core.models.dropout import dropout_from
from gan_core.models.layout import ToMaps
from gan_core.own_time import OWN
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, Phase, Recipe
from gan_core.train.curves import Curves
from gan_core.train.descent import set_learning_rate
from gan_core.train.distributed import Workers
from gan_core.train.schedule import ema_decay
from gan_core.train.state import TrainState
from gan_core.train.switches import Switches

IMAGES = ("image", "image_b")


class Forward(nn.Module):
    """A network as the step calls it: in the run's precision and memory order, returning float32.

    Losses and penalties are so computed in float32, whatever the network computed in.
    """

    def __init__(self, network: nn.Module, switches: Switches) -> None:
        super().__init__()
        self.network = network
        self._format = switches.memory_format
        for module in network.modules():
            if isinstance(module, ToMaps):
                module.memory_format = self._format
        self._precision = partial(torch.autocast, switches.device, switches.autocast,
                                  enabled=switches.autocast is not None)
        # torch.compile cannot be differentiated twice (pytorch#91469), so the network stays callable as it is
        self._once = torch.compile(network, dynamic=False) if switches.compile else network

    def forward(self, *args: Any, **named: Any) -> Tensor:
        args = tuple(map(self._laid_out, args))
        named = {name: self._laid_out(value) for name, value in named.items()}
        run = self.network if any(map(_is_differentiated_by, (*args, *named.values()))) else self._once
        with self._precision():
            out: Tensor = run(*args, **named)
        return out.float()

    def _laid_out(self, value: Any) -> Any:
        return value.contiguous(memory_format=self._format) if isinstance(value, Tensor) and value.dim() == 4 else value


def _is_differentiated_by(value: Any) -> bool:
    """Whether a loss wants the gradient by this input, as penalties do, and then its gradient by the weights."""
    return isinstance(value, Tensor) and value.requires_grad and value.is_leaf


def _dropping(draw: Draw) -> AbstractContextManager[None]:
    """In this block dropout draws its masks, one after the other, from the draw."""
    number = count()
    return dropout_from(lambda: draw.generator(f"dropout {next(number)}"), draw.rows, draw.batch)


@dataclass
class Step:
    """Takes the steps of one run on one worker."""

    experiment: Experiment
    recipe: Recipe
    batches: Batches
    workers: Workers
    state: TrainState
    frozen: dict[str, nn.Module]
    shared: dict[str, nn.Module]
    moved: dict[str, list[Any]]  # modules that move with each optimizer step of their network, such as spectral norm's

    @staticmethod
    def of(
        experiment: Experiment, recipe: Recipe, batches: Batches, workers: Workers, state: TrainState,
        switches: Switches,
    ) -> Step:
        frozen: dict[str, nn.Module] = {  # a network without parameters holds a state, and computes as it likes
            name: Forward(net, switches) if any(True for _ in net.parameters()) else net
            for name, net in state.networks.items()
        }
        shared = {name: workers.share_gradients(net) for name, net in frozen.items()}
        moved = {name: [module for module in net.modules() if hasattr(module, "stepped")]
                 for name, net in state.networks.items()}
        return Step(experiment, recipe, batches, workers, state, frozen, shared, moved)

    def take(self, curves: Curves, *, measured: bool = False) -> None:
        """Every phase that is due on the next global batch, then the averages.

        measured: whether the time of this worker's own work counts.  Reading the batch is no part of it.
        """
        train, state = self.experiment.train, self.state
        rows = share(train.batch, self.workers.rank, self.workers.world)
        draw = Draw(self.experiment.seed, state.position, train.batch, rows, self.workers.device)
        batch = self.batches.at(state.position)
        if measured:
            OWN.begin(self.workers.device)
        parts = self._parts(self._augmented(batch, draw), draw)
        number = state.position // train.batch
        due = [phase for phase in self.recipe.phases() if number % phase.every == 0]
        if len(parts) == 1:
            trained = {name: None for phase in due for name in phase.networks}
            parts = [(self._with_common(*parts[0], trained=tuple(trained)), draw)]
        for phase in due:
            self._phase(phase, parts, curves)
        state.average(ema_decay(train.batch, train.ema_half_life, state.position, train.ema_ramp_up))
        state.position += train.batch
        OWN.end()

    def _augmented(self, batch: Batch, draw: Draw) -> Batch:
        settings, drawn = self.experiment.train.augment, draw.within("augment")
        changed = dict(batch)
        for name in IMAGES:
            if name in batch and settings.flip:
                changed[name] = flipped(changed[name], drawn.uniform("flip") < settings.flip)
            if name in batch and settings.shift:
                by = drawn.integers("shift", 2 * settings.shift + 1, 2) - settings.shift
                changed[name] = shifted(changed[name], by)
        return changed

    def _parts(self, batch: Batch, draw: Draw) -> list[tuple[Batch, Draw]]:
        """The rows of this worker, dealt to `train.accumulate` parts as evenly as they go."""
        of = self.experiment.train.accumulate
        if of == 1:
            return [(batch, draw)]
        cuts = [share(draw.count, number, of) for number in range(of)]
        return [({name: values[cut] for name, values in batch.items()}, draw.part(number, of))
                for number, cut in enumerate(cuts)]

    def _with_common(self, batch: Batch, draw: Draw, trained: tuple[str, ...]) -> Batch:
        drawn = draw.within("common")
        with _dropping(drawn):
            return {**batch, **self.recipe.common(self._networks(trained), batch, drawn)}

    def _networks(self, trained: tuple[str, ...]) -> dict[str, nn.Module]:
        """The networks, wrapped where they are trained and without gradients where not."""
        for name, network in self.state.networks.items():
            network.requires_grad_(name in trained)
        return {name: self.shared[name] if name in trained else self.frozen[name] for name in self.state.networks}

    def _phase(self, phase: Phase, parts: list[tuple[Batch, Draw]], curves: Curves) -> None:
        """One optimizer step on all parts."""
        owner = phase.shares or phase.name
        optimizer, scaler = self.state.optimizers[owner], self.state.scalers.get(owner)
        optimizer.zero_grad(set_to_none=True)
        for number, (batch, draw) in enumerate(parts, start=1):
            last = number == len(parts)
            with ExitStack() as around:
                if not last:
                    self._leave_gradients_here(phase, around)
                if len(parts) > 1:
                    batch = self._with_common(batch, draw, phase.networks)
                drawn = draw.within(phase.name)
                around.enter_context(_dropping(drawn))
                loss = self.recipe.loss(phase.name, self._networks(phase.networks), batch, drawn)
                descended = loss.per_example.sum() * (self.workers.world / self.experiment.train.batch)
                (descended if scaler is None else scaler.scale(descended)).backward()
            OWN.received()
            counts = draw.count * self.workers.world / self.experiment.train.batch
            curves.add({f"objective/{phase.name}": loss.per_example, **loss.scalars}, counts, last)
        self._descend_by_weights(phase, curves)
        set_learning_rate(optimizer, phase.optimizer.fall, self.state.position)
        if scaler is None:
            self._look_at_gradients(phase, curves)
            optimizer.step()
        else:
            scaler.step(optimizer)  # left out where a gradient is beyond float16; the scale is then halved
            scaler.update()
        for network in phase.networks:
            for module in self.moved[network]:
                module.stepped()
        self.recipe.after_step(phase.name, self.state.networks)

    def _descend_by_weights(self, phase: Phase, curves: Curves) -> None:
        """Adds the gradient of a loss on the weights themselves: alike on all workers, so nothing is averaged."""
        networks = {name: self.state.networks[name] for name in phase.networks}
        loss = self.recipe.weight_loss(phase.name, networks)
        if loss is None:
            return
        curves.add(loss.scalars)
        weights = [weight for network in networks.values() for weight in network.parameters()]
        scaler = self.state.scalers.get(phase.shares or phase.name)
        descended = loss.per_example if scaler is None else scaler.scale(loss.per_example)
        found = torch.autograd.grad(descended, weights, allow_unused=True)
        for weight, gradient in zip(weights, found, strict=True):
            if gradient is not None and weight.grad is not None:
                weight.grad.add_(gradient)

    def _leave_gradients_here(self, phase: Phase, stack: ExitStack) -> None:
        """No all-reduce until the last part."""
        for name in phase.networks:
            wrapped = self.shared[name]
            if isinstance(wrapped, DistributedDataParallel):
                stack.enter_context(wrapped.no_sync())

    def _look_at_gradients(self, phase: Phase, curves: Curves) -> None:
        """The norm of each network's gradient, for the curves; which tensor's is not finite, and since when."""
        names: list[str] = []
        each: list[Tensor] = []
        for network in phase.networks:
            found = {name: weight.grad for name, weight in self.state.networks[network].named_parameters()
                     if weight.grad is not None}
            if found:
                norms = torch.stack(torch._foreach_norm(list(found.values())))
                if phase.shares is None:
                    curves.add({f"gradient/{network}": norms.norm()})
                names += [f"{network}.{name}" for name in found]
                each.append(norms)
        if each:
            curves.watch(f"{phase.name}: the gradient", names, torch.cat(each), self.state.position)
