"""What a search costs besides its trainings, as JSON lines.

    python benchmarks/tune.py [--trials 32] [--seconds 5] [--others 4]

Work is what the same trainings take without Tune: `gan_core.train.loop.fit` alone, with its looks and checkpoints, to
the last of them, where a trial ends; two processes side by side of one thread each, as the search has two trials at a
time; imports and a first short training are over by then.  One training is the mean of four before the searches and
four after them; the work of a search is half its trials times that.  All train a small DCGAN on digits, on as many
images as take --seconds here.

tune_overhead_share              seconds of a search beyond its work, as a share of the work.  The search is all that
                                 `gan tune` does once Ray is up and shards and feature network are there: Tune's start,
                                 its processes and their imports, the trials, their records, the report
tune_start_up                    seconds until then: data, feature network, Ray
tune_overhead_vs_train_in_tune   seconds of a trial beyond its training, of the same search; beside it the pattern that
                                 Ray documents ("Hyperparameter Tuning with Ray Tune" of Ray Train): a trial is a
                                 function of Tune's that starts a TorchTrainer of one worker, which reports through
                                 TuneReportCallback; from the start of the first such function to the end of the last,
                                 so that of Tune's own start and end nothing counts
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.pool import Pool
from pathlib import Path
from statistics import fmean
from typing import Any

from demo import hardware  # the script beside this one

from gan_core.config import FD_DOMAIN, Experiment, experiment_from
from gan_core.data.shards import open_shards
from gan_core.manifest import tool_versions
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.loop import fit
from gan_core.train.report import Silent
from pipelines.cluster import connect, stop_ray
from pipelines.execute import Run
from pipelines.features import figures_in
from pipelines.handles import Features, Shards
from pipelines.profile import Profile
from pipelines.tuning.search import Conductor
from pipelines.tuning.settings import trial_experiment

AT_ONCE = 2  # trials, and trainings without Tune
TRAININGS = 4  # before the searches, and as many after them
LOOKS, BATCH = 4, 128
SHORT = 8 * LOOKS * BATCH  # images of the trainings that tell how fast this machine is
MODEL = {"recipe": "dcgan", "width": 16, "latent": 16}
RATE = "model.generator_optimizer.learning_rate"


@dataclass(frozen=True)
class Training:
    """One training, as plain values: where, of what, and on how many images."""

    store: str
    shards: str
    features: str
    images: int
    name: str = ""

    def seconds(self) -> float:
        """Of the training alone, to its last look."""
        reporter = Clock()
        self.train(reporter)
        return reporter.seconds

    def train(self, reporter: Silent) -> None:
        """As a trial does."""
        store, experiment = Store(self.store), trial_experiment(searched(self.images, 1), {}, seed=0)
        fit(experiment, open_shards(store, self.shards), RunPlace(store, f"alone/{self.name}", self.name), reporter,
            threads=1, compare=partial(figures_in, store, self.features, (FD_DOMAIN,)))


@dataclass
class Clock(Silent):
    """seconds: from its making to the newest checkpoint."""

    seconds: float = 0.0
    _began: float = field(default_factory=time.perf_counter)

    def checkpoint(self, position: int, saved: str) -> None:
        self.seconds = time.perf_counter() - self._began


@dataclass
class TellsTrain(Silent):
    """Reports each look to Ray Train."""

    _row: Mapping[str, float] = field(default_factory=dict)

    def scalars(self, position: int, values: Mapping[str, float]) -> None:
        self._row = dict(values)

    def checkpoint(self, position: int, saved: str) -> None:
        import ray.train

        ray.train.report({FD_DOMAIN: self._row[FD_DOMAIN]})


def main() -> None:
    """Prints one line a figure."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--trials", type=int, default=32)
    cli.add_argument("--seconds", type=float, default=5.0, help="of one training; default %(default)s")
    cli.add_argument("--others", type=int, default=4, help="trials of the documented pattern; default %(default)s")
    a = cli.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes without Tune, as Ray has it in those of trials
    with tempfile.TemporaryDirectory() as folder, multiprocessing.get_context("spawn").Pool(AT_ONCE) as pool:
        began = time.perf_counter()
        run = Run.of(searched(SHORT, a.trials).as_json(), folder, Profile().model_dump(mode="json"))
        shards = run.prepare()
        features = run.features(shards)
        connect(run.profile, 1)
        start_up = time.perf_counter() - began
        one = Training(run.store.url, shards.prefix, features.prefix, SHORT)
        one = replace(one, images=images_for(a.seconds, one, pool))
        before = trainings(one, pool, "before")
        ours = search_seconds(run, shards, features, one.images, a.trials)
        other = others_seconds(one, a.others)
        training = fmean([*before, *trainings(one, pool, "after")])
        stop_ray()
    work = training * a.trials / AT_ONCE
    facts = {"training": round(training, 3), "images": one.images, "trials": a.trials}
    report("tune_overhead_share", (ours - work) / work, "of the work", seconds=round(ours, 2), **facts)
    report("tune_start_up", start_up, "s")
    beyond, other_beyond = (seconds * AT_ONCE / trials - training
                            for seconds, trials in ((ours, a.trials), (other, a.others)))
    report("tune_overhead_vs_train_in_tune", beyond, "s a trial", other=round(other_beyond, 3),
           ratio=round(other_beyond / beyond, 2), other_is="a TorchTrainer in each trial, as Ray documents it", **facts)


def searched(images: int, trials: int) -> Experiment:
    """An experiment whose trials differ in what costs nothing."""
    return experiment_from({
        "name": "benchmark", "data": {"source": "digits"}, "model": MODEL,
        "train": {"images": images, "batch": BATCH, "ema_half_life": 500, "workers": 1},
        "tune": {"space": {RATE: "loguniform(1e-4, 1e-3)"}, "objective": {"metric": FD_DOMAIN}, "samples": trials,
                 "images": images, "look_every": images // LOOKS, "scheduler": "none", "searcher": "random",
                 "concurrent": AT_ONCE, "repeats": {"top": 0}},
    })


def images_for(seconds: float, one: Training, pool: Pool) -> int:
    """As many as are trained on in that time, in whole batches a look: by the difference of two lengths."""
    trainings(one, pool, "first")
    short, longer = (fmean(trainings(replace(one, images=images), pool, f"of-{images}"))
                     for images in (SHORT, 4 * SHORT))
    more = (seconds - short) / (longer - short) * 3 * SHORT
    return max(1, round((SHORT + more) / (LOOKS * BATCH))) * LOOKS * BATCH


def trainings(one: Training, pool: Pool, name: str) -> list[float]:
    """Seconds of each of some trainings without Tune, as many side by side as there are processes."""
    return pool.map(Training.seconds, [replace(one, name=f"{name}-{number}") for number in range(TRAININGS)],
                    chunksize=TRAININGS // AT_ONCE)


def search_seconds(run: Run, shards: Shards, features: Features, images: int, trials: int) -> float:
    """Of a whole search on a cluster that is up."""
    began = time.perf_counter()
    conductor = Conductor(run.store, searched(images, trials), run.profile, lambda _: features, lambda _: None)
    conductor.conduct("benchmark", "tune/benchmark", shards)
    return time.perf_counter() - began


def others_seconds(one: Training, trials: int) -> float:
    """From the start of the first trial of the documented pattern to the end of the last."""
    import ray.train.torch
    from ray import tune
    from ray.tune.integration.ray_train import TuneReportCallback

    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"  # a banner among our lines
    with tempfile.TemporaryDirectory() as folder:

        def train(config: dict[str, Any]) -> None:
            replace(one, name=config["name"]).train(TellsTrain())

        def trial(config: dict[str, Any]) -> None:
            began, name = time.time(), tune.get_context().get_trial_id()
            tells: Any = TuneReportCallback()  # type: ignore[no-untyped-call]
            ray.train.torch.TorchTrainer(
                train, train_loop_config={"name": name}, scaling_config=ray.train.ScalingConfig(num_workers=1),
                run_config=ray.train.RunConfig(name=name, storage_path=folder, callbacks=[tells]),
            ).fit()
            Path(folder, f"{name}.json").write_text(json.dumps([began, time.time()]))

        tune.Tuner(
            tune.with_resources(trial, {"memory": 2.0**20}),  # with Tune's one CPU the workers would never find room
            param_space={RATE: tune.loguniform(1e-4, 1e-3)},
            tune_config=tune.TuneConfig(num_samples=trials, max_concurrent_trials=AT_ONCE),
            run_config=tune.RunConfig(storage_path=folder, verbose=0),
        ).fit()
        times = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
    assert len(times) == trials, f"{trials - len(times)} trials of the documented pattern failed"
    return float(max(end for _, end in times) - min(start for start, _ in times))


def report(name: str, value: float, unit: str, **facts: Any) -> None:
    """One figure with what it was measured on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    print(json.dumps({
        "name": name, "ours": round(value, 3), **facts, "unit": unit, "commit": commit.stdout.strip(),
        "versions": tool_versions(), "hardware": hardware(), "load": round(os.getloadavg()[0], 1),
    }), flush=True)


if __name__ == "__main__":
    main()
