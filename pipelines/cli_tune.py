"""`gan tune`: searches an experiment's settings, and `gan tune status|attach|stop` of a search that is at work."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gan_core import plugin_files
from pipelines.interrupt import end_interrupted
from pipelines.options import (
    DEFAULT_STORE,
    ExperimentArgument,
    JsonOption,
    PluginOption,
    ProfileOption,
    RayAddressOption,
    RemakeOption,
    SetOption,
    StoreOption,
)
from pipelines.printed import print_json, print_outcome

SEARCH = "search"  # the command that `gan tune EXPERIMENT` means
HELP = """Searches what the experiment's `tune:` block says; the best settings are trained at full length and published.

The same command goes on after any interruption: ended trials are kept, the others go on from their checkpoints.
`gan tune search --help` has its options.

Example: gan tune configs/tune/digits_dcgan.yaml --store ./store

Example: gan tune status configs/tune/digits_dcgan.yaml
"""
GOES_ON = "the same command goes on: ended trials are kept, the others go on from their checkpoints"


class SearchFirst(TyperGroup):
    """`gan tune EXPERIMENT` is `gan tune search EXPERIMENT`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The named command, or else the search."""
        if args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [SEARCH, *args]
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Options before the experiment belong to the search too."""
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = [SEARCH, *args]
        return super().parse_args(ctx, args)


tune = typer.Typer(name="tune", cls=SearchFirst, no_args_is_help=True, help=HELP)
PublishOption = Annotated[
    bool, typer.Option("--publish/--no-publish", help="Whether the best settings are trained at full length, evaluated "
                                                      "and published.")
]
ResumeOption = Annotated[bool, typer.Option("--resume", help="Refuse to begin a search anew.")]
YamlOption = Annotated[
    int | None, typer.Option("--yaml", metavar="TRIAL", min=0, show_default=False,
                             help="Print the settings of one trial as an experiment instead.")
]
DetachOption = Annotated[bool, typer.Option("--detach", help="Go on in the background; the terminal may be closed.")]


@tune.command(SEARCH)
def search(
    experiment: ExperimentArgument,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
    plugin: PluginOption = None,
    remake: RemakeOption = None,
    publish: PublishOption = True,
    resume: ResumeOption = False,
    detach: DetachOption = False,
    as_json: JsonOption = False,
) -> None:
    """Searches; `gan tune EXPERIMENT` means this.

    Example: gan tune configs/tune/digits_dcgan.yaml --set tune.samples=64 --set tune.time_budget=30m
    """
    plugin_files.use(plugin or [])
    if detach:
        from pipelines.tuning.detached import begin_detached

        begin_detached(experiment, store)
        return
    from pipelines.profile import load_profile
    from pipelines.tuning.run import publish_best, tune_experiment

    try:
        where = load_profile(profile, ray_address)
        opened, outcome = tune_experiment(experiment, store, set_ or [], where, remake or [], resume)
        if outcome.error is not None or outcome.search is None or not publish:
            print_outcome(outcome, as_json)
            return
        published = publish_best(opened, outcome.search)
    except KeyboardInterrupt as stopped:
        end_interrupted(GOES_ON, stopped)
    if as_json:
        print_json({**outcome.as_json(), "best": published.as_json()})
    print_outcome(published, as_json=False)


@tune.command()
def status(
    experiment: ExperimentArgument,
    store: StoreOption = DEFAULT_STORE,
    yaml: YamlOption = None,
    as_json: JsonOption = False,
) -> None:
    """How the newest search of an experiment stands, and the best so far; from the store alone, on any machine.

    Example: gan tune status configs/tune/digits_dcgan.yaml --json

    Example: gan tune status configs/tune/digits_dcgan.yaml --yaml 7 > trial-7.yaml
    """
    from pipelines.tuning.standing import show_standing, trial_yaml

    if yaml is not None:
        typer.echo(trial_yaml(experiment, store, yaml), nl=False)
        return
    show_standing(experiment, store, as_json)


@tune.command()
def attach(experiment: ExperimentArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Follows a search that is at work, wherever it is, until it ends; Ctrl-C ends the following alone.

    Example: gan tune attach configs/tune/digits_dcgan.yaml
    """
    from pipelines.tuning.standing import follow

    try:
        follow(experiment, store)
    except KeyboardInterrupt as stopped:
        end_interrupted("the search goes on; the same command follows it again", stopped)


@tune.command()
def stop(experiment: ExperimentArgument, store: StoreOption = DEFAULT_STORE) -> None:
    """Has a search stop, wherever it is; `gan tune EXPERIMENT` goes on with it.

    Example: gan tune stop configs/tune/digits_dcgan.yaml
    """
    from pipelines.tuning.standing import stop_search

    stop_search(experiment, store)
