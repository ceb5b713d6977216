"""`gan sample`: pictures, animations and numbers from published generators."""

from __future__ import annotations

from typing import Annotated

import typer

from gan_core.errors import ConfigError, DataError
from pipelines.cli_models import ADDRESS
from pipelines.interrupt import end_interrupted
from pipelines.options import DEFAULT_STORE, JsonOption, ProfileOption, RayAddressOption, StoreOption
from pipelines.printed import print_json

MOST_SAMPLES = 10_000
NOT_OF_INPUT = ("--n", "--label", "--attributes", "--truncation", "--interpolate", "--seconds", "--images", "--to",
                "--weights", "--average")
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
InputOption = Annotated[
    str | None, typer.Option("--input", metavar="FILE|FOLDER", help="Translated to --out, an image file of its own for "
                                                                    "each; here or at any URL.")
]
DirectionOption = Annotated[
    str | None, typer.Option("--direction", metavar="a2b|b2a", help="Of --input; without it a2b, or what the generator "
                                                                    "has learned.")
]
ResizeOption = Annotated[
    bool, typer.Option("--resize", help="Of --input: brings images of another size or mode to the generator's.")
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, help="Of --input: parts of a folder translated at one time; without "
                                                      "it, as the cluster has CPUs, or one where little is to do.")
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
    input_: InputOption = None,
    direction: DirectionOption = None,
    resize: ResizeOption = False,
    workers: WorkersOption = None,
    weights: WeightsOption = None,
    average: AverageOption = False,
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same images on every machine.")
    ] = 0,
    store: StoreOption = DEFAULT_STORE,
    profile: ProfileOption = None,
    ray_address: RayAddressOption = None,
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

    Example: gan sample edges2shoes --input edges/ --out shoes/
    """
    if input_ is not None:
        _refuse_beside_input(n, label, attributes, truncation, interpolate, seconds, images, to, weights, average,
                             len(addresses))
        _translate(addresses[0], out, input_, direction, resize, workers, store, profile, ray_address, as_json)
        return
    for option, given in (("--direction", direction), ("--resize", resize), ("--workers", workers)):
        if given:
            raise ConfigError(f"{option}: is of --input, which is left out; --input FOLDER --out FOLDER works")
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


def _refuse_beside_input(*given: object) -> None:
    """ConfigError for an option that says nothing of a file that is translated.  given: in the order of NOT_OF_INPUT,
    then how many generators.
    """
    for option, value in zip(NOT_OF_INPUT, given[:-1], strict=True):
        if value not in (None, False):
            raise ConfigError(f"{option}: says nothing of --input, whose images are translated one by one; leave it "
                              "out")
    if given[-1] != 1:
        raise ConfigError(f"--input: {given[-1]} generators are named, and one translates; name one")


def _translate(
    address: str, out: str, source: str, direction: str | None, resize: bool, workers: int | None, store: str,
    profile: str | None, ray_address: str | None, as_json: bool,
) -> None:
    from gan_core.store import Store
    from pipelines.profile import load_profile
    from pipelines.translate_run import Asked, bad_at_the_end, translate

    try:
        done = translate(Store(store), address, Asked(source, out, direction, resize, workers),
                         load_profile(profile, ray_address))
    except KeyboardInterrupt as stopped:
        end_interrupted("the same command goes on with the files that are missing", stopped)
    if as_json:
        print_json(done.as_json())
    else:
        done.say()
    if done.bad:
        raise DataError(bad_at_the_end(done.bad))
