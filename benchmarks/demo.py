"""What the demo costs: seconds of each stage, of start-up and of doing nothing, as JSON lines.

    python benchmarks/demo.py [--experiment configs/digits.yaml] [--set a.b=c]

Runs `gan run` twice on an empty store, in processes of its own.  Start-up is what is not a stage's work: the imports, a
temporary Prefect server, Ray, placing the workers, and ending them.  The second run finds everything done.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from gan_core.manifest import read_manifest, tool_versions
from gan_core.store import Store


def main() -> None:
    """Prints one line a figure."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--experiment", default="configs/digits.yaml")
    cli.add_argument("--set", action="append", default=[])
    a = cli.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pipelines.cli", "run", a.experiment, "--store", folder, "--json"]
        command += [word for setting in a.set for word in ("--set", setting)]
        total, outcome = timed(command)
        again, second = timed(command)
        assert {stage["status"] for stage in second["stages"]} == {"REUSED"}
        placing = seconds_until_training(Store(folder), next(Path(folder).glob("runs/*")))
    stages = {stage["name"]: stage["seconds"] for stage in outcome["stages"]}
    report("demo_total", total)
    for name, seconds in stages.items():
        report(f"demo_{name}", seconds)
    report("demo_placing_workers", placing)
    report("demo_start_up", total - sum(stages.values()) + placing)
    report("nothing_new", again)


def timed(command: list[str]) -> tuple[float, dict[str, list[dict[str, Any]]]]:
    """Wall seconds of a command and the JSON it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - start, json.loads(done.stdout)


def seconds_until_training(store: Store, run: Path) -> float:
    """From the shards' being there to the first worker's claim of the run."""
    shards = next(run.parent.parent.glob("shards/*/MANIFEST.json"))
    assert read_manifest(store, f"shards/{shards.parent.name}") is not None
    return (run / "attempts" / "0001.json").stat().st_mtime - shards.stat().st_mtime


def report(name: str, seconds: float) -> None:
    """One figure with what it was measured on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    print(json.dumps({
        "name": name, "ours": round(seconds, 2), "unit": "s", "commit": commit.stdout.strip(),
        "versions": tool_versions(), "hardware": hardware(),
    }), flush=True)


def hardware() -> str:
    """Cores and processor of this machine."""
    names = [line.partition(":")[2].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
             if line.startswith("model name")] if Path("/proc/cpuinfo").exists() else [platform.processor()]
    return f"{os.cpu_count()} cores, {names[0]}"


if __name__ == "__main__":
    main()
