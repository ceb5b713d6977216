"""`gan dataset list|new|check|prepare|show`: what there is, what is wrong with it, and what is made of it.

JSON goes to standard output and is all that goes there with --json; without it tables and findings do.  Progress and
remarks go to standard error.
"""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer

from gan_core import plugin_files
from pipelines.interrupt import end_interrupted
from pipelines.options import (
    DEFAULT_STORE,
    JsonOption,
    PluginOption,
    ProfileOption,
    RayAddressOption,
    StoreOption,
)

HELP = """Data sets: what can be read, what is wrong with one, and what is prepared.

Example: gan dataset check --source image_folder --url data/flags
"""

dataset = typer.Typer(name="dataset", no_args_is_help=True, help=HELP)

ExperimentArgument = Annotated[
    str | None, typer.Argument(metavar="EXPERIMENT", help="YAML file; or --source.", show_default=False)
]
SourceOption = Annotated[
    str | None, typer.Option("--source", metavar="NAME", help="A source of `gan dataset list`.", show_default=False)
]
UrlOption = Annotated[
    str | None, typer.Option("--url", metavar="URL|PATH", help="Where the source's data is.", show_default=False)
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="a.b=c", help="One setting; with --source, option=value too.  Repeatable."),
]

@dataset.command("list")
def list_datasets(store: StoreOption = DEFAULT_STORE, plugin: PluginOption = None, as_json: JsonOption = False) -> None:
    """The sources that can be named in an experiment, and the sets prepared in the store.

    Example: gan dataset list --store s3://bucket/gans
    """
    from gan_core.store import Store
    from pipelines.datasets import prepared_sets, sources
    from pipelines.show_datasets import prepared_table, sources_table

    plugin_files.use(plugin or [])
    place = Store(store)
    known, prepared = sources(), prepared_sets(place)
    if as_json:
        _print_json({"sources": known, "prepared": [one.as_json() for one in prepared]})
        return
    sources_table(known)
    typer.echo()
    if prepared:
        prepared_table(prepared)
    else:
        typer.echo(f"nothing is prepared in {place.url} yet; `gan dataset prepare` does it", err=True)


@dataset.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower-case letters, digits and _.")],
    folder: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where to write the two files.")] = Path(),
) -> None:
    """Writes a plug-in to begin with, and its test, which passes as it stands.

    Example: gan dataset new my_flags
    """
    from pipelines.new_dataset import write_plug_in

    plug_in, test = write_plug_in(name, folder)
    for line in (
        f"wrote {plug_in} and {test}",
        f"say in {plug_in.name} how your data is read, and then:",
        f"  pytest {test}",
        f"  gan dataset check --plugin {plug_in} --source {name} --url DATA",
        f"  gan dataset prepare --plugin {plug_in} --source {name} --url DATA",
        f"  gan run EXPERIMENT.yaml --plugin {plug_in}",
        f"where EXPERIMENT.yaml has data: {{source: {name}, root: DATA}}",
    ):
        typer.echo(line)


@dataset.command()
def check(
    experiment: ExperimentArgument = None,
    source: SourceOption = None,
    url: UrlOption = None,
    set_: SetOption = None,
    plugin: PluginOption = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Items of each split to look at; all without it.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="For contact sheet and card; checks/NAME without it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Says what is wrong with a data set before anything runs on it.

    Exit code 1 when it should not be trained on as it is.

    Example: gan dataset check --source image_folder --url data/flags --set prepare.transforms="[{resize: 32}]"
    """
    from pipelines.check_run import check_dataset
    from pipelines.dataset_address import experiment_at
    from pipelines.profile import Profile

    plugin_files.use(plugin or [])
    found = experiment_at(experiment, source, url, set_ or [], Profile())
    with redirect_stdout(sys.stderr):  # what a plug-in prints
        checked = check_dataset(found, out or Path("checks") / found.name, limit)
    if as_json:
        _print_json(checked.as_json())
    else:
        checked.say()
    if checked.report.verdict == "refuse":
        raise typer.Exit(1)


@dataset.command()
def prepare(
    experiment: ExperimentArgument = None,
    source: SourceOption = None,
    url: UrlOption = None,
    set_: SetOption = None,
    plugin: PluginOption = None,
    store: StoreOption = DEFAULT_STORE,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that write shards; all CPUs without it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Writes a data set as shards; `gan run` finds them.  The same command goes on after any interruption.

    Example: gan dataset prepare configs/digits.yaml --store ./store
    """
    from gan_core.store import Store
    from pipelines.dataset_address import experiment_at
    from pipelines.plan import Planner
    from pipelines.prepare_run import prepare_dataset, record_prepared, say_prepared
    from pipelines.profile import load_profile
    from pipelines.run import Opened

    plugin_files.use(plugin or [])
    where = load_profile(profile, ray_address)
    found, place = experiment_at(experiment, source, url, set_ or [], where), Store(store)
    opened = Opened(found, where, place, Planner(place, found))
    try:
        with redirect_stdout(sys.stderr):  # what a plug-in prints
            prepared = prepare_dataset(opened, workers)
            record_prepared(opened, prepared.status, prepared.seconds)
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command goes on with the shards that are missing", stopped)
    if as_json:
        _print_json(prepared.as_json())
    else:
        say_prepared(place, prepared)


@dataset.command()
def show(
    address: Annotated[
        str,
        typer.Argument(metavar="ADDRESS", help="The key of a prepared set or its beginning, an experiment's name, a "
                                               "source, a URL, or an experiment's YAML file.", show_default=False),
    ],
    store: StoreOption = DEFAULT_STORE,
    set_: SetOption = None,
    plugin: PluginOption = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.png", help="The preview; preview-KEY.png without it.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What a prepared set holds, who uses it, and a picture of some of its examples.

    Example: gan dataset show digits --out preview.png
    """
    from gan_core.store import Store
    from pipelines.show_datasets import show_dataset

    plugin_files.use(plugin or [])
    shown = show_dataset(address, Store(store), set_ or [], out)
    if as_json:
        _print_json(shown.as_json())
    else:
        shown.say()


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
