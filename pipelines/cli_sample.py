"""`gan sample`: pictures, animations and numbers from published generators."""

from __future__ import annotations

from typing import Annotated

import typer

from gan_core.errors import ConfigError
from pipelines.cli_models import ADDRESS
from pipelines.options import DEFAULT_STORE, JsonOption, StoreOption
from pipelines.printed import print_json

MOST_SAMPLES = 10_000
GRID, STOPS = 64, 8  # images without --n; those that an interpolation goes through

AddressesArgument = Annotated[
    list[str], typer.Argument(metavar="ADDRESS...", help=f"{ADDRESS}; of several, images are mixed", show_default=False)
]
LabelOption = Annotated[
    int | None, typer.Option("--label", help="The class of all images; without it classes take turns.")
]
AttributesOption = Annotated[
    str | None,
    typer.Option("--attributes", metavar="NAME=VALUE,…", help="Attributes of all images; the others are drawn."),
]
TruncationOption = Annotated[
    float | None,
    typer.Option("--truncation", metavar="T", help="The most that a number of the noise may be: typical images in "
                                                   "place of varied ones. 0.7 is low."),
]
InterpolateOption = Annotated[
    int | None,
    typer.Option("--interpolate", metavar="STEPS", help="From image to image in so many steps each, and back to the "
                                                        "first; all of one class or the same attributes."),
]
SecondsOption = Annotated[
    float | None, typer.Option("--seconds", help="About how long a .gif takes to go round.", show_default=False)
]
ImagesOption = Annotated[
    str | None, typer.Option("--images", metavar="FILE|FOLDER", help="What a translating generator is to translate.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", metavar="a|b", help="The domain to translate to, or 0 and 1; without it b.")
]
WeightsOption = Annotated[
    str | None, typer.Option("--weights", metavar="W,W,…", help="How much of each generator; without it alike.")
]
AverageOption = Annotated[
    bool, typer.Option("--average", help="One generator of the average of their weights, in place of a mixture.")
]


def sample(
    addresses: AddressesArgument,
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="The file to write, here or at a store's URL: "
                                                                   ".png, .gif or .npy; of recordings "
                                                                   ".wav, of texts .txt.")],
    n: Annotated[int | None, typer.Option("--n", help=f"How many images, 1 to {MOST_SAMPLES:,}; without it {GRID}, "
                                                      f"and {STOPS} with --interpolate; at most those of --images.",
                                          show_default=False)] = None,
    label: LabelOption = None,
    attributes: AttributesOption = None,
    truncation: TruncationOption = None,
    interpolate: InterpolateOption = None,
    seconds: SecondsOption = None,
    images: ImagesOption = None,
    to: ToOption = None,
    weights: WeightsOption = None,
    average: AverageOption = False,
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same images on every machine.")
    ] = 0,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Draws images from published generators: a grid, an animation, or numbers.

    What is written goes by the file's name: .png is a grid of the images, .gif
    shows one after another, .npy holds them as uint8 of n x C x H x W. Of
    other kinds than images .wav holds recordings, .txt texts and .gif clips.

    `gan models show` says what a generator can be asked for.

    Example: gan sample digits@champion --n 64 --out grid.png

    Example: gan sample digits@champion --label 3 --seed 7 --out threes.png

    Example: gan sample digits@champion --truncation 0.7 --out typical.png

    Example: gan sample digits@champion --label 3 --interpolate 16 --out threes.gif

    Example: gan sample faces --attributes smiling=1,hair=2 --out smiling.png

    Example: gan sample digits@0001 digits@0002 --weights 0.7,0.3 --out mixed.png

    Example: gan sample horses2zebras --images horses/ --to b --out zebras.png
    """
    from gan_core.store import Store
    from pipelines.sample_run import Asked, sample_models

    count = n if n is not None else GRID if interpolate is None else STOPS
    _check(count, interpolate, len(addresses) > 1 and not average)
    asked = Asked(count, seed, label, attributes, truncation, interpolate, seconds, images, to, weights, average)
    used = sample_models(Store(store), addresses, asked, out)
    if as_json:
        print_json(used)
    else:
        typer.echo(f"{out}: {used['n'] * (interpolate or 1)} {used['noun']} of {used['uri']}", err=True)


def _check(n: int, steps: int | None, mixed: bool) -> None:
    """ConfigError for numbers of images or steps that cannot work, before anything slow begins."""
    if not 1 <= n <= MOST_SAMPLES:
        raise ConfigError(f"--n {n}: from 1 to {MOST_SAMPLES:,} images fit in a file; --n {GRID} works")
    if steps is None:
        return
    if mixed:
        raise ConfigError(f"--interpolate {steps}: goes through the noise of one generator, and several were named; "
                          "name one, or add --average")
    if n < 2 or steps < 2 or n * steps > MOST_SAMPLES:
        raise ConfigError(f"--n {n} --interpolate {steps}: two images and two steps are the least, and "
                          f"{MOST_SAMPLES:,} images in all the most; --n {STOPS} --interpolate 16 works")
