"""What is in a synthetic set depends on the order alone: not on who writes which shard, when, or after which kill."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from gan_core.asked import DRAWN_ATTRIBUTES, NOISE, stream
from gan_core.bundle import BATCH, Generator, read_generator
from gan_core.config import experiment_from
from gan_core.data.attributes import Seen
from gan_core.data.parts import Part, Written
from gan_core.data.shards import open_shards
from gan_core.data.source import source_of
from gan_core.errors import Diverged
from gan_core.manifest import NOTES, Manifest, missing_files
from gan_core.store import Store
from gan_core.synthesis import Order, ShardWriter, Tell, alike, in_precision, missing, shards_for
from gan_core.synthetic_set import begin, finished, in_turn, write_set
from tests.artefacts import CLASSES, SHAPE, finish_run
from tests.test_asked import by_attributes

IMAGES, SHARDS = 300, 4


def an_order(images: int = IMAGES, **asked: Any) -> Order:
    return Order.model_validate({"store": "unused", "prefix": "unused", "images": images, "seed": 3, "attributes": None,
                                 "counts": alike(images, CLASSES), "truncation": None, "precision": "float32",
                                 "shards": SHARDS, **asked})


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    store = Store(tmp_path_factory.mktemp("generator"))
    return read_generator(store, finish_run(store))


def writer_of(generator: Generator, folder: Path, **asked: Any) -> ShardWriter:
    order = an_order(**asked)
    return ShardWriter(order, in_precision(generator, order.precision), Store(folder), "set")


def write(writer: ShardWriter, **how: Any) -> Manifest:
    begin(writer.store, writer.prefix, "key")
    return write_set(writer, key="key", parents=(), facts={}, **how)


def images_of(folder: Path) -> Any:
    return open_shards(Store(folder), "set").split("train").images


# Order


@pytest.mark.parametrize("counts", [(30, 30, 30), (1, 0, 77), (0, 0, 5), (2,), (1,) * 40])
@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_every_shard_has_its_share_of_every_class(counts: tuple[int, ...], shards: int) -> None:
    order = an_order(sum(counts), counts=counts, shards=min(shards, sum(counts)))
    dealt = [order.labels(part.number) for part in order.parts()]
    histograms = np.array([np.bincount(labels, minlength=len(counts)) for labels in dealt if labels is not None])
    assert histograms.sum(axis=0).tolist() == list(counts)
    assert (np.ptp(histograms, axis=0) <= 1).all()
    assert [part.stop - part.start for part in order.parts()] == histograms.sum(axis=1).tolist()
    assert list(order.parts())[-1].stop == order.images


def test_classes_take_turns_and_rare_ones_are_spread() -> None:
    labels = an_order(60, counts=(20, 20, 20), shards=1).labels(0)
    assert labels is not None
    assert labels.tolist() == [0, 1, 2] * 20
    rare = an_order(44, counts=(40, 4), shards=1).labels(0)
    assert rare is not None
    assert np.diff(np.flatnonzero(rare == 1)).tolist() == [11, 11, 11]


def test_images_are_shared_out_and_missing_ones_are_counted() -> None:
    assert alike(11, 4) == (3, 3, 3, 2)
    assert alike(5, 0) == ()
    assert missing({0: 7, 2: 10}, 4) == (3, 10, 0, 10)


@pytest.mark.parametrize(("images", "shape", "most", "shards"), [
    (100_000, (3, 64, 64), None, 19), (100_000, (1, 8, 8), None, 13), (10, (3, 8192, 8192), None, 10),
    (7, (1, 8, 8), 3, 3),
])
def test_a_shard_is_64_mib_or_8192_images(images: int, shape: tuple[int, ...], most: int | None, shards: int) -> None:
    assert shards_for(images, math.prod(shape), most) == shards


# Streams


@pytest.mark.parametrize("purpose", [NOISE, DRAWN_ATTRIBUTES])
def test_a_block_begins_where_no_other_comes_to(purpose: int) -> None:
    first = stream(5, purpose).standard_normal(4)
    assert np.array_equal(stream(5, purpose, 0).standard_normal(4), first)
    old = np.random.Generator(np.random.Philox(key=(purpose << 64) + 5)).standard_normal(4)
    assert np.array_equal(old, first), "what a seed draws has changed"
    bits = np.random.Philox(key=(purpose << 64) + 5)
    bits.advance(2 * 2**128)
    assert np.array_equal(np.random.Generator(bits).standard_normal(4), stream(5, purpose, 2).standard_normal(4))


# Bytes


def test_whoever_writes_a_shard_writes_the_same_bytes(generator: Generator, tmp_path: Path) -> None:
    def others(writer: ShardWriter, parts: Sequence[Part], tell: Tell) -> Iterator[Written]:
        """The last first, each by a process that has four threads and has made other shards before."""
        torch.set_num_threads(4)
        for part in reversed(parts):
            writer.try_out()
            yield ShardWriter(writer.order, writer.generator, writer.store, writer.prefix).write(part, tell)
        torch.set_num_threads(1)

    before = torch.get_num_threads()
    try:
        alone = write(writer_of(generator, tmp_path / "alone"))
        assert write(writer_of(generator, tmp_path / "others"), place=others).digest == alone.digest
    finally:
        torch.set_num_threads(before)
    assert len(alone.files) == SHARDS


def test_the_first_shard_in_float64_holds_what_sample_makes(generator: Generator, tmp_path: Path) -> None:
    write(writer_of(generator, tmp_path, precision="float64", shards=1, truncation=1.5))
    assert np.array_equal(images_of(tmp_path), generator.sample(IMAGES, seed=3, truncation=1.5))


def test_no_two_shards_and_no_two_seeds_make_the_same_images(generator: Generator, tmp_path: Path) -> None:
    write(writer_of(generator, tmp_path / "a"))
    write(writer_of(generator, tmp_path / "b", seed=4))
    all_images = np.concatenate([images_of(tmp_path / "a"), images_of(tmp_path / "b")])
    assert len(np.unique(all_images.reshape(2 * IMAGES, -1), axis=0)) == 2 * IMAGES


def test_float32_differs_by_a_level_at_most(generator: Generator, tmp_path: Path) -> None:
    for precision in ("float32", "float64"):
        write(writer_of(generator, tmp_path / precision, precision=precision))
    fast, exact = (images_of(tmp_path / name).astype(int) for name in ("float32", "float64"))
    assert np.abs(fast - exact).max() <= 1


def test_images_pass_through_the_network_a_batch_at_a_time(generator: Generator, tmp_path: Path) -> None:
    sizes: list[int] = []

    class Watched(torch.nn.Module):
        def forward(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            sizes.append(len(z))
            return torch.zeros(len(z), *SHAPE)

    told: list[int] = []
    watched = Generator("here", generator.spec, Watched())
    write(ShardWriter(an_order(shards=1), watched, Store(tmp_path), "set"), tell=told.append)
    assert max(sizes) <= BATCH
    assert told == sizes
    assert sum(told) == IMAGES


def test_weights_that_are_not_finite_stop_it_before_a_shard_is_there(generator: Generator, tmp_path: Path) -> None:
    class Broken(torch.nn.Module):
        def forward(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            return torch.full((len(z), *SHAPE), torch.nan)

    with pytest.raises(Diverged, match="take an earlier version"):
        write(ShardWriter(an_order(), Generator("here", generator.spec, Broken()), Store(tmp_path), "set"))
    assert not list(tmp_path.rglob("*.arrow"))


# Going on


class KilledError(Exception):
    """As if the process ended here."""


def killed_after(shards: int) -> Any:
    def place(writer: ShardWriter, parts: Sequence[Part], tell: Tell) -> Iterator[Written]:
        yield from in_turn(writer, parts[:shards], tell)
        raise KilledError

    return place


def test_a_killed_set_is_not_finished_and_goes_on_with_what_is_missing(generator: Generator, tmp_path: Path) -> None:
    whole = write(writer_of(generator, tmp_path / "whole"))
    folder, store = tmp_path / "killed", Store(tmp_path / "killed")
    with pytest.raises(KilledError):
        write(writer_of(generator, folder), place=killed_after(2))
    assert finished(store, "set", "key") is None
    (folder / "set/train-00001.arrow").write_bytes(b"of another length")
    (folder / "set/train-00003.arrow").write_bytes(b"there before its note, as after a kill between them")
    (folder / "set/.train-00002.arrow.0123").write_bytes(b"never renamed")
    kept: list[int] = []
    made: list[int] = []
    assert write(writer_of(generator, folder), kept=kept.append, tell=made.append).digest == whole.digest
    assert (sum(kept), sum(made)) == (75, 225)
    assert missing_files(store, "set", whole) == []
    assert sorted(store.sizes("set")) == ["MANIFEST.json", *(f"train-{number:05d}.arrow" for number in range(SHARDS))]


def test_a_finished_set_that_lost_a_file_is_made_again(generator: Generator, tmp_path: Path) -> None:
    before = write(writer_of(generator, tmp_path))
    store = Store(tmp_path)
    assert finished(store, "set", "key") == before
    store.delete("set/train-00002.arrow")
    assert finished(store, "set", "key") is None
    assert write(writer_of(generator, tmp_path)).digest == before.digest
    assert not store.exists(f"set/{NOTES}")


# Readers


def test_it_reads_as_a_prepared_set_and_as_tables(generator: Generator, tmp_path: Path) -> None:
    write(writer_of(generator, tmp_path))
    shards = open_shards(Store(tmp_path), "set")
    assert (shards.kind, shards.shape, shards.classes) == ("image", SHAPE, CLASSES)
    table = pa.concat_tables([pa.ipc.open_file(path).read_all() for path in sorted(tmp_path.glob("set/*.arrow"))])
    assert np.array_equal(table["label"].to_numpy(), shards.split("train").labels)
    assert table["image"].chunk(0).to_numpy_ndarray().shape == (75, *SHAPE)


def test_it_is_the_data_of_another_experiment(generator: Generator, tmp_path: Path) -> None:
    write(writer_of(generator, tmp_path))
    source = source_of(experiment_from({"name": "again", "data": {"source": "arrow", "url": str(tmp_path / "set")},
                                        "model": {"recipe": "dcgan"}}))
    assert sum(source.splits().values()) == IMAGES
    example = next(iter(source.examples("train")))
    assert example.image.shape[:2] == SHAPE[1:]  # type: ignore[union-attr]


def test_attributes_are_kept_beside_the_images(tmp_path: Path) -> None:
    order = an_order(200, counts=(), attributes={"smiling": 1}, precision="float64")
    write(ShardWriter(order, by_attributes(), Store(tmp_path), "set"))
    split = open_shards(Store(tmp_path), "set").split("train")
    assert split.attribute_names == ("smiling", "hair", "age")
    assert split.labels is None
    assert split.seen["smiling"] == Seen(low=1, high=1, whole=True, missing=0)
    assert set(split.numbers["hair"].tolist()) == {0, 1, 2, 3, 4}
    assert len(np.unique(split.numbers["age"])) == 200, "a shard has drawn what another did"
    told = split.images[:, 0, 0, 2] / 255 * 80
    assert np.abs(told - split.numbers["age"]).max() < 0.2
