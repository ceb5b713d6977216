"""The contact sheet: what is on it, for every kind of data."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_core.data.check import check
from gan_core.data.checks.report import Report
from gan_core.data.checks.samples import LARGEST_SIDE
from gan_core.data.contact import contact_sheet, picture, text_line, tile, waveform
from gan_core.data.source import Example
from gan_core.registry import SOURCES
from tests.data.checked import Given, noise, report_of, sound
from tests.data.test_check_kinds import clip, line, pairs, tone


def pixels(sheet: Image.Image) -> np.ndarray:
    return np.asarray(sheet.convert("RGB"))


def holds(sheet: Image.Image, part: Image.Image) -> bool:
    """Whether a picture stands somewhere on the sheet."""
    whole, wanted = pixels(sheet), pixels(part)
    windows = np.lib.stride_tricks.sliding_window_view(whole, wanted.shape)[:, :, 0]
    corners = np.argwhere((windows[:, :, 0, 0] == wanted[0, 0]).all(-1))
    return any(np.array_equal(windows[y, x], wanted) for y, x in corners)


def test_every_sample_of_every_class_is_on_the_sheet() -> None:
    report = report_of(sound(train=24, make=lambda i: noise(12, 12, 3, seed=i)), {"class_names": ["a", "b", "c", "d"]})
    sheet = contact_sheet(report)
    assert sum(map(len, report.samples.values())) == 24
    assert all(holds(sheet, tile(example)) for examples in report.samples.values() for example in examples)


def test_the_choice_is_the_same_every_time_and_spread_over_the_set() -> None:
    items = sound(train=2000)
    first, again = report_of(items), report_of(items)
    assert pixels(contact_sheet(first)).tobytes() == pixels(contact_sheet(again)).tobytes()
    numbers = [int(example.where[6:-4]) for examples in first.samples.values() for example in examples]
    assert len(set(numbers)) == 40
    assert min(numbers) < 300
    assert max(numbers) > 1700


def test_of_many_classes_the_first_twenty_are_shown_whatever_their_order() -> None:
    items = sound(train=900)
    items["train"] = [replace(e, label=(100 - i) % 90) for i, e in enumerate(items["train"])]
    assert list(report_of(items).samples) == list(range(20))


@pytest.mark.parametrize(("side", "shown"), [(8, 48), (16, 48), (28, 56), (32, 64), (48, 48), (96, 96), (300, 96)])
def test_small_images_are_enlarged_by_whole_factors_and_large_ones_reduced(side: int, shown: int) -> None:
    image = noise(side, side, 3)
    drawn = picture(image)
    assert drawn.size == (shown, shown)
    if shown >= side:
        block = np.ones((shown // side, shown // side, 1), np.uint8)
        np.testing.assert_array_equal(pixels(drawn), np.kron(image, block))


def test_what_is_transparent_stands_on_a_checkerboard() -> None:
    clear = pixels(picture(np.zeros((64, 64, 4), np.uint8)))
    assert len(np.unique(clear.reshape(-1, 3), axis=0)) == 2
    opaque = np.dstack([noise(64, 64, 3), np.full((64, 64), 255, np.uint8)])
    np.testing.assert_array_equal(pixels(picture(opaque)), opaque[..., :3])


@pytest.mark.parametrize("shape", [(1, 1), (1, 500, 3), (500, 1, 3), (20, 30, 1), (7, 9, 2), (2000, 3)])
def test_odd_images_are_shown(shape: tuple[int, ...]) -> None:
    drawn = picture(noise(*shape))
    assert drawn.mode == "RGB"
    assert max(drawn.size) <= 96


def test_images_of_mixed_sizes_stand_in_cells_of_one_size() -> None:
    items = sound(train=40, make=lambda i: noise(32, 20 + 11 * (i % 4), 3, seed=i))
    report = report_of(items)
    sheet = contact_sheet(report)
    assert all(holds(sheet, tile(example)) for examples in report.samples.values() for example in examples)


def test_a_pair_stands_side_by_side_and_a_video_as_three_frames() -> None:
    a, b = noise(48, 48, 3), noise(48, 48, 3, seed=1)
    assert pixels(tile(Example(a, image_b=b))).shape == (48, 98, 3)
    frames = noise(9, 48, 48, 3)
    drawn = pixels(tile(Example(video=frames)))
    assert drawn.shape == (48, 148, 3)
    for left, frame in ((0, 0), (50, 4), (100, 8)):
        np.testing.assert_array_equal(drawn[:, left : left + 48], frames[frame])


def test_a_loud_recording_fills_more_of_its_strip_than_a_quiet_one() -> None:
    background = pixels(waveform(np.zeros(0, np.int16)))
    ink = [(pixels(waveform(tone(3, level))) != background).any(-1).sum() for level in (0.9, 0.3, 0.0)]
    assert ink[0] > ink[1] > ink[2] > 0


def test_text_is_cut_to_the_width_and_shows_line_breaks() -> None:
    symbols = ["<pad>", "a", "\n", "\x1b"]
    short, padded = text_line(np.int32([1, 2, 3]), symbols), text_line(np.int32([1, 2, 3, 0, 0]), symbols)
    assert pixels(short).tobytes() == pixels(padded).tobytes()
    assert text_line(np.ones(400, np.int32), symbols).width < 900
    assert short.width > text_line(np.int32([1]), symbols).width


@pytest.mark.parametrize("classes", [4, 0])
@pytest.mark.parametrize(("make", "field"), [(tone, "audio"), (line, "tokens"), (clip, "video")])
def test_every_kind_of_data_has_a_sheet_that_a_page_can_hold(make, field: str, classes: int) -> None:
    sheet = contact_sheet(report_of(sound(make=make, field=field, classes=classes)))
    assert 100 < sheet.width < 1400
    assert 100 < sheet.height < 2000
    assert len(np.unique(pixels(sheet).reshape(-1, 3), axis=0)) >= 3


def test_pairs_have_a_sheet() -> None:
    assert contact_sheet(report_of(pairs())).width < 1400


def test_names_of_any_length_and_alphabet_fit() -> None:
    names = ["x" * 5000, "猫", "<script>", "a\nb\x1b[31m"]
    assert contact_sheet(report_of(sound(), {"class_names": names})).width < 1400


def test_nothing_to_show_is_said() -> None:
    assert contact_sheet(Report((), {})).size == contact_sheet(report_of({})).size == (320, 48)


def test_large_images_are_kept_small() -> None:
    report = report_of(sound(train=5, test=0, make=lambda i: noise(700, 900, 3, seed=i)))
    assert {example.image.shape for kept in report.samples.values() for example in kept} == {(100, LARGEST_SIDE, 3)}


def test_what_is_kept_does_not_hold_what_it_was_cut_from() -> None:
    block = noise(120, 32, 32, 3)
    report = check(Given(items={"train": [Example(image, i % 3) for i, image in enumerate(block)]}))
    assert all(example.image.base is None for kept in report.samples.values() for example in kept)


def test_a_real_set_has_a_row_for_each_class(real_data: Path) -> None:
    source = SOURCES.get("image_zip")(url=str(real_data / "omniglot" / "images_background_small1.zip"))
    report = check(source)
    assert len(report.samples) == 5
    assert contact_sheet(report).height == 12 + 5 * 100 + 4 * 4 - 4 + 12
