from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from gan_core.data.decode import decode_image, is_image
from gan_core.data.files import Limits
from gan_core.errors import DataError
from tests.data.image_samples import encoded, noise, png

LIMITS = Limits()


def decoded(image: Image.Image, kind: str = "PNG", **options: Any) -> NDArray[np.uint8]:
    return decode_image(encoded(image, kind, **options), LIMITS)


@pytest.mark.parametrize(("mode", "shape"), [
    ("1", (6, 5)), ("L", (6, 5)), ("LA", (6, 5, 2)), ("RGB", (6, 5, 3)), ("RGBA", (6, 5, 4)), ("P", (6, 5, 3))])
def test_the_mode_of_a_png_is_kept_and_a_palette_becomes_colours(mode: str, shape: tuple[int, ...]) -> None:
    image = noise(mode=mode)
    pixels = decoded(image)
    assert (pixels.shape, pixels.dtype) == (shape, np.uint8)
    assert np.array_equal(pixels, np.asarray(image.convert({"1": "L", "P": "RGB"}.get(mode, mode))))


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "QOI", "TGA", "PPM"])
def test_every_lossless_format_gives_the_same_pixels(kind: str) -> None:
    image = noise(mode="RGB").quantize(8).convert("RGB")
    options = {"WEBP": {"lossless": True}, "JPEG2000": {"irreversible": False}}.get(kind, {})
    assert np.array_equal(decoded(image, kind, **options), np.asarray(image))


def test_one_bit_becomes_black_and_white() -> None:
    assert np.unique(decoded(noise(mode="1"))).tolist() == [0, 255]


@pytest.mark.parametrize(("mode", "clear", "channels"), [("L", 7, 2), ("1", 0, 2), ("P", 0, 4), ("RGB", (1, 2, 3), 4)])
def test_a_transparent_colour_becomes_alpha(mode: str, clear: Any, channels: int) -> None:
    image = Image.new(mode, (3, 2), clear)
    pixels = decoded(image, transparency=clear)
    assert pixels.shape == (2, 3, channels)
    assert not pixels[..., -1].any()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_divided_by_257_and_rounded(kind: str) -> None:
    levels = np.array([[0, 128, 129, 257, 32_768, 65_535]], np.uint16)
    assert decoded(Image.fromarray(levels), kind).tolist() == [[0, 0, 1, 1, 128, 255]]


def test_integers_of_32_bits_are_read_where_16_bits_hold_them() -> None:
    assert decoded(Image.fromarray(np.array([[0, 65_535]], np.int32)), "TIFF").tolist() == [[0, 255]]
    for beyond in (-1, 65_536):
        with pytest.raises(DataError, match=f"{beyond}.*save it with 8 or 16 bits"):
            decoded(Image.fromarray(np.array([[5, beyond]], np.int32)), "TIFF")


def test_float_pixels_are_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match=r"float pixels.*source: npy"):
        decoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("YCbCr", "TIFF"), ("CMYK", "TIFF")])
def test_other_colour_spaces_become_rgb(mode: str, kind: str) -> None:
    colour = Image.new("RGB", (8, 8), (200, 100, 50))
    assert np.abs(decoded(colour.convert(mode), kind)[0, 0].astype(int) - (200, 100, 50)).max() <= 3


def test_lab_becomes_rgb() -> None:
    rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    image = Image.new("LAB", (4, 4))
    ImageCms.buildTransform(rgb, lab, "RGB", "LAB").apply(Image.new("RGB", (4, 4), (200, 100, 50)), image)
    assert np.abs(decoded(image, "TIFF")[0, 0].astype(int) - (200, 100, 50)).max() <= 3


@pytest.mark.parametrize(("orientation", "upright"), [
    (1, lambda a: a), (2, np.fliplr), (3, lambda a: np.rot90(a, 2)), (4, np.flipud), (6, lambda a: np.rot90(a, -1)),
    (5, lambda a: np.swapaxes(a, 0, 1)), (7, lambda a: np.rot90(np.swapaxes(a, 0, 1), 2)), (8, np.rot90)])
def test_exif_orientation_is_applied(orientation: int, upright: Callable[[Any], Any]) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = noise()
    assert np.array_equal(decoded(image, exif=exif), upright(np.asarray(image)))


def test_broken_exif_leaves_the_pixels_as_they_are() -> None:
    image = noise(height=16, width=16)
    broken = encoded(image, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\0\0garbage")
    assert np.array_equal(decode_image(broken, LIMITS), decoded(image, "JPEG"))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP"])
def test_of_several_frames_the_first_is_read(kind: str) -> None:
    black, white = Image.new("RGB", (4, 4)), Image.new("RGB", (4, 4), (255, 255, 255))
    assert not decoded(black, kind, save_all=True, append_images=[white]).any()


def test_one_pixel_is_an_image() -> None:
    assert decoded(Image.new("L", (1, 1), 9)).tolist() == [[9]]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_file_that_is_cut_off_is_refused(kind: str, share: float) -> None:
    whole = encoded(noise(height=64, width=64), kind)
    with pytest.raises(DataError, match="truncated"):
        decode_image(whole[: int(len(whole) * share)], LIMITS)


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "is empty: 0 bytes"),
    (b"<!DOCTYPE html><html><body>404", "not an image but a web page"),
    (b"\n <html>404", "not an image but a web page"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
    (b"%PDF-1.7", "not an image but a PDF"),
    (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
    (b"hello" * 100, "not an image of a known format"),
])
def test_what_is_no_image_is_said_to_be_none(data: bytes, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        decode_image(data, LIMITS)


@pytest.mark.parametrize("side", [8_000, 10_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    with pytest.raises(DataError, match="pixels"):
        decode_image(png_that_claims(side), LIMITS)


def test_the_limit_of_pixels_can_be_raised() -> None:
    small = Limits(pixels=29)
    with pytest.raises(DataError, match=r"5 x 6, 30 pixels, more than limits.pixels=29; raise it"):
        decode_image(png(), small)
    assert decode_image(png(), Limits(pixels=30)).shape == (6, 5, 3)


def test_damaged_bytes_raise_nothing_but_a_data_error() -> None:
    random = np.random.default_rng(0)
    seeds = [encoded(noise(height=16, width=16), kind) for kind in ("PNG", "JPEG", "GIF", "BMP", "WEBP", "JPEG2000")]
    refused = 0
    for turn in range(600):
        data = bytearray(seeds[turn % len(seeds)])
        data[random.integers(len(data))] = random.integers(256)
        try:
            assert decode_image(bytes(data), LIMITS).dtype == np.uint8
        except DataError:
            refused += 1
    assert 50 < refused < 550


def test_images_are_known_by_suffix() -> None:
    assert [is_image(path) for path in ("a/b.PNG", "x.tar.jpeg", "png", "a.png/b", "notes.txt", "")] == \
        [True, True, False, False, False, False]


def png_that_claims(side: int) -> bytes:
    header = struct.pack(">IIBBBBB", side, side, 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks)
