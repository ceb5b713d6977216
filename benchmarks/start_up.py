"""Seconds from a command to its first training step, and where they go, as JSON lines.

    python benchmarks/start_up.py [--experiment configs/digits.yaml] [--set a.b=c] [--times 3]

Starts `gan train`, `gan run` and `python -m gan_core.train`, which is the same training without Ray, by turns on empty
stores; interrupts each at its first row of the curves, starts `gan train` again to see it resume, and prints medians.
The parts of `gan train`, in order: until Ray Train's controller is a process, until the first worker is one, until a
worker claims the run (it has imported torch and joined the group), until the first step is done.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import psutil
from demo import hardware  # the script beside this one

from gan_core.manifest import tool_versions

LOOK_S = 0.02
LIMIT_S = 300.0
WITHOUT_RAY = ("-m", "gan_core.train")
ACTORS = {"controller": "ray::TrainController", "worker": "ray::RayTrainWorker"}
PARTS = ("controller", "worker", "claimed", "step")
FIRST_ROW = ("train.images=1000000000", "train.report_every=1", "train.sample_every=1000000000",
             "train.checkpoint_every=1000000000", "publish.gate={}")


def main() -> None:
    """Prints one line a figure."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--experiment", default="configs/digits.yaml")
    cli.add_argument("--set", action="append", default=[])
    cli.add_argument("--times", type=int, default=3)
    a = cli.parse_args()
    words = [a.experiment, *(word for setting in (*FIRST_ROW, *a.set) for word in ("--set", setting))]
    seen: dict[str, list[float]] = defaultdict(list)
    for _ in range(a.times):
        for name, seconds in one_round(words).items():
            seen[name].append(seconds)
    alone = median(seen.pop("alone"))
    report("start_up_train", median(seen.pop("train")), alone)
    for name, seconds in seen.items():
        report(f"start_up_{name}", median(seconds))


def one_round(words: list[str]) -> dict[str, float]:
    """Seconds of everything once."""
    gan = ["-m", "pipelines.cli"]
    found = {"help": help_seconds()}
    with tempfile.TemporaryDirectory() as folder:
        first = begin([*gan, "train", *words], Path(folder))
        again = begin([*gan, "train", *words], Path(folder))
    for before, part in zip(("", *PARTS), PARTS, strict=False):
        found[f"train_{part}"] = first[part] - first.get(before, 0.0)
    found |= {"train": first["step"], "train_cpu": first["cpu"], "train_stop": first["stop"],
              "train_resumed": again["step"]}
    with tempfile.TemporaryDirectory() as folder:
        found["run"] = begin([*gan, "run", *words], Path(folder))["step"]
    with tempfile.TemporaryDirectory() as folder:
        found["alone"] = begin([*WITHOUT_RAY, *words], Path(folder))["step"]
    return found


def begin(command: list[str], store: Path) -> dict[str, float]:
    """Runs a command until its first row and has it stop: seconds from its start to each part, and to its end.

    cpu: seconds of processor time that its processes had used at the first row.  stop: from the interrupt to its end.
    """
    told, claimed = newest(store, "progress.json"), newest(store, "attempts/*.json")
    began, found = time.time(), {}
    process = subprocess.Popen([sys.executable, *command, "--store", str(store)], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, start_new_session=True)
    cpu: dict[int, float] = {}
    try:
        while (row := newest(store, "progress.json")) == told:
            assert process.poll() is None, f"{command} ended before its first row"
            assert time.time() - began < LIMIT_S, f"{command} took no step"
            look(process.pid, began, found, cpu)
            time.sleep(LOOK_S)
        found |= {"step": row - began, "cpu": sum(cpu.values())}
        if (claim := newest(store, "attempts/*.json")) != claimed:
            found["claimed"] = claim - began
    finally:
        asked = time.time()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=LIMIT_S)
    return {**found, "stop": time.time() - asked}


def newest(store: Path, pattern: str) -> float:
    """When the newest such file of a run was written; 0 when there is none."""
    return max((path.stat().st_mtime for path in store.glob(f"runs/*/{pattern}")), default=0.0)


def look(pid: int, began: float, found: dict[str, float], cpu: dict[int, float]) -> None:
    """Notes when Ray's actors became processes, and the processor time of all processes of a command."""
    try:
        tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in tree:
        try:
            title, times = "".join(member.cmdline()[:1]), member.cpu_times()
            cpu[member.pid] = times.user + times.system
            for name, actor in ACTORS.items():
                if title.startswith(actor):
                    found.setdefault(name, member.create_time() - began)
        except psutil.Error:
            continue  # it ended between the two looks


def help_seconds() -> float:
    """Wall seconds of `gan --help`."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "pipelines.cli", "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def report(name: str, seconds: float, other: float | None = None) -> None:
    """One figure with what it was measured on."""
    compared = {} if other is None else {"other": round(other, 2), "ratio": round(other / seconds, 2),
                                         "other_is": "python -m gan_core.train, one process, without Ray"}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    print(json.dumps({
        "name": name, "ours": round(seconds, 2), **compared, "unit": "s", "commit": commit.stdout.strip(),
        "versions": tool_versions(), "hardware": hardware(), "load": round(os.getloadavg()[0], 1),
    }), flush=True)


if __name__ == "__main__":
    main()
