"""Sets of files cut to a long tail: the training split alone, by classes that are known before anything is read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from gan_core.config import experiment_from
from gan_core.data.long_tail import long_tail
from gan_core.data.source import Example, Source, source_of
from gan_core.errors import DataError

SIZES = {"train": 40, "test": 6}  # of each of three classes


def source(name: str, url: Path, **options: Any) -> Source:
    data = {"source": name, "url": str(url), **options}
    return source_of(experiment_from({"name": "x", "data": data, "model": {"recipe": "dcgan"}}))


def counts(found: Source, split: str) -> list[int]:
    labels = Counter(example.label for example in found.examples(split) if isinstance(example, Example))
    return [labels[label] for label in sorted(label for label in labels if label is not None)]


def hdf5(folder: Path) -> Path:
    path = folder / "set.h5"
    with h5py.File(path, "w") as file:
        for split, size in SIZES.items():
            file[f"{split}/data"] = np.random.default_rng(0).integers(0, 256, (3 * size, 4, 4), np.uint8)
            file[f"{split}/target"] = np.arange(3 * size) % 3
    return path


def folders(folder: Path) -> Path:
    for split, size in SIZES.items():
        for place in range(3 * size):
            at = folder / "set" / split / "abc"[place % 3] / f"{place}.png"
            at.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4), place).save(at)
    return folder / "set"


def recordings(folder: Path) -> Path:
    for split, size in SIZES.items():
        for place in range(3 * size):
            at = folder / "set" / split / "abc"[place % 3] / f"{place}.wav"
            at.parent.mkdir(parents=True, exist_ok=True)
            wavfile.write(at, 8000, np.full(80, place, np.int16))
    return folder / "set"


@pytest.mark.parametrize(("name", "write", "options"), [
    ("hdf5", hdf5, {}), ("image_folder", folders, {}), ("wav_folder", recordings, {"seconds": 0.01})])
def test_training_classes_fall_by_one_factor_and_the_test_split_stays_whole(
    tmp_path: Path, name: str, write: Any, options: dict[str, Any]
) -> None:
    url = write(tmp_path)
    whole, cut = source(name, url, **options), source(name, url, imbalance=16, **options)
    assert counts(whole, "train") == [40, 40, 40]
    assert counts(cut, "train") == [40, 10, 2]
    assert counts(cut, "test") == counts(whole, "test") == [6, 6, 6]
    assert cut.splits() == {**whole.splits(), "train": 52}
    kept = [e.where for e in cut.examples("train") if isinstance(e, Example)]
    assert kept == [e.where for e in whole.examples("train") if isinstance(e, Example) and e.where in kept]


def test_a_set_without_classes_has_none_to_make_rare(tmp_path: Path) -> None:
    url = hdf5(tmp_path)
    with pytest.raises(DataError, match=r"imbalance=16: .*has no classes to make rare; imbalance=1 works"):
        source("hdf5", url, imbalance=16, labels="none").splits()


def test_items_of_no_class_stay_to_be_told_of() -> None:
    labels = np.array([-1, 0, 0, 1, 1, -1, 1, 1])
    np.testing.assert_array_equal(long_tail(labels, 4, 2), [0, 1, 2, 3, 5])
