from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from gan_core.data import batches as module
from gan_core.data.batches import Batches, normalise
from gan_core.data.sampler import indices
from gan_core.data.shards import Split, open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
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


def batches(split: Split, rank: int = 0, world: int = 1, seed: int = 5) -> Batches:
    return Batches(split, seed=seed, batch=BATCH, rank=rank, world=world, device=torch.device("cpu"))


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


def test_a_set_without_labels_gives_images_alone(one_file: Split) -> None:
    assert batches(Split(one_file.parts, None)).at(0).keys() == {"image"}


def test_a_batch_larger_than_the_set_repeats_it(tmp_path: Path) -> None:
    split = Split((np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1),), None)
    images = Batches(split, seed=0, batch=16, rank=0, world=1, device=torch.device("cpu")).at(0)["image"]
    assert sorted(levels(images).flatten().tolist()) == sorted([*range(8)] * 2)
