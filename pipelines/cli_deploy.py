"""`gan deploy` and `gan serve`: an experiment's deployment on Prefect's server, and what executes its runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan_core import plugin_files
from pipelines.interrupt import StopSignals, end_interrupted
from pipelines.options import (
    DEFAULT_STORE,
    ExperimentArgument,
    ExperimentsArgument,
    JsonOption,
    PluginOption,
    ProfileOption,
    RemakeOption,
    SetOption,
    StoreOption,
)

if TYPE_CHECKING:
    from pipelines.deploy import Change, Wanted

SERVE_ADVICE = "runs that it began go on with the next `gan serve`"
CronOption = Annotated[str | None, typer.Option("--cron", metavar="'M H D M W'", help="When, instead of the file's.")]
TimezoneOption = Annotated[str | None, typer.Option("--timezone", metavar="ZONE", help="Time zone of the cron.")]
IntervalOption = Annotated[
    str | None, typer.Option("--interval", metavar="30s|6h|1d", help="How often, instead of a cron.")
]


def deploy(
    experiment: ExperimentArgument,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    plugin: PluginOption = None,
    remake: RemakeOption = None,
    cron: CronOption = None,
    timezone: TimezoneOption = None,
    interval: IntervalOption = None,
    pool: Annotated[
        str | None, typer.Option("--pool", metavar="NAME", help="A work pool whose workers run it.")
    ] = None,
    pause: Annotated[bool | None, typer.Option(
        "--pause/--no-pause", help="Whether its schedule rests; without either it stays as it is.", show_default=False,
    )] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Registers an experiment with Prefect's server, or brings its deployment up to date.

    Its schedule is the file's block `schedule`, or what --cron or --interval say.
    Its runs are executed by `gan serve`, or by the workers of --pool.

    Example: gan deploy configs/digits.yaml --store s3://bucket/gans --cron "0 2 * * *" --timezone Europe/Berlin

    Example: gan deploy configs/digits.yaml --interval 6h --dry-run
    """
    from pipelines.automations import ensure_automations, wanted_automations
    from pipelines.deploy import apply, changes, check_pool, prefect_client, registered

    plugin_files.use(plugin or [])
    overrides = [*(set_ or []), *_schedule(cron, timezone, interval)]
    wanted = _wanted(experiment, store, overrides, profile, remake, pool, pause)
    with prefect_client() as client:
        if pool is not None:
            check_pool(client, pool)
        now = registered(client, wanted.name)
        found = changes(now, wanted)
        id_ = now.id if now is not None else None
        if found and not dry_run:
            id_ = apply(client, now, wanted)
        automations = ensure_automations(client, wanted_automations(client), dry_run=dry_run)
    status = "created" if now is None else "changed" if found else "unchanged"
    told = {"deployment": wanted.name, "id": None if id_ is None else str(id_), "status": status, "dry_run": dry_run,
            "automations": automations}
    (_print_json if as_json else _print_lines)(told, wanted, found, store)


def serve(
    experiments: ExperimentsArgument,
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    profile: ProfileOption = None,
    plugin: PluginOption = None,
) -> None:
    """Executes the runs of experiments' deployments on this machine, scheduled and triggered ones, until it is stopped.

    A deployment that is registered is taken as it is, its schedule too; one that is not is registered first.
    The server may be away for minutes, and a run whose process dies is started again.

    Ctrl-C or SIGTERM: runs at work make a checkpoint, and go on with the next `gan serve`.

    Example: gan serve configs/digits.yaml --store s3://bucket/gans
    """
    from pipelines.serve_start import serve_deployments

    plugin_files.use(plugin or [])
    wanted = [_wanted(path, store, set_ or [], profile, None, None, None) for path in experiments]
    try:
        with StopSignals(SERVE_ADVICE) as signals:
            serve_deployments(wanted, signals)
        signals.end_now()
    except KeyboardInterrupt as stopped:
        end_interrupted(SERVE_ADVICE, stopped)


def _wanted(
    path: str, store: str, overrides: list[str], profile: str | None, remake: list[str] | None, pool: str | None,
    paused: bool | None,
) -> Wanted:
    from pipelines.deploy import wanted_deployment
    from pipelines.profile import load_profile
    from pipelines.run import open_experiment

    opened = open_experiment(path, store, overrides, load_profile(profile), remake or [])
    return wanted_deployment(opened.experiment, opened.profile, store, sorted(opened.planner.remake), pool, paused)


def _schedule(cron: str | None, timezone: str | None, interval: str | None) -> list[str]:
    """The options as settings; one of cron and interval takes the place of the file's other."""
    given: dict[str, Any] = {"timezone": timezone} if timezone is not None else {}
    if cron is not None or interval is not None:
        given |= {"cron": cron, "interval": interval}
    return [f"schedule.{name}={json.dumps(value)}" for name, value in given.items()]


def _print_json(told: dict[str, Any], wanted: Wanted, found: list[Change], store: str) -> None:
    changed = [{"field": change.field, "before": change.before, "after": change.after} for change in found]
    typer.echo(json.dumps({**told, "schedule": wanted.schedule, "changes": changed}, ensure_ascii=False))


def _print_lines(told: dict[str, Any], wanted: Wanted, found: list[Change], store: str) -> None:
    """For a deployment that is new, what matters of it; for another, each field that changes."""
    from pipelines.show import console

    would = "would be " if told["dry_run"] and found else ""
    lines = [f"{wanted.name}  {would}{told['status']}  {told['id'] or ''}".rstrip()]
    if "://" not in store and not store.startswith(("/", "~")):
        lines.append(f"  store {store} is {wanted.store}, wherever a run is executed")
    if told["status"] == "created":
        runner = f"the workers of {wanted.pool}" if wanted.pool else "`gan serve`"
        lines.append(f"  schedule: {wanted.schedule}; executed by {runner}")
    else:
        lines += [f"  {change}" for change in found]
    lines += [f"  {line}" for line in told["automations"]]
    console().print("\n".join(lines), soft_wrap=True)
