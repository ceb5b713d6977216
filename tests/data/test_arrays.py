from __future__ import annotations

import io
import struct
import threading
import tracemalloc
import zipfile
from collections import Counter
from collections.abc import Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from numpy.typing import NDArray

from gan_core.config import validate
from gan_core.data.files import Limits
from gan_core.data.items import Deal
from gan_core.data.source import Bad, Example
from gan_core.data.sources.arrays import Npy, Npz
from gan_core.errors import ConfigError, DataError
from tests.data.image_samples import everything, good

WHOLE = Deal(validation=0, test=0)
GREY = np.random.default_rng(0).integers(0, 256, (30, 5, 6), np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (30, 5, 6, 3), np.uint8)
LABELS = np.arange(30) % 3


def npz(folder: Path, compressed: bool = False, **arrays: Any) -> str:
    (np.savez_compressed if compressed else np.savez)(folder / "set.npz", **arrays)
    return str(folder / "set.npz")


def images(source: Npz | Npy, split: str = "train") -> NDArray[np.uint8]:
    return np.stack([example.image for example in source.examples(split) if isinstance(example, Example)])


@pytest.mark.parametrize("names", [
    ("train_images", "train_labels", "val_images", "val_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_val", "y_val", "x_test", "y_test"),
    ("train/data", "train/target", "valid/data", "valid/target", "test/data", "test/target"),
    ("X_train", "Y_train", "X_dev", "Y_dev", "X_test", "Y_test"),
])
@pytest.mark.parametrize("compressed", [False, True])
def test_the_usual_names_tell_what_arrays_are(tmp_path: Path, names: tuple[str, ...], compressed: bool) -> None:
    parts = [COLOUR, LABELS, COLOUR[:4], LABELS[:4], COLOUR[4:9], LABELS[4:9]]
    found = everything(Npz(url=npz(tmp_path, compressed, **dict(zip(names, parts, strict=True)))))
    for split, pixels, labels in zip(found, parts[::2], parts[1::2], strict=True):
        assert np.array_equal([e.image for e in found[split]], pixels)
        assert [e.label for e in found[split]] == labels.tolist()
    assert found["test"][2].where == f"{names[4]}[2]"


@pytest.mark.parametrize("names", [
    ("images", "labels"), ("x", "y"), ("X", "Y"), ("data", "target"), ("arr_0", "arr_1")])
def test_arrays_without_splits_are_dealt(tmp_path: Path, names: tuple[str, str]) -> None:
    source = Npz(url=npz(tmp_path, **{names[0]: GREY, names[1]: LABELS}))
    assert source.splits() == {"train": 24, "validation": 3, "test": 3}
    dealt = Counter((e.image.tobytes(), e.label) for e in good(source))
    assert dealt == Counter((image.tobytes(), int(label)) for image, label in zip(GREY, LABELS, strict=True))


def test_parts_make_up_the_whole_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_core.data.sources.array_items.BLOCK", 100)  # three rows of thirty bytes
    source = Npz(url=npz(tmp_path, x=GREY, y=LABELS, x_test=GREY[:7], y_test=LABELS[:7]), deal=Deal(test=0.2))
    for split, count in source.splits().items():
        whole = [(e.where, e.image.tobytes(), e.label) for e in source.examples(split)]
        parts = [(e.where, e.image.tobytes(), e.label) for start in range(0, count, 4)
                 for e in source.part(split, start, min(start + 4, count))]
        assert parts == whole
        rows = {f"x[{n}]": GREY[n].tobytes() for n in range(30)} | {f"x_test[{n}]": GREY[n].tobytes() for n in range(7)}
        assert all(rows[where] == pixels for where, pixels, _ in whole)
    assert source.splits() == {"train": 21, "validation": 3, "test": 13}


def test_arrays_can_be_named_whole_or_by_the_word_beside_their_split(tmp_path: Path) -> None:
    url = npz(tmp_path, train_faces=GREY, train_age=LABELS, test_faces=GREY[:5], test_age=LABELS[:5])
    with pytest.raises(DataError, match=r"no array named as images are; it holds test_age \[5\], test_faces"):
        Npz(url=url).splits()
    by_word = Npz(url=url, images="faces", labels="age")
    assert by_word.splits() == {"train": 30, "validation": 0, "test": 5}
    assert by_word.facts()["class_names"] == ["0", "1", "2"]
    one = Npz(url=url, images="train_faces", labels="train_age", deal=WHOLE)
    assert one.splits() == {"train": 30, "validation": 0, "test": 0}
    assert one.facts()["unused_arrays"] == ["test_age", "test_faces"]
    with pytest.raises(DataError, match="holds no array 'face'; it holds"):
        Npz(url=url, images="face").splits()


def test_labels_can_be_left_out(tmp_path: Path) -> None:
    source = Npz(url=npz(tmp_path, images=GREY, labels=LABELS), labels="none")
    assert {example.label for example in good(source)} == {None}


@pytest.mark.parametrize(("arrays", "reason"), [
    ({"images": GREY, "data": GREY}, "data and images may both be images; set images: data or images: images"),
    ({"images": GREY, "labels": LABELS[:29]}, r"30 images, but labels has shape \[29\]"),
    ({"train_images": GREY, "train_labels": LABELS, "test_images": GREY}, "test_images has no labels, other splits do"),
    ({"arr_0": GREY, "arr_1": LABELS, "arr_2": GREY}, "np.savez"),
    ({"images": GREY[0, 0]}, "is not that of images"),
    ({"images": np.zeros((3, 0, 4), np.uint8)}, "is not that of images"),
    ({"images": GREY.astype(complex)}, "holds complex128 and not numbers"),
    ({"images": GREY.astype(str)}, "and not numbers"),
    ({"images": np.array([GREY[0], GREY[1, :2]], object)}, "holds Python objects, which only unsafe pickles store"),
    ({"images": GREY, "labels": np.array([{}] * 30)}, "holds Python objects"),
    ({"images": GREY, "labels": LABELS + 0.5}, "labels such as 0.5 are not whole numbers"),
    ({"images": GREY, "labels": np.eye(3)[LABELS] * 2}, "rows of 3 numbers are not one-hot"),
    ({"images": GREY, "labels": np.ones((30, 3))}, "are not one-hot"),
    ({"images": GREY, "labels": GREY}, r"labels of shape \[30, 5, 6\] are not one a row"),
    ({}, "holds no array named as images are; it holds no arrays"),
])
def test_arrays_that_cannot_be_a_set_are_refused(tmp_path: Path, arrays: Mapping[str, Any], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        Npz(url=npz(tmp_path, **arrays)).splits()


@pytest.mark.parametrize("labels", [
    LABELS[:, None], LABELS.astype(np.float32), LABELS.astype(np.int8), np.eye(3)[LABELS],
    np.eye(3, dtype=bool)[LABELS], np.array(["0", "1", "2"])[LABELS], np.array([b"0", b"1", b"2"])[LABELS]])
def test_labels_of_every_form_are_the_same(tmp_path: Path, labels: NDArray[Any]) -> None:
    source = Npz(url=npz(tmp_path, images=GREY, labels=labels), deal=WHOLE)
    assert [example.label for example in source.examples("train")] == LABELS.tolist()
    assert source.facts()["class_names"] == ["0", "1", "2"]


def test_labels_are_counted_from_zero_and_keep_their_names(tmp_path: Path) -> None:
    source = Npz(url=npz(tmp_path, images=GREY, labels=np.array([10, 9, 200])[LABELS]), deal=WHOLE)
    assert source.facts()["class_names"] == ["9", "10", "200"]
    assert [example.label for example in source.part("train", 0, 3)] == [1, 0, 2]


def test_rows_without_a_label_are_reported(tmp_path: Path) -> None:
    labels = LABELS.astype(float)
    labels[4], labels[7] = np.nan, -1
    found = list(Npz(url=npz(tmp_path, images=GREY, labels=labels), deal=WHOLE).examples("train"))
    assert [each.where for each in found if isinstance(each, Bad)] == ["images[4]", "images[7]"]
    assert [each.label for each in found if isinstance(each, Example)][:5] == [0, 1, 2, 0, 2]


@pytest.mark.parametrize(("values", "span"), [
    (GREY, (0, 255)), (GREY / 255, (0, 1)), (GREY / np.float32(127.5) - 1, (-1, 1)),
    (GREY.astype(np.float16), (0, 255)), (GREY.astype(np.int64), (0, 255)),
    (GREY.astype(np.uint16) * 257, (0, 65_535)), (GREY.astype(">f8"), (0, 255)),
    (GREY.astype(np.uint16), (0, 255))])
def test_the_range_of_values_is_told_by_their_type_and_extremes(
    tmp_path: Path, values: NDArray[Any], span: tuple[int, int]
) -> None:
    source = Npz(url=npz(tmp_path, images=values), deal=WHOLE)
    assert np.array_equal(images(source), GREY)
    assert source.facts()["value_range"] == list(span)


def test_truth_values_become_black_and_white(tmp_path: Path) -> None:
    assert np.array_equal(images(Npz(url=npz(tmp_path, images=GREY > 9), deal=WHOLE)), (GREY > 9) * np.uint8(255))


@pytest.mark.parametrize("values", [
    GREY % 17 / 1.0, GREY.astype(float) * 2, GREY.astype(int) - 9, GREY.astype(int) * 300, GREY % 2, GREY / 100 - 1.5])
def test_a_range_that_does_not_tell_is_asked_for(tmp_path: Path, values: NDArray[Any]) -> None:
    low, high = float(values.min()), float(values.max())
    with pytest.raises(DataError, match=r"set range: \["):
        Npz(url=npz(tmp_path, images=values)).splits()
    told = images(Npz(url=npz(tmp_path, images=values), range=(low, high), deal=WHOLE))
    assert np.array_equal(told, np.rint((values - low) / (high - low) * 255))


def test_rows_with_nan_infinity_or_values_beyond_the_range_are_reported(tmp_path: Path) -> None:
    values = GREY / 255
    values[3, 0, 0], values[5, 4, 5], values[6, 0, 0] = np.nan, np.inf, -np.inf
    found = list(Npz(url=npz(tmp_path, images=values), deal=WHOLE).examples("train"))
    assert [each.where for each in found if isinstance(each, Bad)] == ["images[3]", "images[5]", "images[6]"]
    values[[3, 5, 6]] = 0.5
    values[9, 1, 1], values[10, 0, 0] = 1.5, 1.001  # the second is rounded to white
    found = list(Npz(url=npz(tmp_path, x=values), range=(0, 1), deal=WHOLE, memory=2**20).examples("train"))
    assert [(each.where, each.reason) for each in found if isinstance(each, Bad)] == [
        ("x[9]", "holds NaN, infinity, or values outside [0.0, 1.0]")]


@pytest.mark.parametrize(("stored", "options"), [
    (COLOUR, {}), (COLOUR.transpose(0, 3, 1, 2), {}), (COLOUR.reshape(30, -1), {"shape": (5, 6, 3)}),
    (COLOUR.transpose(0, 3, 1, 2).reshape(30, -1), {"shape": (3, 5, 6)}),
    (COLOUR.transpose(0, 3, 1, 2).reshape(30, -1), {"shape": (3, 5, 6), "layout": "chw"}),
    (np.asfortranarray(COLOUR), {"layout": "hwc"})])
def test_every_order_of_axes_gives_the_same_images(
    tmp_path: Path, stored: NDArray[np.uint8], options: dict[str, Any]
) -> None:
    assert np.array_equal(images(Npz(url=npz(tmp_path, images=stored), deal=WHOLE, **options)), COLOUR)


def test_flat_rows_of_a_square_number_are_squares(tmp_path: Path) -> None:
    source = Npz(url=npz(tmp_path, images=COLOUR[..., :2].reshape(15, 120)[:, :100]), deal=WHOLE)
    assert images(source).shape == (15, 10, 10)
    assert source.facts()["stored_as"] == "hw [10, 10]"


@pytest.mark.parametrize(("shape", "options", "reason"), [
    ((2, 3, 30, 4), {}, "may have their channels first or last; set layout: hwc or layout: chw"),
    ((2, 30, 12), {"layout": "chw"}, "are not"), ((2, 9, 10, 8), {}, "no axis of 1 to 4 channels"),
    ((2, 9, 10, 8), {"layout": "hwc"}, "are not"), ((6, 120), {}, r"rows of 120 numbers are no square; set shape:"),
    ((6, 120), {"shape": (5, 6, 3)}, "which has 90 numbers, not 120")])
def test_axes_that_do_not_tell_are_asked_for(
    tmp_path: Path, shape: tuple[int, ...], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        Npz(url=npz(tmp_path, images=np.full(shape, 200, np.uint8)), **options).splits()


@pytest.mark.parametrize("options", [
    {"range": [1, 0]}, {"range": [0, float("nan")]}, {"shape": [5]}, {"layout": "whc"}])
def test_settings_that_cannot_work_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="works"):
        validate(Npz, {"url": "x", **options}, "here")


def test_damaged_npz_files_are_refused(tmp_path: Path) -> None:
    whole = Path(npz(tmp_path, True, images=GREY, labels=LABELS)).read_bytes()
    flipped = bytearray(whole)
    flipped[300] ^= 0xFF
    damaged = {"cut": whole[:-30], "text": b"hello", "empty": b"", "flipped": bytes(flipped)}
    for name, data in damaged.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(DataError, match=f"{name}.*copy it again"):
            list(Npz(url=str(tmp_path / name)).examples("train"))


def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": (10, 99, 99)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("images.npy", header.getvalue() + bytes(10))
    with pytest.raises(DataError, match="images: is truncated: 98,000 of 98,010 bytes are missing"):
        Npz(url=str(tmp_path / "a.npz")).splits()
    (tmp_path / "a.npy").write_bytes(header.getvalue() + bytes(10))
    with pytest.raises(DataError, match="is truncated: 98,000 of 98,010 bytes are missing"):
        Npy(url=str(tmp_path / "a.npy")).splits()


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    url = npz(tmp_path, True, images=np.zeros((50, 1000, 1000), np.uint8))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"is 50,000,000 bytes, more than memory=1,000,000"):
        Npz(url=url, memory=1_000_000).splits()
    with pytest.raises(DataError, match=r"one image is 1,000,000 bytes .* more than limits\.bytes"):
        Npz(url=url, limits=Limits(bytes=999_999)).splits()
    with pytest.raises(DataError, match=r"50 rows, more than limits\.items=49"):
        Npz(url=url, limits=Limits(items=49)).splits()
    assert tracemalloc.get_traced_memory()[1] < 3_000_000
    tracemalloc.stop()


def test_an_encrypted_npz_is_refused(tmp_path: Path) -> None:
    url = npz(tmp_path, images=GREY)
    data = bytearray(Path(url).read_bytes())
    data[data.rindex(b"PK\1\2") + 8] |= 1
    data[6] |= 1
    Path(url).write_bytes(data)
    with pytest.raises(DataError, match="encrypted"):
        Npz(url=url).splits()


def test_an_npy_file_is_read_by_rows_and_never_whole(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.full((3000, 100, 100), 7, np.uint8))
    np.save(tmp_path / "y.npy", np.arange(3000) % 5)
    source = Npy(url=f"{tmp_path}/x.npy", labels_url=f"{tmp_path}/y.npy", memory=1000, deal=WHOLE)
    tracemalloc.start()
    assert [example.label for example in source.part("train", 1000, 1005)] == [0, 1, 2, 3, 4]
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_npy_files_elsewhere_read_the_same(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", GREY)
    with fsspec.open("memory://x.npy", "wb") as file:
        np.save(file, GREY)
    for url in (f"{tmp_path}/x.npy", "memory://x.npy"):
        assert np.array_equal(images(Npy(url=url, deal=WHOLE)), GREY)


def test_npy_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "o.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "r.npy", np.zeros(3, [("a", "i4")]))
    (tmp_path / "t.npy").write_bytes(b"hello there, not numpy")
    (tmp_path / "n.npy").write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", 60) + b"{'descr': '|u1', ".ljust(60))
    for name, reason in {"o": "only unsafe pickles", "r": "not numbers", "t": r"is not a whole \.npy file",
                         "n": r"is not a whole \.npy file"}.items():
        with pytest.raises(DataError, match=reason):
            Npy(url=f"{tmp_path}/{name}.npy").splits()
    with pytest.raises(DataError, match="source: npz reads it"):
        Npy(url=npz(tmp_path, x=GREY)).splits()
    with pytest.raises(DataError, match="is a folder"):
        Npy(url=str(tmp_path)).splits()


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    source = Npz(url=npz(tmp_path, images=GREY), deal=WHOLE)
    before = source.fingerprint()
    assert np.array_equal(images(source), GREY)
    npz(tmp_path, images=255 - GREY)
    assert source.fingerprint() != before
    assert np.array_equal(images(source), 255 - GREY)


def test_real_chest_x_rays(real_data: Path) -> None:
    source = Npz(url=f"{real_data}/pneumoniamnist/pneumoniamnist_train_val.npz")
    assert source.splits() == {"train": 3882, "validation": 524, "test": 0}
    assert Counter(e.label for e in source.examples("train")) == {0: 388, 1: 3494}
    assert {e.image.shape for e in source.examples("train")} == {(28, 28)}


def test_the_same_x_rays_from_a_web_server(real_data: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(real_data / "pneumoniamnist")))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        name = "pneumoniamnist_train_val.npz"
        there = Npz(url=f"http://127.0.0.1:{server.server_port}/{name}")
        here = Npz(url=f"{real_data}/pneumoniamnist/{name}")
        for split in ("train", "validation"):
            assert [(e.label, e.image.tobytes()) for e in there.examples(split)] == \
                [(e.label, e.image.tobytes()) for e in here.examples(split)]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
