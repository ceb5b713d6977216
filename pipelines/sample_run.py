"""`gan sample`: published generators are read and asked, and their images written into one file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gan_core.addresses import resolve
from gan_core.store import Store
from pipelines.sample_arguments import attributes_in, domain, read_images, weights_in
from pipelines.sample_files import Target, check_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gan_core.bundle import Generator
    from gan_core.mixture import Mixture
    from gan_core.modalities.modality import FileKind

Places = list[tuple[Store, str]]


@dataclass(frozen=True)
class Asked:
    """What `gan sample` was asked for, as on its command line; its help says what each is."""

    n: int
    seed: int
    label: int | None = None
    attributes: str | None = None
    truncation: float | None = None
    interpolate: int | None = None
    seconds: float | None = None
    images: str | None = None
    to: str | None = None
    weights: str | None = None
    average: bool = False


@dataclass(frozen=True)
class Drawn:
    """Images, or examples of another kind as they are stored, the n of them that were asked for, by what, and how many
    stand in a row of a grid.
    """

    n: int
    images: NDArray[Any]
    columns: int
    label: int | None
    attributes: dict[str, float] | None


def sample_models(store: Store, addresses: Sequence[str], asked: Asked, out: str) -> dict[str, Any]:
    """Writes the images of the generators at `addresses` to `out`.  Returns what was used, as --json tells it."""
    from gan_core.modalities.modality import Layout

    target = Target(out)
    target.check()
    label, shares = domain(asked.to, asked.label, asked.images), weights_in(asked.weights, len(addresses))
    places = [resolve(address, store) for address in addresses]
    source = _source(places, shares, asked.average)  # torch takes seconds to import; wrong usage is told before
    one = _one_of(source)
    kind = target.kind(one.spec.modality, one.uri)
    if asked.interpolate:
        drawn = _interpolated(one, label, asked, asked.interpolate, out)
    else:
        drawn = _sampled(source, label, asked, out)
    target.write(kind.encode(drawn.images, Layout(drawn.columns, _seconds(asked, kind, len(drawn.images)))))
    return {
        "uri": source.uri, "out": out, "n": drawn.n, "seed": asked.seed, "label": drawn.label,
        "attributes": drawn.attributes, "truncation": asked.truncation, "interpolate": asked.interpolate,
        "images": asked.images, "average": asked.average, "generators": _used(places, shares),
        "noun": one.spec.modality.noun,
    }


def _source(places: Places, weights: list[float] | None, average: bool) -> Generator | Mixture:
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


def _sampled(source: Generator | Mixture, label: int | None, asked: Asked, out: str) -> Drawn:
    """Images each by itself."""
    one = _one_of(source)
    attributes = attributes_in(asked.attributes, one.attributes, one.uri)
    given = read_images(asked.images, asked.n, one.translates, one.uri)
    count = asked.n if given is None else len(given)
    check_frames(out, one.spec.modality, count, asked.seconds)
    made = source.sample(count, seed=asked.seed, label=label, attributes=attributes, images=given,
                         truncation=asked.truncation)
    return Drawn(count, made, _columns(one, count, label), label, attributes)


def _interpolated(
    generator: Generator, label: int | None, asked: Asked, steps: int, out: str
) -> Drawn:
    """From image to image, a row of a grid for each stretch."""
    from gan_core.interpolation import first_asked, interpolated, refuse_still

    refuse_still(generator, asked.n)
    read_images(asked.images, asked.n, generator.translates, generator.uri)  # refused where some are named
    attributes = attributes_in(asked.attributes, generator.attributes, generator.uri)
    check_frames(out, generator.spec.modality, asked.n * steps, asked.seconds)
    fixed = first_asked(generator, asked.seed, label, attributes)
    made = interpolated(generator, asked.n, steps, seed=asked.seed, label=fixed.label, attributes=fixed.attributes,
                        truncation=asked.truncation)
    return Drawn(asked.n, made, steps, fixed.label, fixed.attributes)


def _seconds(asked: Asked, kind: FileKind, examples: int) -> float:
    if asked.seconds is not None:
        return asked.seconds
    return kind.turns(examples) * (kind.step if asked.interpolate else kind.still)


def _columns(generator: Generator, n: int, label: int | None) -> int:
    """One column a class where classes take turns and fill a row, else about square."""
    if label is None and generator.translates is None and 0 < generator.classes <= n:
        return generator.classes
    return math.ceil(math.sqrt(n))


def _used(places: Places, weights: list[float] | None) -> list[dict[str, Any]]:
    return [{"uri": store.uri(prefix), "weight": weight}
            for (store, prefix), weight in zip(places, weights or [1.0] * len(places), strict=True)]
