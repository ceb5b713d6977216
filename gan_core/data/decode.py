"""One image file's bytes as pixels: 8 bits a channel, upright, of the mode that the file has."""

from __future__ import annotations

import warnings
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from gan_core.data.files import Limits
from gan_core.errors import DataError

IMAGE_SUFFIXES = frozenset({".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".gif", ".bmp", ".dib",
                            ".tif", ".tiff", ".jp2", ".j2k", ".ppm", ".pgm", ".pbm", ".pnm", ".tga", ".qoi"})

# Pillow reads more; EPS, for one, by starting Ghostscript on the file.  TGA has no signature and is tried last.
FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "QOI", "TGA")
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP")
MISTAKEN = {
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<?xml": "XML",
    b"<svg": "an SVG drawing; export it as PNG",
    b"version https://git-lfs": "a Git LFS pointer; run git lfs pull",
    b"%pdf": "a PDF",
}
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N")


def is_image(path: str) -> bool:
    """Whether a file's suffix is an image's."""
    name = path.rpartition("/")[2]
    return "." in name and "." + name.rpartition(".")[2].lower() in IMAGE_SUFFIXES


def decode_image(data: bytes, limits: Limits) -> NDArray[np.uint8]:
    """The pixels of an image file, whatever its suffix: [H, W], or [H, W, C] with C = 2 and 4 for alpha last.

    Grey stays grey; 1-bit becomes 0 and 255; palettes become RGB, or RGBA where they are transparent; 16 bits are
    divided by 257; CMYK, YCbCr, LAB and HSV become RGB; of several frames the first counts; EXIF orientation is
    applied.  DataError, with the reason alone, for what is no image, is cut off, or is larger than `limits.pixels`.
    """
    with warnings.catch_warnings():  # an odd EXIF block or a large image is no news, nor an error under pytest
        warnings.simplefilter("ignore")
        with _opened(data) as image:
            _refuse_size(image.size, limits.pixels)
            try:
                image.load()
            except Exception as error:  # as in _opened
                raise DataError(_why_not_read(error)) from None
            return _pixels(_upright(image))


def _opened(data: bytes) -> Image.Image:
    if not data:
        raise DataError("is empty: 0 bytes")
    try:
        return Image.open(BytesIO(data), formats=_formats())
    except UnidentifiedImageError:
        raise DataError(_why_no_image(data)) from None
    except Image.DecompressionBombError:
        raise DataError("has more pixels than Pillow opens; cut it into smaller images") from None
    except Exception as error:  # Pillow's decoders raise a dozen kinds for bad input
        raise DataError(_why_not_read(error)) from None


@cache
def _formats() -> tuple[str, ...]:
    """The formats that this build of Pillow reads of ours."""
    Image.init()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def _why_no_image(data: bytes) -> str:
    start = data[:64].lstrip().lower()
    for beginning, what in MISTAKEN.items():
        if start.startswith(beginning):
            return f"is not an image but {what}"
    if data.startswith(SIGNATURES):
        return f"is truncated in its header, after {len(data):,} bytes, or is damaged there"
    return f"is not an image of a known format ({', '.join(_formats())})"


def _why_not_read(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if "truncated" in text.lower() or isinstance(error, EOFError):
        return f"is truncated: {text}"
    return f"is a damaged or truncated image: {text}"


def _refuse_size(size: tuple[int, int], limit: int) -> None:
    width, height = size
    if width * height < 1:
        raise DataError(f"is {width} x {height}: it has no pixels")
    if width * height > limit:
        raise DataError(f"is {width} x {height}, {width * height:,} pixels, more than limits.pixels={limit:,}; "
                        "raise it if that is right")


def _upright(image: Image.Image) -> Image.Image:
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # EXIF that cannot be read says nothing; the pixels are whole
        return image
    return image


def _pixels(image: Image.Image) -> NDArray[np.uint8]:
    mode = image.mode
    if mode in SIXTEEN_BIT or mode == "I":
        return _from_integers(np.asarray(image))
    if mode == "F":
        raise DataError("has float pixels, whose range is not known; save it with 8 bits a channel, or use source: npy")
    if mode == "LAB":
        return np.asarray(_lab_to_rgb(image))
    grey, clear = mode in ("1", "L", "LA", "La"), image.has_transparency_data
    wanted = ("LA" if clear else "L") if grey else ("RGBA" if clear else "RGB")
    try:
        return np.asarray(image if mode == wanted else image.convert(wanted))
    except (ValueError, OSError) as error:
        raise DataError(f"has pixels of mode {mode}, which do not become {wanted}: {error}; save it as PNG") from None


def _from_integers(values: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """16 bits to 8: v / 257, rounded, so that 65,535 becomes 255."""
    if values.min() < 0 or values.max() > 65_535:
        raise DataError(f"has integer pixels from {values.min()} to {values.max()}, which are not 16-bit; "
                        "save it with 8 or 16 bits a channel")
    return ((values.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _lab_to_rgb(image: Image.Image) -> Image.Image:
    from PIL import ImageCms  # loads a colour library that hardly any image needs

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    rgb = Image.new("RGB", image.size)
    ImageCms.buildTransform(lab, srgb, "LAB", "RGB").apply(image, rgb)
    return rgb
