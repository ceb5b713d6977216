"""Which classifier reads the classes of examples: one of pictures, but for kinds that are better read as they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.metrics.agreement import classifier
from gan_core.metrics.text import ended
from gan_core.metrics.text_classifier import text_classifier
from gan_core.modalities.form import Form
from gan_core.modalities.kinds import modality_of

Examples = NDArray[Any]
Labels = NDArray[np.int64]
Read = Callable[[Examples], Labels]
"""Examples as they are stored, [n, …], to their classes [n]."""


@dataclass(frozen=True)
class Reader:
    """name: what figures call it.  fit: from real examples of a form, as they are stored, and their labels."""

    name: str
    fit: Callable[[Form, Examples, Labels], Read]


def _of_pictures(form: Form, examples: Examples, labels: Labels) -> Read:
    views = modality_of(form).views
    classify = classifier(views(examples), labels)
    return lambda others: classify(views(others))


def _of_texts(form: Form, examples: Examples, labels: Labels) -> Read:
    classify = text_classifier(ended(examples, form.symbols), labels)
    return lambda others: classify(ended(others, form.symbols))


PICTURES = Reader("svc", _of_pictures)
READERS: Mapping[str, Reader] = {"tokens": Reader("naive_bayes", _of_texts)}


def reader_of(form: Form) -> Reader:
    """The one for examples of this kind."""
    return READERS.get(form.kind, PICTURES)
