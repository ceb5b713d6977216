"""What a finished search leaves: the leaderboard, the best settings as a YAML, the report, the best trials' samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence

from gan_core.manifest import File, Parent, put_manifest
from gan_core.store import Store
from pipelines.handles import Tuned
from pipelines.tuning.best_yaml import best_yaml
from pipelines.tuning.leaderboard import Row, leaderboard
from pipelines.tuning.records import Search
from pipelines.tuning.report import search_report
from pipelines.tuning.show import as_json

LEADERBOARD, BEST, REPORT = "leaderboard.json", "best.yaml", "report.html"
PICTURED = 8  # trials whose samples are shown


def write_results(store: Store, search: Search, parents: tuple[Parent, ...]) -> None:
    """All files, and then the manifest."""
    rows = leaderboard(search)
    files = []
    for path, data in _files(store, search, rows):
        store.write(f"{search.prefix}/{path}", data)
        files.append(File(path=path, size=len(data), sha256=hashlib.sha256(data).hexdigest()))
    best = rows[0]
    put_manifest(
        store, search.prefix, kind=Tuned.KIND, key=search.settings.key, files=tuple(files), parents=parents,
        facts={"best": best.number, "value": best.value, "mean": best.mean, "spread": best.spread,
               "params": best.params, "trials": len(search.trials)},
    )


def samples_of(store: Store, search: Search, rows: Sequence[Row]) -> dict[int, bytes]:
    """The newest sample grid of the best trials, PNG by number."""
    trials = {trial.number: trial for trial in search.trials}
    found: dict[int, bytes] = {}
    for row in rows[:PICTURED]:
        folder = f"{trials[row.number].run_prefix}/samples"
        names = sorted(store.names(folder))
        if names:
            found[row.number] = store.read(f"{folder}/{names[-1]}")
    return found


def report_of(store: Store, search: Search, rows: Sequence[Row], samples: Mapping[int, bytes]) -> str:
    """The page, of a search that is finished or still at work."""
    return search_report(search, rows, {trial.number: trial.looks for trial in search.trials}, samples)


def _files(store: Store, search: Search, rows: Sequence[Row]) -> Iterator[tuple[str, bytes]]:
    samples = samples_of(store, search, rows)
    for number, png in samples.items():
        yield f"samples/trial-{number:04d}.png", png
    yield LEADERBOARD, json.dumps(as_json(search, rows), indent=1, ensure_ascii=False).encode()
    yield BEST, best_yaml(search, rows[0]).encode()
    yield REPORT, report_of(store, search, rows, samples).encode()
