from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_core.data import batches as module
from gan_core.data import rows
from gan_core.data.batches import Batches, normalise
from gan_core.data.sampler import Grouped, Natural, Weighted, indices, stream
from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.source import Example, Source
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import ConfigError, DataError
from gan_core.store import Store

BATCH = 60
POSITIONS = (0, 60, 1200, 1257 * 3 - 30)  # within an epoch and across its end


@pytest.fixture(scope="module")
def one_file(digits_store: Store) -> Split:
    return open_shards(digits_store, "shards/digits").split("train")


@pytest.fixture(scope="module")
def many_files(tmp_path_factory: pytest.TempPathFactory) -> Split:
    store = Store(tmp_path_factory.mktemp("many"))
    write_shards(Digits(), store, "s", shard_examples=100, key="k")
    return open_shards(store, "s").split("train")


def batches(split: Split, rank: int = 0, world: int = 1, seed: int = 5, **options: Any) -> Batches:
    device = torch.device("cpu")
    return Batches(split, seed=seed, batch=BATCH, rank=rank, world=world, device=device, **options)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def levels(images: Tensor) -> Tensor:
    return ((images + 1) * 127.5).round().to(torch.uint8)


@pytest.mark.parametrize("world", [2, 3, 4])
@pytest.mark.parametrize("position", POSITIONS)
def test_workers_rows_put_together_are_the_whole_batch(one_file: Split, world: int, position: int) -> None:
    whole = batches(one_file).at(position)
    parts = [batches(one_file, rank, world).at(position) for rank in range(world)]
    assert same({name: torch.cat([part[name] for part in parts]) for name in whole}, whole)


@pytest.mark.parametrize("position", POSITIONS)
def test_a_resident_a_mapped_and_a_divided_set_give_the_same_batches(
    one_file: Split, many_files: Split, position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resident = [batches(split).at(position) for split in (one_file, many_files)]
    monkeypatch.setattr(module, "RESIDENT_BYTES", 0)
    mapped = [batches(split).at(position) for split in (one_file, many_files)]
    assert all(same(resident[0], other) for other in (*resident[1:], *mapped))


@pytest.mark.parametrize("one_thread_bytes", [0, 2**20])
def test_one_thread_and_all_threads_copy_the_same(
    one_file: Split, many_files: Split, one_thread_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = batches(one_file).at(1200)
    monkeypatch.setattr(rows, "ONE_THREAD_BYTES", one_thread_bytes)
    assert same(batches(one_file).at(1200), wanted)
    monkeypatch.setattr(module, "RESIDENT_BYTES", 0)
    assert all(same(batches(split).at(1200), wanted) for split in (one_file, many_files))


@pytest.mark.gpu
@pytest.mark.parametrize("resident_bytes", [0, 2**28])
def test_batches_on_a_gpu_are_those_on_the_cpu(
    many_files: Split, resident_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", resident_bytes)
    there = Batches(many_files, seed=5, batch=BATCH, rank=0, world=1, device=torch.device("cuda"))
    taken = [there.take(position) for position in range(0, 3000, BATCH)]  # all before any is looked at
    for position, batch in zip(range(0, 3000, BATCH), taken, strict=True):
        assert {tensor.device.type for tensor in batch.values()} == {"cuda"}
        assert same({name: tensor.cpu() for name, tensor in batch.items()}, batches(many_files).take(position))


@pytest.mark.parametrize("resident_bytes", [0, 2**28])
def test_a_batch_is_the_examples_at_its_position(
    one_file: Split, resident_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", resident_bytes)
    chosen = indices(len(one_file), seed=5, position=1200, count=BATCH)
    batch = batches(one_file).at(1200)
    assert torch.equal(levels(batch["image"]), torch.from_numpy(one_file.images[chosen]))
    assert one_file.labels is not None
    assert batch["label"].tolist() == one_file.labels[chosen].tolist()


def test_values_are_float32_from_minus_one_to_one() -> None:
    stored = torch.arange(256, dtype=torch.uint8)
    values = normalise(stored)
    assert values.dtype == torch.float32
    assert (values[0].item(), values[-1].item()) == (-1, 1)
    assert (values.diff() > 0).all()
    assert torch.equal(levels(values), stored)
    assert torch.equal(stored, torch.arange(256, dtype=torch.uint8))


@pytest.mark.parametrize("resident_bytes", [0, 2**28])
def test_what_is_done_to_a_batch_does_not_reach_the_data(
    one_file: Split, resident_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", resident_bytes)
    data = batches(one_file)
    first = data.at(0)
    kept = {name: tensor.clone() for name, tensor in first.items()}
    first["image"].zero_()
    first["label"].zero_()
    assert same(data.at(0), kept)
    raw = data.take(0)
    raw["image"].zero_()
    raw["label"].zero_()
    assert same(data.at(0), kept)


@pytest.mark.parametrize("resident_bytes", [0, 2**28])
def test_a_batch_is_not_overwritten_by_the_next(
    many_files: Split, resident_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", resident_bytes)
    data = batches(many_files)
    first = data.take(0)
    kept = {name: tensor.clone() for name, tensor in first.items()}
    for position in range(60, 1200, 60):
        data.take(position)
    assert same(first, kept)


def test_a_set_without_labels_gives_images_alone(one_file: Split) -> None:
    assert batches(Split(one_file.parts, None)).at(0).keys() == {"image"}


def test_a_batch_larger_than_the_set_repeats_it(tmp_path: Path) -> None:
    split = Split((np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1),), None)
    images = Batches(split, seed=0, batch=16, rank=0, world=1, device=torch.device("cpu")).at(0)["image"]
    assert sorted(levels(images).flatten().tolist()) == sorted([*range(8)] * 2)


@pytest.mark.parametrize("resident_bytes", [0, 2**28])
def test_taking_gives_what_is_stored(
    many_files: Split, resident_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", resident_bytes)
    taken = batches(many_files).take(1200)
    chosen = indices(len(many_files), seed=5, position=1200, count=BATCH)
    assert taken["image"].dtype == torch.uint8
    assert (taken["image"].numpy() == many_files.images[chosen]).all()


# Other orders


@pytest.mark.parametrize("sampling", ["balanced", "sqrt", {"3": 5, "1": 0}])
@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_weighted_rows_of_workers_put_together_are_the_whole_batch(
    many_files: Split, world: int, sampling: Any
) -> None:
    for position in POSITIONS:
        whole = batches(many_files, sampling=sampling).at(position)
        parts = [batches(many_files, rank, world, sampling=sampling).at(position) for rank in range(world)]
        assert same({name: torch.cat([part[name] for part in parts]) for name in whole}, whole)


def test_a_balanced_batch_follows_its_weights(one_file: Split) -> None:
    assert one_file.labels is not None
    sizes = np.bincount(one_file.labels)
    chosen = Weighted(1 / sizes[one_file.labels], seed=5).at(60, BATCH)
    assert batches(one_file, sampling="balanced").at(60)["label"].tolist() == one_file.labels[chosen].tolist()


def test_a_class_of_weight_zero_is_in_no_batch(one_file: Split) -> None:
    data = batches(one_file, sampling={"3": 0, "eight": 0}, facts={"class_names": CLASSES})
    assert not {3, 8} & {label for position in range(0, 3000, BATCH) for label in data.at(position)["label"].tolist()}


@pytest.mark.parametrize("group", [1, 4, 100])
@pytest.mark.parametrize("resident_bytes", [0, 2**28])
def test_shards_can_be_shuffled_a_few_at_a_time(
    many_files: Split, group: int, resident_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", resident_bytes)
    assert many_files.labels is not None
    chosen = Grouped(many_files.counts, group=group, seed=5).at(1200, BATCH)
    batch = batches(many_files, shuffle_shards=group).take(1200)
    assert batch["label"].tolist() == many_files.labels[chosen].tolist()
    assert (batch["image"].numpy() == many_files.images[chosen]).all()


def test_weights_and_a_few_shards_at_a_time_exclude_each_other(many_files: Split) -> None:
    with pytest.raises(ConfigError, match=r"^train\.sampling=balanced draws .*, and train\.shuffle_shards=2 has only"):
        batches(many_files, sampling="balanced", shuffle_shards=2)


CLASSES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


# Other kinds of data


class Listed(Source):
    """Examples of every kind; which, `kind` says."""

    kind: str

    def examples(self, split: str) -> Iterator[Example]:
        draw = np.random.default_rng(0)
        for i in range(30 if split == "train" else 0):
            yield made(self.kind, i, draw)

    def facts(self) -> Mapping[str, Any]:
        return {"domains": "unpaired"} if self.kind == "unpaired" else {}


def made(kind: str, i: int, draw: np.random.Generator) -> Example:
    image = draw.integers(0, 256, (5, 3, 3), dtype=np.uint8)
    if kind == "audio":
        return Example(audio=draw.integers(-(2**15), 2**15, (2, 7), dtype=np.int16), label=i % 3)
    if kind == "tokens":
        return Example(tokens=draw.integers(0, 99, 9, dtype=np.int32), weight=float(i % 2))
    if kind == "video":
        return Example(video=draw.integers(0, 256, (4, 5, 3), dtype=np.uint8), attributes={"quality": i % 5, "age": 1})
    if kind == "pairs":
        return Example(image, image_b=image[:, :2, 0])
    return Example(image, int(i % 10 < 3))


def written(folder: Path, kind: str, shard_examples: int = 7) -> tuple[Shards, list[Example]]:
    store, source = Store(folder), Listed(kind=kind)
    write_shards(source, store, "s", shard_examples=shard_examples, key="k")
    return open_shards(store, "s"), list(source.examples("train"))


@pytest.mark.parametrize("resident_bytes", [0, 2**28])
@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("audio", {"audio": (2, 7)}),
        ("tokens", {"tokens": (9,)}),
        ("video", {"video": (4, 1, 5, 3)}),
        ("pairs", {"image": (3, 5, 3), "image_b": (1, 5, 2)}),
    ],
)
def test_every_kind_of_column_comes_at_its_position(
    tmp_path: Path, kind: str, shapes: dict[str, tuple[int, ...]], resident_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", resident_bytes)
    shards, examples = written(tmp_path, kind)
    split = shards.split("train")
    assert (shards.kind, shards.shape) == next(iter(shapes.items()))
    assert shards.facts["splits"]["train"]["counts"] == list(split.counts) == [7, 7, 7, 7, 2]
    batch = batches(split).take(0)
    order = indices(30, seed=5, position=0, count=BATCH)
    assert batch.keys() - {"label", "attributes"} == shapes.keys()
    for name, shape in shapes.items():
        want = np.stack([getattr(examples[i], name) for i in order])
        want = np.moveaxis(want, -1, 1) if name.startswith("image") and want.ndim == 4 else want
        assert batch[name].shape == (BATCH, *shape)
        assert (batch[name].numpy().reshape(want.shape) == want).all()
        assert batch[name].numpy().dtype == want.dtype
    assert ("label" in batch, "attributes" in batch) == (kind == "audio", kind == "video")


@pytest.mark.parametrize("resident_bytes", [0, 2**28])
@pytest.mark.parametrize("one_thread_bytes", [0, 2**20])
@pytest.mark.parametrize("group", [None, 2])
def test_a_batch_has_a_column_for_each_attribute_in_the_order_of_their_names(
    tmp_path: Path, resident_bytes: int, one_thread_bytes: int, group: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RESIDENT_BYTES", resident_bytes)
    monkeypatch.setattr(rows, "ONE_THREAD_BYTES", one_thread_bytes)
    shards, examples = written(tmp_path, "video")
    split = shards.split("train")
    assert split.attribute_names == ("age", "quality")
    batch = batches(split, shuffle_shards=group).at(60)
    order = indices(30, seed=5, position=60, count=BATCH) if group is None else \
        Grouped(split.counts, group=group, seed=5).at(60, BATCH)
    assert batch["attributes"].dtype == torch.float32
    assert batch["attributes"].tolist() == [[1, examples[i].attributes["quality"]] for i in order]


def test_workers_have_the_attributes_of_their_own_rows(tmp_path: Path) -> None:
    split = written(tmp_path, "video")[0].split("train")
    parts = [batches(split, rank, 3).at(60)["attributes"] for rank in range(3)]
    assert torch.equal(torch.cat(parts), batches(split).at(60)["attributes"])


def test_audio_and_tokens_are_made_ready_for_networks(tmp_path: Path) -> None:
    audio = batches(written(tmp_path / "a", "audio")[0].split("train"))
    assert torch.equal(audio.at(0)["audio"], audio.take(0)["audio"].double().div(2**15).float())
    tokens = batches(written(tmp_path / "t", "tokens")[0].split("train"))
    assert tokens.at(0)["tokens"].dtype == torch.int64
    assert torch.equal(tokens.at(0)["tokens"], tokens.take(0)["tokens"].long())


def test_a_column_of_weights_decides_what_is_drawn(tmp_path: Path) -> None:
    shards, examples = written(tmp_path, "tokens")
    drawn = batches(shards.split("train"), sampling={"column": "weight"}).take(0)["tokens"].tolist()
    assert all(tokens in [e.tokens.tolist() for e in examples[1::2] if e.tokens is not None] for tokens in drawn)


def test_an_attribute_decides_what_is_drawn(tmp_path: Path) -> None:
    split = written(tmp_path, "video")[0].split("train")
    assert {name: values.tolist() for name, values in split.numbers.items()} == {
        "age": [1.0] * 30, "quality": [float(i % 5) for i in range(30)]
    }
    never = split.parts[0][0].tolist()
    drawn = [video for position in range(0, 600, BATCH)
             for video in batches(split, sampling={"column": "quality"}).take(position)["video"].tolist()]
    assert never not in drawn
    assert split.parts[0][1].tolist() in drawn


# Two unpaired domains


def test_unpaired_domains_are_drawn_each_in_its_own_order(tmp_path: Path) -> None:
    shards, _ = written(tmp_path, "unpaired")
    split = shards.split("train")
    assert split.labels is not None
    data = batches(split, facts=shards.facts)
    assert data.at(0).keys() == {"image", "image_b"}
    for label, name in enumerate(("image", "image_b")):
        members = np.flatnonzero(split.labels == label)
        for position in (0, 60, 3000):
            order = Natural(len(members), stream(5, name)).at(position, BATCH)
            assert (data.take(position)[name].numpy() == split.images[members[order]]).all()


@pytest.mark.parametrize("world", [2, 3, 4])
def test_workers_rows_of_unpaired_domains_put_together_are_the_whole_batch(tmp_path: Path, world: int) -> None:
    shards, _ = written(tmp_path, "unpaired")
    split, facts = shards.split("train"), shards.facts
    for position in (0, 60, 120):
        whole = batches(split, facts=facts).at(position)
        parts = [batches(split, rank, world, facts=facts).at(position) for rank in range(world)]
        assert same({name: torch.cat([part[name] for part in parts]) for name in whole}, whole)


@pytest.mark.parametrize("options", [{"sampling": "balanced"}, {"shuffle_shards": 2}])
def test_domains_have_no_other_order(tmp_path: Path, options: dict[str, Any]) -> None:
    shards, _ = written(tmp_path, "unpaired")
    with pytest.raises(ConfigError, match=r"^train\.(sampling=balanced|shuffle_shards=2): this set has two unpaired"):
        batches(shards.split("train"), facts=shards.facts, **options)


@pytest.mark.parametrize("labels", [None, np.zeros(4, np.int64), np.ones(4, np.int64)])
def test_a_domain_without_examples_is_named(labels: Any) -> None:
    split = Split((np.zeros((4, 1, 2, 2), np.uint8),), labels)
    with pytest.raises(DataError, match="domains are unpaired, and no training example has the label"):
        batches(split, facts={"domains": "unpaired"})
