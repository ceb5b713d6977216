from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from gan_core.config import Experiment
from gan_core.data.shards import open_shards
from gan_core.errors import CheckpointError, DamagedFile, Superseded
from gan_core.manifest import MANIFEST, artefact, damaged_files, read_manifest
from gan_core.store import Store
from gan_core.train import switches
from gan_core.train.loop import fit
from gan_core.train.report import Command
from tests.train.runs import (
    RUN,
    Scripted,
    contents,
    curves,
    equal,
    finished,
    flip_a_bit,
    last_state,
    place,
    stop_at,
    train,
)

END = 512
CHECKPOINTS = [128, 256, 384]
POSITIONS = [*range(64, END, 64)]
Make = Callable[..., Experiment]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, digits_store: Store, experiment: Make) -> Store:
    """The store of a run from its beginning to its end."""
    store = Store(tmp_path_factory.mktemp("uninterrupted"))
    assert train(store, digits_store, experiment())
    return store


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    """A resume takes over the threads that its run began with."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


def assert_same_run(a: Store, b: Store) -> None:
    """Weights, averages, optimizers, position and curves, bit for bit."""
    for file in ("generator.safetensors", "networks.safetensors", "generator.json"):
        assert a.read(f"{RUN}/{file}") == b.read(f"{RUN}/{file}"), file
    assert curves(a) == curves(b)
    assert equal(last_state(a), last_state(b))


def newest(store: Store) -> str:
    """The prefix of the newest finished checkpoint."""
    found = place(store).load_newest()
    assert found is not None
    return f"{RUN}/checkpoints/{found[0]}"


# Interrupted and gone on


@pytest.fixture(scope="module", params=POSITIONS)
def resumed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, digits_store: Store, experiment: Make
) -> Store:
    """The store of a run that was stopped at a checkpoint and started again."""
    store, stop = Store(tmp_path_factory.mktemp("resumed")), request.param
    assert not train(store, digits_store, experiment(), stop_at(stop))
    assert read_manifest(store, RUN) is None
    assert last_state(store)["position"] == stop
    torch.manual_seed(stop)  # no state of torch's own may matter
    again = Scripted()
    assert train(store, digits_store, experiment(), again)
    assert again.rows[0][0] == stop + 64
    return store


def test_resuming_from_a_checkpoint_repeats_the_uninterrupted_run_bit_for_bit(
    resumed: Store, uninterrupted: Store
) -> None:
    assert_same_run(resumed, uninterrupted)


def test_the_digest_of_a_finished_run_does_not_tell_where_it_was_interrupted(
    resumed: Store, uninterrupted: Store
) -> None:
    assert finished(resumed).digest == finished(uninterrupted).digest


@pytest.mark.parametrize("death", [64, 128, 192, 448, END])
def test_a_run_that_died_anywhere_ends_as_if_it_had_not(
    death: int, store: Store, uninterrupted: Store, digits_store: Store, experiment: Make
) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(store, digits_store, experiment(), Scripted(dies_at=death))
    assert train(store, digits_store, experiment())
    assert_same_run(store, uninterrupted)
    assert finished(store).digest == finished(uninterrupted).digest
    assert damaged_files(store, RUN, finished(store)) == []


def test_a_run_stopped_at_every_row_ends_the_same(
    store: Store, uninterrupted: Store, digits_store: Store, experiment: Make
) -> None:
    for start, position in zip([0, *POSITIONS], POSITIONS, strict=False):
        assert not train(store, digits_store, experiment(), stop_at(position, start))
    assert train(store, digits_store, experiment())
    assert_same_run(store, uninterrupted)
    assert finished(store).facts["attempts"] == len(POSITIONS) + 1


def test_checkpoints_on_command_and_another_cadence_change_nothing(
    store: Store, uninterrupted: Store, digits_store: Store, experiment: Make
) -> None:
    reporter = Scripted(dict.fromkeys([64, 192, 320], Command.CHECKPOINT))
    assert train(store, digits_store, experiment(train={"checkpoint_every": 448, "keep_checkpoints": 9}), reporter)
    positions = [64, 192, 320, 448, 512]
    assert [position for position, _ in reporter.saved] == positions
    assert [saved for _, saved in reporter.saved] \
        == [store.uri(f"{RUN}/checkpoints/{position:012d}-0001") for position in positions]
    assert place(store).checkpoints() == [f"{position:012d}-0001" for position in positions]
    assert_same_run(store, uninterrupted)


def test_a_stop_at_the_end_is_the_end(store: Store, digits_store: Store, experiment: Make) -> None:
    assert train(store, digits_store, experiment(), stop_at(END))
    assert finished(store).facts["position"] == END


def test_the_threads_of_the_beginning_are_kept(
    tmp_path: Path, digits_store: Store, experiment: Make
) -> None:
    whole, parted = Store(tmp_path / "whole"), Store(tmp_path / "parted")
    assert train(whole, digits_store, experiment(), threads=1)
    train(parted, digits_store, experiment(), stop_at(192), threads=1)
    torch.set_num_threads(2)
    assert train(parted, digits_store, experiment())
    assert torch.get_num_threads() == 1
    assert_same_run(whole, parted)
    assert finished(parted).facts["threads"] == 1


# What is kept


def test_the_newest_checkpoints_are_kept_and_the_run_lists_all_curves(uninterrupted: Store) -> None:
    assert place(uninterrupted).checkpoints() == ["000000000384-0001", "000000000512-0001"]
    assert [f.path for f in finished(uninterrupted).files] == [
        "generator.json", "generator.safetensors", "metrics.jsonl", "networks.safetensors",
    ]
    assert finished(uninterrupted).facts["worlds"] == [1]


def test_the_reporter_hears_what_the_curves_hold(store: Store, digits_store: Store, experiment: Make) -> None:
    first, second = stop_at(192), Scripted()
    train(store, digits_store, experiment(), first)
    train(store, digits_store, experiment(), second)
    heard = [values for _, values in first.rows + second.rows]
    assert [json.loads(line) for line in curves(store).splitlines()] == heard
    assert [values["position"] for values in heard] == [*POSITIONS, END]


def test_curves_later_than_the_resume_are_dropped(
    store: Store, uninterrupted: Store, digits_store: Store, experiment: Make
) -> None:
    train(store, digits_store, experiment(), stop_at(256))
    for late in (320, 384, 10**6):  # as a process leaves them that dies before its checkpoint is whole
        store.write(f"{RUN}/metrics/{late:012d}.jsonl", b"late")
        store.write(f"{RUN}/tensorboard/events.out.tfevents.{late:012d}.part", b"late")
    train(store, digits_store, experiment())
    assert_same_run(store, uninterrupted)
    assert store.names(f"{RUN}/metrics") == uninterrupted.names(f"{RUN}/metrics")
    assert store.names(f"{RUN}/tensorboard") == uninterrupted.names(f"{RUN}/tensorboard")


def test_half_written_checkpoints_do_not_push_whole_ones_out(
    store: Store, uninterrupted: Store, digits_store: Store, experiment: Make
) -> None:
    train(store, digits_store, experiment(), stop_at(256))
    for attempt in (2, 3):  # two attempts died while they wrote the same checkpoint to an object store
        store.write(f"{RUN}/checkpoints/{384:012d}-{attempt:04d}/state.pt", b"half")
    train(store, digits_store, experiment(), stop_at(320, start=256))
    assert last_state(store)["position"] == 320
    train(store, digits_store, experiment())
    assert_same_run(store, uninterrupted)


# Damage


def flip(store: Store, checkpoint: str) -> None:
    flip_a_bit(store, f"{checkpoint}/state.pt")


def cut(store: Store, checkpoint: str) -> None:
    store.write(f"{checkpoint}/state.pt", store.read(f"{checkpoint}/state.pt")[:-1])


def lose(store: Store, checkpoint: str) -> None:
    store.delete(f"{checkpoint}/state.pt")


def garble(store: Store, checkpoint: str) -> None:
    store.write(f"{checkpoint}/{MANIFEST}", b"{")


def unfinish(store: Store, checkpoint: str) -> None:
    store.delete(f"{checkpoint}/{MANIFEST}")


@pytest.mark.parametrize("damage", [flip, cut, lose, garble, unfinish])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(
    damage: Callable[[Store, str], None], store: Store, uninterrupted: Store, digits_store: Store, experiment: Make
) -> None:
    train(store, digits_store, experiment(), stop_at(384))
    damage(store, newest(store))
    again = Scripted()
    assert train(store, digits_store, experiment(), again)
    assert again.rows[0][0] == 256 + 64
    assert_same_run(store, uninterrupted)
    assert finished(store).digest == finished(uninterrupted).digest


@pytest.mark.parametrize("damage", [flip, cut, lose, garble])
def test_a_run_whose_checkpoints_are_all_damaged_does_not_begin_again_in_silence(
    damage: Callable[[Store, str], None], store: Store, digits_store: Store, experiment: Make
) -> None:
    train(store, digits_store, experiment(), stop_at(384))
    for name in place(store).checkpoints():
        damage(store, f"{RUN}/checkpoints/{name}")
    before = contents(store)
    with pytest.raises(DamagedFile, match=rf"{RUN}/checkpoints/0"):
        train(store, digits_store, experiment())
    assert {path for path in contents(store).keys() ^ before.keys() if "attempts" not in path} == set()


# What must not be resumed


def begun_with(store: Store, **facts: Any) -> None:
    """The newest checkpoint, as if made with other switches."""
    state = last_state(store)
    state["facts"].update(facts)
    with artefact(store, newest(store), kind="checkpoint", key="k") as draft:
        torch.save(state, draft.path / "state.pt")


def test_checkpoints_of_other_settings_are_refused(store: Store, digits_store: Store, experiment: Make) -> None:
    train(store, digits_store, experiment(), stop_at(128))
    with pytest.raises(CheckpointError, match=r"checkpoints/000000000128-0001 was made with other settings"):
        fit(experiment(), open_shards(digits_store, "shards/digits"), place(store, key="other"), Scripted())


def test_a_run_begun_on_another_device_is_refused_with_advice(
    store: Store, digits_store: Store, experiment: Make
) -> None:
    train(store, digits_store, experiment(), stop_at(128))
    begun_with(store, device="cuda", processor="NVIDIA H100")
    with pytest.raises(CheckpointError, match=r"was begun on cuda and this worker has cpu.*resume it on cuda \("):
        train(store, digits_store, experiment())


def test_a_run_begun_in_a_precision_that_this_device_has_not_got_is_refused(
    store: Store, digits_store: Store, experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(store, digits_store, experiment(), stop_at(128))
    begun_with(store, precision="bfloat16")
    monkeypatch.setattr(switches, "_has_bfloat16", lambda device: False)  # as on an older processor
    with pytest.raises(CheckpointError, match=r"was begun in bfloat16, which this cpu .* has not got; resume it on"):
        train(store, digits_store, experiment())


def test_the_switches_of_the_beginning_are_kept_whatever_this_device_would_choose(
    tmp_path: Path, digits_store: Store, experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, parted = Store(tmp_path / "whole"), Store(tmp_path / "parted")
    monkeypatch.setattr(switches, "_has_bfloat16", lambda device: False)
    train(whole, digits_store, experiment())
    train(parted, digits_store, experiment(), stop_at(192))
    monkeypatch.setattr(switches, "_has_bfloat16", lambda device: True)
    train(parted, digits_store, experiment())
    assert finished(parted).facts["precision"] == "float32"
    assert_same_run(whole, parted)


def test_another_processor_is_noted(store: Store, digits_store: Store, experiment: Make) -> None:
    train(store, digits_store, experiment(), stop_at(128))
    begun_with(store, processor="AVX2048")
    again = Scripted(start=128)
    assert train(store, digits_store, experiment(), again)
    assert [note for note in again.notes if "was begun on AVX2048 and goes on with" in note]


class Overtaken(Scripted):
    """While this attempt is at a position, another begins."""

    def __init__(self, store: Store, position: int) -> None:
        super().__init__()
        self.store, self.position, self.then = store, position, {}

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        super().scalars(position, values)
        if position == self.position:
            place(self.store).claim_attempt()
            self.then = kept(self.store)


def kept(store: Store) -> dict[str, bytes]:
    """All but the newest row, which any attempt may tell."""
    return {path: data for path, data in contents(store).items() if not path.endswith("progress.json")}


@pytest.mark.parametrize("position", [64, END])
def test_a_superseded_attempt_stops_before_its_next_write(
    position: int, store: Store, digits_store: Store, experiment: Make
) -> None:
    # no checkpoint is under way at these positions
    overtaken = Overtaken(store, position)
    settings = experiment(train={"checkpoint_every": 448 if position == 64 else 10**6})
    with pytest.raises(Superseded, match=r"attempt 1 of .*/runs/r gives way to attempt 2, which was started later"):
        train(store, digits_store, settings, overtaken)
    assert kept(store) == overtaken.then
    assert overtaken.then


def test_an_attempt_that_was_overtaken_after_its_last_checkpoint_finishes_nothing(
    store: Store, digits_store: Store, experiment: Make
) -> None:
    class OvertakenLast(Scripted):
        def checkpoint(self, position: int, saved: str) -> None:
            if position == END:
                place(store).claim_attempt()

    with pytest.raises(Superseded):
        train(store, digits_store, experiment(), OvertakenLast())
    assert read_manifest(store, RUN) is None


def test_attempts_are_numbered_from_one(store: Store) -> None:
    assert [place(store).claim_attempt() for _ in range(3)] == [1, 2, 3]
    assert place(store).newest_attempt() == 3
