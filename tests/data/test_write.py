from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from gan_core.data import parts
from gan_core.data import write as module
from gan_core.data.parts import Part, Written
from gan_core.data.shards import open_shards
from gan_core.data.source import Bad, Example, Source
from gan_core.data.write import PartWriter, write_shards
from gan_core.errors import DataError, StoreError
from gan_core.manifest import Manifest, read_manifest
from gan_core.store import Store
from gan_core.transforms import Mode, Resize, Transform

GREY = np.zeros((4, 6), np.uint8)


class Listed(Source):
    """A source of what it is given, read from its start."""

    held: dict[str, Any]
    names: tuple[str, ...] = ()

    def examples(self, split: str) -> Iterator[Example | Bad]:
        return iter(self.held.get(split, []))

    def facts(self) -> Mapping[str, Any]:
        return {"class_names": list(self.names)} if self.names else {}


class Parted(Listed):
    """The same, read from anywhere."""

    def splits(self) -> Mapping[str, int]:
        return {split: len(items) for split, items in self.held.items()}

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        return iter(self.held.get(split, [])[start:stop])


def made(count: int = 10, shape: tuple[int, ...] = (4, 6), classes: int = 3) -> list[Example]:
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (count, *shape), dtype=np.uint8)
    return [Example(image, i % classes if classes else None) for i, image in enumerate(images)]


def write(store: Store, source: Source, prefix: str = "s", **options: Any) -> Manifest:
    write_shards(source, store, prefix, **{"shard_examples": 4, "key": "k", **options})
    manifest = read_manifest(store, prefix)
    assert manifest is not None
    return manifest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


# What does not fit is refused


@pytest.mark.parametrize("kind", [Listed, Parted])
@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("index", [0, 3, 4, 9])
@pytest.mark.parametrize(
    ("example", "why"),
    [
        (Example(GREY[:3], 0), r"is image \[1, 3, 6\] and most others image \[1, 4, 6\]; .*prepare.transforms"),
        (Example(np.zeros((4, 6, 3), np.uint8), 0), r"is image \[3, 4, 6\] and most others image \[1, 4, 6\]"),
        (Example(GREY, None), "has no label, and the others have one"),
        (Example(GREY, -1), "has the label -1; labels are whole numbers"),
        (Example(GREY, 1.5), "has the label 1.5; labels are whole numbers"),  # type: ignore[arg-type]
        (Example(GREY, True), "has the label True; labels are whole numbers"),
        (Example(GREY.astype(np.float32), 0), r"its image is float32 with 2 axes; a source yields uint8"),
        (Example(GREY[0], 0), r"its image is uint8 with 1 axes"),
        (Example(GREY[None, None], 0), r"its image is uint8 with 4 axes"),
        (Example(GREY[:0], 0), r"its image is empty"),
        (Example(None, 0), r"is nothing and most others"),
        (Example(GREY, 0, attributes={"age": 3.0}), r"has the attributes \['age'\], the others \[\]"),
        (Example(GREY, 0, weight=2.0), r"attributes"),
        (Bad("b.png", "is truncated"), r"is truncated"),
    ],
)
def test_an_example_unlike_the_others_is_named(
    store: Store, example: Example | Bad, why: str, index: int, split: str, kind: type[Listed]
) -> None:
    spoiled = [*made(10)[:index], example, *made(10)[index + 1 :]]
    where = "b.png" if isinstance(example, Bad) else f"{split} example {index}"
    with pytest.raises(DataError, match=rf"1 of \d+ items cannot be used, such as {where}: .*{why}"):
        write(store, kind(held={"train": made(10)} | {split: spoiled}))
    assert read_manifest(store, "s") is None


def test_a_label_where_the_others_have_none_is_named(store: Store) -> None:
    examples = made(classes=0)
    examples[5] = Example(GREY, 1)
    with pytest.raises(DataError, match="train example 5: has a label, and the others have none"):
        write(store, Listed(held={"train": examples}))


def test_a_label_beyond_the_named_classes_is_named(store: Store) -> None:
    with pytest.raises(DataError, match=r"train example 2, .*: has the label 2, and there are 2 classes"):
        write(store, Listed(held={"train": made()}, names=("a", "b")))


@pytest.mark.parametrize("kind", [Listed, Parted])
def test_a_set_without_training_examples_is_refused(store: Store, kind: type[Listed]) -> None:
    for splits in ({}, {"test": made()}, {"train": [Bad("a", "is broken")], "test": made()}):
        with pytest.raises(DataError, match="yields no training example"):
            write(store, kind(held=splits), max_bad_fraction=0.9)


# Unusable items


@pytest.mark.parametrize("kind", [Listed, Parted])
def test_unusable_items_up_to_the_allowed_share_are_left_out_and_listed_with_reasons(
    store: Store, kind: type[Listed]
) -> None:
    items: list[Example | Bad] = [*made(10)]
    items[2], items[5] = Bad("c/2.png", "is truncated"), Example(GREY[:2], 0, where="c/5.png")
    manifest = write(store, kind(held={"train": items, "test": made(2)}), max_bad_fraction=0.2)
    listed = [json.loads(line) for line in store.read("s/quarantine.jsonl").splitlines()]
    assert [(item["split"], item["where"]) for item in listed] == [("train", "c/2.png"), ("train", "c/5.png")]
    assert "is truncated" in listed[0]["reason"]
    assert "most others" in listed[1]["reason"]
    assert manifest.facts["quarantined"] == 2
    assert "quarantine.jsonl" in [file.path for file in manifest.files]
    kept = [made(10)[i] for i in (0, 1, 3, 4, 6, 7, 8, 9)]
    split = open_shards(store, "s").split("train")
    assert (split.images == np.stack([e.image[None] for e in kept if e.image is not None])).all()
    assert split.labels is not None
    assert split.labels.tolist() == [e.label for e in kept]


def test_one_more_than_the_allowed_share_stops_it_and_says_which_share_would_pass(store: Store) -> None:
    items: list[Example | Bad] = [*made(100)]
    for index in range(3):
        items[index * 7] = Bad(f"{index}.png", "is broken")
    listed = r"3 of 100 items .*0\.png, 1\.png, 2\.png: is broken — .*max_bad_fraction=0\.05"
    with pytest.raises(DataError, match=listed):
        write(store, Parted(held={"train": items}), max_bad_fraction=0.02)
    assert write(store, Parted(held={"train": items}), max_bad_fraction=0.05).facts["quarantined"] == 3


def test_an_odd_first_item_does_not_decide_what_the_others_must_look_like(store: Store) -> None:
    items = [Example(GREY[:2], 0), *made(9)]
    assert write(store, Parted(held={"train": items}), max_bad_fraction=0.1).facts["shape"] == [1, 4, 6]


# Parts


def test_a_source_read_in_parts_makes_the_bytes_of_one_read_from_its_start(store: Store, tmp_path: Path) -> None:
    held = {"train": made(11), "validation": made(3), "test": made(5)}
    assert write(store, Parted(held=held), "a").digest == write(store, Listed(held=held), "b").digest


def backwards(writer: PartWriter, parts: Sequence[Part]) -> Iterator[Written]:
    return map(writer.write, reversed(parts))


def test_the_order_in_which_parts_are_written_leaves_no_trace(store: Store) -> None:
    source = Parted(held={"train": [*made(11), Bad("x", "y"), *made(7)], "test": made(5)})
    one, other = write(store, source, "a", max_bad_fraction=0.5), write(
        store, source, "b", max_bad_fraction=0.5, place=backwards
    )
    assert (one.digest, one.facts) == (other.digest, other.facts)


class Killed(BaseException):
    pass


@pytest.mark.parametrize("kind", [Listed, Parted])
@pytest.mark.parametrize("after", range(8))
def test_a_killed_preparation_goes_on_and_ends_with_the_same_bytes(
    store: Store, after: int, kind: type[Listed], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = kind(held={"train": [*made(11), Bad("x", "y"), *made(7)], "test": made(5)})
    undisturbed = write(store, source, "undisturbed", max_bad_fraction=0.5)
    real, calls = Store.write, 0

    def dies(self: Store, path: str, data: bytes) -> None:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Killed
        real(self, path, data)

    monkeypatch.setattr(Store, "write", dies)
    with pytest.raises(Killed):
        write(store, source, max_bad_fraction=0.5)
    monkeypatch.undo()
    assert read_manifest(store, "s") is None
    written: list[str] = []
    monkeypatch.setattr(Store, "write", lambda self, path, data: (written.append(path), real(self, path, data))[1])
    resumed = write(store, source, max_bad_fraction=0.5)
    assert (resumed.digest, resumed.facts) == (undisturbed.digest, undisturbed.facts)
    shards = [path for path in written if path.endswith(".arrow")]
    assert len(shards) == 7 - after // 2  # every shard whose note was written is left alone
    assert not store.exists("s/.parts")


def test_a_network_that_breaks_off_is_said_and_nothing_is_dropped(store: Store) -> None:
    class Breaking(Parted):
        def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
            yield from super().part(split, start, stop)
            if (split, start) == ("train", 8):
                raise ConnectionResetError("connection reset by peer")

    held = {"train": made(12)}
    with pytest.raises(StoreError, match=r"train items 8 to 12: reading broke off: .*reset by peer; the same command"):
        write(store, Breaking(held=held))
    assert write(store, Parted(held=held)).facts["splits"]["train"]["examples"] == 12


def test_a_shard_that_vanished_or_shrank_is_written_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Parted(held={"train": made(12)})
    whole = write(store, source, "whole")
    monkeypatch.setattr(parts, "put_manifest", lambda *_, **__: (_ for _ in ()).throw(Killed))
    with pytest.raises(Killed):
        write(store, source)
    monkeypatch.undo()
    store.delete("s/train-00000.arrow")
    store.write("s/train-00001.arrow", b"short")
    assert write(store, source).digest == whole.digest


def test_a_finished_set_is_made_anew(store: Store) -> None:
    write(store, Parted(held={"train": made(12)}))
    again = write(store, Parted(held={"train": made(5)}))
    assert again.facts["splits"]["train"]["examples"] == 5
    assert sorted(store.sizes("s")) == ["MANIFEST.json", "train-00000.arrow", "train-00001.arrow"]


def test_large_examples_make_smaller_shards(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD_BYTES", 3 * GREY.nbytes + 1)
    assert write(store, Parted(held={"train": made(7)})).facts["splits"]["train"]["counts"] == [3, 3, 1]


def test_progress_counts_items_and_unusable_ones(store: Store) -> None:
    told: list[tuple[int, int | None, int]] = []
    source = Parted(held={"train": [*made(9), Bad("x", "y")]})
    write(store, source, max_bad_fraction=0.5, progress=lambda *state: told.append(state))
    assert told == [(4, 10, 0), (8, 10, 0), (10, 10, 1)]


# Columns


def test_every_kind_of_data_has_its_column(store: Store) -> None:
    draw = np.random.default_rng(0)
    examples = [
        Example(
            draw.integers(0, 256, (4, 6, 3), np.uint8),
            image_b=draw.integers(0, 256, (2, 2), np.uint8),
            audio=draw.integers(-9, 9, 16, np.int16),
            tokens=draw.integers(0, 9, 5, np.int32),
            video=draw.integers(0, 256, (3, 4, 6, 3), np.uint8),
            attributes={"old": i, "age": 2 * i},
            weight=i + 0.5,
        )
        for i in range(6)
    ]
    manifest = write(store, Parted(held={"train": examples}), shard_examples=10)
    table = pa.ipc.open_file(pa.memory_map(str(store.local_path("s/train-00000.arrow")))).read_all()
    stored = {name: table[name].chunk(0).to_numpy_ndarray() for name in manifest.facts["columns"]}
    for i, example in enumerate(examples):
        assert example.image is not None
        assert example.video is not None
        assert (stored["image"][i] == np.moveaxis(example.image, 2, 0)).all()
        assert (stored["video"][i] == np.moveaxis(example.video, 3, 1)).all()
        assert (stored["image_b"][i] == example.image_b).all()
        assert (stored["audio"][i] == example.audio).all()
        assert (stored["tokens"][i] == example.tokens).all()
    assert table["weight"].to_pylist() == [i + 0.5 for i in range(6)]
    assert table["attributes"].to_pylist() == [{"age": 2.0 * i, "old": 1.0 * i} for i in range(6)]
    assert (manifest.facts["kind"], manifest.facts["shape"]) == ("image", [3, 4, 6])
    assert manifest.facts["columns"]["audio"] == {"shape": [1, 16], "dtype": "int16"}


def test_transforms_bring_mixed_items_to_one_shape(store: Store) -> None:
    steps: tuple[Transform, ...] = (Mode(mode="rgb"), Resize(resize=8))
    mixed = [*made(4), *made(4, (9, 7, 3))]
    assert write(store, Parted(held={"train": mixed}), transforms=steps).facts["shape"] == [3, 8, 8]


def test_class_names_are_in_the_manifest_and_count_classes_without_examples(store: Store) -> None:
    manifest = write(store, Parted(held={"train": made(classes=2)}, names=("a", "b", "c")))
    assert (manifest.facts["class_names"], manifest.facts["classes"]) == (["a", "b", "c"], 3)
