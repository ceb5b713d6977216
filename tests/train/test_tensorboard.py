from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gan_core.config import Experiment
from gan_core.store import Store
from gan_core.train.tensorboard import events
from tests.train.runs import RUN, Scripted, stop_at, train

Curve = list[tuple[int, float]]


def read(folder: Path) -> dict[str, Curve]:
    """What TensorBoard shows of a folder: each tag's steps and values."""
    log = EventAccumulator(str(folder))
    log.Reload()
    return {tag: [(event.step, event.value) for event in log.Scalars(tag)] for tag in log.Tags()["scalars"]}


def test_rows_are_read_back_at_their_positions(tmp_path: Path) -> None:
    rows = [{"position": 64, "loss/a": 0.5, "loss/b": -2.0}, {"position": 10**12, "loss/a": 0.25, "loss/b": 1e-30}]
    (tmp_path / "events.out.tfevents.000000000128.part").write_bytes(events(rows))
    assert read(tmp_path) == {
        "loss/a": [(64, 0.5), (10**12, 0.25)],
        "loss/b": [(64, -2.0), (10**12, pytest.approx(1e-30))],
    }


def test_parts_are_shown_as_one_curve(tmp_path: Path) -> None:
    for end in (1280, 128, 12800):
        part = tmp_path / f"events.out.tfevents.{end:012d}.part"
        part.write_bytes(events([{"position": end - 64, "x": float(end)}, {"position": end, "x": float(-end)}]))
    assert read(tmp_path) == {"x": [(64, 128), (128, -128), (1216, 1280), (1280, -1280), (12736, 12800),
                                    (12800, -12800)]}


def test_no_rows_are_an_empty_log(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.000000000128.part").write_bytes(events([]))
    assert read(tmp_path) == {}


def test_a_resumed_run_shows_every_row_once(
    tmp_path: Path, digits_store: Store, experiment: Callable[..., Experiment]
) -> None:
    store, first, second = Store(tmp_path), stop_at(192), Scripted()
    train(store, digits_store, experiment(), first)
    train(store, digits_store, experiment(), second)
    shown = read(store.local_path(f"{RUN}/tensorboard"))
    heard = first.rows + second.rows
    assert [position for position, _ in heard] == [*range(64, 513, 64)]
    assert {*shown} == {name for _, values in heard for name in values if name != "position"}
    for tag, curve in shown.items():  # what is measured on samples is not in every row
        measured = [(position, values[tag]) for position, values in heard if tag in values]
        assert [step for step, _ in curve] == [position for position, _ in measured]
        assert [value for _, value in curve] == pytest.approx([value for _, value in measured])
