"""What the check says of images: shapes, levels, empty ones, copies."""
# ruff: noqa: RUF001 - reports say 32×32

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from gan_core.config import PrepareConfig
from gan_core.data.check import check
from gan_core.data.checks.shapes import first_map, friendly
from gan_core.data.checks.similar import perceptual_hashes, reduced
from gan_core.data.source import Example
from gan_core.data.transforms import apply
from gan_core.registry import SOURCES
from tests.data.checked import Given, kinds, noise, only, report_of, sound

Pixels = NDArray[np.uint8]


def photographs(real_data: Path, count: int) -> list[Pixels]:
    source = SOURCES.get("image_zip")(url=str(real_data / "cifar10" / "cifar10_train_5000_jpg.zip"))
    return [item.image for item in source.part("train", 0, count)]


def with_images(images: dict[int, Pixels], **options: object) -> dict[str, list[Example]]:
    """A sound set in which some training images are others."""
    items = sound(**options)  # type: ignore[arg-type]
    for number, image in images.items():
        items["train"][number] = replace(items["train"][number], image=image)
    return items


# shapes and modes


@pytest.mark.parametrize(("odd", "advice"), [
    (noise(48, 48, 3), "[{resize: 32}]"),
    (noise(32, 32), "[{mode: rgb}]"),
    (noise(32, 32, 4), "[{background: white}, {mode: rgb}]"),
    (noise(40, 32, 4), "[{background: white}, {mode: rgb}, {resize: 32}]"),
])
def test_one_image_of_another_shape_is_refused_and_the_advice_mends_it(odd: Pixels, advice: str) -> None:
    items = with_images({7: odd})
    finding = only(report_of(items), "mixed_shapes")
    assert (finding.severity, finding.where) == ("refuse", "train")
    assert "219 × 32×32 RGB, 1 × " in finding.what
    assert "(train/7.png)" in finding.what
    assert finding.advice == f"add prepare.transforms: {advice}"
    transforms = PrepareConfig.model_validate({"transforms": yaml.safe_load(advice)}).transforms
    mended = report_of(items, transforms=lambda example: apply(example, transforms))
    assert mended.verdict == "pass", mended.lines()
    assert len(mended.splits["train"].shapes) == 2
    assert mended.splits["train"].stored == {"32×32 RGB": 120}


def test_grey_images_with_and_without_alpha_stay_grey() -> None:
    items = with_images({7: noise(32, 32, 2)}, make=lambda i: noise(32, 32, seed=i))
    assert only(report_of(items), "mixed_shapes").advice == "add prepare.transforms: [{background: white}]"


def test_images_of_many_sizes_are_summed_up() -> None:
    items = sound(make=lambda i: noise(30 + i % 40, 50, 3, seed=i))
    finding = only(report_of(items), "mixed_shapes")
    assert "of 37 other shapes" in finding.what
    assert finding.advice == "add prepare.transforms: [{resize: 48}]"


def test_few_images_of_another_shape_only_warn_where_prepare_leaves_them_out() -> None:
    assert only(report_of(with_images({7: noise(9, 9, 3)}), bad_allowed=0.01), "mixed_shapes").severity == "warn"


@pytest.mark.parametrize(("height", "width", "kind", "resize"), [
    (6, 6, "extreme_size", 32), (1200, 40, "extreme_size", 40), (32, 200, "extreme_size", 32),
    (105, 105, "awkward_size", 112), (50, 50, "awkward_size", 48), (225, 225, "awkward_size", 224),
])
def test_a_size_that_networks_cannot_grow_to_is_warned_of(height: int, width: int, kind: str, resize: int) -> None:
    finding = only(report_of(sound(make=lambda i: noise(height, width, seed=i))), kind)
    assert finding.severity == "warn"
    assert finding.advice.endswith(f"add prepare.transforms: [{{resize: {resize}}}]")


@pytest.mark.parametrize("size", [(8, 8), (16, 16), (28, 28), (32, 32), (48, 32), (96, 96), (64, 128), (72, 72)])
def test_sizes_that_halve_well_pass(size: tuple[int, int]) -> None:
    assert report_of(sound(make=lambda i: noise(*size, seed=i))).verdict == "pass"


def test_the_first_map_is_what_dcgan_starts_from() -> None:
    from gan_core.models.dcgan import doublings_to

    for height, width in ((8, 8), (28, 28), (105, 105), (48, 32), (12, 12), (6, 6), (64, 4), (9, 16)):
        doublings = doublings_to(height, width)
        assert first_map(height, width) == (height >> doublings, width >> doublings)


def test_a_friendly_side_is_near_and_halves_well() -> None:
    assert [friendly(side) for side in (9, 31, 33, 105, 130, 250, 300)] == [8, 32, 32, 112, 128, 256, 320]


def test_an_alpha_channel_is_warned_of() -> None:
    finding = only(report_of(sound(make=lambda i: noise(32, 32, 4, seed=i))), "alpha_channel")
    assert "{background: white}" in finding.advice


def test_an_alpha_channel_that_says_nothing_is_to_be_dropped() -> None:
    opaque = np.full((32, 32, 1), 255, np.uint8)
    items = sound(make=lambda i: np.dstack([noise(32, 32, 3, seed=i), opaque]))
    finding = only(report_of(items), "alpha_channel")
    assert "opaque everywhere" in finding.what
    assert "{mode: rgb}" in finding.advice


# images in which there is nothing


@pytest.mark.parametrize("image", [np.zeros((32, 32, 3), np.uint8), np.tile(np.uint8([7, 200, 90]), (32, 32, 1))])
def test_images_of_one_colour_are_named(image: Pixels) -> None:
    finding = only(report_of(with_images({5: image, 6: image})), "constant_images")
    assert (finding.severity, finding.where) == ("warn", "train/5.png, train/6.png")
    assert finding.what == "2 images of 220 of one colour all over"


def test_a_set_that_is_mostly_images_of_one_colour_is_refused() -> None:
    items = sound(make=lambda i: np.full((32, 32), i % 250, np.uint8) if i % 3 else noise(32, 32, seed=i))
    assert only(report_of(items), "constant_images").severity == "refuse"


@pytest.mark.parametrize(("level", "word"), [(1, "black"), (254, "white")])
def test_images_that_are_all_but_black_or_white_are_named(level: int, word: str) -> None:
    image = np.full((64, 64), level, np.uint8)
    image[0, :4] = 128
    items = with_images({5: image}, make=lambda i: noise(64, 64, seed=i))
    finding = only(report_of(items), "blank_images")
    assert (finding.severity, finding.where) == ("warn", "train/5.png")
    assert word in finding.what


def test_a_drawing_of_thin_strokes_is_not_blank() -> None:
    image = np.full((64, 64), 255, np.uint8)
    image[:, 30] = 0
    assert report_of(with_images({5: image}, make=lambda i: noise(64, 64, seed=i))).verdict == "pass"


def test_white_drawings_on_nothing_are_blank_once_the_background_is_white() -> None:
    white = np.full((32, 32, 3), 255, np.uint8)
    items = sound(make=lambda i: np.dstack([white, noise(32, 32, 1, seed=i)]))
    assert kinds(report_of(items)) == {"alpha_channel"}
    on_white, = PrepareConfig.model_validate({"transforms": [{"background": "white"}]}).transforms
    found = only(report_of(items, transforms=lambda example: apply(example, [on_white])), "constant_images")
    assert found.severity == "refuse"


def test_images_with_alpha_nought_all_over_are_refused_when_most_are() -> None:
    clear = np.zeros((32, 32, 1), np.uint8)
    items = sound(make=lambda i: np.dstack([noise(32, 32, 3, seed=i), clear]))
    report = report_of(items)
    assert kinds(report) == {"transparent_images", "alpha_channel"}
    assert report.findings[0].severity == "refuse"


# levels


@pytest.mark.parametrize(("highest", "severity", "meant"), [
    (1, "refuse", "0 and 1"), (15, "warn", "4-bit"), (16, "warn", "0 … 16"), (31, "warn", "5-bit"),
])
def test_levels_that_are_not_scaled_to_255_are_found(highest: int, severity: str, meant: str) -> None:
    items = sound(make=lambda i: np.random.default_rng(i).integers(0, highest + 1, (16, 16), np.uint8))
    finding = only(report_of(items), "value_range")
    assert finding.severity == severity
    assert meant in finding.what
    assert finding.advice == f"multiply by 255 / {highest} in the source"


def test_dark_images_are_no_unscaled_ones() -> None:
    assert report_of(sound(make=lambda i: noise(16, 16, seed=i) // 3)).verdict == "pass"


# copies


def test_copies_within_a_split_are_warned_of_above_one_per_cent() -> None:
    items = sound()
    items["train"].append(replace(items["train"][3], where="train/copy.png"))
    assert report_of(items).verdict == "pass"
    items["train"].append(replace(items["train"][4], where="train/copy2.png"))
    finding = only(report_of(items), "duplicates")
    assert finding.what == "1.6 % of the examples, 2, are copies of another, such as train/3.png = train/copy.png"


def test_a_copy_with_another_label_is_warned_of() -> None:
    items = sound()
    items["train"].append(replace(items["train"][3], label=0, where="train/copy.png"))
    assert "train/3.png = train/copy.png" in only(report_of(items), "label_conflicts").what


@pytest.mark.parametrize(("copies", "severity"), [(1, "warn"), (5, "warn"), (6, "refuse")])
def test_training_examples_in_the_test_split_are_refused_above_five_per_cent(copies: int, severity: str) -> None:
    items = sound()
    items["test"][:copies] = [replace(e, where=f"test/{i}") for i, e in enumerate(items["train"][:copies])]
    finding = only(report_of(items), "leakage")
    assert (finding.severity, finding.where) == (severity, "test")
    assert "train/0.png = test/0" in finding.what


def test_a_plug_in_that_ignores_the_split_is_refused() -> None:
    class Same(Given):
        def examples(self, split: str):
            return iter(self.items["train"])

    report = check(Same(items=sound()))
    assert [(f.severity, f.kind, f.where) for f in report.findings] == \
        [("refuse", "leakage", "validation"), ("refuse", "leakage", "test")]


def test_a_source_that_returns_one_buffer_again_and_again_is_refused() -> None:
    items = sound(make=lambda i: noise(32, 32, 3))
    assert only(report_of(items), "all_identical").severity == "refuse"


def jpeg(image: Pixels) -> Pixels:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def brighter(image: Pixels) -> Pixels:
    return np.clip(image * 1.1, 0, 255).astype(np.uint8)


def enlarged(image: Pixels) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((64, 64), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("change", [jpeg, brighter, enlarged])
def test_copies_that_were_changed_a_little_are_found(real_data: Path, change) -> None:
    pictures = photographs(real_data, 300)
    examples = [Example(image, i % 3, where=f"{i}.jpg") for i, image in enumerate(pictures)]
    changed = [Example(change(image), i % 3, where=f"changed/{i}.jpg") for i, image in enumerate(pictures[:100])]
    within = report_of({"train": examples + changed, "test": []}, split_needed=None)
    across = report_of({"train": examples, "test": changed})
    for report, kind in ((within, "near_duplicates"), (across, "near_leakage")):
        finding = next(finding for finding in report.findings if finding.kind == kind)
        assert (finding.severity, kinds(report) - {"mixed_shapes"}) == ("warn", {kind})
        count = int(finding.what.split(", ")[1])
        assert count >= 95, finding.what
        assert "0.jpg ~ changed/0.jpg" in finding.what


def test_unlike_photographs_are_no_near_copies(real_data: Path) -> None:
    examples = [Example(image, i % 3) for i, image in enumerate(photographs(real_data, 600))]
    assert report_of({"train": examples[:400], "test": examples[400:]}).verdict == "pass"


def test_the_same_drawing_in_another_colour_is_no_near_copy(real_data: Path) -> None:
    grey = [image.mean(2) for image in photographs(real_data, 200)]
    red = [Example(np.dstack([g, 0.6 * g, 0.4 * g]).astype(np.uint8), i % 3) for i, g in enumerate(grey)]
    green = [Example(np.dstack([0.7 * g, 0.75 * g, 0.5 * g]).astype(np.uint8), i % 3) for i, g in enumerate(grey)]
    hashes = [perceptual_hashes(np.stack([reduced(e.image) for e in examples])) for examples in (red, green)]
    assert np.mean(np.bitwise_count(hashes[0] ^ hashes[1]) <= 4) > 0.8
    assert report_of({"train": red, "test": green}).verdict == "pass"


def test_the_hash_changes_little_with_the_size_and_much_with_the_picture(real_data: Path) -> None:
    pictures = photographs(real_data, 100)
    small = perceptual_hashes(np.stack([reduced(image) for image in pictures]))
    large = perceptual_hashes(np.stack([reduced(enlarged(image)) for image in pictures]))
    assert np.mean(np.bitwise_count(small ^ large)) < 2
    assert np.mean(np.bitwise_count(small ^ np.roll(small, 1))) > 20
    assert np.mean(np.bitwise_count(small)) == pytest.approx(32, abs=0.5)  # signs about a median


def test_neighbours_in_a_search_are_those_of_comparing_all() -> None:
    from gan_core.data.checks.similar import BITS, _twins

    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**64, 2000, np.uint64)
    for i in range(1000, 2000):  # each a few bits from an earlier one
        flips = np.uint64(1) << rng.choice(64, rng.integers(0, 9), replace=False).astype(np.uint64)
        hashes[i] = hashes[i - 1000] ^ np.bitwise_or.reduce(flips, initial=np.uint64(0))
    small = np.tile(noise(1, 192), (2000, 1))
    twins = _twins(hashes, small, np.zeros(2000, np.uint8))
    near = np.bitwise_count(hashes[1000:] ^ hashes[:1000]) <= BITS
    assert 300 < near.sum() < 700
    np.testing.assert_array_equal(twins.within[1000:] >= 0, near)
