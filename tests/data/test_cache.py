from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_core.data.batches import Batches
from gan_core.data.shards import RemoteSplit, Shards, Split, iterate, open_shards
from gan_core.data.source import Example, Source
from gan_core.data.write import write_shards
from gan_core.errors import ConfigError, DamagedFile, StoreError
from gan_core.manifest import read_manifest
from gan_core.store import Store

SHARDS, EACH = 10, 8  # of the training split; validation is one shard more
SIDE = 20


class Noise(Source):
    seed: int = 0
    labelled: bool = True

    def examples(self, split: str) -> Iterator[Example]:
        draw = np.random.default_rng([self.seed, len(split)])
        for i in range({"train": SHARDS * EACH - 3, "validation": EACH}.get(split, 0)):
            image = draw.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
            yield Example(image, i % 5 if self.labelled else None)


class Counted(Store):
    """A store that remembers what was fetched, and refuses what it is told to."""

    fetched: Counter[str]
    refused: set[str]

    def get(self, path: str, local: Path) -> None:
        if path in self.refused:
            raise TimeoutError("the network is down")
        super().get(path, local)
        self.fetched[path] += 1


def remote(seed: int = 0, **options: Any) -> Counted:
    """A set of 11 shards of the same size, in memory."""
    store = Counted(f"memory://{uuid.uuid4().hex}")
    store.fetched, store.refused = Counter(), set()
    write_shards(Noise(seed=seed, **options), store, "s", shard_examples=EACH, key="k")
    return store


@pytest.fixture
def store() -> Counted:
    return remote()


@pytest.fixture
def local(tmp_path: Path) -> Split:
    """The same training split where nothing is fetched."""
    here = Store(tmp_path / "here")
    write_shards(Noise(), here, "s", shard_examples=EACH, key="k")
    return open_shards(here, "s").split("train")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all copies, empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("GAN_CACHE_BYTES", raising=False)
    return tmp_path / "cache" / "gan-pipelines" / "shards"


def sizes(store: Store) -> dict[str, int]:
    manifest = read_manifest(store, "s")
    assert manifest is not None
    return {file.path: file.size for file in manifest.files}


def largest(store: Store) -> int:
    return max(sizes(store).values())


def room_for(monkeypatch: pytest.MonkeyPatch, store: Store, shards: int) -> int:
    """The cache holds so many of the largest shards."""
    bound = shards * largest(store)
    monkeypatch.setenv("GAN_CACHE_BYTES", str(bound))
    return bound


def copies(cache: Path) -> dict[str, int]:
    """Bytes of each copy, those on their way included."""
    found = {}
    for folder, _, names in os.walk(cache):
        for file in (Path(folder) / name for name in names if not name.startswith(".lock")):
            with suppress(FileNotFoundError):  # it arrived, or made room, meanwhile
                found[f"{file.parent.name[:8]}/{file.name}"] = file.stat().st_size
    return found


def train(shards: Shards) -> RemoteSplit:
    split = shards.split("train")
    assert isinstance(split, RemoteSplit)
    return split


def batches(split: Split, group: int | None, rank: int = 0, world: int = 1, batch: int = 12, **options: Any) -> Batches:
    return Batches(split, seed=5, batch=batch, rank=rank, world=world, device=torch.device("cpu"),
                   shuffle_shards=group, **options)


def flip_a_bit(file: Path | Store, path: str = "") -> None:
    data = bytearray(file.read_bytes() if isinstance(file, Path) else file.read(path))
    data[len(data) // 2] ^= 1
    file.write_bytes(data) if isinstance(file, Path) else file.write(path, bytes(data))


# A set that fits


def test_a_set_is_fetched_once_and_holds_what_the_store_does(store: Counted, local: Split, cache: Path) -> None:
    for _ in range(2):
        split = open_shards(store, "s").split("train")
        assert (split.images == local.images).all()
        assert split.labels is not None
        assert split.labels.tolist() == np.asarray(local.labels).tolist()
    assert store.fetched == Counter({f"s/{path}": 1 for path in sizes(store)})
    assert sum(copies(cache).values()) == sum(sizes(store).values())


def test_files_are_fetched_at_the_same_time(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    four = threading.Barrier(4)

    def get(path: str, local: Path) -> None:
        if path < "s/train-00004":
            four.wait(20)  # passes only when four are on their way
        Store.get(store, path, local)

    monkeypatch.setattr(store, "get", get)
    assert len(open_shards(store, "s").split("train")) == SHARDS * EACH - 3


def test_fetching_is_told_of_and_finding_is_not(store: Counted, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    open_shards(store, "s")
    told = [record.getMessage() for record in caplog.records if record.name == "gan_core.data.cache"]
    assert told == [f"{store.uri('s')}: 11 of 11 shards here, 0.00 of 0.00 GB"]
    caplog.clear()
    open_shards(store, "s")
    assert not caplog.records


def test_open_files_take_no_file_handles(store: Counted) -> None:
    open_shards(store, "s")
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a Path would open one more
    shards = open_shards(store, "s")
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert shards.split("train").images.any()


# Damage


def test_a_shard_damaged_in_the_store_is_named_and_not_kept(store: Counted, cache: Path) -> None:
    flip_a_bit(store, "s/train-00004.arrow")
    with pytest.raises(DamagedFile, match=rf"^{store.uri('s')}/train-00004\.arrow: is damaged"):
        open_shards(store, "s")
    assert not [*cache.rglob("train-00004*")]


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 10_000_000])
def test_a_shard_of_another_size_is_damaged(store: Counted, content: bytes) -> None:
    store.write("s/train-00004.arrow", content)
    with pytest.raises(DamagedFile, match=r"train-00004\.arrow: is damaged"):
        open_shards(store, "s")


def test_a_shard_missing_from_the_store_is_named(store: Counted) -> None:
    store.delete("s/validation-00000.arrow")
    with pytest.raises(DamagedFile, match=rf"^{store.uri('s')}/validation-00000\.arrow: is missing, though"):
        open_shards(store, "s")


def test_a_store_that_does_not_answer_is_the_operator_s(store: Counted) -> None:
    store.refused = {"s/train-00009.arrow"}
    with pytest.raises(StoreError, match=r"train-00009\.arrow: could not be fetched: TimeoutError: the network is "
                                         "down; run the same command again"):
        open_shards(store, "s")
    store.refused = set()
    open_shards(store, "s")
    assert set(store.fetched.values()) == {1}, "what had arrived was fetched again"


@pytest.mark.parametrize("spoil", [flip_a_bit, Path.unlink, lambda path: path.write_bytes(b"short")])
def test_a_copy_damaged_in_the_cache_is_fetched_again(store: Counted, cache: Path, local: Split, spoil: Any) -> None:
    open_shards(store, "s")
    (copy,) = cache.rglob("train-00003.arrow")
    spoil(copy)
    assert (open_shards(store, "s").split("train").images == local.images).all()
    assert store.fetched["s/train-00003.arrow"] == 2
    assert sum(store.fetched.values()) == SHARDS + 2


def test_a_manifest_cannot_name_a_file_outside_its_folder(store: Counted, tmp_path: Path, cache: Path) -> None:
    text = store.read("s/MANIFEST.json").replace(b"train-00004.arrow", b"train-/../../../../00004.arrow")
    store.write("s/MANIFEST.json", text)
    before = {*tmp_path.rglob("*.arrow")}
    with pytest.raises(DamagedFile, match=r"MANIFEST\.json: not a manifest: files\.\d+\.path: .* is no path below the"):
        open_shards(store, "s")
    assert {*tmp_path.rglob("*.arrow")} == before


# The bound


def test_the_least_recently_used_set_makes_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = remote(1), remote(2), remote(3)
    bound = room_for(monkeypatch, first, 2 * (SHARDS + 1))
    for store in (first, second, first, third):
        open_shards(store, "s")
        assert sum(copies(cache).values()) <= bound
    for store, want in ((first, 1), (third, 1), (second, 2)):
        open_shards(store, "s")
        assert set(store.fetched.values()) == {want}
    assert len([*cache.glob("*/")]) == 3


def test_what_this_process_has_open_does_not_make_room(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = remote(1), remote(2)
    room_for(monkeypatch, first, SHARDS + 5)
    held = open_shards(first, "s")
    with pytest.raises(ConfigError, match=rf"^GAN_CACHE_BYTES=\d+ leaves no room for the shards of {second.uri('s')} "
                                          r"beside those in use; GAN_CACHE_BYTES=\d+ does$") as refused:
        open_shards(second, "s")
    assert held.split("train").images.any()
    monkeypatch.setenv("GAN_CACHE_BYTES", str(refused.value).rsplit("=", 1)[1].split()[0])
    open_shards(second, "s")
    assert set(first.fetched.values()) == {1}
    room_for(monkeypatch, first, SHARDS + 1)
    del held, refused
    open_shards(second, "s")


def test_what_makes_room_stays_readable_for_who_has_it_mapped(
    cache: Path, local: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = remote(0), remote(2)
    room_for(monkeypatch, first, SHARDS + 1)
    mapped = open_shards(first, "s").split("train").parts
    open_shards(second, "s")
    assert len(copies(cache)) == SHARDS + 1
    assert (np.concatenate(mapped) == local.images).all()


def test_what_a_dead_process_left_half_fetched_goes(store: Counted, cache: Path) -> None:
    (cache / ".incoming").mkdir(parents=True)
    (cache / ".incoming" / ".train-00000.arrow.0123").write_bytes(bytes(1000))
    open_shards(store, "s")
    assert not [*cache.rglob("*.0123")]


@pytest.mark.parametrize("bound", ["many", "-1", "1e9", "20GiB", "²"])
def test_a_bound_that_is_no_number_of_bytes_is_refused(
    store: Counted, bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_CACHE_BYTES", bound)
    with pytest.raises(ConfigError, match=f"^GAN_CACHE_BYTES={bound}: not a number of bytes; GAN_CACHE_BYTES=21474"):
        open_shards(store, "s")


def test_a_folder_that_cannot_be_made_is_the_operator_s(
    store: Counted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ConfigError, match=r"cannot be written: Not a directory; set XDG_CACHE_HOME"):
        open_shards(store, "s")


# A set that does not fit


@pytest.mark.parametrize("group", [1, 2, 3])
def test_a_set_larger_than_the_cache_gives_the_batches_of_one_that_fits(
    store: Counted, local: Split, cache: Path, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = room_for(monkeypatch, store, 2 * group)
    data, want = batches(train(open_shards(store, "s")), group), batches(local, group)
    for position in range(0, 20 * 12, 12):  # three epochs
        found = data.at(position)
        assert all(torch.equal(found[name], value) for name, value in want.at(position).items())
        assert sum(copies(cache).values()) <= bound


def test_a_batch_may_span_many_groups(
    store: Counted, local: Split, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = room_for(monkeypatch, store, 2)
    found = batches(train(open_shards(store, "s")), 1, batch=100).take(3)
    assert torch.equal(found["image"], batches(local, 1, batch=100).take(3)["image"])
    assert sum(copies(cache).values()) <= bound


@pytest.mark.parametrize("world", [1, 2, 3, 4])
def test_workers_of_a_large_set_resume_anywhere(
    store: Counted, local: Split, world: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(monkeypatch, store, 4)
    split = train(open_shards(store, "s"))
    for position in (48, 60, 600, 12, 0, 10**9):
        found = torch.cat([batches(split, 2, rank, world).take(position)["image"] for rank in range(world)])
        assert torch.equal(found, batches(local, 2).take(position)["image"])


def test_a_large_set_may_be_read_at_any_position_after_any_other(
    store: Counted, local: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(monkeypatch, store, 4)
    data = batches(train(open_shards(store, "s")), 2)
    for position in (48, 60, 600, 12, 0, 10**9, 3):
        assert torch.equal(data.take(position)["image"], batches(local, 2).take(position)["image"])


def test_the_next_group_arrives_while_this_one_is_in_use(
    store: Counted, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(monkeypatch, store, 4)
    data = batches(train(open_shards(store, "s")), 2)
    data.take(0)
    for thread in threading.enumerate():
        if thread.name.startswith("shards "):
            thread.join(20)
    assert len(copies(cache)) == 4
    assert sum(store.fetched.values()) == 4


def test_each_group_is_fetched_once_an_epoch(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    room_for(monkeypatch, store, 4)
    data = batches(train(open_shards(store, "s")), 2, batch=7)
    for position in range(0, 77, 7):
        data.take(position)
    assert set(store.fetched.values()) <= {1, 2}  # the group after the last is on its way
    assert sum(store.fetched.values()) <= SHARDS + 2


def test_nothing_trains_on_a_damaged_shard_of_a_large_set(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    room_for(monkeypatch, store, 4)
    flip_a_bit(store, "s/train-00006.arrow")
    data = batches(train(open_shards(store, "s")), 2, batch=77)
    with pytest.raises(DamagedFile, match=rf"^{store.uri('s')}/train-00006\.arrow: is damaged"):
        data.take(0)


def test_a_failure_in_the_background_is_tried_again_when_it_matters(
    store: Counted, local: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(monkeypatch, store, 4)
    store.refused = {f"s/{path}" for path in sizes(store)}
    data = batches(train(open_shards(store, "s")), 2)
    with pytest.raises(StoreError, match="could not be fetched"):
        data.take(0)
    store.refused = set()
    for position in range(0, 77, 12):
        assert torch.equal(data.take(position)["image"], batches(local, 2).take(position)["image"])


def test_a_large_set_names_both_ways_out(store: Counted, local: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    room_for(monkeypatch, store, 7)
    needed = sum(sizes(store).values())
    split = train(open_shards(store, "s"))
    with pytest.raises(ConfigError, match=rf"^{store.uri('s')}: training needs all of its shards on this machine, "
                                          rf"{needed} bytes, and GAN_CACHE_BYTES=\d+; train\.shuffle_shards=3 or "
                                          rf"GAN_CACHE_BYTES={needed} works$"):
        batches(split, None)
    assert torch.equal(batches(split, 3).take(0)["image"], batches(local, 3).take(0)["image"])
    monkeypatch.setenv("GAN_CACHE_BYTES", str(needed))
    assert batches(open_shards(store, "s").split("train"), None).take(0).keys() == {"image", "label"}


def test_a_group_that_is_too_large_is_answered_with_one_that_fits(
    store: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(monkeypatch, store, 7)
    split = train(open_shards(store, "s"))
    with pytest.raises(ConfigError, match=rf"train\.shuffle_shards=4 needs two groups of its shards on this machine, "
                                          rf"{8 * largest(store)} bytes, .*; train\.shuffle_shards=3 or "
                                          rf"GAN_CACHE_BYTES={8 * largest(store)} works"):
        batches(split, 4)


def test_where_not_even_two_shards_fit_only_the_bound_helps(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    room_for(monkeypatch, store, 1)
    with pytest.raises(ConfigError, match=rf"=\d+; GAN_CACHE_BYTES={2 * largest(store)} works$"):
        batches(train(open_shards(store, "s")), 1)


def test_two_domains_of_a_large_set_need_a_larger_cache(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    room_for(monkeypatch, store, 7)
    with pytest.raises(ConfigError, match=r"training needs all .*=\d+; GAN_CACHE_BYTES=\d+ works$"):
        batches(train(open_shards(store, "s")), None, facts={"domains": "unpaired"})


def test_weights_over_a_large_set_are_refused(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    room_for(monkeypatch, store, 4)
    with pytest.raises(ConfigError, match=r"train\.sampling=sqrt draws from all of the set"):
        batches(train(open_shards(store, "s")), 2, sampling="sqrt")


def test_a_large_set_that_lacks_a_file_is_not_begun(store: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    room_for(monkeypatch, store, 4)
    store.delete("s/train-00007.arrow")
    with pytest.raises(DamagedFile, match=r"s/train-00007\.arrow: is missing or has another size"):
        open_shards(store, "s")


@pytest.mark.parametrize("labelled", [True, False])
def test_what_a_split_offers_a_large_one_offers_too(
    tmp_path: Path, cache: Path, labelled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    far, near = remote(labelled=labelled), Store(tmp_path / "near")
    write_shards(Noise(labelled=labelled), near, "s", shard_examples=EACH, key="k")
    bound = room_for(monkeypatch, far, 3)
    shards, here = open_shards(far, "s"), open_shards(near, "s")
    split, want = train(shards), here.split("train")
    assert (shards.shape, shards.kind, shards.classes) == (here.shape, here.kind, here.classes)
    assert (len(split), split.counts, split.starts.tolist()) == (len(want), want.counts, want.starts.tolist())
    anywhere = np.random.default_rng(0).integers(0, len(split), 30)
    assert (split.gather(anywhere) == want.gather(anywhere)).all()
    assert split.gather(anywhere[:0]).shape == (0, 1, SIDE, SIDE)
    assert (np.concatenate([*iterate(split, 11)]) == want.images).all()
    assert (split.images == want.images).all()
    assert (split.labels is None) == (want.labels is None) == (not labelled)
    assert split.labels is None or split.labels.tolist() == np.asarray(want.labels).tolist()
    assert (shards.split("validation").images == here.split("validation").images).all()
    assert sum(copies(cache).values()) <= bound


# Several processes on one machine

PROCESS = """
import sys, torch, logging
from gan_core.data.batches import Batches
from gan_core.data.shards import open_shards
from gan_core.data.write import write_shards
from gan_core.store import Store
from tests.data.test_cache import EACH, Noise
store, rank = Store("memory://s"), int(sys.argv[1])
write_shards(Noise(), store, "s", shard_examples=EACH, key="k")
group = int(sys.argv[2]) or None
data = Batches(open_shards(store, "s").split("train"), seed=5, batch=12, rank=rank, world=2,
               device=torch.device("cpu"), shuffle_shards=group)
print([data.take(position)["image"].sum().item() for position in range(0, 240, 12)])
"""


@pytest.mark.parametrize("group", [0, 2])
def test_processes_share_the_copies(
    store: Counted, local: Split, cache: Path, group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bound = room_for(monkeypatch, store, 4 if group else SHARDS + 1)
    command = [sys.executable, "-c", PROCESS]
    workers = [subprocess.Popen([*command, str(rank), str(group)], stdout=subprocess.PIPE, text=True)
               for rank in range(2)]
    found = [worker.communicate(timeout=100)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    for rank in range(2):
        want = batches(local, group or None, rank, 2)
        assert found[rank].strip() == str([want.take(p)["image"].sum().item() for p in range(0, 240, 12)])
    assert sum(copies(cache).values()) <= bound
    assert not [*(cache / ".incoming").glob("*")]


def test_of_many_who_want_a_set_at_once_one_fetches_it(store: Counted) -> None:
    start, splits = threading.Barrier(4), []

    def open_it() -> None:
        start.wait()
        splits.append(open_shards(store, "s").split("train"))

    threads = [threading.Thread(target=open_it) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(splits) == 4
    assert set(store.fetched.values()) == {1}
