"""`gan store du|gc`: what a store holds, and removing what nothing needs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.options import DEFAULT_STORE, JsonOption, StoreOption

if TYPE_CHECKING:
    from pipelines.housekeeping import Item

DAYS = 7.0
KEPT = 1

HELP = """What a store holds, and removing what nothing needs.

Example: gan store gc --store s3://bucket/gans
"""

store_app = typer.Typer(name="store", no_args_is_help=True, help=HELP)

DaysOption = Annotated[float, typer.Option("--days", min=0, help="Only what was not written to for that long.")]
KeepOption = Annotated[
    int, typer.Option("--keep-checkpoints", min=0, help="Of each finished run: the newest ones that stay.")]


@store_app.command("du")
def du(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """How much lies where, and how much of it something needs.

    Example: gan store du --store ./store
    """
    from gan_core.store import Store
    from pipelines.housekeeping import survey

    items = survey(Store(store))
    if as_json:
        typer.echo(json.dumps([_plain(item) for item in items], indent=1))
        return
    kinds = dict.fromkeys(item.kind for item in items)
    rows = [[kind, *_sums([item for item in items if item.kind == kind])] for kind in kinds]
    _table(["kind", "artefacts", "files", "size", "not needed"], [*rows, ["all", *_sums(items)]])


@store_app.command("gc")
def gc(
    store: StoreOption = DEFAULT_STORE, days: DaysOption = DAYS, keep_checkpoints: KeepOption = KEPT,
    delete: Annotated[bool, typer.Option("--delete", help="Remove it; else it is only listed.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Lists what no version and no newest run was made from, and old checkpoints of finished runs; --delete removes it.

    Versions, aliases and records stay, and whatever was written to lately: pipelines may be at work.  Uploads that were
    begun that long ago and never ended are removed with it.

    Example: gan store gc --days 30 --keep-checkpoints 2 --delete
    """
    from gan_core.store import Store
    from pipelines.housekeeping import garbage, remove, survey, time_of

    place, age = Store(store), timedelta(days=days)
    now = time_of(place) if delete else datetime.now(UTC)
    found = garbage(survey(place, keep_checkpoints), age, now)
    removed = remove(place, found) if delete else []
    aborted = place.abort_uploads(age, now) if delete else 0
    if as_json:
        typer.echo(json.dumps({"found": [_plain(item) for item in found], "uploads_ended": aborted,
                               "removed": [item.prefix for item in removed]}, indent=1))
        return
    if found:
        _table(["not needed", "kind", "files", "size", "last written"],
               [[item.prefix, item.kind, f"{item.files:,}", size(item.bytes), f"{item.newest:%Y-%m-%d %H:%M}"]
                for item in found])
    total = size(sum(item.bytes for item in (removed if delete else found)))
    said = f"{len(removed)} removed, {total}" if delete else f"{len(found)} not needed for {days:g} days, {total}"
    typer.echo(said if delete or not found else f"{said}; --delete removes them", err=True)


def size(count: int) -> str:
    """Bytes as people read them."""
    from rich.filesize import decimal

    return decimal(count)


def _sums(items: Sequence[Item]) -> list[str]:
    needless = sum(item.bytes for item in items if not item.needed)
    return [f"{len(items):,}", f"{sum(item.files for item in items):,}", size(sum(item.bytes for item in items)),
            size(needless)]


def _plain(item: Item) -> dict[str, Any]:
    return {**asdict(item), "newest": item.newest.isoformat()}


def _table(head: list[str], rows: list[list[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, box=None, pad_edge=False, header_style="bold")
    table.columns[0].overflow = "fold"
    for column in table.columns[-3:]:
        column.justify = "right"
    for row in rows:
        table.add_row(*row)
    Console(markup=False, highlight=False).print(table)
