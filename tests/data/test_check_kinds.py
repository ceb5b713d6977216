"""What the check says of recordings, texts, videos and pairs."""
# ruff: noqa: RUF001 - reports say 32×32

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gan_core.config import PrepareConfig
from gan_core.data.check import check
from gan_core.data.source import Example
from gan_core.data.transforms import apply
from gan_core.registry import SOURCES
from tests.data.checked import kinds, noise, only, report_of, sound


def tone(number: int, level: float = 0.5) -> NDArray[np.int16]:
    """A tenth of a second at 8 kHz, each at another pitch."""
    return (level * 32_767 * np.sin(np.arange(800) * (0.02 + number / 1000))).astype(np.int16)


def line(number: int) -> NDArray[np.int32]:
    return np.random.default_rng(number).integers(1, 20, 16).astype(np.int32)


def clip(number: int) -> NDArray[np.uint8]:
    return noise(4, 16, 16, 3, seed=number)


def pairs() -> dict[str, list[Example]]:
    return {split: [replace(e, image_b=255 - e.image) for e in examples] for split, examples in sound().items()}


@pytest.mark.parametrize(("make", "field", "shape"), [
    (tone, "audio", "800 samples"), (line, "tokens", "16 tokens"), (clip, "video", "4 frames of 16×16 RGB"),
])
def test_a_sound_set_of_any_kind_passes(make, field: str, shape: str) -> None:
    report = report_of(sound(make=make, field=field))
    assert report.lines() == [f"pass    120 train, 100 test; {shape}; 4 classes"]


def test_a_sound_set_of_pairs_passes() -> None:
    assert report_of(pairs()).lines() == ["pass    120 train, 100 test; 32×32 RGB → 32×32 RGB; 4 classes"]


def test_recordings_of_different_lengths_are_refused() -> None:
    items = sound(make=lambda i: tone(i)[: 700 + i], field="audio")
    finding = only(report_of(items), "mixed_shapes")
    assert finding.severity == "refuse"
    assert "`seconds`" in finding.advice


def test_silent_recordings_are_named() -> None:
    items = sound(make=lambda i: tone(i, 0.0005 if i == 7 else 0.5), field="audio")
    finding = only(report_of(items), "silent_clips")
    assert (finding.severity, finding.where) == ("warn", "train/7.png")


def test_floats_cut_to_whole_numbers_are_refused_as_silence() -> None:
    items = sound(make=lambda i: (tone(i) / 32_767 * (2 + i % 30)).astype(np.int16), field="audio")
    finding = next(f for f in report_of(items).findings if f.kind == "silent_clips")
    assert finding.severity == "refuse"
    assert "32767" in finding.advice


def test_recordings_cut_off_at_full_scale_are_warned_of() -> None:
    loud = sound(make=lambda i: np.clip(tone(i, 1.0) * 1.5, -32_768, 32_767).astype(np.int16), field="audio")
    assert only(report_of(loud), "clipped_clips").severity == "warn"


def test_recordings_normalised_to_their_peak_are_not_cut_off() -> None:
    assert report_of(sound(make=lambda i: np.append(tone(i), np.int16(32_767)), field="audio")).verdict == "pass"


def test_loud_and_quiet_speakers_are_found_and_the_advice_mends_it(real_data: Path) -> None:
    source = SOURCES.get("wav_folder")(url=str(real_data / "fsdd" / "fsdd_two_speakers.zip"), label_pattern=r"^(\d)_",
                                       deal={"test": 0.2})
    finding = only(check(source, conditional=True), "uneven_loudness")
    assert finding.advice == "add prepare.transforms: [{normalise: peak}]"
    transforms = PrepareConfig.model_validate({"transforms": [{"normalise": "peak"}]}).transforms
    assert check(source, lambda example: apply(example, transforms), conditional=True).verdict == "pass"


def test_texts_of_nothing_but_padding_are_named() -> None:
    items = sound(make=lambda i: line(i) * (i != 7), field="tokens")
    assert only(report_of(items), "empty_texts").where == "train/7.png"


def test_texts_that_are_mostly_padding_are_warned_of() -> None:
    items = sound(make=lambda i: np.append(line(i)[:5], np.zeros(95, np.int32)).astype(np.int32), field="tokens")
    finding = only(report_of(items), "mostly_padding")
    assert finding.what == "95 % of all tokens are padding, and the longest example has 5"


@pytest.mark.parametrize("token", [-1, 20])
def test_tokens_that_the_vocabulary_lacks_are_refused(token: int) -> None:
    items = sound(make=lambda i: np.append(line(i), np.int32(token if i == 7 else 1)), field="tokens")
    finding = only(report_of(items, {"vocabulary": [str(i) for i in range(20)]}), "unknown_tokens")
    assert (finding.severity, finding.where) == ("refuse", "train/7.png")


def test_short_texts_that_come_twice_in_two_splits_are_not_refused() -> None:
    items = sound(make=line, field="tokens")
    items["test"] = [replace(e, where="again") for e in items["train"][:100]]
    assert only(report_of(items), "leakage").severity == "warn"


def test_clips_that_stand_still_are_named() -> None:
    items = sound(make=lambda i: np.repeat(clip(i)[:1], 4, axis=0) if i == 7 else clip(i), field="video")
    assert only(report_of(items), "frozen_clips").where == "train/7.png"


def test_pairs_of_twice_the_same_image_are_found() -> None:
    items = pairs()
    items["train"][7] = replace(items["train"][7], image_b=items["train"][7].image)
    assert only(report_of(items), "identical_pairs").severity == "warn"
    same = {split: [replace(e, image_b=e.image) for e in examples] for split, examples in items.items()}
    assert only(report_of(same), "identical_pairs").severity == "refuse"


def test_pairs_that_do_not_lie_on_each_other_are_refused() -> None:
    items = {split: [replace(e, image_b=e.image_b[:16]) for e in examples] for split, examples in pairs().items()}
    assert only(report_of(items), "misaligned_pairs").severity == "refuse"


def test_names_of_people_are_warned_of_as_the_long_tail_that_they_are(real_data: Path) -> None:
    source = SOURCES.get("text_lines")(url=str(real_data / "names_by_language" / "names.zip"))
    report = check(source, bad_allowed=0.001, conditional=True)
    assert report.verdict == "warn"
    assert kinds(report) == {"imbalanced", "duplicates"}


def test_plays_pass(real_data: Path) -> None:
    source = SOURCES.get("text_file")(url=str(real_data / "tinyshakespeare" / "input.txt"))
    assert check(source).verdict == "pass"
