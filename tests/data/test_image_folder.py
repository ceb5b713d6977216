from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from gan_core.config import validate
from gan_core.data.files import Limits
from gan_core.data.items import Deal
from gan_core.data.source import Bad
from gan_core.data.sources.image_folder import ImageFolder
from gan_core.errors import ConfigError, DataError
from tests.data.image_samples import bucket, everything, good, labels_by_name, noise, png, tree, write  # noqa: F401

ANIMALS = tree(*(f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(10)))


def test_folders_are_classes_and_a_tenth_each_is_set_aside(tmp_path: Path) -> None:
    source = ImageFolder(url=write(tmp_path, ANIMALS))
    assert source.splits() == {"train": 16, "validation": 2, "test": 2}
    assert labels_by_name(source) == {path: path[:3] for path in ANIMALS}
    for example in good(source):
        assert np.array_equal(example.image, np.asarray(noise([*ANIMALS].index(example.where))))


def test_parts_make_up_the_whole_split_and_a_pickled_source_reads_the_same(tmp_path: Path) -> None:
    source = pickle.loads(pickle.dumps(ImageFolder(url=write(tmp_path, ANIMALS))))
    parts = [example.where for start in (0, 5, 10, 15) for example in source.part("train", start, min(start + 5, 16))]
    assert parts == [example.where for example in source.examples("train")] == sorted(parts)


def test_the_deal_moves_nothing_when_images_are_wrapped_or_added_in_a_folder_around_them(tmp_path: Path) -> None:
    plain = ImageFolder(url=write(tmp_path / "a", ANIMALS))
    wrapped = ImageFolder(url=write(tmp_path / "b", {f"animals/v1/{path}": data for path, data in ANIMALS.items()}))
    assert [f"animals/v1/{e.where}" for e in plain.examples("test")] == [e.where for e in wrapped.examples("test")]
    assert plain.facts() == wrapped.facts() == {"class_names": ["cat", "dog"]}


@pytest.mark.parametrize("top", ["", "cifar/", "a/b/"])
def test_split_folders_are_kept_as_they_are(tmp_path: Path, top: str) -> None:
    paths = ["train/cat/1.png", "train/dog/2.png", "val/cat/3.png", "Test/dog/4.png"]
    source = ImageFolder(url=write(tmp_path, tree(*(top + path for path in paths))))
    assert {split: [e.where.removeprefix(top) for e in found] for split, found in everything(source).items()} == {
        "train": paths[:2], "validation": paths[2:3], "test": paths[3:]}
    assert [e.label for e in source.examples("test")] == [1]


def test_a_share_of_named_training_images_can_be_set_aside(tmp_path: Path) -> None:
    files = tree(*(f"train/c{n % 2}/{n}.png" for n in range(20)), "test/c0/a.png", "test/c1/b.png")
    source = ImageFolder(url=write(tmp_path, files), deal=Deal(validation=0.2, test=0))
    assert source.splits() == {"train": 16, "validation": 4, "test": 2}


def test_folders_beside_the_splits_are_asked_about(tmp_path: Path) -> None:
    url = write(tmp_path, tree("train/1.png", "plane/2.png", "car/3.png"))
    with pytest.raises(DataError, match=r"'train/' names a split, but images also lie in 'plane/'.*split_folders"):
        ImageFolder(url=url).splits()
    assert set(labels_by_name(ImageFolder(url=url, split_folders=False)).values()) == {"train", "plane", "car"}
    left = ImageFolder(url=url, split_folders=True, deal=Deal(validation=0, test=0))
    assert (left.splits()["train"], left.facts()) == (1, {"images_left_out": 2})


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    source = ImageFolder(url=write(tmp_path, tree("1.png", "2.png")))
    assert {example.label for example in good(source)} == {None}
    assert source.facts() == {}


def test_a_folder_that_every_image_lies_in_is_no_class(tmp_path: Path) -> None:
    files = tree("train/images/cat/1.png", "train/images/dog/2.png", "test/images/cat/3.png")
    source = ImageFolder(url=write(tmp_path, files))
    assert labels_by_name(source) == dict(zip(files, ("cat", "dog", "cat"), strict=True))


@pytest.mark.parametrize("level", [1, -2])
def test_a_level_that_makes_every_label_the_same_is_refused_with_one_that_does_not(tmp_path: Path, level: int) -> None:
    url = write(tmp_path, tree("train/images/cat/1.png", "train/images/dog/2.png", "test/images/cat/3.png"))
    with pytest.raises(DataError, match=r"the one class 'images'; class_level: 2 finds 2 classes"):
        ImageFolder(url=url, class_level=level).splits()


def test_a_level_that_is_not_there_is_refused_with_one_that_is(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"class_level: 3 is no folder above '.*; class_level: 1 finds 2 classes"):
        ImageFolder(url=write(tmp_path / "a", ANIMALS), class_level=3).splits()
    with pytest.raises(DataError, match="class_level: 0 goes without labels"):
        ImageFolder(url=write(tmp_path / "b", tree("1.png")), class_level=1).splits()


def test_equal_names_below_different_folders_are_different_classes(tmp_path: Path) -> None:
    url = write(tmp_path, tree("Latin/a/1.png", "Latin/b/2.png", "Greek/a/3.png"))
    assert ImageFolder(url=url).facts()["class_names"] == ["Greek", "Latin"]
    for level in (2, -1):
        assert ImageFolder(url=url, class_level=level).facts()["class_names"] == ["Greek/a", "Latin/a", "Latin/b"]
    assert ImageFolder(url=url, class_pattern=r"/([^/]+)/").facts()["class_names"] == ["a", "b"]
    assert ImageFolder(url=url, class_level=0).facts() == {}


def test_an_image_outside_the_class_folders_is_reported_and_the_rest_is_read(tmp_path: Path) -> None:
    source = ImageFolder(url=write(tmp_path, {**ANIMALS, "stray.png": png()}), deal=Deal(validation=0, test=0))
    bad = [example for example in source.examples("train") if isinstance(example, Bad)]
    assert [each.where for each in bad] == ["stray.png"]
    assert "class_level: 0" in bad[0].reason
    assert source.splits()["train"] == 21


def test_a_split_without_class_folders_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the test split names no classes, the train split does; set class_level: 0"):
        ImageFolder(url=write(tmp_path, tree("train/a/1.png", "train/b/2.png", "test/3.png"))).splits()


def test_classes_are_found_by_a_pattern_and_sorted_as_numbers(tmp_path: Path) -> None:
    url = write(tmp_path, tree("train/10_a.png", "train/9_b.png", "test/10_c.png"))
    source = ImageFolder(url=url, class_pattern=r"^(\d+)_")
    assert source.facts()["class_names"] == ["9", "10"]
    assert labels_by_name(source)["test/10_c.png"] == "10"
    for pattern, reason in {"^x(.)": "matches no path", r"(\.png)": r"finds the one class '\.png'"}.items():
        with pytest.raises(DataError, match=reason):
            ImageFolder(url=url, class_pattern=pattern).splits()


@pytest.mark.parametrize(("options", "reason"), [
    ({"class_pattern": "(a)(b)"}, "has 2 groups, not one"), ({"class_pattern": "(a"}, "works"),
    ({"class_pattern": "(a)", "class_level": 1}, "leave one out")])
def test_rules_that_cannot_work_are_refused_when_the_settings_are_read(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        validate(ImageFolder, {"url": "x", **options}, "here")


def test_a_set_can_begin_below_a_folder(tmp_path: Path) -> None:
    url = write(tmp_path, tree("photos/cat/1.png", "photos/dog/2.png", "masks/cat/1.png"))
    source = ImageFolder(url=url, below="photos")
    assert labels_by_name(source) == {"photos/cat/1.png": "cat", "photos/dog/2.png": "dog"}
    assert source.facts()["images_left_out"] == 1
    with pytest.raises(DataError, match="below: 'photo' holds no images; its folders: masks, photos"):
        ImageFolder(url=url, below="photo").splits()


def test_broken_images_are_reported_and_other_files_counted(tmp_path: Path) -> None:
    files = {"a/1.png": png()[:60], "a/2.jpg": b"<html>", "b/3.jpg": png(), "b/empty.png": b"", "b/notes.txt": b"x",
             "labels.csv": b"", ".DS_Store": b""}
    source = ImageFolder(url=write(tmp_path, files), deal=Deal(validation=0, test=0))
    found = list(source.examples("train"))
    assert [(each.where, each.reason) for each in found if isinstance(each, Bad)] == [
        ("a/1.png", "is truncated: image file is truncated"), ("a/2.jpg", "is not an image but a web page"),
        ("b/empty.png", "is empty: 0 bytes")]
    assert [each.where for each in found if not isinstance(each, Bad)] == ["b/3.jpg"]
    assert source.facts() == {"class_names": ["a", "b"], "other_files": 2}


def test_an_image_larger_than_the_limit_is_reported(tmp_path: Path) -> None:
    source = ImageFolder(url=write(tmp_path, tree("1.png")), limits=Limits(bytes=20), deal=Deal(validation=0, test=0))
    (bad,) = source.examples("train")
    assert isinstance(bad, Bad)
    assert "larger than 20 bytes; raise limits.bytes" in bad.reason


def test_folders_without_images_are_refused_with_what_they_hold(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no images, 2 other files \(2 \.wav\)"):
        ImageFolder(url=write(tmp_path, {"a.wav": b"", "b.wav": b""})).splits()
    with pytest.raises(DataError, match="is not there"):
        ImageFolder(url=str(tmp_path / "nowhere")).splits()
    with pytest.raises(DataError, match="is a file, not a folder; source: image_tar reads it"):
        ImageFolder(url=write(tmp_path, {"set.tar.gz": b""}) + "/set.tar.gz").splits()


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"outside.png": png(), "set/in.png": png()})
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "outside.png")
    with pytest.raises(DataError, match=r"link\.png: is a link to .*outside the set"):
        ImageFolder(url=str(tmp_path / "set")).splits()


def test_a_file_that_vanishes_is_reported(tmp_path: Path) -> None:
    source = ImageFolder(url=write(tmp_path, tree("1.png", "2.png")), deal=Deal(validation=0, test=0))
    assert source.splits()["train"] == 2
    (tmp_path / "1.png").unlink()
    assert [type(each).__name__ for each in source.examples("train")] == ["Bad", "Example"]


def test_the_fingerprint_changes_with_a_file(tmp_path: Path) -> None:
    source = ImageFolder(url=write(tmp_path, ANIMALS))
    before = source.fingerprint()
    write(tmp_path, {"cat/new.png": png()})
    assert source.fingerprint() != before


def test_a_folder_in_memory_and_a_bucket_read_as_one_on_disk(
    tmp_path: Path, bucket: str  # noqa: F811 - the fixture
) -> None:
    on_disk = ImageFolder(url=write(tmp_path, ANIMALS))
    for url in ("memory://animals", bucket):
        for path, data in ANIMALS.items():
            with fsspec.open(f"{url}/{path}", "wb") as file:
                file.write(data)
        elsewhere = ImageFolder(url=url)
        assert [(e.where, e.label, e.image.tobytes()) for e in good(elsewhere)] == \
            [(e.where, e.label, e.image.tobytes()) for e in good(on_disk)]


def test_real_photographs_in_a_zip_read_as_a_folder(real_data: Path) -> None:
    source = ImageFolder(url=f"zip://*::{real_data}/cifar10/cifar10_train_5000_jpg.zip")
    assert source.splits() == {"train": 4000, "validation": 500, "test": 500}
    examples = good(source)
    assert Counter(example.label for example in examples) == dict.fromkeys(range(10), 500)
    assert {example.image.shape for example in examples} == {(32, 32, 3)}
