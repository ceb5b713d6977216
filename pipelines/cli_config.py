"""`gan config show|diff|schema`: an experiment's settings, what a step of it costs, how two differ, what can be set.

Settings go to standard output, as YAML or JSON; the table of costs goes to standard error.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer

from gan_core import plugin_files
from pipelines.options import (
    DEFAULT_STORE,
    SETTINGS,
    ExperimentArgument,
    JsonOption,
    PluginOption,
    ProfileOption,
    SetOption,
    StoreOption,
    settings_of_environment,
)

SideArgument = Annotated[
    str, typer.Argument(metavar="YAML|ADDRESS", show_default=False,
                        help="An experiment's file, a published version (digits@champion), or a run of the store "
                             "(experiments/NAME/TIME.json).")
]

config = typer.Typer(name="config", no_args_is_help=True, help="Experiments' settings: show, diff, schema.")


@config.command()
def show(
    experiment: ExperimentArgument,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    plugin: PluginOption = None,
    cost: Annotated[bool, typer.Option("--cost/--no-cost", help="Count what a step takes: a few seconds.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Prints every setting of an experiment, defaults included, and what a training step of it costs.

    The cost is counted, nothing is run or prepared.  With --json it is under `cost`, null where it cannot be counted.
    What the environment and the profile set is told on standard error.

    Example: gan config show configs/digits.yaml --set train.batch=64
    """
    import yaml

    from pipelines.profile import load_profile
    from pipelines.run import with_profile

    plugin_files.use(plugin or [])
    where_to_run = load_profile(profile)
    settings = with_profile(experiment, set_ or [], where_to_run)
    _tell_overrides(where_to_run.overrides)
    if not as_json:
        typer.echo(yaml.safe_dump(settings.as_json(), sort_keys=False, allow_unicode=True), nl=False)
        if cost:
            from pipelines.show_cost import show_cost

            show_cost(settings, store)
        return
    counted = {}
    if cost:
        from pipelines.show_cost import cost_or_none

        counted = {"cost": cost_or_none(settings, store)}
    _print_json({**settings.as_json(), **counted})


def _tell_overrides(of_profile: list[str]) -> None:
    """What is set neither in the file nor on the command line, and where; the later goes before the earlier."""
    for source, settings in {"the profile": of_profile, SETTINGS: settings_of_environment()}.items():
        for setting in settings:
            typer.echo(f"{setting}  (from {source})", err=True)


@config.command()
def diff(
    a: SideArgument,
    b: SideArgument,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Says which settings of two experiments differ, defaults included, and which stages that makes anew.

    --set and --profile are of files; what was published or has run stays as it is.

    Example: gan config diff digits@champion configs/digits.yaml --set train.batch=64
    """
    from gan_core.store import Store
    from pipelines.config_diff import differences, settled, stages_anew
    from pipelines.show_diff import show_diff

    plugin_files.use(plugin or [])
    left, right = (settled(side, Store(store), set_ or [], profile) for side in (a, b))
    found, anew = differences(left, right), stages_anew(left, right)
    if as_json:
        _print_json({"differences": [asdict(one) for one in found], "stages": anew})
    else:
        show_diff(a, b, found, anew)


@config.command()
def schema(
    source: Annotated[str, typer.Option(help="The data set whose options `data` has.")] = "digits",
    recipe: Annotated[str, typer.Option(help="The GAN system whose options `model` has.")] = "dcgan",
) -> None:
    """Prints the JSON schema of an experiment, for editors.

    Example: gan config schema > digits.schema.json
    """
    from gan_core.config import experiment_class

    _print_json(experiment_class(source, recipe).model_json_schema())


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
