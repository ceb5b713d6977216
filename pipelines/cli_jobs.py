"""`gan jobs list|attach|logs|stop`: the jobs of a Ray cluster, whoever submitted them.

What is asked for goes to standard output, what a job says while it is followed to standard error.
"""

from __future__ import annotations

from typing import Annotated

import typer

from pipelines.options import JsonOption, ProfileOption, RayAddressOption
from pipelines.printed import print_json, print_table

HELP = """The jobs of a Ray cluster, whoever submitted them: list them, follow one to its end, read its log, stop it.

Example: gan jobs list --profile cluster
"""

jobs = typer.Typer(name="jobs", no_args_is_help=True, help=HELP)

NAME = "As `gan jobs list` prints it, or its beginning; of several attempts the newest"
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help=NAME, show_default=False)]
OfArgument = Annotated[str | None, typer.Argument(metavar="EXPERIMENT", help="Of this one alone.", show_default=False)]


@jobs.command("list")
def list_(
    experiment: OfArgument = None, profile: ProfileOption = None, ray_address: RayAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Jobs that the cluster knows, newest first: status, since when (UTC), stage, experiment.

    It knows those since its head was started; what they made is in the store.

    Example: gan jobs list digits --profile cluster
    """
    from pipelines.jobs import cluster, list_jobs

    api = cluster(profile, ray_address)
    found = list_jobs(api, experiment)
    if as_json:
        print_json([job.as_json() for job in found])
    elif not found:
        typer.echo(f"no jobs at {api.address}; the same option with `gan run EXPERIMENT.yaml` submits some", err=True)
    else:
        rows = [[job.name, job.status, f"{job.since[5:10]} {job.since[11:16]}"] for job in found]
        print_table(["job", "status", "since"], rows, whole=3)  # the name says experiment and stage


@jobs.command()
def attach(
    name: NameArgument, profile: ProfileOption = None, ray_address: RayAddressOption = None, as_json: JsonOption = False
) -> None:
    """Follows a job to its end, with all that it said so far, and ends with its exit code.

    Ctrl-C on a terminal asks whether to detach again or to stop the job; elsewhere it stops the job.

    Example: gan jobs attach gan-digits-train-0123456789abcdef-1 --profile cluster
    """
    from dataclasses import asdict

    from pipelines.interrupt import end_interrupted
    from pipelines.jobs import attach as follow
    from pipelines.jobs import cluster, find_job

    api = cluster(profile, ray_address)
    job = find_job(api, name)
    try:
        published = follow(api, job)
    except KeyboardInterrupt as stopped:
        end_interrupted(f"job {job.name} was stopped before it had anything to save", stopped)
    if as_json:
        ended = find_job(api, job.name).as_json()
        print_json({**ended, "published": None if published is None else asdict(published)})


@jobs.command()
def logs(
    name: NameArgument, profile: ProfileOption = None, ray_address: RayAddressOption = None, as_json: JsonOption = False
) -> None:
    """What a job said so far; `gan jobs attach` goes on until it ends.

    Example: gan jobs logs gan-digits-train-0123456789abcdef --profile cluster
    """
    from pipelines.jobs import cluster, find_job

    api = cluster(profile, ray_address)
    job = find_job(api, name)
    text = api.log(job.name)
    if as_json:
        print_json({**job.as_json(), "log": text})
    else:
        typer.echo(text, nl=False)


@jobs.command()
def stop(
    name: NameArgument, profile: ProfileOption = None, ray_address: RayAddressOption = None, as_json: JsonOption = False
) -> None:
    """Asks a job to stop, with a checkpoint where it trains; exit code 1 when it is not at work.

    Example: gan jobs stop gan-digits-train-0123456789abcdef-1 --profile cluster
    """
    from pipelines.jobs import cluster, find_job
    from pipelines.jobs import stop as ask

    api = cluster(profile, ray_address)
    job = find_job(api, name)
    ask(api, job)
    if as_json:
        print_json({**job.as_json(), "asked_to_stop": True})
    else:
        typer.echo(f"job {job.name} is asked to stop, with a checkpoint where it trains; the command that asked for it "
                   "goes on from there when it is given again", err=True)
