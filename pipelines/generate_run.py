"""`gan generate`: a synthetic set from a published generator, or what is missing of it, shown as it goes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gan_core.addresses import resolve
from gan_core.errors import ConfigError, StoreError
from gan_core.manifest import Manifest, Parent, canonical_digest
from gan_core.published import name_and_version
from gan_core.store import Store, split_url
from gan_core.synthetic_set import begin, finished, write_set
from pipelines.generate_order import Filled, Wish, order_of, parents_of
from pipelines.profile import RAY_JOBS, Profile
from pipelines.show import console

if TYPE_CHECKING:
    from gan_core.data.write import Progress


@dataclass(frozen=True)
class Made:
    """A synthetic set: where it is, what its manifest says, and what was done now.

    images: that were made now.
    """

    uri: str
    status: str
    seconds: float
    images: int
    manifest: Manifest

    def as_json(self) -> dict[str, Any]:
        """{"uri", "status", "seconds", "images", "made_now", "shards", "bytes", "shape", "histogram", "generator",
        "digest"}; histogram: images by class.
        """
        facts = self.manifest.facts
        train = facts["splits"]["train"]
        return {
            "uri": self.uri,
            "status": self.status,
            "seconds": self.seconds,
            "images": train["examples"],
            "made_now": self.images,
            "shards": train["files"],
            "bytes": sum(file.size for file in self.manifest.files),
            "shape": facts["shape"],
            "histogram": train["histogram"],
            "generator": self.manifest.parents[0].uri,
            "digest": self.manifest.digest,
        }

    def say(self) -> None:
        """For a person."""
        out, told = console(), self.as_json()
        speed = f", {self.images / self.seconds:,.0f} images/s" if self.images and self.seconds else ""
        out.print(f"{self.status}  {told['images']:,} images {told['shape']} of {told['generator']} in "
                  f"{told['shards']:,} shards, {told['bytes'] / 2**20:,.1f} MiB  ({self.seconds:.1f} s{speed})")
        out.print(f"shards  {self.uri}")


def generate_set(
    address: str, out: str, wish: Wish, *, store: Store, profile: Profile, workers: int | None = None
) -> Made:
    """Makes the set that is wished for at the URL `out`; REUSED where it is there.

    workers: shards made at one time.  ConfigError for what cannot be asked of the generator at `address`, and where
    `out` holds something else.
    """
    started = time.monotonic()
    wish.check()
    jobs = profile.backend == RAY_JOBS
    place, prefix = _above(out, several=jobs or (workers is not None and workers > 1))
    source, version = resolve(address, store)
    filled = None if wish.fill is None else Filled.at(wish.fill, store)
    parents = parents_of(source, version, filled)
    key = wish.key(parents)
    there, made = finished(place, prefix, key), 0
    status = "RUN" if there is None else "REUSED"
    if there is None and jobs:
        asked = wish if filled is None else wish.model_copy(update={"fill": filled.uri})
        made = _by_a_job(store, profile, asked, (source, version), place.uri(prefix), key, workers)
        there = finished(place, prefix, key)
        if there is None:
            raise StoreError(f"--out {place.uri(prefix)}: is not there after the job made it on the cluster; an output "
                             "that this machine and the cluster's reach, such as s3://bucket/synthetic, works")
    elif there is None:
        there, made = _made(wish, filled, (source, version), (place, prefix), parents, profile, workers)
    return Made(place.uri(prefix), status, round(time.monotonic() - started, 2), made, there)


def _by_a_job(
    store: Store, profile: Profile, wish: Wish, version: tuple[Store, str], out: str, key: str, workers: int | None
) -> int:
    """Has a job make the set, or follows the one that does; how many images it made."""
    from pipelines.on_ray_jobs import OnRayJobs  # imports Ray
    from pipelines.stage_order import GenerateOrder

    source, prefix = version
    named = name_and_version(prefix)
    model = named[0] if named else re.sub(r"[^A-Za-z0-9_-]+", "-", prefix.rpartition("/")[2])  # Ray puts it into URLs
    return OnRayJobs(profile).carry_out(store, GenerateOrder(
        profile=profile.in_a_job(), workers=workers, model=model, key=canonical_digest({"set": key, "out": out}),
        address=source.uri(prefix), out=out, wish=wish,
    )).images


def _above(out: str, several: bool) -> tuple[Store, str]:
    """The store above the output, and the output's name in it.  several: whether more than one process writes there."""
    above, name = split_url(out)
    if not above or above.endswith(":/"):
        raise ConfigError(f"--out {out}: names no folder of its own; --out {out.rstrip('/')}/synthetic works")
    if several and above.startswith("memory://"):
        raise ConfigError(f"--out {out}: lives in one process, and workers are several; --out ./synthetic works")
    return Store(above), name


def _made(
    wish: Wish, filled: Filled | None, version: tuple[Store, str], out: tuple[Store, str], parents: tuple[Parent, ...],
    profile: Profile, workers: int | None,
) -> tuple[Manifest, int]:
    """The manifest of the finished set, and how many of its images were made now."""
    from gan_core.bundle import read_generator  # torch takes seconds to import
    from gan_core.synthesis import ShardWriter, in_precision
    from pipelines.cluster import ray_for_a_while
    from pipelines.counting import counting
    from pipelines.on_ray_generate import on_ray_generate

    generator = read_generator(*version)
    order = order_of(wish, filled, generator, *version)
    writer = ShardWriter(order, in_precision(generator, order.precision), *out)
    told = order.model_dump(mode="json", exclude={"store", "prefix", "counts"})
    facts = {"generated": {"generator": generator.uri, **told}, **generator.spec.form.facts}
    key = wish.key(parents)
    begin(*out, key)
    with ray_for_a_while(), counting("generating", "images") as progress:
        count = _Count(order.images, progress)
        manifest = write_set(writer, key=key, parents=parents, facts=facts, place=on_ray_generate(profile, workers),
                             kept=count.kept, tell=count.made)
    return manifest, count.now


@dataclass
class _Count:
    """Images that are done, of all; now: those that no earlier command made."""

    images: int
    progress: Progress
    done: int = 0
    now: int = 0

    def kept(self, images: int) -> None:
        self.done += images
        self.progress(self.done, self.images, 0)

    def made(self, images: int) -> None:
        self.now += images
        self.kept(images)
