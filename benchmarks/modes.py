"""How many modes each objective covers, and how much of what it makes is good, as JSON lines.

    python benchmarks/modes.py [--layouts grid ring] [--objectives hinge_r1 …] [--seeds 3]

Every objective trains the same two fully connected networks, 3 layers of 128 units, without labels, on the points of
benchmarks/mixtures.py, by the engine's own step: 256 points a step, z of two numbers, float32, Adam with 2e-3 and
(0, 0.99) for both networks and one step of the discriminator for each of the generator; WGAN with weight clipping has
its paper's RMSProp, at 1e-3.  Steps, not the state of the art, are what the runs are short of: the figures say how
objectives and penalties compare at one price.

The squares that points fill are 2 wide where the literature's are 8, so slopes are 4 times those known elsewhere, and
penalties on them weigh less: 0.1 where the papers have 10, and γ = 0.01 in R1 and R2.

modes_<layout>_<objective>      mean over the seeds of the modes covered, `each` has them seed by seed
quality_<layout>_<objective>    the same of the share of samples of high quality, 0.989 of the mixture itself

Std, z, learning rates and weights of penalties were found in about 25 runs of one seed each, looked at by these same
measures, most of them with the non-saturating loss and R1: a small lead of one objective may be that search.

2,500 samples of the averaged generator (half-life 10,000 points) are counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import torch
from demo import hardware
from mixtures import Layout, Mixture, Share, centres, made_of

from gan_core.config import Experiment, TrainConfig
from gan_core.data.batches import Batches
from gan_core.data.shards import Shards, open_shards
from gan_core.data.write import write_shards
from gan_core.manifest import tool_versions
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import DataSpec, Recipe, build_recipe
from gan_core.registry import recipe_options
from gan_core.store import Store
from gan_core.train.curves import Curves
from gan_core.train.distributed import Workers
from gan_core.train.state import TrainState
from gan_core.train.step import Step
from gan_core.train.switches import Switches

BATCH, SAMPLES = 256, 2500
STEPS: Mapping[Layout, int] = {"grid": 2000, "ring": 1000}
ADAM = {"algorithm": "adam", "learning_rate": 2e-3, "betas": (0.0, 0.99)}
RMSPROP = {"algorithm": "rmsprop", "learning_rate": 1e-3}
ONE = Workers(0, 1, torch.device("cpu"))

JUDGE = {"family": "mlp", "dropout": 0.0}
MLP = {"latent": 2, "width": 32, "conditional": False, "critic_steps": 1, "generator": {"family": "mlp"},
       "discriminator": JUDGE, "generator_optimizer": ADAM, "discriminator_optimizer": ADAM}
R1 = {"r1": {"gamma": 0.01}}
OBJECTIVES: Mapping[str, Mapping[str, Any]] = {
    "minimax": {"objective": "minimax"},
    "non_saturating": {"objective": "non_saturating"},
    "non_saturating_r1": {"objective": "non_saturating", "penalties": R1},
    "least_squares": {"objective": "least_squares"},
    "hinge_spectral": {"objective": "hinge", "discriminator": {**JUDGE, "spectral": True}},
    "hinge_r1": {"objective": "hinge", "penalties": R1},
    "wasserstein_clip": {"objective": "wasserstein", "penalties": {"clip": 0.1}, "generator_optimizer": RMSPROP,
                         "discriminator_optimizer": RMSPROP},
    "wasserstein_gp": {"objective": "wasserstein", "penalties": {"gradient": {"weight": 0.1}}},
    "relativistic_r1_r2": {"objective": "relativistic", "penalties": {**R1, "r2": {"gamma": 0.01}}},
    "dragan": {"objective": "non_saturating", "penalties": {"dragan": {"weight": 0.1}}},
}


def main() -> None:
    """Prints two lines an objective and layout."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--layouts", nargs="+", choices=get_args(Layout), default=list(STEPS), metavar="LAYOUT")
    cli.add_argument("--objectives", nargs="+", choices=[*OBJECTIVES], default=[*OBJECTIVES], metavar="NAME")
    cli.add_argument("--seeds", type=int, default=3, help="runs of each; default %(default)s")
    cli.add_argument("--steps", type=int, help=f"of each run; default {dict(STEPS)}")
    a = cli.parse_args()
    torch.set_num_threads(1)  # these networks are too small to share
    for layout in a.layouts:
        with tempfile.TemporaryDirectory() as folder:
            shards = shards_of(layout, Store(folder))
            for objective in a.objectives:
                experiment = experiment_of(layout, objective, a.steps or STEPS[layout])
                report(layout, objective, [after_training(experiment, shards, seed) for seed in range(a.seeds)])


def shards_of(layout: Layout, store: Store) -> Shards:
    """The mixture as the engine reads it."""
    write_shards(Mixture(layout=layout), store, "shards/mixture", shard_examples=16_384, key=layout)
    return open_shards(store, "shards/mixture")


def experiment_of(layout: Layout, objective: str, steps: int) -> Experiment:
    model = recipe_options("gan").model_validate({"recipe": "gan", **MLP, **OBJECTIVES[objective]})
    train = TrainConfig(images=steps * BATCH, batch=BATCH, precision="float32", ema_half_life=10_000)
    return Experiment(name="modes", data=Mixture(layout=layout), model=model, train=train)


def after_training(experiment: Experiment, shards: Shards, seed: int) -> Share:
    """What samples of the averaged generator make of the mixture."""
    experiment = experiment.model_copy(update={"seed": seed})
    recipe = build_recipe(experiment, DataSpec(shards.shape, shards.classes))
    switches = Switches.resolved(experiment.train, ONE.device, 1)
    state = TrainState.fresh(recipe, seed, ONE.device, switches)
    batches = Batches(shards.split("train"), seed=seed, batch=BATCH, rank=0, world=1, device=ONE.device)
    step, curves = Step.of(experiment, recipe, batches, ONE, state, switches), Curves()
    while state.position < experiment.train.images:
        step.take(curves)
    curves.row(state.position, ONE)  # refuses what was not finite
    return sampled(recipe, state, experiment)


def sampled(recipe: Recipe, state: TrainState, experiment: Experiment) -> Share:
    draw = Draw(experiment.seed, state.position, SAMPLES, slice(0, SAMPLES), ONE.device, "modes")
    with torch.no_grad():
        points = recipe.generate(state.averages, recipe.inputs(draw, None)).flatten(1).numpy()
    return made_of(points, experiment.data.layout)  # type: ignore[attr-defined]


def report(layout: Layout, objective: str, runs: list[Share]) -> None:
    about = {"commit": commit(), "versions": tool_versions(), "hardware": hardware()}
    modes, quality = [run.modes for run in runs], [round(run.high_quality, 3) for run in runs]
    lines: list[dict[str, object]] = [
        {"name": f"modes_{layout}_{objective}", "ours": round(statistics.mean(modes), 1), "each": modes,
         "of": len(centres(layout))},
        {"name": f"quality_{layout}_{objective}", "ours": round(statistics.mean(quality), 3), "each": quality},
    ]
    for line in lines:
        print(json.dumps(line | about), flush=True)


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=Path(__file__).parent, capture_output=True,
                           text=True, check=False)
    return found.stdout.strip()


if __name__ == "__main__":
    main()
