"""`gan config show|schema`: an experiment's settings, what a step of it costs, and what can be set.

Settings go to standard output, as YAML or JSON; the table of costs goes to standard error.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from gan_core import plugin_files
from pipelines.options import (
    DEFAULT_STORE,
    ExperimentArgument,
    JsonOption,
    PluginOption,
    ProfileOption,
    SetOption,
    StoreOption,
)

config = typer.Typer(name="config", no_args_is_help=True, help="Experiments' settings: show, schema.")


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

    Example: gan config show configs/digits.yaml --set train.batch=64
    """
    import yaml

    from pipelines.run import with_profile

    plugin_files.use(plugin or [])
    settings = with_profile(experiment, set_ or [], profile)[0]
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
