"""How the newest search of an experiment stands; from the store alone, wherever its trials are."""

from __future__ import annotations

import sys
from pathlib import Path

from gan_core.config import read_yaml
from gan_core.errors import ConfigError, GanError
from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines.keys import FOLDERS, PREFIX_CHARS
from pipelines.lock import Holder, ask_to_cancel, live_holder
from pipelines.printed import print_json
from pipelines.records import latest_stages, run_name
from pipelines.runs import find_run, follow_log
from pipelines.show import console
from pipelines.tuning.best_yaml import best_yaml
from pipelines.tuning.leaderboard import leaderboard
from pipelines.tuning.records import Search, read_search
from pipelines.tuning.search import how_far
from pipelines.tuning.show import as_json, leaderboard_table

SHOWN = 10


def name_of(experiment: str) -> str:
    """The name of an experiment: in its YAML, or the word itself where there is no such file."""
    if Path(experiment).exists():
        return str(read_yaml(experiment).get("name", experiment))
    if experiment.endswith((".yaml", ".yml")):
        raise ConfigError(f"{experiment}: no such file; configs/tune/digits_dcgan.yaml is one, or the name of an "
                          "experiment works")
    return experiment


def newest_search(store: Store, experiment: str) -> Search | None:
    """The search that the newest records of an experiment name, or else the one begun last; None for none."""
    name, folder = name_of(experiment), FOLDERS["tune"]
    record = latest_stages(store, name).get("tune")
    if record and record.key:
        return read_search(store, f"{folder}/{record.key[:PREFIX_CHARS]}")
    entries = store.entries(folder)
    begun = sorted((path for path in entries if path.endswith("/search.json")), key=lambda path: entries[path].modified)
    for path in reversed(begun):
        search = read_search(store, f"{folder}/{path.partition('/')[0]}")
        if search is not None and search.settings.experiment["name"] == name:
            return search
    return None


def show_standing(experiment: str, store_url: str, json: bool) -> None:
    """Prints it.  GanError where no search was begun."""
    store = Store(store_url)
    search, holder = _search(store, experiment), live_holder(store, name_of(experiment))
    rows = leaderboard(search)
    finished = read_manifest(store, search.prefix) is not None
    state = "finished" if finished else "at work" if holder is not None else "interrupted"
    if json:
        print_json({"state": state, "run": holder and run_name(holder.run), **as_json(search, rows)})
        return
    out = console()
    out.print(f"{name_of(experiment)}: {state}; {how_far(search)}", highlight=False, markup=False)
    if holder is not None:
        out.print(f"process {holder.pid} on {holder.host}, since {holder.taken}", highlight=False, markup=False)
    elif not finished:
        out.print(f"`gan tune {experiment} --store {store_url}` goes on with it", highlight=False, markup=False)
    if rows:
        out.print(leaderboard_table(rows[:SHOWN], out.width))
    out.print(f"{store.uri(search.prefix)}", highlight=False, markup=False, soft_wrap=True)


def trial_yaml(experiment: str, store_url: str, number: int) -> str:
    """The settings of one trial, as an experiment that `gan run` takes.  ConfigError for no such trial."""
    search = _search(Store(store_url), experiment)
    row = next((row for row in leaderboard(search) if row.number == number), None)
    if row is None:
        raise ConfigError(f"--yaml {number}: the search has no such trial; it has 0 to {len(search.trials) - 1}")
    return best_yaml(search, row)


def follow(experiment: str, store_url: str) -> None:
    """Prints what the search says until it ends, and then how it stands.  GanError where none is at work."""
    store = Store(store_url)
    holder = _at_work(store, experiment, store_url)
    for line in follow_log(store, find_run(store, run_name(holder.run))):
        print(line, end="" if line.endswith("\n") else "\n", file=sys.stderr, flush=True)
    show_standing(experiment, store_url, json=False)


def stop_search(experiment: str, store_url: str) -> None:
    """Asks the process that searches to stop, and returns at once.  GanError where none does."""
    store = Store(store_url)
    holder = _at_work(store, experiment, store_url)
    ask_to_cancel(store, name_of(experiment), holder.number, "gan tune stop")
    print(f"gan: process {holder.pid} on {holder.host} is asked to stop", file=sys.stderr)


def _search(store: Store, experiment: str) -> Search:
    search = newest_search(store, experiment)
    if search is None:
        raise GanError(f"no search of {experiment} was begun in {store.url}; `gan tune {experiment} --store "
                       f"{store.url}` begins one")
    return search


def _at_work(store: Store, experiment: str, store_url: str) -> Holder:
    holder = live_holder(store, name_of(experiment))
    if holder is None:
        raise GanError(f"nothing is at work on {name_of(experiment)} in {store.url}; `gan tune {experiment} --store "
                       f"{store_url}` searches, and goes on with what was begun")
    return holder
