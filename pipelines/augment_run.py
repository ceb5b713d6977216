"""`gan augment`: what a published generator's examples add to a classifier of real ones.

    augmentations/<key>/synthetic-<seed>/            examples of the generator, as `gan generate` makes them
    augmentations/<key>/results/<way>-<seed>.json    what one classifier read in each test example, once it is known
    augmentations/<key>/augmentation.json, report.html, MANIFEST.json    last

A command that is killed goes on with what is missing; one that is given again finds all of it done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gan_core.addresses import CHAMPION, resolve
from gan_core.config import Config
from gan_core.errors import ConfigError
from gan_core.manifest import Manifest, Parent, artefact, missing_files, read_manifest, read_named
from gan_core.published import published_manifest
from gan_core.store import Store
from pipelines.counting import counting
from pipelines.generate_order import Wish
from pipelines.generate_run import generate_set
from pipelines.keys import AUGMENTATIONS, PREFIX_CHARS, augmentation_key
from pipelines.models import lineage
from pipelines.prepare_run import prepare_dataset
from pipelines.run import Opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from gan_core.data.shards import Shards, Split

AUGMENTATION, FACTS, REPORT, RESULTS = "augmentation", "augmentation.json", "report.html", "results"
IMAGES, SEEDS, MOST_SEEDS = 30_000, 3, 100


class AugmentWish(Config):
    """What was asked for on the command line.

    images: seen in each training.  seeds: trainings of each way.  per_class: examples of each class, real and synthetic
    ones together, and of synthetic ones alone; None for as many as the largest class has.
    """

    images: int = IMAGES
    seeds: int = SEEDS
    per_class: int | None = None

    def check(self) -> None:
        """ConfigError for numbers that cannot work."""
        if not 1 <= self.seeds <= MOST_SEEDS:
            raise ConfigError(f"--seeds {self.seeds}: from 1 to {MOST_SEEDS} trainings of each way work")
        if self.images < 1:
            raise ConfigError(f"--images {self.images}: nothing is learnt from none; --images {IMAGES} works")
        if self.per_class is not None and self.per_class < 1:
            raise ConfigError(f"--per-class {self.per_class}: from 1 on; --per-class 500 works")


@dataclass(frozen=True)
class Augmented:
    """An augmentation: where it is, whether it was made now, in how many seconds, and what augmentation.json says."""

    uri: str
    status: str
    seconds: float
    facts: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """{"uri", "status", "seconds", "report", …} and augmentation.json's own; docs/augmentation.md says what each
        key holds.
        """
        return {"uri": self.uri, "status": self.status, "seconds": self.seconds, "report": f"{self.uri}/{REPORT}",
                **self.facts}


def augment(opened: Opened, model: str | None, wish: AugmentWish, workers: int | None = None) -> Augmented:
    """Makes it, or what is missing of it; REUSED where all is there.

    model: the generator's address; the experiment's champion when None.  workers: as of `generate_set`.  ConfigError
    for what cannot be asked of this generator and these data, DataError for a set without labels or test split.
    """
    started = time.monotonic()
    wish.check()
    store = opened.store
    source, version = resolve(model or f"{opened.experiment.name}@{CHAMPION}", store)
    published = published_manifest(source, version)
    prepare_dataset(opened)
    step = opened.planner.step("prepare", {})
    shards = read_manifest(store, step.prefix)
    assert shards is not None, "it was prepared just now"
    size = _size(shards, wish, store.uri(step.prefix))
    parents = (Parent(kind=published.kind, uri=source.uri(version), digest=published.digest),
               Parent(kind="shards", uri=store.uri(step.prefix), digest=shards.digest))
    key = augmentation_key(wish.model_dump() | {"per_class": size},
                           {"model": published.digest, "prepare": shards.digest})
    prefix = f"{AUGMENTATIONS}/{key[:PREFIX_CHARS]}"
    facts, status = _kept(store, prefix, key), "REUSED"
    if facts is None:
        work = _Work(opened, step.prefix, parents, key, prefix, wish.model_copy(update={"per_class": size}), workers)
        facts, status = work.done(_trained_on(source, published, shards)), "RUN"
    return Augmented(store.uri(prefix), status, round(time.monotonic() - started, 2), facts)


def _size(shards: Manifest, wish: AugmentWish, uri: str) -> int:
    """How many examples each class is filled up to."""
    counts = [int(count) for count in shards.facts["splits"]["train"]["histogram"].values()]
    if len(counts) < 2:
        raise ConfigError(f"{uri}: has no labels of two classes or more, and a classifier learns from them; "
                          "`gan dataset show` says what a set has")
    largest = max(counts)
    if wish.per_class is None and min(counts) == largest and len(counts) == shards.facts["classes"]:
        raise ConfigError(f"{uri}: all its classes have {largest:,} training examples, so that nothing is missing; "
                          f"--per-class {2 * largest} works")
    if wish.per_class is not None and wish.per_class <= min(counts):
        raise ConfigError(f"--per-class {wish.per_class}: no class has fewer than {min(counts):,} training examples; "
                          f"--per-class {2 * largest} works")
    return wish.per_class or largest


def _kept(store: Store, prefix: str, key: str) -> dict[str, Any] | None:
    manifest = read_manifest(store, prefix)
    if manifest is None or manifest.key != key or missing_files(store, prefix, manifest):
        return None
    found: dict[str, Any] = json.loads(read_named(store, prefix, manifest, FACTS))
    return found


def _trained_on(source: Store, version: Manifest, shards: Manifest) -> list[str]:
    """What a reader should know where the generator learnt from other data than the classifiers."""
    learnt = {parent.digest for parent in lineage(source, version.parents) if parent.kind == "shards"}
    if shards.digest in learnt:
        return []
    return ["The generator was not trained on this data set as it is prepared here: it may have seen more, even test "
            "examples, and then what it adds is no proof."]


@dataclass(frozen=True)
class _Work:
    """One augmentation in the making.  shards: their prefix.  parents: the version, then the shards.  wish: its
    per_class is known.
    """

    opened: Opened
    shards: str
    parents: tuple[Parent, ...]
    key: str
    prefix: str
    wish: AugmentWish
    workers: int | None

    def done(self, notes: list[str]) -> dict[str, Any]:
        """Makes what is missing, and the artefact of it; returns its facts."""
        from gan_core.data.shards import open_shards  # torch takes seconds to import
        from gan_core.metrics.augmentation import WAYS, labels_of, outcome
        from pipelines.augment_facts import facts_of
        from pipelines.augment_page import augment_page

        store = self.opened.store
        data = open_shards(store, self.shards)
        self._refuse_unfit(data)
        test = data.split("test")
        results = self._results(data)
        labels = labels_of(test)
        found = outcome({way: _table(results, way, self.wish.seeds) for way in WAYS}, labels)
        facts = {"experiment": self.opened.experiment.name, "model": self.parents[0].uri, "shards": self.parents[1].uri,
                 **self.wish.model_dump(), **facts_of(data, found, labels, self.wish.seeds), "notes": notes}
        with artefact(store, self.prefix, kind=AUGMENTATION, key=self.key, parents=self.parents) as draft:
            (draft.path / FACTS).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
            (draft.path / REPORT).write_text(augment_page(facts), encoding="utf-8")
            (draft.path / RESULTS).mkdir()
            for name, read in results.items():
                (draft.path / RESULTS / f"{name}.json").write_bytes(_as_bytes(read))
        return facts

    def _refuse_unfit(self, data: Shards) -> None:
        from gan_core.bundle import read_generator
        from pipelines.champion_scores import unfit

        generator = read_generator(*resolve(self.parents[0].uri, self.opened.store))
        why = unfit(generator, data)
        if why is None and not generator.classes:
            why = "was trained without labels, and cannot be asked for the classes that are rare"
        if why is not None:
            raise ConfigError(f"{generator.uri}: {why}; a generator with labels that was trained on "
                              f"{self.opened.experiment.name}'s data works")

    def _results(self, data: Shards) -> dict[str, list[int]]:
        """What each classifier read in each test example, by '<way>-<seed>'; those that are kept are not trained."""
        from gan_core.metrics.augmentation import WAYS

        names = [(way, seed) for seed in range(self.wish.seeds) for way in WAYS]
        results: dict[str, list[int]] = {}
        with counting("training classifiers", "classifiers") as progress:
            synthetic: dict[int, Split] = {}
            for done, (way, seed) in enumerate(names):
                progress(done, len(names), 0)
                name = f"{way}-{seed}"
                kept = self._kept_result(name, len(data.split("test")))
                if kept is None:
                    if seed not in synthetic:
                        synthetic = {seed: self._synthetic(seed)}
                    kept = self._train(way, seed, data, synthetic[seed])
                    self.opened.store.write(self._result(name), _as_bytes(kept))
                results[name] = kept
            progress(len(names), len(names), 0)
        return results

    def _train(self, way: str, seed: int, data: Shards, synthetic: Split) -> list[int]:
        from gan_core.metrics.augmentation import answers

        assert self.wish.per_class is not None, "it was counted"
        read: list[int] = answers(way, data.split("train"), synthetic, data.split("test"), data.form, data.classes,
                                  size=self.wish.per_class, images=self.wish.images, seed=seed).tolist()
        return read

    def _synthetic(self, seed: int) -> Split:
        """As many examples of each class, of the generator's own seed."""
        from gan_core.data.shards import open_shards

        store, name = self.opened.store, f"{self.prefix}/synthetic-{seed}"
        generate_set(self.parents[0].uri, store.uri(name), Wish(per_class=self.wish.per_class, seed=seed), store=store,
                     profile=self.opened.profile, workers=self.workers)
        return open_shards(store, name).split("train")

    def _result(self, name: str) -> str:
        return f"{self.prefix}/{RESULTS}/{name}.json"

    def _kept_result(self, name: str, examples: int) -> list[int] | None:
        try:
            read: list[int] = json.loads(self.opened.store.read(self._result(name)))["read"]
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None
        return read if len(read) == examples else None


def _table(results: Mapping[str, list[int]], way: str, seeds: int) -> NDArray[np.int64]:
    """What the classifiers of a way read, [seeds, n]."""
    import numpy as np

    return np.array([results[f"{way}-{seed}"] for seed in range(seeds)], np.int64)


def _as_bytes(read: list[int]) -> bytes:
    return (json.dumps({"read": read}) + "\n").encode()
