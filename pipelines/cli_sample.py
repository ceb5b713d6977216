"""`gan sample`: pictures from published generators."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan_core.errors import ConfigError
from pipelines.cli_models import ADDRESS
from pipelines.options import DEFAULT_STORE, JsonOption, StoreOption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gan_core.bundle import Generator
    from gan_core.mixture import Mixture
    from gan_core.store import Store

MOST_SAMPLES = 10_000

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
    out: Annotated[Path, typer.Option("--out", metavar="FILE.png", help="The picture to write.")],
    n: Annotated[int, typer.Option("--n", help=f"How many images, 1 to {MOST_SAMPLES:,}; at most as many as "
                                               "--images has.")] = 64,
    label: LabelOption = None,
    attributes: AttributesOption = None,
    images: ImagesOption = None,
    to: ToOption = None,
    weights: WeightsOption = None,
    average: AverageOption = False,
    seed: Annotated[
        int, typer.Option("--seed", help="The same seed gives the same picture on every machine.")
    ] = 0,
    store: StoreOption = DEFAULT_STORE,
    as_json: JsonOption = False,
) -> None:
    """Draws a grid of images from published generators.

    `gan models show` says what a generator can be asked for.

    Example: gan sample digits@champion --n 64 --out grid.png

    Example: gan sample digits@champion --label 3 --seed 7 --out threes.png

    Example: gan sample faces --attributes smiling=1,hair=2 --out smiling.png

    Example: gan sample digits@0001 digits@0002 --weights 0.7,0.3 --out mixed.png

    Example: gan sample horses2zebras --images horses/ --to b --out zebras.png
    """
    from gan_core.store import Store
    from pipelines.sample_arguments import attributes_in, domain, read_images, weights_in

    _check_picture(n, out)
    asked, shares = domain(to, label, images), weights_in(weights, len(addresses))
    places = _resolved(addresses, Store(store))
    source = _source(places, shares, average)  # torch takes seconds to import; wrong usage is told before
    one = _one_of(source)
    named = attributes_in(attributes, one.attributes, one.uri)
    given = read_images(images, n, one.translates, one.uri)
    count = n if given is None else len(given)
    made = source.sample(count, seed=seed, label=asked, attributes=named, images=given)
    _save(made, _columns(one, count, asked), out, one.uri)
    used = {"uri": source.uri, "out": str(out), "n": count, "seed": seed, "label": asked, "attributes": named,
            "images": images, "average": average, "generators": _used(places, shares)}
    if as_json:
        typer.echo(json.dumps(used, indent=1, ensure_ascii=False))
    else:
        typer.echo(f"{out}: {count} images of {source.uri}", err=True)


def _check_picture(n: int, out: Path) -> None:
    """ConfigError for a number of images or a file that cannot work, before anything slow begins."""
    from pipelines.pictures import check_png

    if not 1 <= n <= MOST_SAMPLES:
        raise ConfigError(f"--n {n}: from 1 to {MOST_SAMPLES:,} images fit in a grid; --n 64 works")
    check_png(out)


def _resolved(addresses: list[str], store: Store) -> list[tuple[Store, str]]:
    from gan_core.addresses import resolve

    return [resolve(address, store) for address in addresses]


def _source(places: list[tuple[Store, str]], weights: list[float] | None, average: bool) -> Generator | Mixture:
    """The generator of one address; of several, their mixture or average."""
    from gan_core.bundle import read_generator
    from gan_core.mixture import Mixture, averaged

    generators = [read_generator(store, prefix) for store, prefix in places]
    if len(generators) == 1:
        return generators[0]
    return averaged(generators, weights) if average else Mixture.of(generators, weights)


def _one_of(source: Generator | Mixture) -> Generator:
    """A generator that is asked for like all of them."""
    from gan_core.mixture import Mixture

    return source.generators[0] if isinstance(source, Mixture) else source


def _used(places: list[tuple[Store, str]], weights: list[float] | None) -> list[dict[str, Any]]:
    return [{"uri": store.uri(prefix), "weight": weight}
            for (store, prefix), weight in zip(places, weights or [1.0] * len(places), strict=True)]


def _save(images: NDArray[np.uint8], columns: int, out: Path, uri: str) -> None:
    from gan_core.pictures import grid
    from pipelines.pictures import save_png

    if images.shape[1] not in (1, 3):
        raise ConfigError(f"{uri}: makes images of {images.shape[1]} channels, a grid has 1 or 3; "
                          "sample it in Python with gan_core.bundle.load_generator")
    save_png(grid(images, columns), out)


def _columns(generator: Generator, n: int, label: int | None) -> int:
    """One column a class where classes take turns and fill a row, else about square."""
    if label is None and generator.translates is None and 0 < generator.classes <= n:
        return generator.classes
    return math.ceil(math.sqrt(n))
