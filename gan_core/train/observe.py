"""What rank 0 makes of each row: what it measures besides, what goes wrong, whether to end, which state is best."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from gan_core.config import FD_DOMAIN, Experiment
from gan_core.data.shards import Shards
from gan_core.errors import ConfigError
from gan_core.recipes.recipe import Recipe
from gan_core.train.measure import Compare, Gauge
from gan_core.train.report import Reporter, Trouble
from gan_core.train.state import TrainState
from gan_core.train.stop_rules import judge
from gan_core.train.trouble import REMEMBERED, troubles
from gan_core.train.watch import Watch


@dataclass
class Observer:
    """Rank 0's view of a run.

    gauge: None where nobody measures, or nothing is to be measured.  troubles: those that last.  compared: the newest
    values of the gauge.
    """

    experiment: Experiment
    watch: Watch
    gauge: Gauge | None
    reporter: Reporter
    troubles: list[Trouble] = field(default_factory=list)
    pictures: dict[str, bytes] = field(default_factory=dict)
    compared: dict[str, float] = field(default_factory=dict)

    @staticmethod
    def of(
        experiment: Experiment, recipe: Recipe, shards: Shards, device: torch.device, reporter: Reporter,
        compare: Compare | None,
    ) -> Observer:
        gauge = None
        if compare is not None and experiment.train.fd_samples:
            gauge = Gauge(experiment, recipe, shards, device, compare)
        return Observer(experiment, Watch(recipe, shards, experiment.seed, device), gauge, reporter)

    @property
    def facts(self) -> dict[str, Any]:
        """For the finished run: what the curves' fd_domain compares."""
        return {} if self.gauge is None else {"fd": self.gauge.facts}

    @property
    def note(self) -> str | None:
        """What an operator should know of what is measured."""
        return None if self.gauge is None else self.gauge.note

    def remember(self, state: TrainState) -> None:
        """Takes a restored state for what is known: troubles that last are not told again."""
        self.troubles, self.pictures = troubles(state.recent), {}
        seen = [row[FD_DOMAIN] for row in state.recent if FD_DOMAIN in row]
        self.compared = {FD_DOMAIN: seen[-1]} if seen else {}

    def see(
        self, row: dict[str, Any], state: TrainState, *, sampled: bool, compared: bool, done: bool
    ) -> str | None:
        """Completes a row and reports it; the reason when a stop rule ends the run with it.

        sampled: whether samples are measured for it.  compared: whether they are compared with real examples.  done:
        the last row; there is nothing left to end or to refuse.
        """
        row |= {f"loss_scale/{phase}": scaler.get_scale() for phase, scaler in state.scalers.items()}
        if sampled:
            row |= self.watch.measure(state.networks, state.averages)
            picture = self.watch.grid({**state.networks, **state.averages})
            if picture is not None:
                self.pictures[f"samples/{state.position:012d}.png"] = picture
        if compared and self.gauge is not None:
            self.compared = self.gauge.measure({**state.networks, **state.averages})
            row |= self.compared
        state.recent = [*state.recent, row][-REMEMBERED:]
        found = troubles(state.recent)
        self.reporter.scalars(state.position, row)
        known = {trouble.name for trouble in self.troubles}
        for trouble in found:
            if trouble.name not in known:
                self.reporter.trouble(state.position, trouble)
        self.troubles = found
        if done:
            return None
        if sampled:
            self._refuse_unknown_metric(state)
        state.rules, ended = judge(self.experiment.train.stop_when, state.rules, row, found)
        if ended:
            self.reporter.note(f"ended after {state.position:,} images: {ended}")
        return ended

    def compare_with_best(self, state: TrainState) -> None:
        """Makes this state the best one so far when the newest value of the metric says so."""
        by = self.experiment.train.best_by
        measured = [row for row in state.recent if by is not None and by.metric in row]
        if by is None or not measured:
            return
        if by.metric == FD_DOMAIN and measured[-1]["position"] != state.position:
            return  # ended by another rule: its own samples were not compared
        value = measured[-1][by.metric]
        sign = -1 if by.goal == "max" else 1
        if state.best is None or sign * value < sign * state.best["value"]:
            state.best = {"position": state.position, "value": value}

    def take_pictures(self) -> dict[str, bytes]:
        """The sample grids since the last checkpoint, by path below the run."""
        taken, self.pictures = self.pictures, {}
        return taken

    def _refuse_unknown_metric(self, state: TrainState) -> None:
        by = self.experiment.train.best_by
        known = {name for row in state.recent for name in row} - {"position"}
        if by is not None and by.metric not in {*known, FD_DOMAIN}:
            raise ConfigError(f"train.best_by.metric={by.metric}: the curves have no such name; they have: "
                              f"{', '.join(sorted(known))}")
