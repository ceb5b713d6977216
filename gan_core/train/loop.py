"""The training loop: a function of (config, data, position), the same with and without Ray.

    place the workers → restore the newest checkpoint → take steps, report, checkpoint → write the finished run
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from gan_core.config import Experiment
from gan_core.data.batches import Batches
from gan_core.data.sampler import share
from gan_core.data.shards import Shards
from gan_core.errors import CheckpointError, ConfigError, Diverged
from gan_core.manifest import Parent, artefact
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Phase, Recipe, build_recipe
from gan_core.train.checkpoint import Row, RunPlace, Writer, checkpoint_name
from gan_core.train.distributed import Workers
from gan_core.train.report import Command, Reporter
from gan_core.train.schedule import crossed, ema_decay
from gan_core.train.state import TrainState

NO_CHECKPOINT = -1


@dataclass(frozen=True)
class Switches:
    """What decides the bits of a step besides config and data; fixed at step 0 and kept by every resume."""

    device: str
    threads: int


@dataclass
class Curves:
    """Sums of scalars since the last row, kept on the device: one read a row, none a step."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    rows: list[Row] = field(default_factory=list)

    def add(self, scalars: Mapping[str, Tensor]) -> None:
        for name, value in scalars.items():
            mean = value.detach().float().mean()
            self.sums[name] = self.sums[name] + mean if name in self.sums else mean

    def row(self, position: int, workers: Workers) -> Row:
        """Means over the steps since the last row and over all workers.  Diverged when one is not finite."""
        names = sorted(self.sums)
        means = workers.mean(torch.stack([self.sums[name] for name in names]) / self.steps).tolist()
        for name, mean in zip(names, means, strict=True):
            if not math.isfinite(mean):
                raise Diverged(f"{name} is {mean} after {position} images; lower the learning rates")
        self.sums, self.steps = {}, 0
        row: Row = {"position": position, **dict(zip(names, means, strict=True))}
        self.rows.append(row)
        return row


@dataclass
class Engine:
    """One run on one worker, ready to take steps."""

    experiment: Experiment
    recipe: Recipe
    batches: Batches
    workers: Workers
    state: TrainState
    switches: Switches
    worlds: list[int]
    shared: dict[str, nn.Module]

    def step(self, curves: Curves) -> None:
        """Every phase of the recipe on the next global batch, then the averages."""
        train = self.experiment.train
        batch = self.batches.at(self.state.position)
        rows = share(train.batch, self.workers.rank, self.workers.world)
        draw = Draw(self.experiment.seed, self.state.position, train.batch, rows, self.workers.device)
        for phase in self.recipe.phases():
            self._take(phase, batch, draw.within(phase.name), curves)
        self.state.average(ema_decay(train.batch, train.ema_half_life))
        self.state.position += train.batch
        curves.steps += 1

    def _take(self, phase: Phase, batch: Batch, draw: Draw, curves: Curves) -> None:
        """One optimizer step.  A network that the phase does not train is frozen and not wrapped."""
        nets: dict[str, nn.Module] = {}
        for name, network in self.state.networks.items():
            trained = name in phase.networks
            network.requires_grad_(trained)
            nets[name] = self.shared[name] if trained else network
        optimizer = self.state.optimizers[phase.name]
        optimizer.zero_grad(set_to_none=True)
        loss = self.recipe.loss(phase.name, nets, batch, draw)
        loss.per_example.mean().backward()
        optimizer.step()
        curves.add({f"objective/{phase.name}": loss.per_example, **loss.scalars})


def fit(
    experiment: Experiment,
    shards: Shards,
    place: RunPlace,
    reporter: Reporter,
    *,
    parents: tuple[Parent, ...] = (),
    threads: int | None = None,
) -> bool:
    """Trains to `train.images`, from the newest checkpoint when there is one, and writes the finished run.

    Called on every worker of the process group that is set up, or alone.  True when the run is finished; False when
    the reporter's command stopped it, after a checkpoint.
    Raises Diverged, CheckpointError, DamagedFile, Superseded.
    """
    workers = Workers.current()
    if experiment.train.batch % workers.world:
        raise ConfigError(f"train.batch={experiment.train.batch} does not split over {workers.world} workers")
    attempt = workers.told_by_lead(place.claim_attempt() if workers.lead else 0)
    engine = _prepared(experiment, shards, place, workers, threads)
    if workers.lead:
        place.drop_curves_after(engine.state.position)
    writer = Writer(place, attempt, experiment.train.keep_checkpoints)
    try:
        finished = _run(engine, reporter, writer)
        writer.wait()
        if finished and workers.lead:
            writer.refuse_if_superseded()
            _write_run(engine, place, attempt, parents)
    finally:
        writer.close()
    return finished


def _run(engine: Engine, reporter: Reporter, writer: Writer) -> bool:
    train, state, curves = engine.experiment.train, engine.state, Curves()
    while state.position < train.images:
        engine.step(curves)
        done = state.position >= train.images
        due = done or crossed(state.position, step=train.batch, every=train.checkpoint_every)
        if not due and not crossed(state.position, step=train.batch, every=train.report_every):
            continue
        row = curves.row(state.position, engine.workers)
        if engine.workers.lead:
            reporter.scalars(state.position, row)
        command = Command(engine.workers.told_by_lead(reporter.command() if engine.workers.lead else 0))
        if due or command is not Command.CONTINUE:
            _checkpoint(engine, curves, reporter, writer)
        if command is Command.STOP and not done:
            return False
    return True


def _checkpoint(engine: Engine, curves: Curves, reporter: Reporter, writer: Writer) -> None:
    saved = ""
    engine.state.refuse_non_finite()
    if engine.workers.lead:
        facts = {
            "device": engine.switches.device,
            "threads": engine.switches.threads,
            "worlds": engine.worlds,
        }
        saved = writer.save({**engine.state.snapshot(), "facts": facts}, curves.rows)
    curves.rows = []
    reporter.checkpoint(engine.state.position, saved)


def _prepared(
    experiment: Experiment, shards: Shards, place: RunPlace, workers: Workers, threads: int | None
) -> Engine:
    recipe = build_recipe(experiment, DataSpec(shards.shape, shards.classes, shards.kind))
    state = TrainState.fresh(recipe, experiment.seed, workers.device)
    switches = Switches(workers.device.type, threads or torch.get_num_threads())
    worlds: list[int] = []
    saved = _newest(place, workers)
    if saved is not None:
        switches = _kept_switches(saved["facts"], workers, place)
        worlds = saved["facts"]["worlds"]
        state.restore(saved)
    if not worlds or worlds[-1] != workers.world:
        worlds = [*worlds, workers.world]
    torch.set_num_threads(switches.threads)
    torch.backends.cudnn.benchmark = False  # would choose kernels, and so bits, by timing
    torch.backends.cudnn.deterministic = True
    batches = Batches(
        shards.split("train"),
        seed=experiment.seed,
        batch=experiment.train.batch,
        rank=workers.rank,
        world=workers.world,
        device=workers.device,
        sampling=experiment.train.sampling,
        shuffle_shards=experiment.train.shuffle_shards,
        facts=shards.facts,
    )
    shared = {name: workers.share_gradients(network) for name, network in state.networks.items()}
    return Engine(experiment, recipe, batches, workers, state, switches, worlds, shared)


def _newest(place: RunPlace, workers: Workers) -> dict[str, Any] | None:
    """The checkpoint that rank 0 finds newest, on every rank: two looks at a store need not see the same."""
    newest = place.load_newest() if workers.lead else None
    position, attempt = map(int, newest[0].split("-")) if newest else (NO_CHECKPOINT, 0)
    position, attempt = workers.told_by_lead(position), workers.told_by_lead(attempt)
    if newest is not None or position == NO_CHECKPOINT:
        return newest[1] if newest else None
    name = checkpoint_name(position, attempt)
    saved = place.load(name)
    if saved is None:
        raise CheckpointError(f"{place.store.uri(place.prefix)}/checkpoints/{name} is gone since rank 0 read it; "
                              "start again")
    return saved


def _kept_switches(facts: Mapping[str, object], workers: Workers, place: RunPlace) -> Switches:
    device = str(facts["device"])
    if device != workers.device.type:
        raise CheckpointError(
            f"{place.store.uri(place.prefix)} was begun on {device} and this worker has {workers.device.type}, whose "
            f"steps differ in their last bits; resume it on {device}, or remove its checkpoints to begin again"
        )
    return Switches(device, int(str(facts["threads"])))


def _write_run(engine: Engine, place: RunPlace, attempt: int, parents: tuple[Parent, ...]) -> None:
    """The finished run: averaged and raw weights, how a bundle builds the generator, and the curves."""
    name, spec = engine.recipe.published()
    with artefact(place.store, place.prefix, kind="run", key=place.key, parents=parents) as draft:
        published = engine.state.averages.get(name, engine.state.networks[name])
        save_file(_weights(published), draft.path / "generator.safetensors")
        raw = {f"{n}.{k}": v for n, net in engine.state.networks.items() for k, v in _weights(net).items()}
        save_file(raw, draft.path / "networks.safetensors")
        (draft.path / "generator.json").write_text(spec.model_dump_json(indent=1) + "\n")
        (draft.path / "metrics.jsonl").write_bytes(place.curves())
        draft.facts.update(
            position=engine.state.position,
            attempts=attempt,
            worlds=engine.worlds,
            device=engine.switches.device,
            threads=engine.switches.threads,
        )


def _weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}

