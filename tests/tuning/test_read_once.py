"""What does not change while a search is at work is read once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gan_core.store import Store
from pipelines.tuning import trial as in_a_trial
from pipelines.tuning.records import (
    Look,
    SearchSettings,
    TrialEnd,
    TrialSettings,
    read_search,
    read_trial,
    trial_prefix,
    write,
)
from pipelines.tuning.setting import Setting

SEARCH = "tune/0123"
EXPERIMENT = {
    "name": "tiny", "data": {"source": "digits"}, "model": {"recipe": "dcgan", "width": 8, "latent": 8},
    "train": {"images": 1280},
    "tune": {"space": {"train.ema_half_life": "uniform(500, 5000)"}, "objective": {"metric": "fd_domain"}},
}


class Counting(Store):
    """Remembers what was read."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.seen: list[str] = []

    def read(self, path: str) -> bytes:
        self.seen.append(path)
        return super().read(path)


def begun(store: Store, trials: int) -> None:
    write(store, f"{SEARCH}/search.json", SearchSettings(key="0123", experiment=EXPERIMENT, shards="d"))
    for number in range(trials):
        at = trial_prefix(SEARCH, number)
        write(store, f"{at}/trial.json", TrialSettings(number=number, params={"train.ema_half_life": 700.0}, seed=0))


def look(store: Store, number: int, position: int, value: float) -> None:
    write(store, f"{trial_prefix(SEARCH, number)}/looks/{position:012d}.json",
          Look(position=position, value=value, metrics={"fd_domain": value}, seconds=1.0))


def test_of_trials_that_are_known_only_those_with_work_left_are_read_again(tmp_path: Path) -> None:
    store = Counting(str(tmp_path))
    begun(store, 2)
    look(store, 0, 1280, 3.0)
    write(store, f"{trial_prefix(SEARCH, 0)}/ended.json", TrialEnd(status="finished"))
    first = read_search(store, SEARCH)
    assert first is not None
    look(store, 1, 640, 5.0)
    store.seen.clear()
    again = read_search(store, SEARCH, {trial.prefix: trial for trial in first.trials})
    assert not [path for path in store.seen if path.startswith(trial_prefix(SEARCH, 0))]
    assert again is not None
    assert again == read_search(store, SEARCH)
    assert [trial.value for trial in again.trials] == [3.0, 5.0]


def test_the_trials_of_a_process_open_the_shards_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, opened, trained = Store(str(tmp_path)), [], []

    def opens(store: Store, prefix: str) -> object:
        opened.append(prefix)
        return object()

    def trains(experiment: object, shards: object, *others: Any, **options: Any) -> None:
        trained.append(shards)

    monkeypatch.setattr(in_a_trial, "open_shards", opens)
    monkeypatch.setattr(in_a_trial, "fit", trains)
    begun(store, 2)
    setting = Setting(store=store.url, search=SEARCH, experiment=EXPERIMENT, shards="shards/of-this-test", features="f",
                      shards_digest="d", parents=(), start="s", threads=1, last_look_only=False, profile={})
    for number in range(2):
        at = trial_prefix(SEARCH, number)
        in_a_trial.run_trial({"at": at, "number": number, "changes": 0, "params": {}}, setting)
        done = read_trial(store, at)
        assert done is not None
        assert done.end == TrialEnd(status="finished")
    assert opened == ["shards/of-this-test"]
    assert trained[0] is trained[1]
