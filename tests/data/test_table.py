from __future__ import annotations

import gzip
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import fsspec
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from gan_core.config import validate
from gan_core.data.decode import decode_image
from gan_core.data.files import Limits
from gan_core.data.source import SPLITS, Bad, Example, Source
from gan_core.data.sources.table import Arrow, Parquet
from gan_core.data.sources.tables import TableFile
from gan_core.errors import ConfigError, DataError

NONE_ASIDE = {"validation": 0, "test": 0}


@pytest.fixture(scope="module")
def photos(real_data: Path) -> list[bytes]:
    """Ten JPEG photographs, 32 x 32 RGB."""
    with zipfile.ZipFile(real_data / "cifar10" / "cifar10_train_5000_jpg.zip") as archive:
        return [archive.read(f"cat/{number:04d}.jpg") for number in range(10)]


@pytest.fixture(scope="module")
def digits(real_data: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """100 handwritten digits, [100, 16, 16], and their labels."""
    with h5py.File(real_data / "usps" / "usps.h5") as file:
        images = np.rint(file["train/data"][:100] * 255).astype(np.uint8).reshape(100, 16, 16)
        return images, file["train/target"][:100].astype(np.int64)


def parquet(url: Path | str, **options: object) -> Parquet:
    return Parquet.model_validate({"url": str(url), "deal": NONE_ASIDE, **options})


def arrow(url: Path | str, **options: object) -> Arrow:
    return Arrow.model_validate({"url": str(url), "deal": NONE_ASIDE, **options})


def train(of: Source) -> list[Any]:
    return list(of.examples("train"))


def images(of: Source) -> list[NDArray[np.uint8]]:
    found = train(of)
    assert all(isinstance(example, Example) for example in found), found
    return [example.image for example in found]


def reasons(of: Source) -> list[str]:
    return [example.reason for example in train(of) if isinstance(example, Bad)]


def write(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, **options)
    return path


def write_ipc(path: Path, table: pa.Table, kind: str, rows: int = 3) -> Path:
    opened = pa.ipc.new_stream if kind == "stream" else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as sink, opened(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=rows)
    return path


def same(ours: list[NDArray[np.uint8]], theirs: list[NDArray[np.uint8]]) -> bool:
    return len(ours) == len(theirs) and all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_set_as_hugging_face_writes_it_is_read_with_no_option(photos: list[bytes], tmp_path: Path) -> None:
    names = ["airplane", "cat"]
    features = {"info": {"features": {"img": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}}}
    for file, rows in {"train-00000-of-00002": range(3), "train-00001-of-00002": range(3, 6), "validation": range(6, 8),
                       "test-00000-of-00001": range(8, 10)}.items():
        table = pa.table({"img": [{"bytes": photos[row], "path": None} for row in rows],
                          "label": pa.array([row % 2 for row in rows], pa.int64())})
        (tmp_path / "data").mkdir(exist_ok=True)
        pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(features)}),
                       tmp_path / "data" / f"{file}.parquet", row_group_size=2)
    found = Parquet(url=str(tmp_path))
    assert found.splits() == {"train": 6, "validation": 2, "test": 2}
    assert found.facts() == {"class_names": names}
    examples = [example for split in SPLITS for example in found.examples(split)]
    assert same([example.image for example in examples], [decode_image(photo, Limits()) for photo in photos])
    assert [example.label for example in examples] == [row % 2 for row in range(10)]
    assert examples[4].where == "data/train-00001-of-00002.parquet, row 1"
    one = Parquet(url=str(tmp_path / "data" / "train-*.parquet"))
    assert sum(one.splits().values()) == 6


def test_splits_are_named_by_folders_or_by_a_column(photos: list[bytes], tmp_path: Path) -> None:
    for folder in ("train", "test"):
        write(tmp_path / "a" / folder / "0000.parquet", {"image": photos[:3]})
    assert Parquet(url=str(tmp_path / "a")).splits() == {"train": 3, "validation": 0, "test": 3}
    write(tmp_path / "b.parquet", {"image": photos, "part": ["train", "test"] * 5})
    found = Parquet(url=str(tmp_path / "b.parquet"), split="part")
    assert found.splits() == {"train": 5, "validation": 0, "test": 5}
    assert [example.where for example in found.examples("test")][:2] == ["b.parquet, row 1", "b.parquet, row 3"]
    dealt = Parquet(url=str(tmp_path / "b.parquet"))
    assert dealt.splits() == {"train": 8, "validation": 1, "test": 1}


def test_the_same_rows_come_from_a_file_memory_a_zip_and_in_parts(photos: list[bytes], tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", {"image": photos}, row_group_size=3)
    ipc = write_ipc(tmp_path / "a.arrow", pa.table({"image": photos}), "file")
    stream = write_ipc(tmp_path / "s.arrow", pa.table({"image": photos}), "stream")
    files = fsspec.filesystem("memory")
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (file, ipc, stream):
            archive.write(path, path.name)
            files.pipe_file(f"/test_table/{path.name}", path.read_bytes())
    expected = [decode_image(photo, Limits()) for photo in photos]
    for kind, name in ((parquet, file.name), (arrow, ipc.name), (arrow, stream.name)):
        for url in (tmp_path / name, f"memory://test_table/{name}", f"zip://{name}::{tmp_path / 'all.zip'}",
                    f"memory://test_table/{name[0]}*.{name[2:]}"):
            assert same(images(kind(url)), expected), url
        again = pickle.loads(pickle.dumps(kind(tmp_path / name)))
        assert same([example.image for example in again.part("train", 4, 8)], expected[4:8])
    files.rm("/test_table", recursive=True)


@pytest.mark.parametrize("kind", ["file", "stream", "feather"])
def test_arrow_files_streams_and_feather_are_read(
    digits: tuple[NDArray[np.uint8], NDArray[np.int64]], tmp_path: Path, kind: str
) -> None:
    numbers, labels = digits
    table = pa.table({"image": pa.FixedShapeTensorArray.from_numpy_ndarray(numbers), "label": labels})
    if kind == "feather":
        feather.write_feather(table, str(tmp_path / "a.feather"), compression="zstd", chunksize=30)
    else:
        write_ipc(tmp_path / "a.arrow", table, kind, rows=30)
    found = arrow(tmp_path)
    assert same(images(found), list(numbers))
    assert [example.label for example in train(found)] == labels.tolist()


def test_our_own_shards_are_read_back(digits: tuple[NDArray[np.uint8], NDArray[np.int64]], tmp_path: Path) -> None:
    colours = np.stack([digits[0], 255 - digits[0], digits[0] // 2], axis=1)  # [N, 3, 16, 16]
    for name, rows in (("train-00000", slice(0, 40)), ("train-00001", slice(40, 60)), ("test-00000", slice(60, 80))):
        tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(colours[rows]))
        write_ipc(tmp_path / f"{name}.arrow", pa.table({"image": tensor}), "file", rows=100)
    found = arrow(tmp_path)
    assert found.splits() == {"train": 60, "validation": 0, "test": 20}
    assert same(images(found), list(colours[:60].transpose(0, 2, 3, 1)))


@pytest.mark.parametrize("form", ["nested", "nested_hwc", "nested_chw", "flat", "square", "fixed", "floats", "large"])
def test_numbers_in_lists_become_images(
    digits: tuple[NDArray[np.uint8], NDArray[np.int64]], tmp_path: Path, form: str
) -> None:
    numbers = digits[0][:6]
    columns: dict[str, tuple[Any, dict[str, object]]] = {
        "nested": (pa.array(numbers.tolist(), pa.list_(pa.list_(pa.uint8()))), {}),
        "nested_hwc": (pa.array(np.stack([numbers] * 3, axis=3).tolist()), {}),
        "nested_chw": (pa.array(np.stack([numbers] * 3, axis=1).tolist()), {}),
        "flat": (pa.array(numbers.reshape(6, -1).tolist()), {"shape": [8, 32]}),
        "square": (pa.array(numbers.reshape(6, -1).tolist()), {}),
        "fixed": (pa.FixedSizeListArray.from_arrays(pa.array(numbers.reshape(-1)), 256), {}),
        "floats": (pa.array((numbers / 255).reshape(6, -1).tolist()), {}),
        "large": (pa.array(numbers.tolist(), pa.large_list(pa.large_list(pa.int16()))), {}),
    }
    column, options = columns[form]
    write(tmp_path / "a.parquet", {"pixels": column, "label": list(range(6))})
    expected = {"nested_hwc": np.stack([numbers] * 3, axis=3), "nested_chw": np.stack([numbers] * 3, axis=3),
                "flat": numbers.reshape(6, 8, 32)}.get(form, numbers)
    assert same(images(parquet(tmp_path, **options)), list(expected))


def test_numbers_of_another_range_are_bad_until_it_is_told(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"image": [[[-1.0, 0.0], [0.5, 1.0]], [[0.0, float("nan")], [0.0, 0.0]]]})
    low, nan = reasons(parquet(tmp_path))
    assert low == "holds numbers from -1 to 1, outside 0 to 1; set range: to those that become black and white"
    assert nan.startswith("holds numbers from nan")
    told = train(parquet(tmp_path, range=(-1, 1)))
    assert told[0].image.tolist() == [[0, 128], [191, 255]]
    assert isinstance(told[1], Bad)
    write(tmp_path / "a.parquet", {"image": [[[0, 1000], [1, 2]]]})
    assert reasons(parquet(tmp_path, layout="hwc")) == [
        "holds numbers from 0 to 1000, outside 0 to 255; set range: to those that become black and white"]


def test_cells_that_hold_no_image_are_bad_and_the_rest_is_read(photos: list[bytes], tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"image": [photos[0], None, photos[1][:300], b"", b"<html>", photos[2]]})
    found = train(parquet(tmp_path))
    assert [isinstance(example, Example) for example in found] == [True, False, False, False, False, True]
    assert [bad.where for bad in found[1:3]] == ["a.parquet, row 1", "a.parquet, row 2"]
    reason = [bad.reason for bad in found[1:5]]
    assert reason[0] == "is null: it holds no image"
    assert "truncated" in reason[1]
    assert reason[2:] == ["is empty: 0 bytes", "is not an image but a web page"]
    write(tmp_path / "b.parquet", {"image": [[[1, 2], [3]], [[1, None], [2, 3]]]})
    assert reasons(parquet(tmp_path / "b.parquet")) == [
        "holds lists of several lengths; an image's rows are all of one", "holds nulls among its numbers"]


@pytest.mark.parametrize(("column", "message"), [
    ([["a", "b"]], "holds a list of string, not of numbers"), ([[1, 2, 3]], "holds 3 numbers, which are no square"),
    ([[[[[1]]]]], "has the shape"), ([[]], "holds"), ([np.zeros((6, 6, 6)).tolist()], "has 6 channels in the shape")])
def test_lists_that_are_no_image_are_bad(tmp_path: Path, column: list[Any], message: str) -> None:
    write(tmp_path / "a.parquet", {"image": column})
    (reason,) = reasons(parquet(tmp_path))
    assert message in reason


def test_a_path_in_a_cell_is_followed_beside_the_table_and_never_outside(photos: list[bytes], tmp_path: Path) -> None:
    (tmp_path / "set" / "data").mkdir(parents=True)
    (tmp_path / "set" / "data" / "cat.jpg").write_bytes(photos[0])
    (tmp_path / "set" / "secret.jpg").write_bytes(photos[1])
    paths = ["cat.jpg", "../secret.jpg", str(tmp_path / "set" / "secret.jpg"), "gone.jpg", None]
    write(tmp_path / "set" / "data" / "a.parquet", {"image": [{"bytes": None, "path": path} for path in paths]})
    for url in (tmp_path / "set" / "data" / "a.parquet", tmp_path / "set"):
        first, above, absolute, gone, null = train(parquet(url))
        assert np.array_equal(first.image, decode_image(photos[0], Limits()))
        assert "points outside" in absolute.reason
        assert "is not there" in gone.reason
        assert null.reason == "holds neither bytes nor a path"
        assert isinstance(above, Bad)
        assert "points outside" in above.reason


@pytest.mark.parametrize("labels", [
    pa.array(["b", "a", None, "b"]), pa.array(["b", "a", None, "b"]).dictionary_encode(),
    pa.array(["10", "9", None, "10"]), pa.array(["b", "a", None, "b"], pa.large_string())])
def test_text_becomes_labels_over_all_splits(photos: list[bytes], tmp_path: Path, labels: Any) -> None:
    write(tmp_path / "train.parquet", {"image": photos[:4], "label": labels})
    write(tmp_path / "test.parquet", {"image": photos[:1], "label": pa.array(["z"], pa.string())})
    found = parquet(tmp_path)
    assert [example.label for example in train(found) if isinstance(example, Example)] == [1, 0, 1]
    assert reasons(found) == ["has no label; label: '' goes without"]
    assert found.facts()["class_names"][-1] == "z"
    assert next(iter(found.examples("test"))).label == 2


def test_whole_numbers_stay_labels_as_they_are(photos: list[bytes], tmp_path: Path) -> None:
    for values in (pa.array([7, 3, None, -1], pa.int8()), pa.array([7.0, 3.0, None, -1.0])):
        write(tmp_path / "a.parquet", {"image": photos[:4], "target": values})
        found = parquet(tmp_path, limits={"items": 10 + values.type.bit_width})
        assert [example.label for example in train(found) if isinstance(example, Example)] == [7, 3]
        assert len(reasons(found)) == 2
        assert found.facts() == {}
    assert [example.label for example in train(parquet(tmp_path, label=""))] == [None] * 4
    write(tmp_path / "a.parquet", {"image": photos[:2], "label": [0.5, 1.0]})
    with pytest.raises(DataError, match="column 'label': holds numbers that are not whole"):
        parquet(tmp_path).splits()


def test_attributes_and_weights_come_with_their_rows(photos: list[bytes], tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"image": photos[:3], "age": [3, None, 5], "hair": ["dark", "fair", None],
                                   "w": [1.0, 2.5, -1.0]})
    found = parquet(tmp_path, attributes=("age", "hair"), weight="w")
    first, second, bad = train(found)
    assert (first.attributes, first.weight, second.weight) == ({"age": 3.0, "hair": 0.0}, 1.0, 2.5)
    assert np.isnan(second.attributes["age"])
    assert found.facts() == {"attributes": ["age", "hair"], "attribute_names": {"hair": ["dark", "fair"]}}
    assert bad.reason == "has the weight -1; weights are numbers of 0 or more"


def test_a_second_column_of_images_is_the_counterpart(photos: list[bytes], tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"left": photos[:2], "right": photos[2:4]})
    first, second = train(parquet(tmp_path, image="left", image_b="right"))
    assert np.array_equal(first.image, decode_image(photos[0], Limits()))
    assert np.array_equal(second.image_b, decode_image(photos[3], Limits()))


def test_a_damaged_row_group_is_bad_and_the_others_are_read(photos: list[bytes], tmp_path: Path) -> None:
    file = write(tmp_path / "a.parquet", {"image": photos}, row_group_size=2, compression="zstd", use_dictionary=False)
    data = bytearray(file.read_bytes())
    start = pq.ParquetFile(file).metadata.row_group(2).column(0).data_page_offset
    data[start : start + 200] = bytes(200)
    file.write_bytes(data)
    found = train(parquet(tmp_path))
    assert [number for number, example in enumerate(found) if isinstance(example, Bad)] == [4, 5]
    assert found[4].reason.startswith("a.parquet: is not a whole parquet file: ")


@pytest.mark.parametrize(("damage", "message"), [
    (lambda data: data[: len(data) // 2], "is not a whole (parquet|arrow) file"),
    (lambda data: data[:-4], "is not a whole (parquet|arrow) file"),
    (lambda data: b"", "is not a whole (parquet|arrow) file"),
    (lambda data: b"hello" * 100, "is not a whole (parquet|arrow) file"),
    (lambda data: data[:4] + bytes(len(data) - 8) + data[-4:], "is not a whole (parquet|arrow) file"),
    (gzip.compress, "is compressed with gzip; unpack it"),
    (lambda data: b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer; run git lfs pull"),
])
def test_a_file_that_is_no_whole_table_is_refused_by_name(
    photos: list[bytes], tmp_path: Path, damage: Any, message: str
) -> None:
    write(tmp_path / "a.parquet", {"image": photos})
    write_ipc(tmp_path / "a.arrow", pa.table({"image": photos}), "file")
    for kind, name in ((parquet, "a.parquet"), (arrow, "a.arrow")):
        file = tmp_path / name
        file.write_bytes(damage(file.read_bytes()))
        with pytest.raises(DataError, match=f"{name}: {message}"):
            kind(tmp_path).splits()


def test_a_table_damaged_in_its_archive_is_refused_by_name(photos: list[bytes], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(write(tmp_path / "a.parquet", {"image": photos}), "a.parquet")
    data = bytearray((tmp_path / "all.zip").read_bytes())
    data[300:400] = bytes(100)
    (tmp_path / "all.zip").write_bytes(data)
    with pytest.raises(DataError, match=r"a.parquet: is damaged in its archive"):
        parquet(tmp_path / "all.zip").splits()


def test_a_footer_that_states_more_rows_than_there_are_is_refused(photos: list[bytes], tmp_path: Path) -> None:
    whole = write(tmp_path / "a.parquet", {"image": photos, "label": [1] * 10}).read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    ten, eleven = b"\x14", b"\x16"  # as Thrift's compact protocol writes them
    for at in range(footer, len(whole) - 8):
        if whole[at : at + 1] == ten:
            lying = whole[:at] + eleven + whole[at + 1 :]
            if pq.ParquetFile(pa.BufferReader(lying)).metadata.row_group(0).num_rows == 11:
                (tmp_path / "a.parquet").write_bytes(lying)
                break
    with pytest.raises(DataError, match=r"a.parquet: states 11 rows where it has 10; copy it again"):
        parquet(tmp_path).splits()


def test_one_kind_of_table_named_as_the_other_is_told(photos: list[bytes], tmp_path: Path) -> None:
    write(tmp_path / "a.arrow", {"image": photos})
    with pytest.raises(DataError, match=r"a.arrow: is Parquet; use source: parquet"):
        arrow(tmp_path).splits()
    write_ipc(tmp_path / "a.parquet", pa.table({"image": photos}), "file")
    with pytest.raises(DataError, match=r"a.parquet: is Arrow; use source: arrow"):
        parquet(tmp_path).splits()


def test_a_batch_whose_offsets_lead_elsewhere_is_bad(tmp_path: Path) -> None:
    offsets = pa.py_buffer(np.array([0, 2**30, 8], np.int32).tobytes())
    column = pa.Array.from_buffers(pa.binary(), 2, [None, offsets, pa.py_buffer(b"abcdefgh")])
    write_ipc(tmp_path / "a.arrow", pa.table({"image": column}), "file")
    first, second = train(arrow(tmp_path))
    assert isinstance(first, Bad)
    assert isinstance(second, Bad)
    assert "is not a whole arrow file" in second.reason


@pytest.mark.parametrize(("columns", "options", "message"), [
    ({"x": [1], "y": ["a"]}, {}, "no column could hold images; set image: to one of x: int64, y: string"),
    ({"x": [b"a"], "y": [b"a"]}, {}, "several columns could hold images; set image: to one of x: binary, y: binary"),
    ({"x": [b"a"]}, {"image": "z"}, "has no column 'z'; image: can be one of x"),
    ({"x": [b"a"]}, {"label": "z"}, "has no column 'z'; label: can be one of x"),
    ({"x": [b"a"]}, {"weight": "z"}, "has no column 'z'; weight: can be one of x"),
    ({"x": [b"a"], "label": [[1]]}, {"image": "x"}, "neither numbers nor text"),
    ({"x": [b"a"] * 3}, {"limits": {"items": 2}}, "has 3 rows, more than limits.items=2; raise it"),
])
def test_a_table_that_cannot_be_read_is_refused_with_advice(
    tmp_path: Path, columns: dict[str, Any], options: dict[str, object], message: str
) -> None:
    write(tmp_path / "a.parquet", columns)
    with pytest.raises(DataError, match=message):
        parquet(tmp_path, **options).splits()


def test_files_with_other_columns_are_refused_by_name(photos: list[bytes], tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"image": photos, "label": [1] * 10})
    write(tmp_path / "b.parquet", {"image": photos})
    with pytest.raises(DataError, match=r"b.parquet: has no column 'label'"):
        parquet(tmp_path).splits()


def test_a_pattern_that_matches_nothing_is_told_what_is_there(photos: list[bytes], tmp_path: Path) -> None:
    write(tmp_path / "train-0.parquet", {"image": photos})
    with pytest.raises(DataError, match=r"tra-\*.parquet: matches no file; in .* there are train-0.parquet"):
        parquet(tmp_path / "tra-*.parquet").splits()
    write(tmp_path / "b.parquet", {"image": photos})
    with pytest.raises(DataError, match=r"holds no .arrow, .arrows, .feather, .ipc file"):
        arrow(tmp_path).splits()


def test_a_range_that_does_not_ascend_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match=r"range: \[1.0, 0.0\] does not ascend; \[0, 1\] does"):
        validate(Parquet, {"url": "x", "range": [1, 0]}, "x")


def test_rows_in_order_read_each_group_once(
    photos: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path / "a.parquet", {"image": photos * 20}, row_group_size=10)
    read = TableFile.group
    groups: list[int] = []

    def counted(self: TableFile, number: int, names: Any) -> Any:
        groups.append(number)
        return read(self, number, names)

    monkeypatch.setattr(TableFile, "group", counted)
    assert len(train(parquet(file))) == 200
    assert groups == list(range(20))
