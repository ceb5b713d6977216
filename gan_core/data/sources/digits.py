"""The 1,797 handwritten digits that come with scikit-learn: 8×8, grey, ten classes.

Test part of E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998 (CC BY 4.0).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from gan_core.data.source import SPLITS, Example, Source
from gan_core.errors import DataError

COUNT = 1797
SPLIT_ENDS = {"train": (0, 1257), "validation": (1257, 1437), "test": (1437, COUNT)}  # 70 %, 10 %, 20 %
INK_LEVELS = 16


class Digits(Source):
    """Train 1,257, validation 180, test 360, dealt by the sha256 of each digit's index."""

    source: Literal["digits"] = "digits"

    def examples(self, split: str) -> Iterator[Example]:
        from sklearn.datasets import load_digits  # takes seconds to import; a plan never reads the data

        if split not in SPLIT_ENDS:
            raise DataError(f"digits has no split '{split}'; it has {', '.join(SPLITS)}")
        images, labels = load_digits(return_X_y=True)
        grey = np.round(images.reshape(COUNT, 8, 8) * (255 / INK_LEVELS)).astype(np.uint8)
        start, end = SPLIT_ENDS[split]
        for index in _dealt()[start:end]:
            yield Example(grey[index], int(labels[index]))

    def fingerprint(self) -> str:
        """sha256 of the file in scikit-learn's package."""
        package = find_spec("sklearn")
        if package is None or package.origin is None:
            raise DataError("digits comes with scikit-learn, which is not installed; pip install scikit-learn")
        file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
        return hashlib.sha256(file.read_bytes()).hexdigest()


def _dealt() -> list[int]:
    return sorted(range(COUNT), key=lambda index: hashlib.sha256(f"digits {index}".encode()).digest())
