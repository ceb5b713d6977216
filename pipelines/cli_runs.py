"""`gan runs list|show|logs|cancel|retry`: the runs of a store, whichever machine they are on.

What is asked for goes to standard output, remarks to standard error.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gan_core import plugin_files
from pipelines.interrupt import end_interrupted
from pipelines.options import DEFAULT_STORE, JsonOption, PluginOption, StoreOption
from pipelines.printed import print_json, print_outcome, print_table

if TYPE_CHECKING:
    from gan_core.store import Store
    from pipelines.runs import Listed

HELP = """The runs of a store, on all machines that share it: list them, show one, read its log, stop it, do it again.

Example: gan runs list digits
"""

runs = typer.Typer(name="runs", no_args_is_help=True, help=HELP)

RUN = "As `gan runs list` prints it, or its beginning, or EXPERIMENT@latest"
RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=RUN, show_default=False)]
OfArgument = Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="Of this one alone.", show_default=False)]
LimitOption = Annotated[int, typer.Option("--limit", metavar="N", min=1, help="The newest so many.")]
FollowOption = Annotated[bool, typer.Option("--follow", help="Go on until the run ends.")]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for its log.", show_default=False)]
FromOption = Annotated[
    str | None, typer.Option("--from", metavar="STAGE", help="Make this stage and those after it anew.",
                             show_default=False)
]


@runs.command("list")
def list_(
    experiment: OfArgument = None,
    store: StoreOption = DEFAULT_STORE,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """Runs, newest first, named by when they started (UTC): state, time taken, stage at work, version published.

    A run whose process died without a word is lost. To know that of another machine's takes up to half a minute.

    Example: gan runs list digits --limit 5
    """
    from gan_core.store import Store
    from pipelines.runs import as_json as facts
    from pipelines.runs import list_runs

    place = Store(store)
    listed = list_runs(place, experiment, limit)
    if as_json:
        print_json([facts(place, run) for run in listed])
    elif not listed:
        typer.echo(f"no runs in {place.url} yet; `gan run EXPERIMENT.yaml` makes one", err=True)
    else:
        head = ["run", "state", "seconds", "stage", "version", "by"]
        print_table(head, [_row(place, run) for run in listed], whole=5)


@runs.command()
def show(run: RunArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """One run: how it stands, what each stage did, and why it did not end well.

    Example: gan runs show digits@latest --json
    """
    from gan_core.store import Store
    from pipelines.runs import as_json as facts
    from pipelines.runs import find_run

    place = Store(store)
    found = find_run(place, run)
    told = facts(place, found)
    if as_json:
        more = found.record.model_dump(mode="json", include={"results", "profile", "remake"})
        print_json({**told, **more, "settings": found.record.experiment})
        return
    for name, value in told.items():
        if value not in ("", None, 0):
            typer.echo(f"{name:<11} {value}")
    if found.record.results:
        typer.echo()
        print_table(["stage", "status", "seconds", "made"],
                    [[one.name, one.status, f"{one.seconds:.1f}", one.uri] for one in found.record.results])


@runs.command()
def logs(run: RunArgument, store: StoreOption = DEFAULT_STORE, follow: FollowOption = False) -> None:
    """What a run said, a line at a time with the time in UTC; its beginning and end where that was very much.

    Example: gan runs logs digits@latest --follow
    """
    from gan_core.store import Store
    from pipelines.runs import find_run, follow_log, log_of

    place = Store(store)
    found = find_run(place, run)
    for text in follow_log(place, found) if follow else [log_of(place, found)]:
        typer.echo(text, nl=False)


@runs.command()
def cancel(run: RunArgument, store: StoreOption = DEFAULT_STORE, reason: ReasonOption = "no reason given") -> None:
    """Asks a run to stop, on whichever machine it is; where it trains it makes a checkpoint first.

    Exit code 1 when it is not running.

    Example: gan runs cancel digits@latest --reason "the learning rate is wrong"
    """
    from gan_core.store import Store
    from pipelines.holders import BEATS
    from pipelines.runs import cancel as ask
    from pipelines.runs import find_run

    place = Store(store)
    found = find_run(place, run)
    holder = ask(place, found, reason)
    typer.echo(f"{found.name}: process {holder.pid} on {holder.host} is asked to stop; it hears of it within "
               f"{holder.lease / BEATS:g} s, makes a checkpoint where it trains, and ends with status 143; "
               f"`gan runs retry {found.name} --store {place.url}` goes on from there", err=True)


@runs.command()
def retry(
    run: RunArgument,
    store: StoreOption = DEFAULT_STORE,
    from_: FromOption = None,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Runs a recorded run's experiment again, here, with the settings and the profile that it had.

    What is done already is found done; --from makes a stage anew in any case.

    Example: gan runs retry digits@latest --from evaluate
    """
    from gan_core.store import Store
    from pipelines.runs import find_run
    from pipelines.runs import retry as again

    plugin_files.use(plugin or [])
    place = Store(store)
    try:
        outcome = again(place, find_run(place, run), from_)
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command goes on from the newest checkpoint", stopped)
    print_outcome(outcome, as_json)


def _row(store: Store, run: Listed) -> list[str]:
    """A run's name to the second, which is when it started: enough to find it by."""
    from pipelines.runs import position

    record, done = run.record, position(store, run)
    images = record.experiment.get("train", {}).get("images", 0)
    stage = record.stage if done is None else f"{record.stage} {done:,}/{images:,}"
    by = f"{record.by} on {record.host}" if record.host else ""
    return [run.name.partition(".")[0], run.state.upper(), f"{run.seconds:.0f}", stage,
            record.published.rpartition("/")[2], by]
