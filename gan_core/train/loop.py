"""The training loop: a function of (config, data, position), the same with and without Ray.

    place the workers → restore the newest checkpoint → take steps, report, checkpoint → write the finished run
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gan_core.config import FD_DOMAIN, Experiment
from gan_core.data.augment import refuse_other_kinds
from gan_core.data.batches import Batches
from gan_core.data.shards import Shards
from gan_core.errors import CheckpointError, Diverged
from gan_core.manifest import Parent
from gan_core.recipes.recipe import Recipe, build_recipe, data_of
from gan_core.train.begin_from import begin
from gan_core.train.checkpoint import Row, RunPlace, checkpoint_name
from gan_core.train.consistency import refuse_disagreement
from gan_core.train.curves import Curves
from gan_core.train.dealing import norms_over_parts, refuse_uneven
from gan_core.train.distributed import Workers
from gan_core.train.finish import write_run
from gan_core.train.measure import Compare, refuse_unmeasured
from gan_core.train.observe import Observer
from gan_core.train.patience import UPLOAD_PATIENCE_S, unheard
from gan_core.train.report import Began, Command, Held, Reporter
from gan_core.train.schedule import crossed
from gan_core.train.slow import Pace
from gan_core.train.state import TrainState
from gan_core.train.step import Step
from gan_core.train.switches import Switches
from gan_core.train.too_large import refuse_what_does_not_fit
from gan_core.train.uploads import Retention, Writer

NO_CHECKPOINT = -1


def fit(
    experiment: Experiment,
    shards: Shards,
    place: RunPlace,
    reporter: Reporter,
    *,
    parents: tuple[Parent, ...] = (),
    threads: int | None = None,
    compare: Compare | None = None,
) -> bool:
    """Trains to `train.images` or to a stop rule, from the newest checkpoint when there is one; writes the run.

    parents: what the run is made from: its shards and, where `train.init_from` is set, the version that it names.
    compare: what measures samples beside real examples as training goes on; None when nobody does.
    Called on every worker of the process group that is set up, or alone.  True when the run is finished; False when
    the reporter's command stopped it, after a checkpoint.
    Raises ConfigError, Diverged, WorkersDisagree, CheckpointError, DamagedFile, StoreError, Superseded.
    """
    workers = Workers.current()
    refuse_uneven(experiment, workers.world)
    refuse_unmeasured(experiment.train, compare)
    place = replace(place, note=reporter.note)
    attempt = workers.told_by_lead(place.claim_attempt() if workers.lead else 0)
    keep = Retention(experiment.train.keep_checkpoints, experiment.train.keep_every)
    writer = Writer(place, attempt, keep, reporter.note, uploaded=reporter.event)
    try:
        run = Run.begun(experiment, shards, place, reporter, workers, writer, threads, parents, compare)
        reporter.event(Began(attempt, run.state.position, workers.world))
        finished = run.go_on()
        writer.wait()
        if finished and run.observer is not None:
            writer.refuse_if_superseded()
            write_run(experiment, run.recipe, run.state, run.switches,
                      replace(place, store=writer.ours(UPLOAD_PATIENCE_S), tries_again=False), attempt, parents,
                      {**run.observer.facts, **run.pace.facts})
    finally:
        writer.close()
    return finished


@dataclass
class Run:
    """One start of a run on one worker.  observer: on rank 0 alone."""

    experiment: Experiment
    place: RunPlace
    reporter: Reporter
    workers: Workers
    writer: Writer
    recipe: Recipe
    switches: Switches
    state: TrainState
    step: Step
    observer: Observer | None
    pace: Pace
    parents: tuple[Parent, ...]
    curves: Curves = field(default_factory=Curves)
    rows: list[Row] = field(default_factory=list)

    @staticmethod
    def begun(
        experiment: Experiment, shards: Shards, place: RunPlace, reporter: Reporter, workers: Workers, writer: Writer,
        threads: int | None, parents: tuple[Parent, ...], compare: Compare | None,
    ) -> Run:
        """At the newest checkpoint, or at the beginning."""
        train, device = experiment.train, workers.device
        saved = _newest(place, workers)
        switches = Switches.resolved(train, device, threads) if saved is None else \
            Switches.kept(saved["facts"], device, place.store.uri(place.prefix))
        switches.apply()
        refuse_other_kinds(train.augment, shards.kind)
        data = data_of(experiment, shards)
        recipe = build_recipe(experiment, data)
        uncounted = refuse_what_does_not_fit(experiment, data, switches, workers)
        state = TrainState.fresh(recipe, experiment.seed, device, switches)
        if saved is None:
            begin(state, recipe, train.init_from, parents, reporter.note if workers.lead else unheard)
        batches = Batches(
            shards.split("train"), seed=experiment.seed, batch=train.batch, rank=workers.rank, world=workers.world,
            device=device, sampling=train.sampling, shuffle_shards=train.shuffle_shards, facts=shards.facts,
        )
        step = Step.of(experiment, recipe, batches, workers, state, switches)
        observer = Observer.of(experiment, recipe, shards, device, reporter, compare) if workers.lead else None
        run = Run(experiment, place, reporter, workers, writer, recipe, switches, state, step, observer,
                  Pace.of(workers, train.batch, reporter.note, reporter.event), parents)
        notes = [uncounted, norms_over_parts(experiment, state.networks), observer.note if observer else None]
        if saved is not None:
            run._restore(saved)
            notes.append(switches.elsewhere(device))
        if workers.lead:
            for note in filter(None, notes):
                reporter.note(note)
            writer.drop_curves_after(state.position)
        return run

    def go_on(self) -> bool:
        """To the end, rolling back as often as the config lets it.  False when a command stopped it."""
        while True:
            try:
                return self._to_the_end()
            except Diverged as error:
                self._roll_back(error)

    def _to_the_end(self) -> bool:
        train, state = self.experiment.train, self.state
        while state.position < train.images and state.ended is None:
            if state.worlds[-1:] != [self.workers.world]:
                state.worlds = [*state.worlds, self.workers.world]
            # on its way to all workers while they take the step, so that nobody waits for it
            told = self.workers.begin_to_tell(self.reporter.command() if self.workers.lead else Command.CONTINUE)
            # while rank 0 writes a checkpoint it has more to do than the others
            self.step.take(self.curves, measured=self.workers.world > 1 and not self.writer.busy)
            command = Command(told.result())
            done = state.position >= train.images
            sampled, compared = done or self._passed(train.sample_every), done or self._is_compared()
            if sampled or compared or self._passed(train.report_every):
                self._row(sampled=sampled, compared=compared, done=done)
            due = done or state.ended is not None or self._passed(train.checkpoint_every)
            if due or command is not Command.CONTINUE:
                self._checkpoint(judged=due)
            if command is Command.STOP and not done and not state.ended:
                return False
        return True

    def _passed(self, every: int) -> bool:
        return crossed(self.state.position, step=self.experiment.train.batch, every=every)

    def _is_compared(self) -> bool:
        """Whether samples are compared with real examples here: at a cadence, and where a checkpoint is judged by it.
        """
        train = self.experiment.train
        judges = train.best_by is not None and train.best_by.metric == FD_DOMAIN
        return self._passed(train.fd_every or train.sample_every) or (judges and self._passed(train.checkpoint_every))

    def _row(self, *, sampled: bool, compared: bool, done: bool) -> None:
        """One row of the curves; a stop rule may end the run with it."""
        row, ended = dict(self.curves.row(self.state.position, self.workers)), None
        self.pace.look(self.state.position)
        if self.observer is not None:
            ended = self.observer.see(row, self.state, sampled=sampled, compared=compared, done=done)
            self.rows.append(row)
            self.writer.tell(row, self.observer.troubles, self.observer.compared, self.pace.slow)
        if Command(self.workers.told_by_lead(Command.FINISH if ended else Command.CONTINUE)) is Command.FINISH:
            self.state.ended = ended or "on another worker"

    def _checkpoint(self, *, judged: bool) -> None:
        """judged: it may be the best one.  One that was asked for may not, or an interruption would show in the run."""
        began = time.monotonic()
        self.curves.refuse_non_finite({}, self.state.position)
        self.state.refuse_non_finite()
        refuse_disagreement(self.state, self.workers)
        pending, saved = self.curves.snapshot(self.workers), ""
        if self.observer is not None:
            if judged:
                self.observer.compare_with_best(self.state)
            snapshot = {**self.state.snapshot(), "curves": pending, "facts": self._facts()}
            saved = self.writer.save(snapshot, self.rows, self.observer.take_pictures())
        self.rows = []
        self.reporter.checkpoint(self.state.position, saved)
        if self.workers.lead:
            self.reporter.event(Held(self.state.position, time.monotonic() - began))

    def _facts(self) -> dict[str, Any]:
        return {**self.switches.facts, "worlds": self.state.worlds, "rollbacks": self.state.rollbacks}

    def _restore(self, saved: Mapping[str, Any]) -> None:
        self.state.restore(saved)
        self.curves = Curves.restored(saved["curves"], self.workers)
        if self.observer is not None:
            self.observer.remember(self.state)

    def _roll_back(self, error: Diverged) -> None:
        """To the newest good checkpoint with lower learning rates; Diverged again when that is not to be."""
        policy, before, at = self.experiment.train.on_divergence, self.state.rollbacks, self.state.position
        self.writer.wait()
        saved = _newest(self.place, self.workers)
        good = f"the checkpoint of {saved['position']} images" if saved else "the beginning: no checkpoint was made yet"
        if policy.policy == "stop" or len(before) >= policy.times:
            tried = f" after {len(before)} roll-backs" if before else ""
            other = ", or set train.on_divergence.policy=roll_back" if policy.policy == "stop" else ""
            raise Diverged(f"{error}{tried}; the last good state is {good}; lower the learning rates{other}") from error
        self._restore(saved or self._beginning())
        rates = policy.factor ** (len(before) + 1)
        # the checkpoint has the learning rates of as many roll-backs as were before it
        self.state.scale_learning_rates(rates / policy.factor ** len(self.state.rollbacks))
        self.state.rollbacks = [
            *before, {"at": at, "to": self.state.position, "why": str(error), "learning_rates": rates}]
        self.rows = []
        if self.workers.lead:
            self.writer.drop_curves_after(self.state.position)  # of newer checkpoints that turned out to be damaged
            self.reporter.note(f"{error}; goes on from {good} with learning rates times {rates:g}")

    def _beginning(self) -> dict[str, Any]:
        """What a checkpoint of position 0 would hold."""
        fresh = TrainState.fresh(self.recipe, self.experiment.seed, self.workers.device, self.switches)
        begin(fresh, self.recipe, self.experiment.train.init_from, self.parents, unheard)
        return {**fresh.snapshot(), "curves": Curves().snapshot(self.workers)}


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
