"""Clips of moving digits: what a source promises, and images that go straight on and bounce off the walls."""

from __future__ import annotations

import gzip
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gan_core.config import experiment_from
from gan_core.data.source import SPLITS, Bad, Example, Source
from gan_core.data.sources.digits import Digits
from gan_core.data.sources.moving_digits import MovingDigits, bounced
from gan_core.errors import ConfigError, DataError
from gan_core.testing import SourceContract


class OneImage(Source):
    """Two images a split, of one bright pixel each, and one that is torn where `torn`."""

    shape: tuple[int, ...] = (1, 1)
    torn: bool = False

    def splits(self) -> dict[str, int]:
        return dict.fromkeys(SPLITS, 2 + self.torn)

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        whole = [Example(np.full(self.shape, 200 + label, np.uint8), label) for label in range(2)]
        items = [*whole, Bad("c.png", "is torn")] if self.torn else whole
        yield from items[start:stop]


class FromTheStart(OneImage):
    def splits(self) -> dict[str, int]:
        return {}


class TestMovingDigits(SourceContract):
    limit = 150
    source = MovingDigits(clips=2, frames=4, size=(12, 20))


def clips(source: MovingDigits, split: str = "train", most: int = 60) -> list[Example]:
    return [item for item in source.part(split, 0, most) if isinstance(item, Example)]


def video(example: Example) -> NDArray[np.uint8]:
    assert example.video is not None
    return example.video


def test_a_clip_shows_a_digit_of_its_split_whole_in_every_frame_under_its_label() -> None:
    source = MovingDigits(clips=3, frames=5, size=20)
    for split, count in Digits().splits().items():
        assert source.splits()[split] == 3 * count
        digits = [item for item in Digits().part(split, 0, 20) if isinstance(item, Example)]
        for number, clip in enumerate(clips(source, split)):
            digit = digits[number // 3]
            assert clip.label == digit.label
            assert clip.where == f"clip {number} of {digit.where}"
            for frame in video(clip):
                rows, columns = np.nonzero(frame)
                cut = frame[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
                assert np.array_equal(cut, trimmed(np.asarray(digit.image)))


def trimmed(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    rows, columns = np.nonzero(image)
    return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]


def test_no_digit_is_in_clips_of_two_splits() -> None:
    shown = {split: {clip.where.partition(" of ")[2] for clip in clips(MovingDigits(frames=2), split, 5000)}
             for split in SPLITS}
    assert {split: len(digits) for split, digits in shown.items()} == dict(Digits().splits())
    assert not shown["train"] & shown["validation"]
    assert not (shown["train"] | shown["validation"]) & shown["test"]


def test_the_second_digit_is_of_the_same_split_and_the_clip_has_no_label() -> None:
    split_of = {item.where: split for split in SPLITS for item in Digits().examples(split)}
    found = clips(MovingDigits(digits=2, frames=2), "test", 400)
    others = [clip.where.partition(" of ")[2].split(" and ") for clip in found]
    assert {split_of[digit] for pair in others for digit in pair} == {"test"}
    assert {clip.label for clip in found} == {None}
    assert MovingDigits(digits=2).facts() == {}
    assert len({second for _, second in others}) > 150  # of 360, drawn with repetition


def test_a_point_goes_straight_on_and_comes_back_from_the_wall() -> None:
    room = np.array([8, 5])
    path = bounced(np.array([6.0, 1.0]), np.array([1.0, -1.0]), room, 14)
    assert path[:, 0].tolist() == [6, 7, 8, 7, 6, 5, 4, 3, 2, 1, 0, 1, 2, 3]
    assert path[:, 1].tolist() == [1, 0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0, 1, 2]


def test_an_axis_without_room_stays_and_a_fast_point_stays_inside() -> None:
    path = bounced(np.array([0.0, 2.0]), np.array([1.0, 70.3]), np.array([0, 5]), 50)
    assert set(path[:, 0].tolist()) == {0}
    assert path[:, 1].min() >= 0
    assert path[:, 1].max() <= 5


def test_pixels_a_frame_are_the_speed() -> None:
    for clip in clips(MovingDigits(of=OneImage(), size=200, frames=9, speed=3, clips=20), most=40):
        _, rows, columns = np.nonzero(video(clip))
        steps = np.hypot(np.diff(rows), np.diff(columns))
        assert steps.mean() == pytest.approx(3, abs=0.3)  # each end of the path is rounded to a whole pixel


def test_motions_go_in_all_directions_from_all_places() -> None:
    source = MovingDigits(of=OneImage(), size=64, frames=2, clips=200)
    found = [np.stack(np.nonzero(video(clip))[1:]) for clip in clips(source, most=400)]  # [axes, frames]
    begins = np.array([path[:, 0] for path in found])
    ways = Counter(tuple(np.sign(path[:, 1] - path[:, 0]).tolist()) for path in found)
    assert begins.std(axis=0) == pytest.approx([64 / 12**0.5] * 2, rel=0.1)
    assert len({*ways} - {(0, 0)}) == 8


def test_a_clip_depends_on_its_number_and_options_and_not_on_what_else_is_read() -> None:
    alone = video(clips_at(MovingDigits(clips=4), 37)[0])
    assert np.array_equal(alone, video(clips(MovingDigits(clips=4))[37]))
    of_two = MovingDigits(clips=4, digits=2)
    assert np.array_equal(video(clips_at(of_two, 37)[0]), video(clips(of_two)[37]))
    assert not np.array_equal(alone, video(clips_at(MovingDigits(clips=4, seed=1), 37)[0]))
    same_digit = video(clips_at(MovingDigits(clips=4), 38)[0])
    assert not np.array_equal(alone, same_digit)


def clips_at(source: MovingDigits, number: int) -> list[Example]:
    return [item for item in source.part("train", number, number + 1) if isinstance(item, Example)]


def test_images_of_an_idx_folder_move_in_colour_or_grey(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(1, 256, (12, 6, 5), np.uint8)
    for split in ("train", "t10k"):
        (tmp_path / f"{split}-images-idx3-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, *pixels.shape) + pixels.tobytes()))
        (tmp_path / f"{split}-labels-idx1-ubyte.gz").write_bytes(
            gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 12) + bytes(range(12))))
    raw = {"source": "moving_digits", "of": {"source": "idx", "url": str(tmp_path)}, "size": 10, "frames": 3}
    source: Any = experiment_from({"name": "t", "data": raw, "model": {"recipe": "mocogan"}}).data
    found = clips(source, "test")
    assert len(found) == 12
    assert {video(clip).shape for clip in found} == {(3, 10, 10)}
    assert sorted(np.unique(video(found[0])).tolist()) == sorted({0, *pixels[0].ravel().tolist()})
    coloured = clips(MovingDigits(of=OneImage(shape=(2, 2, 3)), frames=3))
    assert {video(clip).shape for clip in coloured} == {(3, 16, 16, 3)}


def test_an_image_that_cannot_be_used_is_a_clip_that_cannot() -> None:
    items = [*MovingDigits(of=OneImage(torn=True), frames=2, clips=2).examples("test")]
    assert [isinstance(item, Bad) for item in items] == [False] * 4 + [True] * 2
    assert items[-1] == Bad("clip 5 of c.png", "is torn")


@pytest.mark.parametrize(("source", "reason"), [
    (MovingDigits(size=8), r"data\.size=8: an image of 8 by 8 has no room to move in; data\.size=16 works"),
    (MovingDigits(size=(20, 6)), r"has no room to move in"),
    (MovingDigits(of=OneImage(shape=(30, 20))), r"data\.size=16: an image of 30 by 20.*data\.size=60 works"),
])
def test_images_too_large_for_the_frame_are_refused_with_a_size_that_works(source: MovingDigits, reason: str) -> None:
    (item,) = source.part("train", 0, 1)
    assert isinstance(item, Bad)
    with pytest.raises(DataError, match=reason):
        raise DataError(item.reason)


def test_sources_that_cannot_be_begun_anywhere_are_refused() -> None:
    with pytest.raises(DataError, match=r"data\.of: .* can only be read from its start.*\{source: digits\} works"):
        MovingDigits(of=FromTheStart()).splits()


def test_the_fingerprint_is_that_of_the_images() -> None:
    assert MovingDigits().fingerprint() == MovingDigits(frames=3).fingerprint() != Digits().fingerprint()
    assert MovingDigits().fingerprint() != MovingDigits(of=OneImage()).fingerprint()


@pytest.mark.parametrize(("options", "message"), [
    ({"frames": 1}, r"data\.frames: 1"), ({"digits": 3}, r"data\.digits: 3"), ({"speed": 0}, r"data\.speed: 0"),
    ({"of": {"source": "digit"}}, r"did you mean 'digits'"),
])
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        experiment_from({"name": "t", "data": {"source": "moving_digits", **options}, "model": {"recipe": "mocogan"}})
