"""`gan models mix`: several published versions as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gan_core import plugin_files
from gan_core.errors import GateRefused
from pipelines.interrupt import end_interrupted
from pipelines.options import DEFAULT_STORE, JsonOption, PluginOption, StoreOption
from pipelines.printed import print_json, print_table

if TYPE_CHECKING:
    from pipelines.mix_run import Mixed

VERSIONS = "NAME, NAME@latest or NAME@0003 in --store, or a URL ending in models/NAME@latest; two and more"
VersionsArgument = Annotated[
    list[str], typer.Argument(metavar="ADDRESS ADDRESS...", help=VERSIONS, show_default=False)
]


def mix(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of the mixture, as a model.", show_default=False)],
    addresses: VersionsArgument,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="W,W,…", help="How much of each version; without it alike.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="METRIC", help="In place of --weights: more of a version the "
                                                                "better it is by this.", show_default=False)
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    plugin: PluginOption = None,
    as_json: JsonOption = False,
) -> None:
    """Publishes several versions as one: each image is made by one of them, drawn by their weights.

    The version holds all parts' networks, so that it is whole without them. It is measured as the first of them was,
    and judged by that one's gate; exit code 3 where the gate refuses it. The same command again finds it done.

    Example: gan models mix digits_mixed digits@0001 digits@0002 --weights 0.7,0.3

    Example: gan models mix digits_mixed digits@0001 digits@0002 digits@0003 --by fd_domain
    """
    from gan_core.store import Store
    from pipelines.mix_run import mix as make
    from pipelines.run import make_ready
    from pipelines.sample_arguments import weights_in

    plugin_files.use(plugin or [])
    place = Store(store)
    make_ready(place)
    try:
        mixed = make(place, name, addresses, weights_in(weights, len(addresses)), by)
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command goes on with what is missing", stopped)
    if as_json:
        print_json(mixed.as_json())
    else:
        _say(mixed)
    if mixed.published.refusals:
        raise GateRefused("; ".join(mixed.published.refusals)
                          + f"; {mixed.published.uri} is published and not champion")


def _say(mixed: Mixed) -> None:
    from pipelines.intervals import bounded
    from pipelines.report_names import number

    print_table(["part", "share"], [[label, f"{share:.3f}"] for label, share in mixed.parts])
    typer.echo()
    print_table(["metric", "value"], [[name, bounded(found, number)] for name, found in mixed.metrics.items()])
    typer.echo()
    typer.echo(f"{mixed.published.uri}{'  champion' if mixed.champion else ''}")
