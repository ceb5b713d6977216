from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from gan_core.config import validate
from gan_core.data.decode import decode_image
from gan_core.data.files import Limits
from gan_core.data.source import SPLITS, Bad, Example
from gan_core.data.sources.csv_files import CsvFiles
from gan_core.errors import ConfigError, DataError

NONE_ASIDE = {"validation": 0, "test": 0}
PHOTOS = [f"{kind}/{number:04d}.jpg" for kind in ("airplane", "bird", "cat") for number in range(4)]


@pytest.fixture(scope="module")
def photos(real_data: Path) -> dict[str, bytes]:
    """Twelve photographs of three classes, by path."""
    with zipfile.ZipFile(real_data / "cifar10" / "cifar10_train_5000_jpg.zip") as archive:
        return {path: archive.read(path) for path in PHOTOS}


@pytest.fixture
def root(photos: dict[str, bytes], tmp_path: Path) -> Path:
    for path, data in photos.items():
        (tmp_path / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / path).write_bytes(data)
    return tmp_path


def table(root: Path, text: str, name: str = "labels.csv") -> str:
    (root / name).write_bytes(text.encode())
    return str(root / name)


def source(url: str, **options: object) -> CsvFiles:
    return CsvFiles.model_validate({"url": url, "root": "images", "deal": NONE_ASIDE, **options})


def train(of: CsvFiles) -> list[Example | Bad]:
    return list(of.examples("train"))


def listed(end: str = "\n", delimiter: str = ",") -> str:
    rows = (f"{path},{path.partition('/')[0]}" for path in PHOTOS)
    return end.join(["file,label", *rows, ""]).replace(",", delimiter)


def test_rows_become_images_with_the_label_of_their_class(root: Path, photos: dict[str, bytes]) -> None:
    found = source(table(root, listed()))
    assert found.facts() == {"class_names": ["airplane", "bird", "cat"]}
    examples = train(found)
    assert [example.label for example in examples] == [0] * 4 + [1] * 4 + [2] * 4
    for example, (path, data) in zip(examples, photos.items(), strict=True):
        assert np.array_equal(example.image, decode_image(data, Limits()))
        assert example.where.startswith(f"{path} (line ")
    assert examples[0].where == "airplane/0000.jpg (line 2)"


@pytest.mark.parametrize(("text", "name"), [
    (listed("\r\n"), "a.csv"), ("\ufeff" + listed(), "a.csv"), (listed(delimiter=";"), "a.csv"),
    (listed(delimiter="\t"), "a.csv"), (listed(delimiter="\t"), "a.tsv"), (listed(delimiter="|"), "a.csv"),
    (listed().replace("cat/0000.jpg", '"cat/0000.jpg"'), "a.csv"), (listed().replace(",", " , "), "a.csv"),
    (listed().replace("cat/", "cat\\"), "a.csv"), (listed() + "\n\n", "a.csv")])
def test_the_table_may_be_written_in_many_ways(root: Path, text: str, name: str) -> None:
    plain = train(source(table(root, listed())))
    found = train(source(table(root, text, name)))
    assert [(e.label, e.image.tobytes()) for e in found] == [(e.label, e.image.tobytes()) for e in plain]


def test_the_images_may_lie_in_a_zip_beside_the_table_or_in_memory(
    root: Path, photos: dict[str, bytes], tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "imgs.zip", "w") as archive:
        for path, data in photos.items():
            archive.writestr(path, data)
        archive.writestr("labels.csv", listed())
    files = fsspec.filesystem("memory")
    for path, data in photos.items():
        files.pipe_file(f"/test_csv/images/{path}", data)
    files.pipe_file("/test_csv/labels.csv", listed().encode())
    url = table(root, listed())
    plain = [e.image.tobytes() for e in train(source(url))]
    for place in ("imgs.zip", "zip://*::imgs.zip", "memory://test_csv/images", str(tmp_path / "images"), "./images"):
        assert [e.image.tobytes() for e in train(source(url, root=place))] == plain, place
    assert [e.image.tobytes() for e in train(source("memory://test_csv/labels.csv"))] == plain
    inside = source(f"zip://labels.csv::{tmp_path / 'imgs.zip'}", root=None)
    assert [e.image.tobytes() for e in train(inside)] == plain
    files.rm("/test_csv", recursive=True)


def test_attributes_are_numbers_or_text_with_names(root: Path) -> None:
    text = "image_id,Smiling,hair,age,odds\n0000,-1,brown,33.5,2\n0001,1,black,,0\n0002,1,brown,40,\n"
    found = source(table(root, text), root="images/cat", suffix=".jpg", attributes=("Smiling", "hair", "age"),
                   weight="odds")
    first, second, bad = train(found)
    assert first.attributes == {"Smiling": -1.0, "hair": 1.0, "age": 33.5}
    assert (first.weight, second.weight, first.label) == (2.0, 0.0, None)
    assert np.isnan(second.attributes["age"])
    assert found.facts() == {
        "attributes": ["Smiling", "hair", "age"], "attribute_names": {"hair": ["black", "brown"]}}
    assert bad == Bad("0002.jpg (line 4)", "has the weight ''; weights are numbers of 0 or more")


@pytest.mark.parametrize("words", [("train", "val", "test"), ("0", "1", "2"), ("Training", "dev", "Testing")])
def test_a_column_of_splits_is_kept(root: Path, words: tuple[str, ...]) -> None:
    rows = [f"{path},{words[number % 3]}" for number, path in enumerate(PHOTOS)]
    found = source(table(root, "\n".join(["path,split", *rows])), deal=None)
    assert found.splits() == {"train": 4, "validation": 4, "test": 4}
    assert [example.where.partition(" ")[0] for example in found.examples("validation")] == PHOTOS[1::3]


def test_without_splits_a_tenth_each_is_dealt_by_the_file_s_name(root: Path) -> None:
    found = source(table(root, listed()), deal=None)
    shuffled = source(table(root, "file,label\n" + "\n".join(reversed(listed().split("\n")[1:-1])), "b.csv"), deal=None)
    assert found.splits() == {"train": 10, "validation": 1, "test": 1}
    for split in SPLITS:
        names = [{e.where.partition(" ")[0] for e in of.examples(split)} for of in (found, shuffled)]
        assert names[0] == names[1]


def test_a_split_that_is_none_is_refused_with_its_row(root: Path) -> None:
    with pytest.raises(DataError, match="row 2 has 'holdout' for its split; train, validation and test are known"):
        source(table(root, "file,split\na.jpg,train\nb.jpg,holdout\n")).splits()


def test_bad_rows_are_told_apart_and_the_rest_is_read(root: Path) -> None:
    (root / "images" / "cut.jpg").write_bytes((root / "images" / PHOTOS[0]).read_bytes()[:400])
    text = (f"file,label\n{PHOTOS[0]},a\ngone.jpg,a\n{PHOTOS[1]}\n{PHOTOS[2]},a,b\n{PHOTOS[3]},\n,a\n{PHOTOS[0]},b\n"
            f"cut.jpg,a\n{PHOTOS[4]},b\n")
    found = train(source(table(root, text)))
    reasons = {example.where: example.reason for example in found if isinstance(example, Bad)}
    assert [example.where for example in found if isinstance(example, Example)] == [
        f"{PHOTOS[0]} (line 2)", f"{PHOTOS[4]} (line 10)"]
    assert "gone.jpg: is not there" in reasons.pop("gone.jpg (line 3)")
    assert "is truncated" in reasons.pop("cut.jpg (line 9)")
    assert reasons == {
        " (line 4)": "has 1 cells, the header 2; quote cells with delimiters",
        " (line 5)": "has 3 cells, the header 2; quote cells with delimiters",
        f"{PHOTOS[3]} (line 6)": "has nothing in column 'label'",
        " (line 7)": "names no file",
        f"{PHOTOS[0]} (line 8)": "names the file of line 2 again; one of them is left out",
    }


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/passwd", "a/../../b.jpg", "c:\\x.jpg", "https://x/y.jpg",
                                  "..\\..\\x.jpg"])
def test_a_row_that_points_outside_refuses_the_whole_table(root: Path, path: str) -> None:
    (root / "secret.jpg").write_bytes((root / "images" / PHOTOS[0]).read_bytes())
    with pytest.raises(DataError, match=r"line 3 names '.*', which is not below root:; such a table is not read"):
        source(table(root, f"file\n{PHOTOS[0]}\n{path}\n")).splits()


def test_celeba_s_own_table_is_read(root: Path) -> None:
    text = "3\nBald Smiling\n0000.jpg  -1  1\n0001.jpg   1 -1\n0002.jpg -1 -1\n"
    found = source(table(root, text, "list_attr_celeba.txt"), root="images/cat", attributes=("Smiling", "Bald"))
    assert [e.attributes for e in train(found)] == [
        {"Smiling": 1.0, "Bald": -1.0}, {"Smiling": -1.0, "Bald": 1.0}, {"Smiling": -1.0, "Bald": -1.0}]


@pytest.mark.parametrize(("text", "options", "message"), [
    ("x,y\na,b\n", {}, r"no column looks like file names; its first line has x, y; set file: to one of them"),
    ("file,y\na,b\n", {"label": "z"}, r"has no column 'z'; label: can be one of file, y"),
    ("file,y\na,b\n", {"attributes": ("q",)}, r"has no column 'q'; attributes: can be one of file, y"),
    ("file,file\na,b\n", {}, r"has more than one column 'file'"),
    ("file,label\n", {}, "has no row below its header"),
    ("", {}, "has no row below its header"),
    ('file,label\n"a.jpg,b\nc.jpg,d\n', {"delimiter": ","}, "line 3: unexpected end of data; mend its quotes"),
    ("file,label\n" + "a" * 200_000 + ",b\n", {}, "line 2: field larger than field limit"),
    ("file,label\na,1\nb,2\nc,3\n", {"limits": {"items": 2}}, "has more than limits.items=2 rows; raise it"),
    ("file,label\na,1\nb,2\nc,3\n", {"limits": {"bytes": 9}}, "is larger than 9 bytes"),
])
def test_a_table_that_cannot_be_read_is_refused_with_advice(
    root: Path, text: str, options: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        source(table(root, text), **options).splits()


def test_a_folder_is_answered_with_the_tables_in_it(root: Path) -> None:
    table(root, listed())
    with pytest.raises(DataError, match=r"is a folder; name the table in it: labels.csv"):
        source(str(root)).splits()


def test_a_table_in_another_encoding_is_refused_with_advice(root: Path) -> None:
    (root / "a.csv").write_bytes("file,label\nä.jpg,1\n".encode("latin-1"))
    with pytest.raises(DataError, match=r"a.csv: line 2, byte 1: 0xe4 is not utf-8; set encoding: latin-1"):
        source(str(root / "a.csv")).splits()


def test_a_column_may_be_told_to_be_none(root: Path) -> None:
    found = source(table(root, listed()), label="")
    assert found.facts() == {}
    assert train(found)[0].label is None


def test_the_fingerprint_changes_with_the_table_and_with_an_image(root: Path) -> None:
    found = source(table(root, listed()))
    prints = [found.fingerprint()]
    table(root, listed() + "\n")
    prints.append(found.fingerprint())
    (root / "images" / PHOTOS[0]).write_bytes(b"x")
    prints.append(found.fingerprint())
    assert len(set(prints)) == 3


def test_a_copy_in_another_process_reads_the_same_part(root: Path) -> None:
    found = source(table(root, listed()))
    again = pickle.loads(pickle.dumps(found))
    assert [e.image.tobytes() for e in again.part("train", 5, 8)] == [e.image.tobytes() for e in train(found)[5:8]]


def test_a_delimiter_of_two_characters_is_a_wrong_setting() -> None:
    with pytest.raises(ConfigError, match="delimiter: ', ': string should have at most 1 character"):
        validate(CsvFiles, {"url": "x", "delimiter": ", "}, "x")
