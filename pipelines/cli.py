"""The `gan` command.

JSON goes to standard output and is all that goes there; everything else goes to standard error.
Exit codes: 0 ok, 1 failed, 2 wrong usage or configuration, 3 the gate refused, 130 interrupted by Ctrl-C,
143 by SIGTERM.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import typer

from gan_core import plugin_files
from gan_core.errors import GanError
from pipelines.cli_augment import augment
from pipelines.cli_compare import compare
from pipelines.cli_config import config
from pipelines.cli_dataset import dataset
from pipelines.cli_deploy import deploy, serve
from pipelines.cli_doctor import doctor
from pipelines.cli_explore import explore
from pipelines.cli_generate import generate
from pipelines.cli_jobs import jobs
from pipelines.cli_models import models
from pipelines.cli_runs import runs
from pipelines.cli_sample import sample
from pipelines.cli_score import score
from pipelines.cli_serve_model import serve_model
from pipelines.cli_store import store_app
from pipelines.cli_tune import tune
from pipelines.failure import no_answer, of_the_network
from pipelines.interrupt import end_interrupted
from pipelines.options import (
    DEFAULT_STORE,
    ExperimentArgument,
    ExperimentsArgument,
    JsonOption,
    MatrixOption,
    ParallelOption,
    PluginOption,
    ProfileOption,
    RayAddressOption,
    RemakeOption,
    SetOption,
    StoreOption,
    VerifyDataOption,
)
from pipelines.printed import print_outcome
from pipelines.quick_end import quick_end

if TYPE_CHECKING:
    from pipelines.matrix import Asked

app = typer.Typer(
    name="gan",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From a data set to a published, evaluated, promotable generator.\n\n"
    "Example: gan run configs/digits.yaml --store ./store",
)
app.add_typer(config, name="config")
app.add_typer(dataset, name="dataset")
app.add_typer(jobs, name="jobs")
app.add_typer(models, name="models")
app.add_typer(runs, name="runs")
app.add_typer(store_app, name="store")
app.add_typer(tune, name="tune")
app.command()(sample)
app.command()(generate)
app.command()(augment)
app.command()(serve_model)
app.command()(score)
app.command()(explore)
app.command()(compare)
app.command()(doctor)
app.command()(deploy)
app.command()(serve)


@app.command()
def run(
    experiments: ExperimentsArgument,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
    plugin: PluginOption = None,
    remake: RemakeOption = None,
    matrix: MatrixOption = None,
    parallel: ParallelOption = 1,
    verify_data: VerifyDataOption = False,
    as_json: JsonOption = False,
) -> None:
    """Runs what is not done yet of prepare, train, evaluate, publish.

    The same command goes on after any interruption, and costs seconds when nothing is new.

    Example: gan run configs/digits.yaml --set train.images=20480

    Example: gan run configs/digits.yaml --ray-address http://head:8265 --store s3://bucket/gans

    Example: gan run configs/digits.yaml --matrix seed=0,1,2 --matrix train.batch=64,128 --parallel 2
    """
    from pipelines.profile import load_profile
    from pipelines.run import run_experiment

    plugin_files.use(plugin or [])
    try:
        if len(experiments) > 1 or matrix:
            from pipelines.matrix import Asked

            asked = Asked(store, tuple(set_ or []), profile, tuple(remake or []), verify_data, ray_address)
            _run_several(experiments, matrix or [], asked, parallel, as_json)
            return
        where = load_profile(profile, ray_address)
        if verify_data:
            from pipelines.plan import read_all_data
            from pipelines.run import open_experiment

            opened = open_experiment(experiments[0], store, set_ or [], where, remake or [])
            read_all_data(opened.store, opened.experiment)
        outcome = run_experiment(experiments[0], store, set_ or [], where, remake or [])
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command goes on from the newest checkpoint", stopped)
    print_outcome(outcome, as_json)


def _run_several(experiments: list[str], matrix: list[str], asked: Asked, parallel: int, as_json: bool) -> None:
    """All of them, and the exit code that says how they ended."""
    from pipelines.children import Children
    from pipelines.matrix import Matrix, exit_code, open_all
    from pipelines.show_matrix import matrix_table, watching

    cells = open_all(experiments, matrix, asked)
    with Children() as children, watching(cells) as view:
        results = Matrix(children, asked, parallel, view).run(cells)
    matrix_table(results)
    if as_json:
        _print_json({"experiments": [result.as_json() for result in results]})
    raise typer.Exit(exit_code(results, children.signal))


@app.command()
def train(
    experiment: ExperimentArgument,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
    plugin: PluginOption = None,
    remake: RemakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prepares the data where it is not there, trains, and stops; `gan run` goes on with what it made.

    The same command goes on after any interruption, and costs seconds when it is trained already.

    Example: gan train configs/digits.yaml --set train.batch=256
    """
    from pipelines.profile import load_profile
    from pipelines.train_run import train_experiment

    plugin_files.use(plugin or [])
    try:
        where = load_profile(profile, ray_address)
        outcome = train_experiment(experiment, store, set_ or [], where, remake or [])
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command goes on from the newest checkpoint", stopped)
    print_outcome(outcome, as_json)


@app.command()
def evaluate(
    experiment: ExperimentArgument,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
    plugin: PluginOption = None,
    remake: RemakeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measures the generator, having prepared and trained where that is not done, and publishes nothing.

    `gan run` goes on with what it made.  The same command goes on after any interruption, and costs seconds when all is
    measured already.

    Example: gan evaluate configs/digits.yaml --set evaluate.k=3
    """
    from pipelines.evaluate_run import evaluate_experiment
    from pipelines.profile import load_profile

    plugin_files.use(plugin or [])
    try:
        where = load_profile(profile, ray_address)
        outcome = evaluate_experiment(experiment, store, set_ or [], where, remake or [])
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command goes on from the newest checkpoint", stopped)
    print_outcome(outcome, as_json)


@app.command()
def plan(
    experiment: ExperimentArgument,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
    plugin: PluginOption = None,
    remake: RemakeOption = None,
    verify_data: VerifyDataOption = False,
    as_json: JsonOption = False,
) -> None:
    """Says what a run would do with each stage, and why: RUN, REUSE, RESUME or DEPENDS; and how long it may take.

    Example: gan plan configs/digits.yaml --set evaluate.k=3
    """
    from pipelines.estimates import estimates, total
    from pipelines.plan import Action, read_all_data
    from pipelines.profile import load_profile
    from pipelines.run import open_experiment
    from pipelines.show import plan_table

    plugin_files.use(plugin or [])
    where = load_profile(profile, ray_address)
    opened = open_experiment(experiment, store, set_ or [], where, remake or [])
    if verify_data:
        read_all_data(opened.store, opened.experiment)
    steps = opened.planner.plan()
    took = estimates(opened.store, opened.experiment, steps)
    if not as_json:
        plan_table(steps, took)
        return
    stages = [
        {"name": step.stage, "action": str(step.action), "reason": step.reason, "key": step.key or None,
         "uri": opened.store.uri(step.prefix) if step.prefix else None,
         "estimate_s": took[step.stage].seconds, "estimated_from": took[step.stage].runs}
        for step in steps
    ]
    nothing_new = all(step.action is Action.REUSE for step in steps)
    _print_json({"stages": stages, "estimate_s": total(took).seconds, "nothing_new": nothing_new})


def main(arguments: list[str] | None = None) -> None:
    """The entry point: errors that a person can put right become one line each and an exit code.

    arguments: of a call from within a process that goes on; None for this process's own, which ends with them.
    """
    if arguments is not None:
        _obey(arguments)
        return
    with quick_end():
        _obey(None)


def _obey(arguments: list[str] | None) -> None:
    try:
        app(arguments)
    except GanError as error:
        for line in str(error).splitlines():
            print(f"gan: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except Exception as error:
        if not of_the_network(error):
            raise
        print(f"gan: {no_answer(error)}", file=sys.stderr)
        sys.exit(1)


def _print_json(value: Any, indent: int | None = 1) -> None:
    typer.echo(json.dumps(value, indent=indent, ensure_ascii=False))


if __name__ == "__main__":
    main()
