"""What `gan generate` is asked for, and as what a generator takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gan_core.config import Config
from gan_core.errors import ConfigError
from gan_core.manifest import Manifest, Parent, canonical_digest, read_manifest
from gan_core.published import published_manifest
from gan_core.store import Store, split_url
from pipelines.datasets import find_prepared, whole

if TYPE_CHECKING:
    from gan_core.bundle import Generator
    from gan_core.synthesis import Order

MOST_IMAGES = 10**10


class Wish(Config):
    """What was asked for on the command line.  One of n, per_class, counts and fill says how many images.

    counts: images by class.  fill: the prepared set whose classes are to be filled up.  shard_images: the most
    in one shard; None for what makes about 64 MiB.
    """

    n: int | None = None
    label: int | None = None
    per_class: int | None = None
    counts: dict[int, int] | None = None
    fill: str | None = None
    seed: int = 0
    attributes: str | None = None
    truncation: float | None = None
    precision: Literal["float32", "float64"] = "float32"
    shard_images: int | None = None

    @property
    def how_many(self) -> dict[str, object]:
        """Those options that say how many images, with their values."""
        ways = {"--n": self.n, "--per-class": self.per_class, "--counts": self.counts, "--fill": self.fill}
        return {name: value for name, value in ways.items() if value is not None}

    def check(self) -> None:
        """ConfigError for numbers and combinations that no generator can be asked for."""
        if len(self.how_many) != 1:
            said = " and ".join(self.how_many) or "nothing"
            raise ConfigError(f"{said} says how many images; one of --n, --per-class, --counts and --fill does: "
                              "--n 100000 works")
        numbers = {"--n": self.n, "--per-class": self.per_class, "--shard-images": self.shard_images}
        for name, value in numbers.items():
            if value is not None and not 1 <= value <= MOST_IMAGES:
                raise ConfigError(f"{name} {value}: from 1 to {MOST_IMAGES:,} work")
        if self.label is not None and self.n is None:
            (other,) = self.how_many
            raise ConfigError(f"--label {self.label}: all images are of that class, and {other} says how many of each; "
                              f"--label {self.label} --n 1000 works")

    def key(self, parents: tuple[Parent, ...]) -> str:
        """What names a set that is made of this."""
        return canonical_digest({**self.model_dump(mode="json", exclude={"fill"}),
                                 "parents": [parent.digest for parent in parents]})


def counts_in(text: str | None) -> dict[int, int] | None:
    """'0=100,1=5000' as images by class.  ConfigError when it is not."""
    if text is None:
        return None
    counts: dict[int, int] = {}
    for piece in text.split(","):
        label, _, images = (word.strip() for word in piece.partition("="))
        if not (label.isdecimal() and images.isdecimal()):
            raise ConfigError(f"--counts {text}: '{piece}' is not CLASS=IMAGES; --counts 0=100,1=5000 works")
        if int(label) in counts:
            raise ConfigError(f"--counts {text}: names the class {label} twice; --counts 0=100,1=5000 works")
        counts[int(label)] = int(images)
    return counts


@dataclass(frozen=True)
class Filled:
    """A prepared set whose classes are to be filled up."""

    uri: str
    manifest: Manifest

    @staticmethod
    def at(address: str, store: Store) -> Filled:
        """Of a folder of shards, or as `gan dataset show` takes it.  ConfigError when there is none."""
        above, name = split_url(address)
        found = read_manifest(Store(above), name) if above and name else None
        if found is not None and found.kind == "shards":
            return Filled(Store(above).uri(name), found)
        try:
            place, prepared = find_prepared(store, address)
        except ConfigError as error:
            raise ConfigError(f"--fill {address}: {error}") from None
        return Filled(prepared.uri, whole(place, prepared))

    @property
    def histogram(self) -> dict[int, int]:
        """Its training images by class."""
        return {int(label): images for label, images in self.manifest.facts["splits"]["train"]["histogram"].items()}

    def lacks(self, classes: int, uri: str) -> tuple[int, ...]:
        """As many of each class as make it as large as the largest one.  uri: of the generator."""
        from gan_core.synthesis import missing

        if not self.histogram:
            raise ConfigError(f"--fill {self.uri}: has no labels; --per-class 1000 works")
        if max(self.histogram) >= classes:
            raise ConfigError(f"--fill {self.uri}: has the class {max(self.histogram)}, and {uri} knows 0 to "
                              f"{classes - 1}; name a set of its classes, or --counts")
        counts = missing(self.histogram, classes)
        if not any(counts):
            raise ConfigError(f"--fill {self.uri}: all its classes are of one size, so that nothing is missing; "
                              "--per-class 1000 works")
        return counts


def parents_of(source: Store, version: str, filled: Filled | None) -> tuple[Parent, ...]:
    """What a set is made from: the generator, and the set that is to be filled up."""
    manifest = published_manifest(source, version)
    parents = (Parent(kind=manifest.kind, uri=source.uri(version), digest=manifest.digest),)
    if filled is None:
        return parents
    return (*parents, Parent(kind="shards", uri=filled.uri, digest=filled.manifest.digest))


def order_of(wish: Wish, filled: Filled | None, generator: Generator, source: Store, version: str) -> Order:
    """ConfigError for what this generator cannot be asked for."""
    from gan_core.asked import rows
    from gan_core.synthesis import Order, shards_for
    from pipelines.sample_arguments import attributes_in

    if generator.translates is not None:
        raise ConfigError(f"{generator.uri}: translates images and makes none from noise; `gan sample --images` works")
    attributes = attributes_in(wish.attributes, generator.attributes, generator.uri)
    rows(generator.spec, generator.uri, 1, wish.seed, wish.label, attributes, None)  # refuses what is out of range
    generator.noise(1, wish.seed, wish.truncation)
    counts = _counts(wish, filled, generator)
    images = sum(counts) if wish.n is None else wish.n
    if not 1 <= images <= MOST_IMAGES:
        (how,) = wish.how_many
        raise ConfigError(f"{how}: {images:,} images in all; from 1 to {MOST_IMAGES:,} work")
    return Order(store=source.url, prefix=version, images=images, counts=counts, seed=wish.seed, attributes=attributes,
                 truncation=wish.truncation, precision=wish.precision,
                 shards=shards_for(images, generator.spec.modality.example_bytes, wish.shard_images))


def _counts(wish: Wish, filled: Filled | None, generator: Generator) -> tuple[int, ...]:
    """Images of each class; () for a generator that knows none."""
    from gan_core.synthesis import alike

    classes = generator.classes
    if wish.n is not None:
        return alike(wish.n, classes) if wish.label is None else _counted({wish.label: wish.n}, classes)
    if not classes:
        (how,) = wish.how_many
        raise ConfigError(f"{how}: {generator.uri} was trained without labels; --n 100000 works")
    if wish.per_class is not None:
        return (wish.per_class,) * classes
    if filled is not None:
        return filled.lacks(classes, generator.uri)
    return _given(wish.counts or {}, classes, generator.uri)


def _given(counts: Mapping[int, int], classes: int, uri: str) -> tuple[int, ...]:
    for label in counts:
        if label >= classes:
            raise ConfigError(f"--counts {label}={counts[label]}: {label} is no class of {uri}; 0 to {classes - 1} are")
    return _counted(counts, classes)


def _counted(counts: Mapping[int, int], classes: int) -> tuple[int, ...]:
    return tuple(counts.get(label, 0) for label in range(classes))
