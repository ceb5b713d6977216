"""`gan explore`: what a published generator has learnt, as pictures of its latent space."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli_models import AddressArgument
from pipelines.cli_sample import AttributesOption
from pipelines.options import DEFAULT_STORE, JsonOption, StoreOption


def explore(
    address: AddressArgument,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where the pictures go.")],
    seed: Annotated[int, typer.Option("--seed", help="Whose latent vectors are shown; those of `gan sample`.")] = 0,
    label: Annotated[
        int | None, typer.Option("--label", help="The class of all images; without it classes take turns.")
    ] = None,
    attributes: AttributesOption = None,
    rows: Annotated[int, typer.Option("--rows", help="Strips and components, 1 to 20.")] = 8,
    columns: Annotated[int, typer.Option("--columns", help="Images in a row, 2 to 33.")] = 9,
    samples: Annotated[
        int | None,
        typer.Option("--samples", show_default=False, help="Latent vectors that directions are found from; without it "
                                                           "1,000, and more where z is long."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Draws the latent space of a published generator into a folder.

    Strips between latent vectors, the same vectors in every class, principal
    components, attributes, truncation; explore.json says what each shows.

    What a generator cannot have is left out, and the reason told.

    Example: gan explore digits@champion --out explored

    Example: gan explore digits --label 3 --seed 7 --rows 4 --out threes

    Example: gan explore faces --attributes smiling=1 --out smiling

    Example: gan explore s3://bucket/gans/models/digits@latest --out explored --json
    """
    from gan_core.addresses import resolve
    from gan_core.store import Store
    from pipelines.explore_run import Asked, check_out, explore_model, say

    check_out(out)
    place, prefix = resolve(address, Store(store))
    facts = explore_model(place, prefix, out, Asked(seed, label, attributes, rows, columns, samples))
    if as_json:
        typer.echo(json.dumps(facts, indent=1, ensure_ascii=False))
    else:
        say(facts, out)
