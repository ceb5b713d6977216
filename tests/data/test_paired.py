from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from PIL import Image

from gan_core.data.source import SPLITS, Bad, Example
from gan_core.data.sources.paired import Paired
from gan_core.errors import DataError

NONE_ASIDE = {"validation": 0, "test": 0}


@pytest.fixture(scope="module")
def photos(real_data: Path) -> list[NDArray[np.uint8]]:
    """Six photographs, 32 x 32 RGB."""
    with zipfile.ZipFile(real_data / "cifar10" / "cifar10_train_5000_jpg.zip") as archive:
        return [np.asarray(Image.open(io.BytesIO(archive.read(f"ship/{number:04d}.jpg")))) for number in range(6)]


def edges(photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The counterpart of a photograph: where it changes from left to right."""
    return np.abs(np.diff(photo.astype(int), axis=1, prepend=0)).astype(np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def source(url: Path | str, **options: object) -> Paired:
    return Paired.model_validate({"url": str(url), "deal": NONE_ASIDE, **options})


def train(of: Paired) -> list[Example | Bad]:
    return list(of.examples("train"))


def test_the_halves_of_a_picture_are_a_pair(photos: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    for number, photo in enumerate(photos):
        split = ("train", "val", "test")[number % 3]
        save(tmp_path / "maps" / split / f"{number}.png", np.concatenate([photo, edges(photo)], axis=1))
    found = Paired(url=str(tmp_path))
    assert found.splits() == {"train": 2, "validation": 2, "test": 2}
    examples = [example for split in SPLITS for example in found.examples(split)]
    for example, number in zip(examples, (0, 3, 1, 4, 2, 5), strict=True):
        assert np.array_equal(example.image, photos[number])
        assert np.array_equal(example.image_b, edges(photos[number]))
    assert examples[0].where == "maps/train/0.png"
    turned = next(iter(Paired(url=str(tmp_path), direction="b_to_a").examples("train")))
    assert np.array_equal(turned.image, edges(photos[0]))
    assert np.array_equal(turned.image_b, photos[0])


def test_a_picture_of_odd_width_or_cut_off_is_bad_and_the_rest_is_read(
    photos: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    save(tmp_path / "a.png", photos[0][:, :31])
    save(tmp_path / "b.png", photos[1])
    (tmp_path / "c.png").write_bytes((tmp_path / "b.png").read_bytes()[:500])
    odd, fine, cut = train(source(tmp_path))
    assert odd == Bad("a.png", "is 31 pixels wide, which gives no two halves; layout: two_folders reads pairs of files")
    assert isinstance(fine, Example)
    assert isinstance(cut, Bad)
    assert "truncated" in cut.reason


@pytest.mark.parametrize("place", ["{split}/{domain}", "{domain}/{split}", "{split}{domain}", "set/{split}/{domain}"])
def test_two_folders_are_paired_by_name_whatever_the_suffix(
    photos: list[NDArray[np.uint8]], tmp_path: Path, place: str
) -> None:
    for number, photo in enumerate(photos):
        split = "train" if number < 4 else "test"
        save(tmp_path / place.format(split=split, domain="A") / "x" / f"{number}.png", photo)
        save(tmp_path / place.format(split=split, domain="B") / "x" / f"{number}.bmp", edges(photo))
    found = Paired(url=str(tmp_path), layout="two_folders")
    assert found.splits() == {"train": 4, "validation": 0, "test": 2}
    for split, numbers in (("train", range(4)), ("test", range(4, 6))):
        for example, number in zip(found.examples(split), numbers, strict=True):
            assert np.array_equal(example.image, photos[number])
            assert np.array_equal(example.image_b, edges(photos[number]))


def test_a_file_without_its_partner_is_bad_and_says_which_is_missing(
    photos: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    for name in ("photos/1.png", "photos/2.png", "photos/4.png", "photos/4.bmp", "edges/1.png", "edges/3.png",
                 "edges/4.png", "edges/5.png", "photos/5.png"):
        save(tmp_path / name, photos[0])
    (tmp_path / "edges" / "5.png").write_bytes(b"GIF89a")
    found = train(source(tmp_path, layout="two_folders", a="photos", b="edges"))
    assert [example.where for example in found if isinstance(example, Example)] == ["photos/1.png", "photos/4.bmp"]
    reasons = {example.where: example.reason for example in found if isinstance(example, Bad)}
    assert reasons.pop("photos/5.png").startswith("edges/5.png: is truncated")
    assert reasons == {
        "photos/2.png": "has no partner: no '2' lies in edges",
        "edges/3.png": "has no partner: no '3' lies in photos",
        "photos/4.png": "has the name of photos/4.bmp, but for its suffix; remove one",
    }


def test_folders_that_are_not_there_are_answered_with_those_that_are(
    photos: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    for name in ("photos/1.png", "edges/1.png"):
        save(tmp_path / name, photos[0])
    with pytest.raises(DataError, match=r"no image lies in a folder 'A' or .*; set a: .* there are edges, photos"):
        source(tmp_path, layout="two_folders").splits()
    with pytest.raises(DataError, match="no image lies in a folder 'B' or 'trainB'; set b: to one"):
        source(tmp_path, layout="two_folders", a="photos").splits()


def test_two_columns_of_a_table_are_a_pair(photos: list[NDArray[np.uint8]], tmp_path: Path) -> None:
    def column(pixels: list[NDArray[np.uint8]]) -> pa.Array:
        return pa.FixedShapeTensorArray.from_numpy_ndarray(np.stack(pixels))

    table = pa.table({"photo": column(photos), "edges": column([edges(photo) for photo in photos])})
    (tmp_path / "p").mkdir()
    (tmp_path / "a").mkdir()
    pq.write_table(table, tmp_path / "p" / "train.parquet")
    with pa.OSFile(str(tmp_path / "a" / "train.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    for url in (tmp_path / "p", tmp_path / "p" / "train.parquet", tmp_path / "a", tmp_path / "a" / "*.arrow"):
        found = source(url, layout="columns", a="photo", b="edges")
        turned = source(url, layout="columns", a="photo", b="edges", direction="b_to_a")
        assert found.splits()["train"] == 6
        for example, other, photo in zip(train(found), train(turned), photos, strict=True):
            assert np.array_equal(example.image, photo)
            assert np.array_equal(example.image_b, edges(photo))
            assert np.array_equal(other.image_b, photo)
        assert train(found)[1].where.endswith(", row 1")
    with pytest.raises(DataError, match="has no column 'image_b'; image_b: can be one of photo, edges"):
        source(tmp_path / "p", layout="columns", a="photo").splits()


def test_pairs_come_out_of_a_zip_and_in_another_process_the_same(
    photos: list[NDArray[np.uint8]], tmp_path: Path
) -> None:
    for number, photo in enumerate(photos):
        save(tmp_path / "set" / "A" / f"{number}.png", photo)
        save(tmp_path / "set" / "B" / f"{number}.png", edges(photo))
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in sorted((tmp_path / "set").rglob("*.png"), reverse=True):
            archive.write(file, file.relative_to(tmp_path))
    options = {"layout": "two_folders"}
    plain = [(example.image.tobytes(), example.image_b.tobytes()) for example in train(source(tmp_path, **options))]
    packed = pickle.loads(pickle.dumps(source(tmp_path / "set.zip", **options)))
    assert [(example.image.tobytes(), example.image_b.tobytes()) for example in train(packed)] == plain
    assert [example.image.tobytes() for example in packed.part("train", 2, 4)] == [image for image, _ in plain[2:4]]
    assert source(tmp_path / "set.zip", deal=None, **options).splits() == {"train": 4, "validation": 1, "test": 1}
