from __future__ import annotations

import builtins
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pytest

from gan_core.data.items import Deal
from gan_core.data.source import Bad
from gan_core.data.sources.hdf5 import Hdf5
from gan_core.errors import DataError
from tests.data.image_samples import everything, good

WHOLE = Deal(validation=0, test=0)
GREY = np.random.default_rng(0).integers(0, 256, (30, 4, 4), np.uint8)
LABELS = np.arange(30) % 3


def hdf5(folder: Path, name: str = "set.h5", **arrays: Any) -> str:
    with h5py.File(folder / name, "w") as file:
        for path, values in arrays.items():
            file.create_dataset(path, data=values)
    return str(folder / name)


@pytest.mark.parametrize(("images", "labels"), [
    ("{}/data", "{}/target"), ("{}/images", "{}/labels"), ("{}/x", "{}/y"), ("x_{}", "y_{}")])
def test_groups_named_as_splits_hold_images_and_labels(tmp_path: Path, images: str, labels: str) -> None:
    url = hdf5(tmp_path, **{images.format("train"): GREY.reshape(30, 16) / 255, labels.format("train"): LABELS,
                            images.format("test"): GREY[:5].reshape(5, 16) / 255, labels.format("test"): LABELS[:5]})
    found = everything(Hdf5(url=url))
    assert {split: len(examples) for split, examples in found.items()} == {"train": 30, "validation": 0, "test": 5}
    assert np.array_equal([example.image for example in found["train"]], GREY)
    assert [example.label for example in found["test"]] == LABELS[:5].tolist()


def test_arrays_at_the_root_are_dealt_and_rows_are_read_in_parts(tmp_path: Path) -> None:
    source = Hdf5(url=hdf5(tmp_path, images=GREY, labels=LABELS))
    assert source.splits() == {"train": 24, "validation": 3, "test": 3}
    for split, count in source.splits().items():
        parts = [e for start in range(0, count, 5) for e in source.part(split, start, min(start + 5, count))]
        assert [e.where for e in parts] == [e.where for e in source.examples(split)]
        for example in parts:
            row = int(example.where.removeprefix("images[").rstrip("]"))
            assert np.array_equal(example.image, GREY[row])
            assert example.label == LABELS[row]


def test_arrays_can_be_named_by_path(tmp_path: Path) -> None:
    url = hdf5(tmp_path, **{"a/faces": GREY, "a/kinds": LABELS, "b/other": LABELS})
    source = Hdf5(url=url, images="a/faces", labels="a/kinds", deal=WHOLE)
    assert [example.label for example in source.examples("train")] == LABELS.tolist()
    assert source.facts()["unused_arrays"] == ["b/other"]
    splits = hdf5(tmp_path, "b.h5", **{"set/train/x": GREY, "set/test/x": GREY[:5]})
    assert Hdf5(url=splits, images="set/x").splits() == {"train": 30, "validation": 0, "test": 5}
    with pytest.raises(DataError, match=r"it holds a/faces \[30, 4, 4\], a/kinds \[30\], b/other \[30\]"):
        Hdf5(url=url, images="c").splits()


def test_labels_in_text_become_class_names(tmp_path: Path) -> None:
    names = np.array(["été", "dog", "cat"], object)[LABELS]
    source = Hdf5(url=hdf5(tmp_path, images=GREY, labels=names), deal=WHOLE)
    assert source.facts()["class_names"] == ["cat", "dog", "été"]
    assert [example.label for example in source.part("train", 0, 3)] == [2, 1, 0]


@pytest.mark.parametrize("options", [{"chunks": (7, 4, 4), "compression": "gzip"}, {"compression": "lzf"}, {}])
def test_compressed_files_in_memory_and_on_disk_read_the_same(tmp_path: Path, options: dict[str, Any]) -> None:
    with h5py.File(tmp_path / "set.h5", "w") as file:
        file.create_dataset("images", data=GREY, **options)
    with fsspec.open("memory://set.h5", "wb") as there:
        there.write((tmp_path / "set.h5").read_bytes())
    here, elsewhere = (good(Hdf5(url=url)) for url in (f"{tmp_path}/set.h5", "memory://set.h5"))
    assert [e.image.tobytes() for e in here] == [e.image.tobytes() for e in elsewhere]


def test_rows_of_nan_are_reported(tmp_path: Path) -> None:
    values = GREY / 255
    values[4] = np.nan
    found = list(Hdf5(url=hdf5(tmp_path, images=values), deal=WHOLE).examples("train"))
    assert [each.where for each in found if isinstance(each, Bad)] == ["images[4]"]


def test_links_and_arrays_in_other_files_are_refused(tmp_path: Path) -> None:
    hdf5(tmp_path, "other.h5", images=GREY)
    (tmp_path / "raw").write_bytes(GREY.tobytes())
    layout = h5py.VirtualLayout((30, 4, 4), np.uint8)
    layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "images", (30, 4, 4))
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["train/images"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "images")
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        file.create_virtual_dataset("images", layout)
    with h5py.File(tmp_path / "raw.h5", "w") as file:
        file.create_dataset("images", (30, 4, 4), np.uint8, external=[(str(tmp_path / "raw"), 0, GREY.nbytes)])
    for name, reason in {"link": r"train/images is a link to another file, .*other\.h5", "virtual": "other files",
                         "raw": "keeps its values in other files; such a file is not read"}.items():
        with pytest.raises(DataError, match=reason):
            Hdf5(url=f"{tmp_path}/{name}.h5").splits()


def test_a_link_in_a_circle_ends(tmp_path: Path) -> None:
    url = hdf5(tmp_path, images=GREY)
    with h5py.File(url, "a") as file:
        file["group/root"] = file["/"]
        file["soft"] = h5py.SoftLink("/soft")
    assert len(good(Hdf5(url=url))) == 30


@pytest.mark.parametrize(("values", "reason"), [
    (np.zeros(9, [("a", "i4")]), "and not numbers"), (np.array(["a"] * 9), "and not numbers"),
    (GREY[:, 0, 0], "is not that of images")])
def test_arrays_that_are_no_images_are_refused(tmp_path: Path, values: Any, reason: str) -> None:
    stored = values.astype(object) if values.dtype.kind == "U" else values
    with pytest.raises(DataError, match=reason):
        Hdf5(url=hdf5(tmp_path, images=stored)).splits()


def test_arrays_of_varying_length_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file.create_dataset("images", (3, 2), h5py.vlen_dtype(np.uint8))
    with pytest.raises(DataError, match="holds object and not numbers"):
        Hdf5(url=f"{tmp_path}/v.h5").splits()


def test_chunks_that_would_fill_memory_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file.create_dataset("images", (1000, 100, 100), np.uint8, chunks=(1000, 100, 100), compression="gzip")
    with pytest.raises(DataError, match="has chunks of 10,000,000 bytes, more than memory=1,000,000"):
        Hdf5(url=f"{tmp_path}/c.h5", memory=1_000_000).splits()


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "whole.h5", "w") as file:
        file.create_dataset("images", data=GREY, chunks=(10, 4, 4), compression="gzip", fletcher32=True)
        place = file["images"].id.get_chunk_info(1).byte_offset
    whole = (tmp_path / "whole.h5").read_bytes()
    flipped = bytearray(whole)
    flipped[place + 20] ^= 0xFF
    for name, data, reason in (("cut", whole[:-50], "not a whole HDF5 file"), ("text", b"hello", "not a whole HDF5"),
                               ("empty", b"", "not a whole HDF5 file"), ("flipped", bytes(flipped), "rows .* to")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=f"{name}: .*{reason}"):
            list(Hdf5(url=f"{tmp_path}/{name}", range=(0, 255)).examples("train"))
    with pytest.raises(DataError, match="is a folder"):
        Hdf5(url=str(tmp_path)).splits()


def test_without_h5py_the_package_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, real = hdf5(tmp_path, images=GREY), builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "h5py":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(DataError, match=r"pip install 'gan-pipelines\[formats\]'"):
        Hdf5(url=url).splits()


def test_usps_is_whole(real_data: Path) -> None:
    source = Hdf5(url=f"{real_data}/usps/usps.h5")
    assert source.splits() == {"train": 7291, "validation": 0, "test": 2007}
    counts = Counter(example.label for example in source.examples("train"))
    assert (counts[0], counts[8], sum(counts.values())) == (1194, 542, 7291)
    with h5py.File(real_data / "usps" / "usps.h5") as file:
        stored = file["test/data"][:].reshape(-1, 16, 16)
    pixels = np.stack([example.image for example in source.examples("test")])
    assert np.abs(pixels / 255 - stored).max() <= 0.5 / 255 + 1e-6
    assert source.facts() == {"class_names": list("0123456789"), "value_range": [0, 1], "stored_as": "hw [16, 16]"}
