"""What searchers and schedulers find in the same time, as JSON lines.

    python benchmarks/searches.py [--minutes 5] [--seeds 3]

By turns, for each seed of the searcher: random values with no scheduler, and Optuna with ASHA, each with so many
minutes for its trials; the best trial of each is then trained once more with two other seeds.  At the end
population-based training against the same first values kept to the end.  Three quarters of an hour in all; the figures
depend on how fast this machine is, as a faster one tries more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from statistics import fmean
from typing import Any

from demo import hardware  # the script beside this one

from gan_core.manifest import tool_versions

EXPERIMENT = "configs/tune/digits_dcgan.yaml"
MANY = 10_000  # trials: the time ends the search
ARMS = {
    "random": ["tune.searcher=random", "tune.scheduler=none"],
    "optuna_asha": ["tune.searcher=optuna", "tune.scheduler=asha"],
}
POPULATION = {
    "model.generator_optimizer.learning_rate": {"loguniform": [5e-5, 5e-3]},
    "model.discriminator_optimizer.learning_rate": {"loguniform": [5e-5, 5e-3]},
    "model.penalties.r1.gamma": {"loguniform": [0.05, 5]},
}
OF_POPULATION = ["tune.samples=8", "tune.searcher=random", "tune.images=51200", "tune.look_every=5120",
                 f"tune.space={json.dumps(POPULATION)}"]


def main() -> None:
    """Prints a line for each search, and one that compares them."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--minutes", type=int, default=5)
    cli.add_argument("--seeds", type=int, default=3)
    a = cli.parse_args()
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ARMS}
    for seed in range(a.seeds):
        for name, settings in ARMS.items():
            limits = [f"tune.samples={MANY}", f"tune.time_budget={a.minutes}m"]
            found[name].append(search(name, seed, [*settings, *limits], top=1))
    value = {name: fmean(one["mean"] for one in searches) for name, searches in found.items()}
    report(name="tune_optuna_asha_vs_random", ours=round(value["optuna_asha"], 3), other=round(value["random"], 3),
           unit="fd_domain, mean over seeds", ratio=round(value["random"] / value["optuna_asha"], 3),
           other_is=f"random values without a scheduler, {a.minutes} minutes each, {a.seeds} seeds")
    kept = search("kept", 0, [*OF_POPULATION, "tune.scheduler=none"], top=0)
    pbt = search("pbt", 0, [*OF_POPULATION, "tune.scheduler=pbt"], top=0)
    report(name="tune_pbt_vs_kept", ours=pbt["value"], other=kept["value"], unit="fd_domain",
           ratio=round(kept["value"] / pbt["value"], 3), seconds=pbt["seconds"], other_seconds=kept["seconds"],
           other_is="the same eight first values kept to the end")


def search(arm: str, seed: int, settings: list[str], top: int) -> dict[str, Any]:
    """One search; its best trial.  value: after a trial's length.  mean: over it and two other seeds."""
    repeats = json.dumps({"top": top, "seeds": 2})
    words = [*settings, f"tune.seed={seed}", f"tune.repeats={repeats}"]
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", "pipelines.cli", "tune", EXPERIMENT, "--no-publish", "--json"]
        command += ["--store", store, *(word for setting in words for word in ("--set", setting))]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    outcome = json.loads(done.stdout)
    best, trials = outcome["search"]["rows"][0], outcome["search"]["trials"]
    one = {"value": best["value"], "mean": best["mean"], "spread": best["spread"], "trial": best["number"],
           "images": outcome["search"]["images"], "seconds": outcome["stages"][-1]["seconds"]}
    report(name=f"tune_{arm}", seed=seed, **one, trials=trials, params=best["params"])
    return one


def report(**line: Any) -> None:
    """One line, with what it was measured on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    print(json.dumps({**line, "commit": commit.stdout.strip(), "versions": tool_versions(), "hardware": hardware(),
                      "load": round(os.getloadavg()[0], 1)}), flush=True)


if __name__ == "__main__":
    main()
