"""What a report gives to be read, heard and watched: generated beside real, as many of each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gan_core.errors import DataError
from gan_core.modalities.form import Form
from gan_core.modalities.kinds import modality_of
from pipelines.report_media import MOST, media_of

TEXTS = modality_of(Form(kind="tokens", shape=(3,), symbols=("<pad>", "a", "b", "ß")))
SOUND = modality_of(Form(kind="audio", shape=(1, 400), rate=8000))
NAMES = ("Rare", "Frequent")


def test_texts_of_a_class_are_read_together_beside_real_ones() -> None:
    generated = np.array([[1, 1, 0]] * 300 + [[2, 0, 1]], np.int32)
    real = np.array([[3, 3, 3]] * 300 + [[1, 2, 1]], np.int32)
    labels = np.array([1] * 300 + [0])
    rare, frequent = media_of(TEXTS, generated, real, labels, NAMES)
    assert (rare.caption, frequent.caption) == NAMES
    assert rare.text == "b"
    assert rare.real is not None
    assert rare.real.text == "aba"
    assert frequent.real is not None
    assert {*frequent.text.split("\n")} == {"aa"}
    assert {*frequent.real.text.split("\n")} == {"ßßß"}
    assert frequent.text.count("\n") == frequent.real.text.count("\n") == 11


def test_texts_without_classes_are_each_read_alone() -> None:
    generated = np.array([[1, 2, 0]] * 50, np.int32)
    found = media_of(TEXTS, generated, generated[:, ::-1], None, ())
    assert len(found) == MOST
    assert {each.text for each in found} == {"ab"}
    assert [each.real.text for each in found if each.real] == [""] * MOST  # which begin with the end
    assert len({each.caption for each in found}) == MOST


def test_sounds_stand_beside_real_ones_where_there_are_some() -> None:
    sounds = np.zeros((8, 1, 400), np.int16)
    labels = np.repeat([0, 1], 4)
    found = media_of(SOUND, sounds, sounds + np.int16(9), labels, NAMES)
    assert [each.caption for each in found] == ["Rare"] * 4 + ["Frequent"] * 4
    assert all(each.real and each.real.uri != each.uri and each.uri.startswith("data:audio/wav") for each in found)
    assert all(each.real is None for each in media_of(SOUND, sounds, None, labels, NAMES))


@pytest.mark.parametrize(("shape", "rate", "said"), [((1, 400_000), 8000, "one example takes"),
                                                     ((1, 400), 0, "plays no")])
def test_what_a_page_cannot_play_is_said(shape: tuple[int, ...], rate: float, said: str) -> None:
    sounds: Any = np.zeros((2, *shape), np.int16)
    with pytest.raises(DataError, match=said):
        media_of(modality_of(Form(kind="audio", shape=shape, rate=rate)), sounds, None, None, ())


def test_pictures_are_shown_by_grids() -> None:
    images = np.zeros((2, 1, 8, 8), np.uint8)
    assert media_of(modality_of(Form(shape=(1, 8, 8))), images, images, None, ()) == ()
