"""The core's reporter on a Ray worker: what Ray, Prometheus, the log and whoever started the run are told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import ray.train

from gan_core.train.report import Began, Command, Event, Held, Trouble
from pipelines.json_log import JsonLog
from pipelines.stop import Orders
from pipelines.training_metrics import TrainingMetrics

PROGRESS_EVERY_S = 10.0  # of a log


@dataclass
class RayReporter:
    """Every rank reports at checkpoints, without an upload.

    orders: on rank 0, what is asked from outside.  metrics: on rank 0 of a cluster.  log: where logs are for machines.
    saved: where the newest checkpoint is, or will soon be.
    """

    orders: Orders | None
    metrics: TrainingMetrics | None = None
    log: JsonLog | None = None
    saved: str = ""
    _progress_told: float = float("-inf")

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        """The curves are in the store; whoever watches reads them there."""
        if self.metrics is not None:
            self.metrics.row(position, values)
        if self.log is not None and time.monotonic() - self._progress_told >= PROGRESS_EVERY_S:
            self._progress_told = time.monotonic()
            row: dict[str, Any] = {"position": position, **values}
            self.log.say("progress", f"{position:,} images", **row)

    def trouble(self, position: int, trouble: Trouble) -> None:
        """The store has it; whoever watches reads it there."""
        if self.log is not None:
            self.log.say("trouble", f"{trouble.name}: {trouble.what}; {trouble.advice}", "warning", position=position)

    def note(self, text: str) -> None:
        if self.orders is not None:
            self.orders.say(text)
        if self.log is not None:
            self.log.say("note", text)

    def checkpoint(self, position: int, saved: str) -> None:
        self.saved = saved
        ray.train.report({"position": position, "checkpoint": saved})

    def event(self, event: Event) -> None:
        if self.metrics is not None:
            self.metrics.event(event)
        if self.log is None:
            return
        if isinstance(event, Began):
            self.log.attempt = event.attempt
        name = "checkpoint" if isinstance(event, Held) else type(event).__name__.lower()
        self.log.say(name, **{field: value for field, value in asdict(event).items() if field != "attempt"})

    def command(self) -> Command:
        return self.orders.command() if self.orders is not None else Command.CONTINUE
