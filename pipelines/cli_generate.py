"""`gan generate`: synthetic data sets from a published generator."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from pipelines.cli_models import AddressArgument
from pipelines.interrupt import end_interrupted
from pipelines.options import DEFAULT_STORE, JsonOption, ProfileOption, RayAddressOption, StoreOption


class Precision(StrEnum):
    """Of the network's numbers."""

    float32 = "float32"
    float64 = "float64"


def generate(
    address: AddressArgument,
    out: Annotated[str, typer.Option("--out", metavar="URL|PATH", help="The folder to make.", show_default=False)],
    n: Annotated[int | None, typer.Option("--n", help="How many images; classes take turns.")] = None,
    label: Annotated[int | None, typer.Option("--label", help="With --n: the class of all images.")] = None,
    per_class: Annotated[int | None, typer.Option("--per-class", help="In place of --n: images of each class.")] = None,
    counts: Annotated[
        str | None, typer.Option("--counts", metavar="CLASS=IMAGES,…", help="In place of --n: images by class.")
    ] = None,
    fill: Annotated[
        str | None,
        typer.Option("--fill", metavar="SET", help="In place of --n: as many of each class as a prepared set lacks for "
                                                   "all to be as large as its largest; a folder of shards, or a set of "
                                                   "`gan dataset list`."),
    ] = None,
    attributes: Annotated[
        str | None,
        typer.Option("--attributes", metavar="NAME=VALUE,…", help="Attributes of all images; the others are drawn."),
    ] = None,
    truncation: Annotated[
        float | None, typer.Option("--truncation", help="The most that a number of the noise may be.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed makes other images.")] = 0,
    precision: Annotated[
        Precision, typer.Option("--precision", help="float64 makes the same pixels on every machine, several times "
                                                    "as slowly.")
    ] = Precision.float32,
    shard_images: Annotated[
        int | None, typer.Option("--shard-images", help="The most images in one file; without it, 64 MiB and at most "
                                                        "8,192 images.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Shards made at one time; without it, as the cluster has "
                                                          "CPUs, or one where little is to be made.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
    as_json: JsonOption = False,
) -> None:
    """Makes a data set of a published generator's images, as shards that everything here reads.

    The same command goes on after any interruption, and takes a second when all is there.  Which files come out depends
    on what is asked for, not on how many workers there are.

    Example: gan generate digits@champion --n 1000000 --out s3://bucket/synthetic/digits

    Example: gan generate digits@champion --per-class 5000 --out synthetic/even

    Example: gan generate digits@champion --counts 3=2000,8=500 --seed 7 --out synthetic/more

    Example: gan generate digits@champion --fill digits --out synthetic/rest

    Example: gan generate faces --n 50000 --attributes smiling=1 --truncation 1.5 --out synthetic/smiling
    """
    from gan_core.store import Store
    from pipelines.generate_order import Wish, counts_in
    from pipelines.generate_run import generate_set
    from pipelines.profile import load_profile

    wish = Wish(n=n, label=label, per_class=per_class, counts=counts_in(counts), fill=fill, attributes=attributes,
                truncation=truncation, seed=seed, precision=precision.value, shard_images=shard_images)
    try:
        made = generate_set(address, out, wish, store=Store(store), profile=load_profile(profile, ray_address),
                            workers=workers)
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command goes on with the shards that are missing", stopped)
    if as_json:
        typer.echo(json.dumps(made.as_json(), indent=1, ensure_ascii=False))
    else:
        made.say()
