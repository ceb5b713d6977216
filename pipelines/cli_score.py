"""`gan score`: which images are unlike what a published generator makes."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from gan_core import plugin_files
from pipelines.cli_models import AddressArgument
from pipelines.interrupt import end_interrupted
from pipelines.options import DEFAULT_STORE, JsonOption, PluginOption, SetOption, StoreOption


class Method(StrEnum):
    """How the generator's image that is nearest to an image is found."""

    encoder = "encoder"
    search = "search"


class Split(StrEnum):
    """Of a prepared set."""

    train = "train"
    validation = "validation"
    test = "test"


def score(
    address: AddressArgument,
    data: Annotated[str, typer.Option("--data", metavar="SET|FOLDER", show_default=False,
                                      help="An experiment's YAML file, a prepared set as `gan dataset show` takes it, "
                                           "or images.")],
    out: Annotated[str, typer.Option("--out", metavar="URL|PATH", help="The folder to make.", show_default=False)],
    split: Annotated[Split, typer.Option("--split", help="Of a prepared set.")] = Split.test,
    n: Annotated[int | None, typer.Option("--n", help="Score so many, spread evenly over all.")] = None,
    normal: Annotated[
        str | None, typer.Option("--normal", metavar="CLASS,…", help="The normal classes, where the set was prepared "
                                                                     "without prepare.normal.")
    ] = None,
    quantile: Annotated[
        float | None, typer.Option("--quantile", help="An image is abnormal above the score that this share of the "
                                                      "normal validation images is below; without it 0.95.")
    ] = None,
    threshold: Annotated[float | None, typer.Option("--threshold", help="In place of --quantile: that score.")] = None,
    method: Annotated[
        Method | None, typer.Option("--method", help="Without it the encoder where there is one, else a search.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Of the search for each image's latent vector.")] = 500,
    learning_rate: Annotated[float, typer.Option("--learning-rate", help="Of the search.")] = 0.02,
    weight: Annotated[
        float, typer.Option("--weight", min=0, max=1, help="Of the discriminator's features, in the search.")
    ] = 0.1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of where the search for each image begins.")] = 0,
    set_: SetOption = None,
    plugin: PluginOption = None,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Scores images by how unlike they are to what a published generator makes.

    Writes scores.parquet, a row for each image, and heat.png, which shows where
    images differ from the nearest that the generator makes.

    A model of recipe fanogan asks its encoder, any other without labels is
    searched, image by image (AnoGAN).

    The same command takes a second when the scores are there.

    Example: gan score digits_fanogan@champion --data digits_fanogan.yaml --out scores/test

    Example: gan score digits_fanogan@champion --data photographs/ --threshold 0.2 --out scores/new

    Example: gan score digits_wgan_gp --data digits --normal 8 --n 200 --steps 200 --out scores/searched
    """
    from gan_core.anomalies import Search
    from gan_core.config import validate
    from gan_core.store import Store
    from pipelines.score_run import Asked, score_images

    plugin_files.use(plugin or [])
    told = {"steps": steps, "learning_rate": learning_rate, "weight": weight, "seed": seed}
    asked = Asked(data, split.value, normal, n, None if method is None else method.value,
                  validate(Search, told, "gan score"), quantile, threshold, tuple(set_ or ()))
    try:
        made = score_images(address, out, asked, Store(store))
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command begins again", stopped)
    if as_json:
        typer.echo(json.dumps(made.as_json(), indent=1, ensure_ascii=False))
    else:
        made.say()
