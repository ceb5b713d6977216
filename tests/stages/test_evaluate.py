"""What evaluate takes from a run for its report besides metrics: sample grids that lie beside it, and how it went."""

from __future__ import annotations

from pathlib import Path

from gan_core.store import Store
from pipelines.report import MOST_GRIDS
from pipelines.stages.evaluate import grids_over_time, notes_of


def test_grids_of_a_long_run_are_spread_over_it_and_other_files_left_alone(tmp_path: Path) -> None:
    store = Store(tmp_path)
    positions = [10_240 * (i + 1) for i in range(50)]
    for position in positions:
        store.write(f"runs/r/samples/{position:012d}.png", str(position).encode())
    store.write("runs/r/samples/readme.txt", b"")
    found = grids_over_time(store, "runs/r")
    assert len(found) == MOST_GRIDS
    assert (found[0][0], found[-1][0]) == (positions[0], positions[-1])
    assert all(content == str(position).encode() for position, content in found)


def test_a_run_without_grids_has_none(tmp_path: Path) -> None:
    assert grids_over_time(Store(tmp_path), "runs/r") == []


def test_a_run_that_went_through_without_events_needs_no_notes() -> None:
    assert notes_of({"position": 102_400, "rollbacks": [], "ended": None, "best": None}) == []
    assert notes_of({}) == []


def test_an_early_end_roll_backs_and_the_best_checkpoint_are_told() -> None:
    notes = notes_of({
        "position": 51_200, "ended": "target: fd is 2, at most 3", "best": {"position": 40_960, "value": 2.0},
        "weights_of": 40_960, "rollbacks": [{"at": 30_720, "to": 20_480, "learning_rates": 0.5, "why": "loss is nan"}],
    })
    assert notes == [
        "A rule of the experiment ended training after 51,200 images: target: fd is 2, at most 3.",
        "After 30,720 images training went back to 20,480, and on with learning rates times 0.5: loss is nan.",
        "The weights are those of the best checkpoint, after 40,960 images.",
    ]
