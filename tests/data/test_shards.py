from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from gan_core.data.shards import Shards, iterate, open_shards
from gan_core.data.source import SPLITS, Bad, Example, Source
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import DamagedFile, DataError
from gan_core.manifest import read_manifest
from gan_core.store import Store


class Listed(Source):
    """A source of the examples it is given."""

    held: dict[str, Any]

    def examples(self, split: str) -> Iterator[Example | Bad]:
        return iter(self.held.get(split, []))


def made(count: int = 10, shape: tuple[int, ...] = (4, 6), classes: int = 3) -> list[Example]:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, *shape), dtype=np.uint8)
    return [Example(image, i % classes if classes else None) for i, image in enumerate(images)]


def write(store: Store, splits: dict[str, list[Example]], prefix: str = "s", shard_examples: int = 4) -> Shards:
    write_shards(Listed(held=splits), store, prefix, shard_examples=shard_examples, key="k")
    return open_shards(store, prefix)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_shards_of_digits_hold_digits(digits_store: Store) -> None:
    shards = open_shards(digits_store, "shards/digits")
    assert (shards.shape, shards.classes) == ((1, 8, 8), 10)
    for split in SPLITS:
        examples = list(Digits().examples(split))
        found = shards.split(split)
        assert (found.images == np.stack([e.image[None] for e in examples])).all()
        assert found.labels is not None
        assert found.labels.tolist() == [e.label for e in examples]


@pytest.mark.parametrize("shard_examples", [3, 100])
@pytest.mark.parametrize(("shape", "want"), [((4, 6), (1, 4, 6)), ((4, 6, 1), (1, 4, 6)), ((4, 6, 3), (3, 4, 6))])
def test_grey_and_colour_images_come_back_channels_first(
    store: Store, shape: tuple[int, ...], want: tuple[int, int, int], shard_examples: int
) -> None:
    examples = made(shape=shape)
    shards = write(store, {"train": examples}, shard_examples=shard_examples)
    channels_first = [np.moveaxis(np.atleast_3d(e.image), 2, 0) for e in examples]
    assert shards.shape == want
    assert (shards.split("train").images == np.stack(channels_first)).all()


def test_several_files_equal_one(store: Store) -> None:
    splits = {"train": made(11), "test": made(5)}
    one, several = write(store, splits, "one", 100), write(store, splits, "several", 4)
    assert [len(part) for part in several.split("train").parts] == [4, 4, 3]
    for split in splits:
        a, b = one.split(split), several.split(split)
        assert len(a) == len(b)
        assert (a.images == b.images).all()
        assert (a.labels == b.labels).all()
        anywhere = np.random.default_rng(0).integers(0, len(a), 50)
        assert (a.gather(anywhere) == b.gather(anywhere)).all()
        assert (b.gather(anywhere) == a.images[anywhere]).all()


@pytest.mark.parametrize("batch", [1, 4, 5, 11, 99])
def test_iterating_gives_every_image_once_in_order(store: Store, batch: int) -> None:
    split = write(store, {"train": made(11)}).split("train")
    assert (np.concatenate(list(iterate(split, batch))) == split.images).all()


def test_the_manifest_counts_what_the_shards_hold(store: Store) -> None:
    write(store, {"train": made(10), "validation": made(2)})
    manifest = read_manifest(store, "s")
    assert manifest is not None
    assert manifest.facts["splits"] == {
        "train": {"examples": 10, "files": 3, "counts": [4, 4, 2], "histogram": {"0": 4, "1": 3, "2": 3}},
        "validation": {"examples": 2, "files": 1, "counts": [2], "histogram": {"0": 1, "1": 1}},
        "test": {"examples": 0, "files": 0, "counts": [], "histogram": {}},
    }
    assert (manifest.facts["shape"], manifest.facts["classes"]) == ([1, 4, 6], 3)
    assert [f.path for f in manifest.files] == [
        "train-00000.arrow", "train-00001.arrow", "train-00002.arrow", "validation-00000.arrow"
    ]


def test_the_same_examples_make_the_same_bytes(store: Store, tmp_path: Path) -> None:
    write(store, {"train": made()}, "a")
    write(Store(tmp_path / "other"), {"train": made()}, "b")
    first, second = read_manifest(store, "a"), read_manifest(Store(tmp_path / "other"), "b")
    assert first is not None
    assert second is not None
    assert first.digest == second.digest


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_pandas_and_pyarrow_open_a_shard(store: Store, shape: tuple[int, ...]) -> None:
    examples = made(shape=shape)
    shards = write(store, {"train": examples}, shard_examples=100)
    file = store.local_path("s/train-00000.arrow")
    table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
    assert table["image"].type == pa.fixed_shape_tensor(pa.uint8(), shards.shape)
    assert (table["image"].chunk(0).to_numpy_ndarray() == shards.split("train").images).all()
    frame = pd.read_feather(file)
    assert frame["label"].tolist() == [e.label for e in examples]
    assert (np.stack(list(frame["image"])).reshape(-1, *shards.shape) == shards.split("train").images).all()


def test_shards_lie_on_the_memory_map(digits_store: Store) -> None:
    (part,) = open_shards(digits_store, "shards/digits").split("train").parts
    assert not part.flags.owndata
    assert not part.flags.writeable
    assert part.flags.c_contiguous


def test_a_set_without_labels_has_none(store: Store) -> None:
    shards = write(store, {"train": made(classes=0), "test": made(3, classes=0)})
    assert shards.classes == 0
    assert shards.split("train").labels is None


def test_classes_are_counted_over_all_splits(store: Store) -> None:
    assert write(store, {"train": made(3, classes=2), "test": made(9, classes=7)}).classes == 7


# What is not there


def test_a_split_that_is_not_there_is_answered_with_those_that_are(store: Store) -> None:
    shards = write(store, {"train": made()})
    with pytest.raises(DataError, match=r"no 'test' split; they have train"):
        shards.split("test")


def test_shards_that_are_not_there_are_not_opened(store: Store) -> None:
    with pytest.raises(DataError, match="no prepared data set there; run the prepare stage"):
        open_shards(store, "s")


# Damage


def flip_a_bit(store: Store, path: str, at: int) -> None:
    data = bytearray(store.read(path))
    data[at] ^= 1
    store.write(path, bytes(data))


@pytest.mark.parametrize("file", ["train-00000.arrow", "train-00002.arrow", "test-00000.arrow"])
@pytest.mark.parametrize("at", [0, -1, 1000])
def test_one_flipped_bit_anywhere_stops_the_opening_and_names_the_file(store: Store, file: str, at: int) -> None:
    write(store, {"train": made(), "test": made(4)})
    flip_a_bit(store, f"s/{file}", at)
    with pytest.raises(DamagedFile, match=rf"s/{file}: is damaged"):
        open_shards(store, "s")


def test_shards_elsewhere_are_fetched_once_and_checked_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = Store(f"memory://{uuid.uuid4().hex}")
    fetched = write(store, {"train": made()})
    assert (fetched.split("train").images == np.stack([e.image[None] for e in made()])).all()
    (cached,) = tmp_path.rglob("train-00000.arrow")
    flip_a_bit(store, "s/train-00000.arrow", 1000)
    open_shards(store, "s")  # the copy is whole, so nothing was fetched
    cached.write_bytes(store.read("s/train-00000.arrow"))
    with pytest.raises(DamagedFile, match=r"memory://.*/s/train-00000\.arrow: is damaged"):
        open_shards(store, "s")
    flip_a_bit(store, "s/train-00000.arrow", 1000)
    assert len(open_shards(store, "s").split("train")) == 10


def test_open_files_take_no_file_handles(store: Store) -> None:
    write(store, {"train": made()})
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would open one more
    split = open_shards(store, "s").split("train")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert split.images.any()


def test_shards_know_what_their_manifest_says(store: Store) -> None:
    shards = write(store, {"train": made(11)})
    manifest = read_manifest(store, "s")
    assert manifest is not None
    assert (shards.kind, shards.facts) == ("image", manifest.facts)
    assert shards.split("train").counts == (4, 4, 3)
    assert shards.split("train").columns.keys() == {"image"}


def test_gathering_nothing_gives_nothing(store: Store) -> None:
    for examples in (3, 11):
        split = write(store, {"train": made(examples)}, str(examples)).split("train")
        assert split.gather(np.array([], np.int64)).shape == (0, 1, 4, 6)


@pytest.mark.parametrize("shard_examples", [4, 100])
def test_numbers_of_examples_come_with_their_split(store: Store, shard_examples: int) -> None:
    examples = [Example(np.zeros((4, 6), np.uint8), weight=i / 2, attributes={"b": -i, "a": i * i}) for i in range(10)]
    split = write(store, {"train": examples}, shard_examples=shard_examples).split("train")
    assert {name: values.tolist() for name, values in split.numbers.items()} == {
        "weight": [i / 2 for i in range(10)], "a": [i * i for i in range(10)], "b": [-i for i in range(10)]
    }


def test_a_missing_shard_is_named(store: Store) -> None:
    write(store, {"train": made()})
    store.delete("s/train-00001.arrow")
    with pytest.raises(DamagedFile, match=r"s/train-00001\.arrow: is missing, though its manifest lists it"):
        open_shards(store, "s")
