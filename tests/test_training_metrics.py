"""What Prometheus would be told of a run: names, labels, and never an error."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gan_core.config import Experiment
from gan_core.store import Store
from gan_core.train.report import Began, Held, Uploaded, Waiting
from pipelines.training_metrics import GAUGES, LABELS, MOST_NAMES, TrainingMetrics
from tests.train.runs import Scripted, stop_at, train

DOCS = Path(__file__).parents[1] / "docs" / "operations.md"
ABOUT = {"experiment": "digits", "stage_key": "0123456789abcdef", "attempt": "3", "rank": "0"}


@dataclass
class Told:
    """In Ray's place.  values: newest, by name and labels of its own.  clock: the metrics'."""

    values: dict[tuple[str, str], float] = field(default_factory=dict)
    labels: list[dict[str, str]] = field(default_factory=list)
    now: float = 0.0

    def gauge(self, name: str, description: str, labels: tuple[str, ...]) -> One:
        assert description.isascii()  # Ray takes no other
        assert labels[:len(LABELS)] == LABELS
        return One(self, name, labels)

    def metrics(self) -> TrainingMetrics:
        return TrainingMetrics("digits", ABOUT["stage_key"], self.gauge, lambda: self.now)


@dataclass
class One:
    told: Told
    name: str
    labels: tuple[str, ...]

    def set(self, value: float, tags: dict[str, str]) -> None:
        assert set(tags) == set(self.labels)
        self.told.labels.append({name: tags[name] for name in LABELS})
        self.told.values[self.name, "".join(tags[name] for name in self.labels[len(LABELS):])] = value


def test_rows_and_events_become_values_under_their_names() -> None:
    told = Told()
    metrics = told.metrics()
    metrics.event(Began(3, 640, 2))
    metrics.row(1280, {"position": 1280, "loss/generator": 1.5, "penalty/r1": 9.0})
    told.now = 2.0
    metrics.row(1920, {"loss/generator": 1.25, "loss/discriminator": 0.5, "fd_domain": 12.0})
    metrics.event(Held(1920, 0.25))
    metrics.event(Uploaded(1920, 4.0))
    metrics.event(Waiting(1920, (1,)))
    assert told.values == {
        ("gan_images_seen", ""): 1920, ("gan_images_per_second", ""): 320, ("gan_loss", "generator"): 1.25,
        ("gan_loss", "discriminator"): 0.5, ("gan_fd", "fd_domain"): 12, ("gan_checkpoint_seconds", ""): 0.25,
        ("gan_upload_seconds", ""): 4, ("gan_restarts", ""): 2, ("gan_workers", ""): 2, ("gan_slow_workers", ""): 1,
    }
    assert {name for name, _ in told.values} == set(GAUGES)
    assert all(labels == ABOUT for labels in told.labels)


def test_the_documented_metrics_are_those_there_are() -> None:
    rows = re.findall(r"^\| `ray_(gan_\w+)` \|.*?\|(.*?)\|", DOCS.read_text(), re.MULTILINE)
    assert {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in rows} == {
        name: labels for name, (_, labels) in GAUGES.items()}
    assert f"at most {MOST_NAMES} values" in DOCS.read_text()


def test_nothing_is_told_before_the_attempt_is_known_nor_what_is_not_finite() -> None:
    told = Told()
    metrics = told.metrics()
    metrics.row(64, {"loss/g": 1.0})
    assert told.values == {}
    metrics.event(Began(1, 0, 1))
    metrics.row(128, {"loss/g": math.nan, "loss/d": math.inf, "fd_domain": 1.0})
    assert {name for name, _ in told.values} & {"gan_loss", "gan_fd"} == {"gan_fd"}


def test_a_recipe_of_many_names_does_not_become_a_flood() -> None:
    told = Told()
    metrics = told.metrics()
    metrics.event(Began(1, 0, 1))
    for position in range(1, 4):
        metrics.row(position, {f"loss/{position}-{number}": 1.0 for number in range(100)})
    assert len([name for name, _ in told.values if name == "gan_loss"]) == MOST_NAMES
    metrics.row(4, {"loss/1-0": 7.0})
    assert told.values["gan_loss", "1-0"] == 7


def test_an_error_of_the_agent_ends_the_telling_and_not_the_run(caplog: pytest.LogCaptureFixture) -> None:
    asked = []

    def broken(name: str, description: str, labels: tuple[str, ...]) -> One:
        asked.append(name)
        raise RuntimeError("no agent")

    metrics = TrainingMetrics("digits", "k", broken)
    metrics.event(Began(1, 0, 1))
    metrics.row(64, {"loss/g": 1.0})
    assert len(asked) == 1
    assert caplog.messages == ["metrics are told no more: RuntimeError: no agent"]


@pytest.fixture(scope="module")
def run(
    tmp_path_factory: pytest.TempPathFactory, digits_store: Store, experiment: Callable[..., Experiment]
) -> list[Scripted]:
    """Two starts of a run: the first is stopped after 256 images."""
    store = Store(tmp_path_factory.mktemp("events"))
    starts = [stop_at(256), Scripted()]
    for reporter in starts:
        train(store, digits_store, experiment(), reporter)
    return starts


def test_a_run_tells_its_starts_and_what_each_checkpoint_took(run: list[Scripted]) -> None:
    first, second = (one.events for one in run)
    assert [one for one in (*first, *second) if isinstance(one, Began)] == [Began(1, 0, 1), Began(2, 256, 1)]
    assert isinstance(second[0], Began)
    for reporter in run:
        saved = [position for position, _ in reporter.saved]
        held = [one for one in reporter.events if isinstance(one, Held)]
        uploaded = [one for one in reporter.events if isinstance(one, Uploaded)]
        assert [one.position for one in held] == saved == [one.position for one in uploaded]
        assert all(one.seconds > 0 for one in (*held, *uploaded))
