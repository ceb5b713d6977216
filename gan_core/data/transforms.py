"""What `prepare.transforms` does to an example: each step a pure function of the example and its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan_core.data.pair import MADE
from gan_core.data.source import Example
from gan_core.errors import DataError
from gan_core.transforms import (
    Background,
    Colour,
    Crop,
    Flip,
    Mode,
    MuLaw,
    Normalise,
    Pad,
    Pair,
    Resize,
    Size,
    Transform,
)

Pixels = NDArray[np.uint8]  # [H, W] or [H, W, C]
Samples = NDArray[np.int16]  # [T] or [channels, T]

FULL_SCALE = 32767
KERNELS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "box": Image.Resampling.BOX,
    "nearest": Image.Resampling.NEAREST,
}


def apply(example: Example, transforms: Sequence[Transform]) -> Example:
    """The example after every step, in order.  DataError, with the reason alone, when a step does not fit it."""
    for transform in transforms:
        example = _step(example, transform)
    return example


def _step(example: Example, transform: Transform) -> Example:
    if isinstance(transform, Normalise | MuLaw):
        if example.audio is None:
            raise DataError(f"{_named(transform)} is for audio, and this holds {_kinds(example)}; leave it out")
        return replace(example, audio=_audio(example.audio, transform))
    images = {name: value for name, value in example.tensors().items() if name in ("image", "image_b", "video")}
    if not images:
        raise DataError(f"{_named(transform)} is for images, and this holds {_kinds(example)}; leave it out")
    if isinstance(transform, Pair):
        return _paired(example, transform)
    changed: dict[str, Any] = {name: _pictured(name, value, transform) for name, value in images.items()}
    return replace(example, **changed)


def _paired(example: Example, to: Pair) -> Example:
    if example.image is None or example.image_b is not None:
        raise DataError(f"pair makes pairs of single images, and this holds {_kinds(example)}; leave it out")
    return replace(example, image=MADE[to.pair](example.image, to.parts), image_b=example.image)


def _pictured(name: str, value: Pixels, transform: Transform) -> Pixels:
    if name == "video":
        return np.stack([_image(frame, transform) for frame in value])
    return _image(value, transform)


def _image(image: Pixels, transform: Transform) -> Pixels:
    match transform:
        case Resize():
            return _resized(image, transform)
        case Crop():
            return _cropped(image, transform)
        case Pad():
            return _padded(image, _pair(transform.pad), transform.value)
        case Mode():
            return _in_mode(image, transform.mode)
        case Background():
            return _opaque(image, transform.background)
        case Flip():
            return np.ascontiguousarray(image[:, ::-1] if transform.flip == "horizontal" else image[::-1])
    raise AssertionError(f"a transform without a function: {transform}")


def _resized(image: Pixels, to: Resize) -> Pixels:
    height, width = _pair(to.resize)
    if to.fit == "stretch":
        return _scaled(image, height, width, to.kernel)
    pick: Callable[[float, float], float] = max if to.fit == "cover" else min
    scale = pick(height / image.shape[0], width / image.shape[1])
    fitted = _scaled(image, max(1, round(image.shape[0] * scale)), max(1, round(image.shape[1] * scale)), to.kernel)
    if to.fit == "contain":
        return _padded(fitted, (height, width), "black")
    return _cut(fitted, height, width, "centre")


def _scaled(image: Pixels, height: int, width: int, kernel: str) -> Pixels:
    """Pillow's resize, which widens every kernel but nearest by the reduction, and weighs colour by alpha."""
    if image.shape[:2] == (height, width):
        return image
    flat = image[:, :, 0] if image.ndim == 3 and image.shape[2] == 1 else image
    scaled = np.asarray(Image.fromarray(flat).resize((width, height), KERNELS[kernel]))
    return scaled.reshape(height, width, *image.shape[2:])


def _cropped(image: Pixels, to: Crop) -> Pixels:
    height, width = _pair(to.crop)
    if image.shape[0] < height or image.shape[1] < width:
        raise DataError(f"is {_size(image)}, too small for crop: [{height}, {width}]; add {{resize: …}} before it")
    return _cut(image, height, width, to.at)


def _cut(image: Pixels, height: int, width: int, at: str) -> Pixels:
    top, left = ((image.shape[0] - height) // 2, (image.shape[1] - width) // 2) if at == "centre" else (0, 0)
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def _padded(image: Pixels, size: tuple[int, int], value: Colour) -> Pixels:
    height, width = size
    if image.shape[0] > height or image.shape[1] > width:
        raise DataError(f"is {_size(image)}, too large for pad: [{height}, {width}]; add {{resize: …}} before it")
    if image.ndim == 2:
        filled = np.full(size, _grey(value), np.uint8)
    else:
        filled = np.empty((*size, image.shape[2]), np.uint8)
        filled[:] = _filling(value, image.shape[2])
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    filled[top : top + image.shape[0], left : left + image.shape[1]] = image
    return filled


def _in_mode(image: Pixels, mode: str) -> Pixels:
    channels = 1 if image.ndim == 2 else image.shape[2]
    if channels in (2, 4) and mode != "rgba":
        if (image[..., -1] < 255).any():
            raise DataError("has transparent pixels; add {background: white} before {mode: " + mode + "}")
        image = image[..., :-1]
        channels -= 1
    if image.ndim == 3 and channels == 1:
        image = image[..., 0]
    if mode == "grey":
        return np.asarray(Image.fromarray(image).convert("L"))
    return np.asarray(Image.fromarray(image).convert(mode.upper()))


def _opaque(image: Pixels, background: Colour) -> Pixels:
    """colour·α + background·(1 − α), rounded; images without alpha as they are."""
    if image.ndim == 2 or image.shape[2] not in (2, 4):
        return image
    alpha = image[..., -1:].astype(np.uint32)
    colour = image[..., :-1].astype(np.uint32)
    if image.shape[2] == 2 and isinstance(background, tuple):
        colour = np.repeat(colour, 3, axis=2)  # grey over a colour is no longer grey
    behind = np.array(_filling(background, colour.shape[2]), np.uint32)
    mixed = (colour * alpha + behind * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8)[..., 0] if mixed.shape[2] == 1 else mixed.astype(np.uint8)


def _audio(samples: Samples, transform: Normalise | MuLaw) -> Samples:
    wave = samples.astype(np.float64) / FULL_SCALE
    if isinstance(transform, MuLaw):
        mu = transform.mu_law
        wave = np.sign(wave) * np.log1p(mu * np.abs(wave)) / np.log1p(mu)
    else:
        peak = np.abs(wave).max(initial=0)
        level = peak if transform.normalise == "peak" else 10 * np.sqrt(np.mean(wave**2)) if wave.size else 0
        wave = wave / level if level else wave  # silence stays silent
    return np.clip(np.rint(wave * FULL_SCALE), -FULL_SCALE, FULL_SCALE).astype(np.int16)


def _pair(size: Size) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def _grey(value: Colour) -> int:
    if isinstance(value, tuple):
        raise DataError(f"is grey and cannot be filled with the colour {list(value)}; add {{mode: rgb}} before it")
    return {"white": 255, "black": 0}[value] if isinstance(value, str) else value


def _filling(value: Colour, channels: int) -> tuple[int, ...]:
    """A colour for that many channels; an alpha channel is filled opaque."""
    alpha = (255,) if channels in (2, 4) else ()
    if isinstance(value, tuple) and channels >= 3:
        return (*value, *alpha)
    return (*(_grey(value),) * (channels - len(alpha)), *alpha)


def _size(image: Pixels) -> str:
    return f"[{image.shape[0]}, {image.shape[1]}]"


def _named(transform: Transform) -> str:
    return next(iter(type(transform).model_fields))


def _kinds(example: Example) -> str:
    return ", ".join(example.tensors()) or "nothing"
