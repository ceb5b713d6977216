from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from gan_core.config import experiment_from
from gan_core.data.source import Example
from gan_core.data.transforms import FULL_SCALE, apply
from gan_core.errors import ConfigError, DataError
from gan_core.transforms import Transform

READ: TypeAdapter[tuple[Transform, ...]] = TypeAdapter(tuple[Transform, ...])


def done(image: Any, *steps: dict[str, Any]) -> Any:
    return apply(Example(np.asarray(image, np.uint8)), READ.validate_python(steps)).image


def noise(*shape: int) -> Any:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


# Resize


@pytest.mark.parametrize("fit", ["cover", "contain", "stretch"])
@pytest.mark.parametrize("shape", [(30, 40), (40, 30, 3), (7, 90, 4), (5, 5, 2), (32, 32, 1), (1, 1)])
@pytest.mark.parametrize("to", [32, [16, 24]])
def test_resize_gives_exactly_that_size_and_keeps_the_channels(shape: tuple[int, ...], to: Any, fit: str) -> None:
    height, width = (to, to) if isinstance(to, int) else to
    assert done(noise(*shape), {"resize": to, "fit": fit}).shape == (height, width, *shape[2:])


@pytest.mark.parametrize(("kernel", "pillow"), [("lanczos", Image.Resampling.LANCZOS), ("box", Image.Resampling.BOX)])
def test_resize_is_pillow_s_antialiased_resize(kernel: str, pillow: Image.Resampling) -> None:
    image = noise(64, 64, 3)
    expected = np.asarray(Image.fromarray(image).resize((16, 16), pillow))
    assert (done(image, {"resize": 16, "kernel": kernel}) == expected).all()


def test_a_fine_chequerboard_becomes_grey_and_not_a_pattern() -> None:
    board = np.indices((64, 64)).sum(0) % 2 * 255
    assert abs(done(board, {"resize": 16}).astype(int) - 128).max() <= 3
    assert {0, 255} >= set(np.unique(done(board, {"resize": 16, "kernel": "nearest"})))


def test_cover_cuts_the_longer_side_and_contain_fills_it_up() -> None:
    wide = np.zeros((10, 30), np.uint8)
    wide[:, 10:20] = 200
    assert (done(wide, {"resize": 10}) == 200).all()
    contained = done(wide, {"resize": 30, "fit": "contain"})
    assert (contained[:10] == 0).all()
    assert (contained[10:20, 10:20] == 200).all()


def test_colour_behind_transparency_does_not_bleed_into_what_is_seen() -> None:
    image = np.zeros((8, 8, 4), np.uint8)
    image[:, :4] = (255, 0, 0, 0)  # invisible red
    image[:, 4:] = (0, 0, 255, 255)
    small = done(image, {"resize": 2, "kernel": "box"})
    assert (small[..., 0][small[..., 3] > 0] == 0).all()


# Crop and pad


def test_crop_takes_the_centre_or_the_corner() -> None:
    image = np.arange(36).reshape(6, 6)
    assert done(image, {"crop": 2}).tolist() == [[14, 15], [20, 21]]
    assert done(image, {"crop": [1, 2], "at": "top_left"}).tolist() == [[0, 1]]


def test_pad_fills_all_sides_with_its_value() -> None:
    assert done([[7]], {"pad": 3, "value": 9}).tolist() == [[9, 9, 9], [9, 7, 9], [9, 9, 9]]
    assert done(noise(2, 2, 3), {"pad": 4, "value": [1, 2, 3]})[0, 0].tolist() == [1, 2, 3]
    assert done(noise(2, 2, 4), {"pad": 4, "value": "white"})[0, 0].tolist() == [255, 255, 255, 255]


@pytest.mark.parametrize(
    ("step", "why"),
    [
        ({"crop": 8}, r"is \[4, 6\], too small for crop: \[8, 8\]; add \{resize"),
        ({"pad": 5}, r"is \[4, 6\], too large for pad: \[5, 5\]; add \{resize"),
        ({"pad": 9, "value": [1, 2, 3]}, "is grey and cannot be filled with the colour"),
        ({"normalise": "peak"}, "normalise is for audio, and this holds image"),
    ],
)
def test_what_a_step_cannot_do_to_an_image_is_said_with_what_to_do(step: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError, match=why):
        done(noise(4, 6), step)


# Modes


@pytest.mark.parametrize(
    ("shape", "mode", "want"),
    [
        ((4, 4), "rgb", (4, 4, 3)), ((4, 4, 1), "rgb", (4, 4, 3)), ((4, 4, 3), "grey", (4, 4)),
        ((4, 4), "rgba", (4, 4, 4)), ((4, 4, 2), "rgba", (4, 4, 4)), ((4, 4, 4), "rgba", (4, 4, 4)),
        ((4, 4, 1), "grey", (4, 4)), ((4, 4, 3), "rgb", (4, 4, 3)),
    ],
)
def test_a_mode_gives_its_channels(shape: tuple[int, ...], mode: str, want: tuple[int, ...]) -> None:
    assert done(noise(*shape), {"mode": mode}).shape == want


def test_grey_is_the_luma_of_itu_r_601() -> None:
    image = noise(8, 8, 3)
    luma = image @ np.array([0.299, 0.587, 0.114])
    assert abs(done(image, {"mode": "grey"}) - luma).max() <= 1


def test_transparency_is_not_dropped_unseen() -> None:
    see_through = noise(4, 4, 4)
    see_through[0, 0, 3] = 128
    with pytest.raises(DataError, match=r"has transparent pixels; add \{background: white\} before \{mode: rgb\}"):
        done(see_through, {"mode": "rgb"})
    see_through[..., 3] = 255
    assert (done(see_through, {"mode": "rgb"}) == see_through[..., :3]).all()


@pytest.mark.parametrize(("background", "levels"), [("white", 255), ("black", 0), (100, 100)])
def test_a_background_shows_through_in_proportion(background: Any, levels: int) -> None:
    image = np.zeros((1, 3, 4), np.uint8)
    image[..., :3] = 200
    image[0, :, 3] = 0, 128, 255
    shown = done(image, {"background": background})
    half = round(200 * 128 / 255 + levels * 127 / 255)
    assert shown[0, :, 0].tolist() == [levels, half, 200]
    assert done(image[..., 2:], {"background": background})[0].tolist() == [levels, half, 200]


def test_a_coloured_background_makes_grey_with_alpha_colour() -> None:
    assert done([[[0, 0]]], {"background": [1, 2, 3]}).tolist() == [[[1, 2, 3]]]


def test_an_image_without_alpha_has_no_background() -> None:
    assert (done(noise(4, 4, 3), {"background": "white"}) == noise(4, 4, 3)).all()


# Others


def test_flip_mirrors() -> None:
    assert done([[1, 2], [3, 4]], {"flip": "horizontal"}).tolist() == [[2, 1], [4, 3]]
    assert done([[1, 2], [3, 4]], {"flip": "vertical"}).tolist() == [[3, 4], [1, 2]]


def test_steps_are_taken_in_order_and_on_both_images_of_a_pair_and_every_frame() -> None:
    steps = READ.validate_python([{"background": "white"}, {"mode": "grey"}, {"resize": 8}, {"pad": 10}])
    example = Example(noise(20, 30, 4), image_b=noise(9, 9), video=noise(5, 12, 12, 3))
    changed = apply(example, steps)
    assert changed.image is not None
    assert changed.image_b is not None
    assert changed.video is not None
    assert (changed.image.shape, changed.image_b.shape, changed.video.shape) == ((10, 10), (10, 10), (5, 10, 10))


def heard(samples: Any, step: dict[str, Any]) -> Any:
    return apply(Example(audio=np.asarray(samples, np.int16)), READ.validate_python([step])).audio


def test_normalise_brings_clips_to_one_level_and_leaves_silence() -> None:
    assert heard([100, -200, 50], {"normalise": "peak"}).tolist() == [16384, -32767, 8192]
    assert heard([0, 0], {"normalise": "peak"}).tolist() == [0, 0]
    wave = (np.sin(np.arange(1000)) * 500).astype(np.int16)
    levels = [np.sqrt(np.mean((heard(wave * k, {"normalise": "rms"}) / FULL_SCALE) ** 2)) for k in (1, 5)]
    assert levels == pytest.approx([0.1, 0.1], rel=1e-2)


def test_mu_law_is_g711_s_curve_and_can_be_undone() -> None:
    wave = np.linspace(-FULL_SCALE, FULL_SCALE, 999).astype(np.int16)
    companded = heard(wave, {"mu_law": 255}) / FULL_SCALE
    back = np.sign(companded) * np.expm1(np.abs(companded) * np.log(256)) / 255
    assert abs(back - wave / FULL_SCALE).max() < 1e-3
    assert companded[np.searchsorted(wave, 327)] == pytest.approx(np.log1p(255 * 0.01) / np.log(256), abs=0.02)


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ([{"resiz": 32}], "prepare.transforms.0: .*names no transform, or several; one of resize, crop"),
        ([{"resize": 32, "crop": 3}], "names no transform, or several"),
        ([{"resize": 32, "kernl": "box"}], r"prepare.transforms.0.resize.kernl: unknown key; did you mean 'kernel'\?"),
        ([{"resize": 0}], "prepare.transforms.0.resize"),
        ([{"mode": "cmyk"}], r"prepare.transforms.0.mode.mode: 'cmyk': .*'grey', 'rgb' or 'rgba'"),
        ({"resize": 32}, "prepare.transforms"),
        ("resize", "prepare.transforms"),
    ],
)
def test_a_transform_that_cannot_work_is_named_in_the_configuration(steps: Any, field: str) -> None:
    raw = {"name": "x", "data": {"source": "digits"}, "model": {"recipe": "dcgan"}, "prepare": {"transforms": steps}}
    with pytest.raises(ConfigError, match=field):
        experiment_from(raw)
