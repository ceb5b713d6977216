"""`gan models pull`: a published version downloaded into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.options import DEFAULT_STORE, JsonOption, StoreOption
from pipelines.printed import print_json

ADDRESS = "NAME, NAME@latest or NAME@0003 in --store, or a URL ending in models/NAME@latest"


def pull(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help=ADDRESS, show_default=False)],
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="A folder that is new or empty.")],
    only: Annotated[
        str | None,
        typer.Option("--only", metavar="generator", help="What samples need alone, with metrics and model card."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Downloads a version into a folder, whole or not at all; every sha256 is compared.

    The folder is an address of its own: it is sampled, shown and verified without
    the store. Nothing is done where it holds the version already.

    Example: gan models pull s3://bucket/gans/models/digits@champion --to digits

    Example: gan models pull digits@0003 --only generator --to digits-3
    """
    from gan_core.addresses import resolve
    from gan_core.store import Store
    from pipelines.pull import pull as fetch

    pulled = fetch(*resolve(address, Store(store)), to, only)
    files = pulled.manifest.files
    size = sum(file.size for file in files)
    if as_json:
        print_json({"uri": pulled.uri, "folder": str(to), "fetched": pulled.fetched, "bytes": size,
                    "files": [file.path for file in files]})
        return
    what = f"{len(files)} files, {size:,} bytes" if pulled.fetched else "all of it is there already"
    typer.echo(f"{to}: {what} of {pulled.uri}; gan sample {_as_address(to)} --out grid.png", err=True)


def _as_address(folder: Path) -> str:
    """As commands take it: a path with a / in it is not a name in a store."""
    text = str(folder)
    return text if "/" in text else f"./{text}"
