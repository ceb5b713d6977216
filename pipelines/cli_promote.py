"""`gan models promote|rollback|history`: where an alias stands, moved by a person who says why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.options import DEFAULT_STORE, JsonOption, StoreOption
from pipelines.printed import print_json, print_table

if TYPE_CHECKING:
    from gan_core.addresses import Alias
    from gan_core.store import Store
    from pipelines.promote import Moved

VERSION = "NAME@0003 or NAME@latest in --store, or a URL ending in models/NAME@0003"
VersionArgument = Annotated[str, typer.Argument(metavar="NAME@VERSION", help=VERSION, show_default=False)]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="A model in --store.", show_default=False)]
ReasonOption = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why, for the history.", show_default=False)
]
AliasOption = Annotated[str, typer.Option("--alias", metavar="ALIAS", help="Which alias.")]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="VERSION", help="An earlier one than the one before.", show_default=False)
]
HistoryOption = Annotated[
    str | None, typer.Option("--alias", metavar="ALIAS", help="This one alone; all by default.", show_default=False)
]


def promote(
    version: VersionArgument,
    reason: ReasonOption,
    alias: AliasOption = "champion",
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Moves an alias to a version, whatever its gate said, once every byte of it has been read and found right.

    Who, when, why and from where are kept for good. Where the alias stands there already nothing is written.

    Example: gan models promote digits@0003 --reason "samples were looked at"
    """
    from gan_core.store import Store
    from pipelines import promote as operator

    _print_moved(operator.promote(Store(store), version, alias, reason), as_json)


def rollback(
    name: NameArgument,
    reason: ReasonOption,
    alias: AliasOption = "champion",
    to: ToOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Moves an alias back to the version it stood on before; again goes further back.

    What was rolled back from does not return until it is promoted again.

    Example: gan models rollback digits --reason "grey samples in class 3"

    Example: gan models rollback digits --to 0001 --reason "the last one that was reviewed"
    """
    from gan_core.store import Store
    from pipelines.promote import roll_back

    _print_moved(roll_back(Store(store), name, alias, reason, to), as_json)


def history(
    name: NameArgument, alias: HistoryOption = None, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False
) -> None:
    """Every move of a model's aliases, newest first: when, by whom, from which version to which, and why.

    Example: gan models history digits --alias champion
    """
    from gan_core.store import Store

    moves = list(_moves(Store(store), name, alias))
    if as_json:
        print_json(moves)
        return
    rows = [[m["alias"], m["when"], m["who"], f"{m['from'] or 'nothing'} → {m['to']}",
             f"rolled back: {m['why']}" if m["rollback"] else m["why"]] for m in moves]
    print_table(["alias", "when", "who", "from → to", "why"], rows)


def _moves(store: Store, name: str, alias: str | None) -> list[dict[str, Any]]:
    from pipelines.promote import histories
    from pipelines.promote import history as history_of

    found = {alias: history_of(store, name, alias)} if alias else histories(store, name)
    return [
        {"alias": one, "number": number, **_as_json(move)}
        for one, moves in found.items()
        for number, move in reversed(list(enumerate(moves, start=1)))
    ]


def _as_json(move: Alias) -> dict[str, Any]:
    return {"when": move.when, "who": move.who, "from": move.previous, "to": move.version, "why": move.why,
            "rollback": move.rollback}


def _print_moved(done: Moved, as_json: bool) -> None:
    move, address = done.move, f"{done.name}@{done.alias}"
    if as_json:
        print_json({"name": done.name, "alias": done.alias, "moved": done.moved, **_as_json(move)})
    elif done.moved:
        typer.echo(f"{address}: {move.previous or 'nothing'} → {move.version}")
    else:
        typer.echo(f"{address}: stands on {move.version} already, since {move.when} by {move.who}: {move.why}")
