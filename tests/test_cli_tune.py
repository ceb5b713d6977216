"""`gan tune status|attach|stop`, and how a search is begun, refused and sent to the background."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_core.config import Experiment, load_experiment
from gan_core.manifest import put_manifest
from gan_core.search_space import with_values
from gan_core.store import Store
from pipelines.attempt import Attempt, attempt
from pipelines.cli import main
from pipelines.handles import Tuned
from pipelines.interrupt import Terminated
from pipelines.profile import Profile
from pipelines.records import StageRecord, read_record, run_name, write_record
from pipelines.tuning.records import (
    Look,
    SearchSettings,
    TrialEnd,
    TrialSettings,
    read_search,
    trial_prefix,
    write,
)
from tests.conftest import TINY
from tests.pipeline import GAN, Prefect, gan, only
from tests.tuning.trials import HALF_LIFE, RATE, SPACE

KEY = "0123456789abcdef0123456789abcdef"
SEARCH = f"tune/{KEY[:16]}"
TUNE: dict[str, Any] = {"space": SPACE, "samples": 4, "look_every": 128, "look_samples": 64, "repeats": {"top": 0}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "tiny.yaml"
    made.write_text(yaml.safe_dump({**TINY, "tune": TUNE}))
    return made


@contextmanager
def searching(store: Store, file: Path) -> Iterator[Attempt]:
    """A search that two of four trials of are over, and whose process is this one."""
    experiment: Experiment = load_experiment(file)
    with attempt(store, experiment, Profile(), frozenset(), by="gan tune") as made:
        record = read_record(store, made.path)
        assert record is not None
        named = StageRecord(key=KEY, config={}, inputs={}, code={})
        write_record(store, made.path, record.model_copy(update={"stages": {"tune": named}}))
        write(store, f"{SEARCH}/search.json", SearchSettings(key=KEY, experiment=experiment.as_json(), shards="d"))
        for number, value in enumerate((7.5, 3.25, 5.0)):
            at, params = trial_prefix(SEARCH, number), {RATE: 1e-3 * (number + 1), HALF_LIFE: 200.0}
            write(store, f"{at}/trial.json", TrialSettings(number=number, params=params, seed=0))
            write(store, f"{at}/looks/{128:012d}.json", Look(position=128, value=value, metrics={}, seconds=1.0))
            if number < 2:
                write(store, f"{at}/ended.json", TrialEnd(status="finished"))
        yield made


def told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """Exit status, what is printed and what is said of `gan tune` with these words."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["tune", *map(str, words)])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def status_of(capsys: pytest.CaptureFixture[str], store: Store, file: Path) -> dict[str, Any]:
    code, out, _ = told(capsys, "status", file, "--store", store.url, "--json")
    assert code == 0
    found: dict[str, Any] = json.loads(out)
    return found


def test_status_says_how_far_a_search_is_and_what_is_best(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with searching(store, file) as made:
        found = status_of(capsys, store, file)
        assert (found["state"], found["run"]) == ("at work", run_name(made.path))
        assert [(row["number"], row["status"], row["value"]) for row in found["rows"]] == [
            (1, "finished", 3.25), (0, "finished", 7.5), (2, "running", 5.0)]
        code, out, err = told(capsys, "status", file, "--store", store.url)
    assert code == 0
    assert "tiny: at work; 2 of 4 trials, best fd_domain 3.2500 (trial 1)" in out + err


def test_status_of_a_search_that_was_interrupted_says_how_it_goes_on(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with searching(store, file):
        pass
    assert status_of(capsys, store, file)["state"] == "interrupted"
    _, out, err = told(capsys, "status", file, "--store", store.url)
    assert f"`gan tune {file} --store {store.url}` goes on with it" in " ".join((out + err).split())


def test_status_by_name_finds_a_finished_search(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with searching(store, file):
        put_manifest(store, SEARCH, kind=Tuned.KIND, key=KEY, files=(), parents=(), facts={})
    assert status_of(capsys, store, Path("tiny"))["state"] == "finished"


def test_a_search_is_found_though_no_record_of_its_runs_is_left(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with searching(store, file):
        pass
    store.delete("experiments")
    assert status_of(capsys, store, Path("tiny"))["key"] == KEY


def test_one_trial_is_printed_as_an_experiment(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with searching(store, file):
        code, out, _ = told(capsys, "status", file, "--store", store.url, "--yaml", "1")
        missing, _, err = told(capsys, "status", file, "--store", store.url, "--yaml", "9")
    assert (code, missing) == (0, 2)
    (tmp_path / "trial.yaml").write_text(out)
    trial = load_experiment(tmp_path / "trial.yaml")
    assert trial == with_values(load_experiment(file), {RATE: 2e-3, HALF_LIFE: 200.0}, seed=0)
    assert "--yaml 9: the search has no such trial; it has 0 to 2" in err


@pytest.mark.parametrize(("word", "said"), [
    ("status", "no search of {0} was begun in {1}; `gan tune {0} --store {1}` begins one"),
    ("attach", "nothing is at work on tiny in {1}; `gan tune {0} --store {1}` searches, and goes on"),
    ("stop", "nothing is at work on tiny in {1}; `gan tune {0} --store {1}` searches, and goes on"),
])
def test_where_there_is_no_search_one_is_told_how_to_begin(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str], word: str, said: str
) -> None:
    code, _, err = told(capsys, word, file, "--store", store.url)
    assert code == 1
    assert said.format(file, store.url) in err


def test_an_experiment_that_is_no_file_is_refused(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = told(capsys, "status", "no-such.yaml", "--store", store.url)
    assert code == 2
    assert "no-such.yaml: no such file; configs/tune/digits_dcgan.yaml is one" in err


def test_attach_follows_a_search_to_its_end(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.run_log.EVERY_S", 0.2)
    ended: list[int] = []

    def attach() -> None:
        try:
            main(["tune", "attach", str(file), "--store", store.url])
        except SystemExit as end:
            ended.append(int(end.code or 0))

    follower = threading.Thread(target=attach)
    with searching(store, file) as made:
        follower.start()
        made.log.write("trial 3 is on its way\n")
        deadline, said = time.monotonic() + 20, ""
        while "trial 3 is on its way" not in said and time.monotonic() < deadline:
            said += capsys.readouterr().err
            time.sleep(0.02)
        assert "trial 3 is on its way" in said
        assert not ended
    follower.join(30)
    assert ended == [0]
    out, err = capsys.readouterr()
    assert "2 of 4 trials, best fd_domain 3.2500 (trial 1)" in out + err


def test_stop_has_the_search_stop_and_says_who_is_asked(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_LEASE_S", "1.5")  # thrice in which a process looks whether it is asked

    def stopped() -> None:
        with searching(store, file):
            code, _, err = told(capsys, "stop", file, "--store", store.url)
            assert code == 0
            assert "is asked to stop" in err
            time.sleep(20)

    with pytest.raises(Terminated):
        stopped()
    assert status_of(capsys, store, file)["state"] == "interrupted"


@pytest.mark.parametrize(("tune", "words", "said"), [
    (TUNE, ["--resume"], "--resume: no search of {file} with these settings was begun in {store}; without --resume it "
     "is"),
    (None, [], "tiny has no tune: block"),
    ({**TUNE, "space": {"model.widht": "choice(8, 16)"}}, [], "did you mean model.width"),
    ({**TUNE, "scheduler": "pbt", "searcher": "optuna"}, [], "tune.searcher=random works, or tune.scheduler=asha"),
])
def test_what_cannot_be_searched_is_refused_before_anything_is_made(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str], tune: Any, words: list[str], said: str
) -> None:
    file.write_text(yaml.safe_dump({**TINY, "tune": tune}))
    code, _, err = told(capsys, file, "--store", store.url, *words)
    assert code == 2
    assert said.format(file=file, store=store.url) in err
    assert store.names("") == []


def test_a_search_that_cannot_begin_in_the_background_says_why(
    store: Store, file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(yaml.safe_dump(TINY))
    words = ["gan", "tune", str(file), "--store", store.url, "--detach"]
    monkeypatch.setattr(sys, "argv", words)
    code, _, err = told(capsys, *words[2:])
    assert code != 0
    assert "tiny has no tune: block" in err


@pytest.mark.system
def test_a_search_in_the_background_is_seen_and_stopped_and_the_same_command_ends_it(
    tmp_path: Path, embedded: Prefect
) -> None:
    file, place = tmp_path / "tiny.yaml", tmp_path / "store"
    train = {**TINY["train"], "images": 102_400}
    file.write_text(yaml.safe_dump({**TINY, "train": train, "tune": {**TUNE, "samples": 2, "look_every": 5120}}))
    command = [*GAN, "tune", str(file), "--store", str(place), "--no-publish"]

    def status() -> dict[str, Any]:
        done = gan(embedded, "tune", "status", file, "--store", place, "--json")
        return json.loads(done.stdout) if done.returncode == 0 else {"state": "not begun", "rows": []}

    often = {**embedded.environment(), "GAN_LEASE_S": "3"}  # it looks three times a lease whether it is to stop
    begun = subprocess.run([*command, "--detach"], env=often, capture_output=True, text=True, timeout=200)
    assert begun.returncode == 0, begun.stderr
    assert f"`gan tune status|attach|stop {file} --store {place}`" in begun.stderr
    assert _soon(lambda: _looked(place))
    found = status()
    assert (found["state"], len(found["rows"])) == ("at work", 2)
    assert any(row["images"] for row in found["rows"])
    asked = gan(embedded, "tune", "stop", file, "--store", place)
    assert asked.returncode == 0, asked.stderr
    followed = gan(embedded, "tune", "attach", file, "--store", place)
    assert followed.returncode in (0, 1), followed.stderr  # it may have ended by now
    assert _soon(lambda: status()["state"] == "interrupted")
    done = gan(embedded, *command[len(GAN):], "--resume")
    assert done.returncode == 0, done.stderr
    found = status()
    assert found["state"] == "finished"
    assert [(row["status"], row["images"]) for row in found["rows"]] == [("finished", 102_400)] * 2


def _looked(store: Path) -> bool:
    """Whether a trial had a look."""
    if not (store / "tune").exists():
        return False
    search = read_search(Store(store), f"tune/{only(store / 'tune').name}")
    return search is not None and any(trial.looks for trial in search.trials)


def _soon(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 180
    while not (held := holds()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return held
