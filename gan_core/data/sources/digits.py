"""The 1,797 handwritten digits that come with scikit-learn: 8×8, grey, ten classes.

Test part of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (CC BY 4.0).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gan_core.data.long_tail import Imbalance, long_tail
from gan_core.data.source import Bad, Example, Source
from gan_core.errors import DataError

COUNT = 1797
SPLIT_ENDS = {"train": (0, 1257), "validation": (1257, 1437), "test": (1437, COUNT)}  # 70 %, 10 %, 20 %
INK_LEVELS = 16
CLASSES = 10


class Digits(Source):
    """Scikit-learn's handwritten digits, 8×8 grey.

    Train 1,257, validation 180, test 360, dealt by the sha256 of each digit's index.
    """

    source: Literal["digits"] = "digits"
    imbalance: float = Imbalance

    def splits(self) -> Mapping[str, int]:
        counts = {split: end - start for split, (start, end) in SPLIT_ENDS.items()}
        return counts if self.imbalance == 1 else {**counts, "train": len(_kept(self.imbalance))}

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        grey, labels = _images()
        for index in self._of(split)[start:stop]:
            yield Example(grey[index], int(labels[index]), where=f"digit {index}")

    def _of(self, split: str) -> list[int]:
        first, end = SPLIT_ENDS[split]
        return _kept(self.imbalance) if split == "train" and self.imbalance > 1 else _dealt()[first:end]

    def facts(self) -> Mapping[str, Any]:
        return {"class_names": [str(digit) for digit in range(10)]}

    def fingerprint(self) -> str:
        """sha256 of the file in scikit-learn's package."""
        package = find_spec("sklearn")
        if package is None or package.origin is None:
            raise DataError("digits comes with scikit-learn, which is not installed; pip install scikit-learn")
        file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        return hashlib.sha256(file.read_bytes()).hexdigest()


@cache
def _images() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from sklearn.datasets import load_digits  # takes seconds to import; a plan never reads the data

    images, labels = load_digits(return_X_y=True)
    return np.round(images.reshape(COUNT, 8, 8) * (255 / INK_LEVELS)).astype(np.uint8), labels


@cache
def _dealt() -> list[int]:
    return sorted(range(COUNT), key=lambda index: hashlib.sha256(f"digits {index}".encode()).digest())


@cache
def _kept(imbalance: float) -> list[int]:
    """The training digits of a long tail, in stored order."""
    first, end = SPLIT_ENDS["train"]
    dealt = np.asarray(_dealt()[first:end])
    kept: list[int] = dealt[long_tail(_images()[1][dealt], imbalance, CLASSES)].tolist()
    return kept
