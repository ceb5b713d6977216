"""Everything that can go wrong on a cluster, one after another; what came of it is in docs/operations.md afterwards.

    make chaos                                    every fault once, as root: some 15 minutes
    python -m tests.chaos worker-killed cable-5s  these alone
    python -m tests.chaos --list

Hosts, store and folders are gone at the end, whatever happens.  Rows go to benchmarks/results/DATE-chaos.jsonl; the
table has, of each fault, the tries of the last day on which it was tried.  Exit status 1 where a fault was not
survived.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.demo import hardware
from gan_core.manifest import tool_versions
from tests.chaos.faults import FAULTS
from tests.chaos.lab import TRAINERS, Lab
from tests.chaos.table import newest, with_table
from tests.system.hosts import hosts_with_store

RESULTS, DOCUMENT = Path("benchmarks/results"), Path("docs/operations.md")


def main() -> int:
    """The exit status."""
    asked = _asked()
    if asked.list:
        print(*(f"{name:<16} {words}" for name, (words, _) in FAULTS.items()), sep="\n")
        return 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it cleans up as Ctrl-C does
    names: Sequence[str] = asked.faults or tuple(FAULTS)
    with _lab() as lab:
        rows = [_tried(lab, name) for name in names]
    _keep(rows)
    survived = sum(row["survived"] for row in rows)
    print(f"{len(rows)} faults, {survived} survived")
    return int(survived < len(rows))


@contextmanager
def _lab() -> Iterator[Lab]:
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder, hosts_with_store(1 + len(TRAINERS)) as hosts, \
            Lab.on(hosts, Path(folder)) as lab:
        print(f"four hosts with Ray and a store, {time.monotonic() - begun:.0f} s", flush=True)
        yield lab


def _tried(lab: Lab, name: str) -> dict[str, Any]:
    """A row of the results.  What is not survived is told, and the next fault is tried on mended hosts."""
    words, fault = FAULTS[name]
    print(f"{words} … ", end="", flush=True)
    row: dict[str, Any] = {"name": "chaos", "fault": name, "survived": False}
    try:
        row |= {"survived": True, **asdict(fault(lab))}
    except Exception as error:
        row["problem"] = str(error).splitlines()[0] if str(error) else type(error).__name__
        print("NOT SURVIVED", flush=True)
        traceback.print_exc()
    else:
        print(f"survived, {row['seconds']:.1f} s, {row['lost']:,} images trained again", flush=True)
    return row


def _keep(rows: list[dict[str, Any]]) -> None:
    """Adds the rows to today's results, and makes the document's table of the newest of each fault."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    file = RESULTS / f"{date.today()}-chaos.jsonl"
    made = {"commit": commit, "versions": tool_versions(), "hardware": hardware()}
    with file.open("a") as out:
        out.writelines(json.dumps(row | made) + "\n" for row in rows)
    files = sorted(RESULTS.glob("*-chaos.jsonl"))
    days = [[json.loads(line) for line in day.read_text().splitlines()] for day in files]
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(), newest(days)))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faults", nargs="*", choices=[*FAULTS, []], metavar="FAULT", help="all, where none is named")
    parser.add_argument("--list", action="store_true", help="the faults, and nothing is done")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
