from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pytest

from gan_core.data.decode import decode_image
from gan_core.data.files import Limits
from gan_core.data.source import SPLITS, Bad, Example
from gan_core.data.sources.unpaired import Unpaired
from gan_core.errors import DataError


@pytest.fixture(scope="module")
def photos(real_data: Path) -> dict[str, list[bytes]]:
    """Twelve photographs each of cats and dogs."""
    with zipfile.ZipFile(real_data / "cifar10" / "cifar10_train_5000_jpg.zip") as archive:
        return {kind: [archive.read(f"{kind}/{number:04d}.jpg") for number in range(12)] for kind in ("cat", "dog")}


def lay_out(root: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def cyclegan(photos: dict[str, list[bytes]]) -> dict[str, bytes]:
    return {f"{'train' if number < 8 else 'test'}{domain}/{number}.jpg": data
            for domain, kind in (("A", "cat"), ("B", "dog")) for number, data in enumerate(photos[kind])}


@pytest.mark.parametrize("top", ["", "horse2zebra/"])
def test_the_folders_of_cyclegan_are_read_with_no_option(
    photos: dict[str, list[bytes]], tmp_path: Path, top: str
) -> None:
    lay_out(tmp_path, {top + path: data for path, data in cyclegan(photos).items()})
    found = Unpaired(url=str(tmp_path))
    assert found.splits() == {"train": 16, "validation": 0, "test": 8}
    assert found.facts() == {"class_names": ["A", "B"], "domains": "unpaired"}
    train, test = (list(found.examples(split)) for split in ("train", "test"))
    assert [example.label for example in train] == [0] * 8 + [1] * 8
    assert [example.label for example in test] == [0] * 4 + [1] * 4
    for example, data in zip(train, photos["cat"][:8] + photos["dog"][:8], strict=True):
        assert np.array_equal(example.image, decode_image(data, Limits()))


def test_two_folders_of_any_name_are_dealt(photos: dict[str, list[bytes]], tmp_path: Path) -> None:
    lay_out(tmp_path, {f"{kind}s/{number:02d}.jpg": data
                       for kind, files in photos.items() for number, data in enumerate(files)})
    found = Unpaired(url=str(tmp_path), a="dogs", b="cats")
    assert found.splits() == {"train": 20, "validation": 2, "test": 2}
    assert found.facts()["class_names"] == ["dogs", "cats"]
    for split in SPLITS:
        labels = [example.label for example in found.examples(split)]
        assert labels == sorted(labels)
    kept = Unpaired(url=str(tmp_path), a="dogs", b="cats", deal={"validation": 0.5, "test": 0})
    assert kept.splits() == {"train": 12, "validation": 12, "test": 0}


def test_an_image_that_is_cut_off_is_bad_and_the_rest_is_read(photos: dict[str, list[bytes]], tmp_path: Path) -> None:
    lay_out(tmp_path, {"A/1.jpg": photos["cat"][0], "A/2.jpg": photos["cat"][1][:200], "B/1.jpg": photos["dog"][0]})
    found = list(Unpaired(url=str(tmp_path), deal={"validation": 0, "test": 0}).examples("train"))
    assert [type(example) for example in found] == [Example, Bad, Example]
    assert found[1].where == "A/2.jpg"
    assert "truncated" in found[1].reason


def test_a_domain_without_images_is_refused_with_the_folders_that_are_there(
    photos: dict[str, list[bytes]], tmp_path: Path
) -> None:
    lay_out(tmp_path, {"A/1.jpg": photos["cat"][0], "C/1.jpg": photos["dog"][0]})
    with pytest.raises(DataError, match=r"no image lies in a folder 'B' or 'trainB'; set b: .* there are A, C"):
        Unpaired(url=str(tmp_path)).splits()


def test_a_zip_memory_and_another_process_give_the_same(photos: dict[str, list[bytes]], tmp_path: Path) -> None:
    files = cyclegan(photos)
    lay_out(tmp_path / "set", files)
    memory = fsspec.filesystem("memory")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path, data in reversed(files.items()):
            archive.writestr(path, data)
            memory.pipe_file(f"/test_unpaired/{path}", data)
    folder = Unpaired(url=str(tmp_path / "set"))
    plain = [(example.where, example.image.tobytes()) for example in folder.examples("test")]
    for url in (str(tmp_path / "set.zip"), "memory://test_unpaired"):
        found = pickle.loads(pickle.dumps(Unpaired(url=url)))
        assert [(example.where, example.image.tobytes()) for example in found.examples("test")] == plain
        assert [example.where for example in found.part("test", 3, 5)] == [where for where, _ in plain[3:5]]
    memory.rm("/test_unpaired", recursive=True)
