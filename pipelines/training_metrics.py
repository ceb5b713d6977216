"""What Prometheus is told of a training run, through the metrics agent of the node that rank 0 is on.

Ray puts `ray_` before each name, sends the newest values every ten seconds, and forgets those of a worker that is
gone.  All are gauges for that reason: Ray keeps counters and histograms for as long as the node lives, one for each run
there ever was.  The names are documented in docs/operations.md.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gan_core.train.report import Began, Event, Held, Uploaded, Waiting
from pipelines.follow import Speed

_log = logging.getLogger(__name__)
LABELS = ("experiment", "stage_key", "attempt", "rank")
MOST_NAMES = 32  # of losses, and of distances: what a recipe of one's own calls them must not become a flood
GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "gan_images_seen": ("Images that the run was trained on; it grows as long as training goes on.", ()),
    "gan_images_per_second": ("Images a second, all workers together, over the last half minute.", ()),
    "gan_loss": ("Loss of a phase: mean since the last row of the curves.", ("name",)),
    "gan_fd": ("Newest distance of samples to real examples.", ("metric",)),
    "gan_checkpoint_seconds": ("That training stood still for the newest checkpoint.", ()),
    "gan_upload_seconds": ("From the newest whole checkpoint's hand-over until it was whole in the store.", ()),
    "gan_restarts": ("Starts of this run before this one.", ()),
    "gan_workers": ("Workers that train.", ()),
    "gan_slow_workers": ("Workers that all others wait for.", ()),
}


class Gauge(Protocol):
    """As ray.util.metrics has it."""

    def set(self, value: float, tags: dict[str, str]) -> None:
        """The newest value."""


def ray_gauge(name: str, description: str, labels: tuple[str, ...]) -> Gauge:
    """One that Ray's agent passes on; without a cluster nobody hears of it."""
    from ray.util import metrics

    made: Gauge = metrics.Gauge(name, description, labels)
    return made


@dataclass
class TrainingMetrics:
    """Rank 0's.  Nothing is told before the run began, and nothing more after an error: it never ends a run.

    make: a gauge of a name, a description and labels.  clock: seconds that only grow.
    """

    experiment: str
    stage_key: str
    make: Callable[[str, str, tuple[str, ...]], Gauge] = ray_gauge
    clock: Callable[[], float] = time.monotonic
    _labels: dict[str, str] = field(default_factory=dict)
    _gauges: dict[str, Gauge] = field(default_factory=dict)
    _names: dict[str, set[str]] = field(default_factory=dict)
    _speed: Speed = field(default_factory=Speed)
    _failed: bool = False

    def row(self, position: int, values: Mapping[str, float]) -> None:
        """One row of the curves."""
        self._set("gan_images_seen", position)
        speed = self._speed.at(self.clock(), position)
        if speed is not None:
            self._set("gan_images_per_second", speed)
        for name, value in values.items():
            if name.startswith("loss/"):
                self._set("gan_loss", value, name=name.removeprefix("loss/"))
            elif name.startswith("fd_"):
                self._set("gan_fd", value, metric=name)

    def event(self, event: Event) -> None:
        match event:
            case Began(attempt, position, workers):
                self._labels = dict(zip(LABELS, (self.experiment, self.stage_key, str(attempt), "0"), strict=True))
                for name, value in (("gan_restarts", attempt - 1), ("gan_images_seen", position),
                                    ("gan_workers", workers), ("gan_slow_workers", 0)):
                    self._set(name, value)
            case Held(_, seconds):
                self._set("gan_checkpoint_seconds", seconds)
            case Uploaded(_, seconds):
                self._set("gan_upload_seconds", seconds)
            case Waiting(_, ranks):
                self._set("gan_slow_workers", len(ranks))

    def _set(self, gauge: str, value: float, **more: str) -> None:
        if self._failed or not self._labels or not math.isfinite(value) or self._is_too_many(gauge, more):
            return
        try:
            if gauge not in self._gauges:
                description, own = GAUGES[gauge]
                self._gauges[gauge] = self.make(gauge, description, (*LABELS, *own))
            self._gauges[gauge].set(float(value), {**self._labels, **more})
        except Exception as error:  # what Ray raises here is its own affair, and none is worth a training run
            self._failed = True
            _log.warning("metrics are told no more: %s: %s", type(error).__name__, error)

    def _is_too_many(self, gauge: str, more: Mapping[str, str]) -> bool:
        known = self._names.setdefault(gauge, set())
        known.update(value for value in more.values() if len(known) < MOST_NAMES)
        return not known.issuperset(more.values())
