"""Watching a run: what is read of it from the store, and what a terminal and a log show of it."""

from __future__ import annotations

import io
import json
from queue import Queue

import pytest
from rich.console import Console

from gan_core.store import Store
from gan_core.train.report import Trouble
from pipelines.follow import Follower, Progress, Speed, latest_progress
from pipelines.progress import Bar, Shown, _Bars, _Lines
from pipelines.records import StageResult
from pipelines.show import _stages_table
from pipelines.train_run import TrainOutcome

RUN = "runs/r1"
ROW = {"loss/discriminator": 0.6931, "loss/generator": 1.2345, "logits/real": 2.0, "fd_domain": 3.21}
WINS = Trouble("discriminator wins", "accuracy 0.99 over the last 5 rows, and the logit gap is 8.2",
               "lower model.discriminator_optimizer.learning_rate, for example to 1e-4")
WAIT_S = 30
ERASE = "\x1b[2K"  # what a terminal is told before a line is written anew


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path)


def tell(store: Store, position: int, *troubles: Trouble, **row: float | None) -> None:
    """What the engine's writer does at a row."""
    named = [vars(trouble) for trouble in troubles]
    store.write(f"{RUN}/progress.json", json.dumps({"row": {"position": position, **row}, "troubles": named}).encode())


def save(store: Store, position: int) -> None:
    """What it does at a checkpoint."""
    store.write(f"{RUN}/metrics/{position:012}.jsonl", json.dumps({"position": position}).encode() + b"\n")


def test_how_far_a_run_is_comes_from_its_newest_row(store):
    assert latest_progress(store, RUN) is None
    save(store, 128)
    assert latest_progress(store, RUN) == Progress({"position": 128})
    tell(store, 192, WINS, **{"loss/generator": 0.5})
    assert latest_progress(store, RUN) == Progress({"position": 192, "loss/generator": 0.5}, (WINS,))


def test_a_number_that_json_cannot_write_is_left_out(store):
    tell(store, 64, **{"loss/generator": None})
    assert latest_progress(store, RUN) == Progress({"position": 64})


def test_what_few_rows_hold_is_shown_until_there_is_a_newer_value(store):
    told = {"row": {"position": 192, "loss/generator": 0.5}, "troubles": [], "compared": {"fd_domain": 3.21}}
    store.write(f"{RUN}/progress.json", json.dumps(told).encode())
    progress = latest_progress(store, RUN)
    assert progress is not None
    assert progress.row == {"position": 192, "loss/generator": 0.5}
    shown = Shown(1024, "train")
    view = _Bars(a_console(80), shown)
    view.progress(progress)
    assert shown.fields()[-2:] == ["G 0.50", "fd_domain 3.21"]
    view.progress(Progress({"position": 256, "loss/generator": 0.5, "fd_domain": 3.0}, (), {"fd_domain": 3.0}))
    assert shown.fields()[-1] == "fd_domain 3.00"


def followed(store: Store, told: Queue[Progress], looks: Queue[str] | None = None) -> Follower:
    def where() -> str:
        if looks is not None:
            looks.put("look")
        return RUN

    return Follower(store, where, told.put, poll_s=0.01)


def test_what_an_earlier_attempt_left_is_not_told_and_a_row_further_back_is(store):
    tell(store, 9000)
    told: Queue[Progress] = Queue()
    looks: Queue[str] = Queue()
    with followed(store, told, looks):
        for _ in range(3):
            looks.get(timeout=WAIT_S)
        assert told.empty()
        tell(store, 5248)  # training goes on from the checkpoint of 5120
        assert told.get(timeout=WAIT_S).position == 5248
        tell(store, 5376)
        assert told.get(timeout=WAIT_S).position == 5376


def test_a_file_that_cannot_be_read_does_not_end_the_watch(store):
    told: Queue[Progress] = Queue()
    looks: Queue[str] = Queue()
    with followed(store, told, looks):
        looks.get(timeout=WAIT_S)
        looks.get(timeout=WAIT_S)  # the first look is over: there was nothing
        store.write(f"{RUN}/progress.json", b"{")
        for _ in range(3):
            looks.get(timeout=WAIT_S)
        tell(store, 128)
        assert told.get(timeout=WAIT_S).position == 128


def test_speed_is_the_difference_of_positions_over_the_last_half_minute():
    speed = Speed()
    assert speed.at(0.0, 1000) is None
    assert speed.at(10.0, 2000) == 100
    assert speed.at(20.0, 2000) == 50
    assert speed.at(50.0, 8000) == (8000 - 2000) / 40  # since 10; what was at 0 is too long ago


def test_speed_begins_anew_when_training_went_back_to_a_checkpoint():
    speed = Speed()
    speed.at(0.0, 9000)
    assert speed.at(10.0, 5000) is None
    assert speed.at(11.0, 5100) == 100


def a_console(width: int, *, terminal: bool = True) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=terminal, color_system=None, highlight=False,
                   markup=False)


def printed(out: Console) -> list[str]:
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


def at(position: int, *troubles: Trouble) -> Progress:
    return Progress({"position": position, **ROW}, troubles)


def a_bar(width: int) -> str:
    """The line of a terminal after two rows, a second apart."""
    out, now = a_console(width), iter([0.0, 1.0])
    view = _Bars(out, Shown(102_400, "train"), lambda: next(now))
    view.progress(at(50_000))
    view.progress(at(51_200))
    out.print(Bar(view.shown))
    (line,) = printed(out)
    assert len(line) <= width
    return line.rstrip()


@pytest.mark.parametrize("width", [30, 50, 70, 80, 100, 120, 200])
def test_the_bar_is_one_line_of_whole_fields_at_any_width(width):
    fields = ["51,200/102,400", "1,200 images/s", "0:43 left", "D 0.69", "G 1.23", "fd_domain 3.21"]
    _train, *shown = [part.strip(" ━╸╺") for part in a_bar(width).split("  ") if part.strip(" ━╸╺")][1:]
    assert shown == fields[:len(shown)]
    assert len(shown) >= {30: 0, 50: 1, 70: 3, 80: 5}.get(width, 6)


def test_before_the_first_row_the_bar_says_what_is_waited_for():
    out = a_console(80)
    view = _Bars(out, Shown(1024, "starting Ray"), lambda: 0.0)
    view.stage("train")
    out.print(Bar(view.shown))
    assert "train  placing the workers" in printed(out)[0]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_trouble_is_told_when_it_begins_and_when_it_begins_again(terminal):
    out = a_console(200, terminal=terminal)
    with (_Bars if terminal else _Lines)(out, Shown(102_400, "train")) as view:
        for position, troubles in ((1, ()), (2, (WINS,)), (3, (WINS,)), (4, ()), (5, (WINS,))):
            view.progress(at(position, *troubles))
    told = [line.removeprefix(ERASE) for line in "\n".join(printed(out)).replace("\r", "\n").splitlines()]
    assert [line.split()[0] for line in told if WINS.name in line and WINS.advice in line] == ["2", "5"]


def test_a_log_has_a_row_at_most_every_two_seconds_and_the_first_and_the_last():
    out, now = a_console(200, terminal=False), [0.0]
    view = _Lines(out, Shown(1000, "starting Ray"), lambda: now[0])
    with view:
        view.stage("train")
        for position in range(100, 1001, 100):
            now[0] += 0.75
            view.progress(at(position))
    _begin, stage, *rows = printed(out)
    assert stage == "train"
    assert [row.split()[0] for row in rows] == ["100/1,000", "400/1,000", "700/1,000", "1,000/1,000"]
    assert rows[1].endswith("400/1,000  133 images/s  0:04 left  D 0.69  G 1.23  fd_domain 3.21")


def test_a_log_says_how_far_a_stage_is_when_that_has_changed():
    out, now = a_console(200), [0.0]
    with _Lines(out, Shown(1000, "starting Ray"), lambda: now[0]) as view:
        view.stage("tune")
        for seconds, ended in [(1, 0), (6, 0), (12, 0), (13, 1), (18, 1), (30, 1), (31, 4)]:
            now[0] = seconds
            view.detail(f"{ended} of 4 trials")
        view.stage("train")
        now[0] = 40
        view.detail("1 of 4 trials")
    lines = [line.strip() for line in out.file.getvalue().splitlines()]
    assert lines == ["starting Ray", "tune", "0 of 4 trials", "1 of 4 trials", "4 of 4 trials",
                     "train", "1 of 4 trials"]


def test_the_table_of_a_resumed_run_says_from_where_and_how_fast(store):
    results = (
        StageResult(name="prepare", status="REUSED", seconds=0.01, uri=store.uri("shards/0123456789abcdef")),
        StageResult(name="train", status="RESUMED", seconds=40.0, uri=store.uri("runs/0123456789abcdef"),
                    trained=(51_200, 102_400)),
    )
    out = a_console(80)
    out.print(_stages_table(store, TrainOutcome(results, None, None)))
    lines = [line.split() for line in printed(out)]
    assert lines[1] == ["prepare", "REUSED", "0.0", "shards/0123456789abcdef"]
    assert lines[2] == ["train", "RESUMED", "40.0", "51,200", "to", "102,400", "1,280", "runs/0123456789abcdef"]
    assert len(lines) == 3  # nothing folds at 80 columns
