from __future__ import annotations

import gzip
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gan_core.data.items import Deal
from gan_core.data.sources.idx import Idx
from gan_core.errors import DataError
from tests.data.image_samples import everything, good, write

CODES = {"uint8": 0x08, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D}
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 4, 3), np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10


def idx(array: NDArray[np.generic]) -> bytes:
    head = bytes([0, 0, CODES[str(array.dtype)], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


FILES = {"train-images-idx3-ubyte": idx(IMAGES), "train-labels-idx1-ubyte": idx(LABELS),
         "t10k-images-idx3-ubyte": idx(IMAGES[:5]), "t10k-labels-idx1-ubyte": idx(LABELS[:5])}


@pytest.mark.parametrize("form", ["{}", "{}.gz", "emnist-balanced-{}.gz", "raw/{}"])
@pytest.mark.parametrize("dots", [False, True])
def test_files_are_found_by_their_usual_names_and_unpacked_by_content(tmp_path: Path, form: str, dots: bool) -> None:
    files = {form.format(name.replace("-idx", ".idx") if dots else name):
             gzip.compress(data) if "gz" in form else data for name, data in FILES.items()}
    source = Idx(url=write(tmp_path, files))
    found = everything(source)
    assert {split: len(examples) for split, examples in found.items()} == {"train": 20, "validation": 0, "test": 5}
    assert np.array_equal([example.image for example in found["train"]], IMAGES)
    assert [example.label for example in found["test"]] == [0, 1, 2, 3, 4]
    assert found["train"][3].where == "train/images[3]"


def test_a_gzipped_file_without_its_suffix_is_unpacked(tmp_path: Path) -> None:
    source = Idx(url=write(tmp_path, {name: gzip.compress(data) for name, data in FILES.items()}))
    assert source.splits()["train"] == 20


def test_parts_make_up_the_whole_and_a_deal_sets_a_share_aside(tmp_path: Path) -> None:
    source = Idx(url=write(tmp_path, FILES), deal=Deal(validation=0.25, test=0.25))
    assert source.splits() == {"train": 10, "validation": 5, "test": 10}
    dealt = [(e.image.tobytes(), e.label) for e in good(source)]
    assert Counter(dealt) == Counter((image.tobytes(), int(label)) for image, label in
                                     [*zip(IMAGES, LABELS, strict=True), *zip(IMAGES[:5], LABELS[:5], strict=True)])
    for split, count in source.splits().items():
        parts = [e.where for start in range(0, count, 3) for e in source.part(split, start, min(start + 3, count))]
        assert parts == [e.where for e in source.examples(split)]
        assert len(set(parts)) == count


def test_one_pair_of_files_can_be_named(tmp_path: Path) -> None:
    url = write(tmp_path, {"faces.bin": idx(np.dstack([IMAGES] * 3).reshape(20, 4, 3, 3)), "kinds.bin": idx(LABELS)})
    with_labels = Idx(url=url, images="faces.bin", labels=f"{url}/kinds.bin", deal=Deal(validation=0, test=0))
    assert [e.label for e in with_labels.examples("train")] == LABELS.tolist()
    without = good(Idx(url=url, images="faces.bin"))
    assert {(e.image.shape, e.label) for e in without} == {((4, 3, 3), None)}


def test_images_without_label_files_have_no_labels(tmp_path: Path) -> None:
    source = Idx(url=write(tmp_path, {name: data for name, data in FILES.items() if "images" in name}))
    assert {example.label for example in good(source)} == {None}


def test_labels_of_one_split_alone_are_refused(tmp_path: Path) -> None:
    files = {name: data for name, data in FILES.items() if name != "t10k-labels-idx1-ubyte"}
    with pytest.raises(DataError, match="test/images has no labels, other splits do"):
        Idx(url=write(tmp_path, files)).splits()


def test_of_several_sets_one_must_be_named(tmp_path: Path) -> None:
    url = write(tmp_path, {f"emnist-{kind}-{name}": data for kind in ("letters", "digits")
                           for name, data in FILES.items()})
    with pytest.raises(DataError, match="set variant: to one of emnist-digits, emnist-letters"):
        Idx(url=url).splits()
    with pytest.raises(DataError, match="no set 'emnist-mnist'; it holds 'emnist-digits', 'emnist-letters'"):
        Idx(url=url, variant="emnist-mnist").splits()
    assert Idx(url=url, variant="emnist-letters").splits()["train"] == 20


@pytest.mark.parametrize(("dtype", "values", "span"), [
    ("float32", IMAGES / np.float32(255), [0, 1]), ("int16", IMAGES, [0, 255]), ("int32", IMAGES, [0, 255])])
def test_numbers_of_other_types_become_the_same_pixels(
    tmp_path: Path, dtype: str, values: NDArray[np.generic], span: list[float]
) -> None:
    source = Idx(url=write(tmp_path, {"train-images-idx3-ubyte": idx(values.astype(dtype))}),
                 deal=Deal(validation=0, test=0))
    assert np.array_equal([e.image for e in source.examples("train")], IMAGES)
    assert source.facts()["value_range"] == span


@pytest.mark.parametrize(("damage", "reason"), [
    (lambda data: data[:-7], "is truncated: 7 of 240 bytes are missing"),
    (lambda data: data + b"x", "holds more than the 240 bytes"),
    (lambda data: data[:9], "is truncated in its header"),
    (lambda data: b"", "is not an IDX file: it begins with 0x;"),
    (lambda data: b"PK\3\4" + data, "is not an IDX file: it begins with 0x504b0304; images of uint8 begin with 0x0000"),
    (lambda data: b"\0\0\7" + data[3:], "is not an IDX file: it begins with 0x00000703"),
    (lambda data: data[:4] + b"\xff" * 12 + data[16:], "is truncated: .* bytes are missing"),
    (lambda data: gzip.compress(data[:4] + b"\xff" * 12 + data[16:]), "bytes, more than memory="),
    (lambda data: gzip.compress(data)[:-20], "is truncated"),
    (lambda data: gzip.compress(data)[:60] + b"xxxx" + gzip.compress(data)[64:], "is truncated or damaged"),
])
def test_damaged_files_are_refused_by_name(tmp_path: Path, damage: object, reason: str) -> None:
    assert callable(damage)
    url = write(tmp_path, {**FILES, "train-images-idx3-ubyte": damage(FILES["train-images-idx3-ubyte"])})
    with pytest.raises(DataError, match=f"train-images-idx3-ubyte: .*{reason}"):
        Idx(url=url).splits()


@pytest.mark.parametrize(("name", "array", "reason"), [
    ("train-labels-idx1-ubyte", LABELS[:19], "20 images, but train/labels has shape"),
    ("train-labels-idx1-ubyte", IMAGES, "labels of shape .* are not one a row"),
    ("train-images-idx3-ubyte", LABELS, "is not that of images"),
    ("train-images-idx3-ubyte", IMAGES.reshape(20, 2, 2, 3, 1)[:, :, :, :, [0] * 5], r"are not \[height, width, 1 to"),
])
def test_files_that_do_not_fit_each_other_are_refused(
    tmp_path: Path, name: str, array: NDArray[np.uint8], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        Idx(url=write(tmp_path, {**FILES, name: idx(array)})).splits()


def test_other_folders_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no files named like train-images.*; it holds a\.txt"):
        Idx(url=write(tmp_path, {"a.txt": b""})).splits()
    with pytest.raises(DataError, match="set url: to the folder"):
        Idx(url=f"{tmp_path}/a.txt").splits()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    source = Idx(url=write(tmp_path, FILES))
    before = source.fingerprint(), next(source.examples("test")).image
    write(tmp_path, {"t10k-images-idx3-ubyte": idx(255 - IMAGES[:5])})
    assert source.fingerprint() != before[0]
    assert np.array_equal(next(source.examples("test")).image, 255 - before[1])


def test_fashion_mnist_is_whole_and_balanced(real_data: Path) -> None:
    source = Idx(url=str(real_data / "fashion_mnist"))
    found = everything(source)
    assert {split: len(examples) for split, examples in found.items()} == {
        "train": 60_000, "validation": 0, "test": 10_000}
    assert Counter(e.label for e in found["train"]) == dict.fromkeys(range(10), 6_000)
    assert Counter(e.label for e in found["test"]) == dict.fromkeys(range(10), 1_000)
    assert found["train"][0].image.shape == (28, 28)
    assert found["train"][0].label == 9
    assert np.mean([e.image.mean() for e in found["train"]]) / 255 == pytest.approx(0.2860, abs=1e-4)  # as published
