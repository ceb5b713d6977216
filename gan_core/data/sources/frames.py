"""Frames of one moving picture: an animation by Pillow, a film by PyAV; only those that are asked for are kept."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gan_core.data.files import ARCHIVE_ERRORS, Limits
from gan_core.errors import DataError

ANIMATIONS = (".gif", ".webp", ".apng")
FILMS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi")
# FFmpeg goes by content: without this list a file could be a playlist of other files, or have it wait at a socket
CONTAINERS = {"format_whitelist": "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi"}

Pixels = NDArray[np.uint8]


def animation_length(handle: IO[bytes]) -> int:
    """How many frames a GIF, WebP or APNG has.  DataError when it is none of them."""
    with _animation(handle) as picture:
        return int(getattr(picture, "n_frames", 1))


def animation_frames(handle: IO[bytes], wanted: Sequence[int], limits: Limits) -> Pixels:
    """The frames numbered `wanted`, ascending: [T, H, W, 3], transparency on black.  DataError where one is lacking."""
    with _animation(handle) as picture:
        refuse_large(picture.width, picture.height, len(wanted), limits)
        frames = []
        for number in wanted:
            try:
                picture.seek(number)
            except EOFError:
                raise too_short(getattr(picture, "n_frames", 1), wanted) from None
            frames.append(_on_black(picture))
        return np.stack(frames)


def film_times(handle: IO[bytes]) -> tuple[int | None, ...]:
    """When each frame of a film is shown, in its stream's own unit, ascending; None where the container does not say.

    Taken from the packets: nothing is decoded.
    """
    with _film(handle) as container:
        times = [packet.pts for packet in container.demux(container.streams.video[0])
                 if packet.size and not packet.is_discard]
        return tuple(times) if None in times else tuple(sorted(times))


def film_frames(
    handle: IO[bytes], wanted: Sequence[int], limits: Limits, times: Sequence[int | None] = ()
) -> Pixels:
    """The frames numbered `wanted`, ascending: [T, H, W, 3].  times: of `film_times`, to begin near the first of them.

    DataError where one is lacking.
    """
    with _film(handle) as container:
        stream = container.streams.video[0]
        if stream.codec_context is None:
            raise DataError("is coded in a way that FFmpeg does not know; write it again as H.264")
        refuse_large(stream.codec_context.width, stream.codec_context.height, len(wanted), limits)
        frames: list[Pixels] = []
        last = -1
        for last, frame in _numbered(container, stream, wanted[0], times):
            if last == wanted[len(frames)]:
                refuse_large(frame.width, frame.height, len(wanted), limits)
                frames.append(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
            if len(frames) == len(wanted):
                return stacked(frames)
        raise too_short(last + 1, wanted, stream.frames)


def stacked(frames: Sequence[Pixels]) -> Pixels:
    """[T, …] of frames of one size."""
    if len(sizes := dict.fromkeys(frame.shape for frame in frames)) > 1:
        raise DataError(f"has frames of several shapes: {', '.join(map(str, sizes))}; bring them to one")
    return np.stack(frames)


def too_short(count: int, wanted: Sequence[int], stated: int = 0) -> DataError:
    """The error for a clip that ends before its last frame."""
    cut = f" of {stated:,} that it states: it is truncated" if stated > count else ""
    return DataError(f"has {count:,} frames{cut}; {wanted[-1] + 1:,} are needed; take fewer frames, or a smaller every")


def refuse_large(width: int, height: int, frames: int, limits: Limits) -> None:
    """DataError for frames that are beyond the limits; before they are decoded."""
    if width * height > limits.pixels:
        raise DataError(f"has frames of {width} x {height}, more than limits.pixels={limits.pixels:,}")
    if (size := width * height * frames * 3) > limits.bytes:
        raise DataError(f"takes {size:,} bytes for {frames} frames, more than limits.bytes={limits.bytes:,}; "
                        "take fewer frames")


@contextmanager
def _animation(handle: IO[bytes]) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images: refuse_large says it
            with Image.open(handle, formats=("GIF", "WEBP", "PNG")) as picture:
                yield picture
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise a dozen kinds for bad input
        raise DataError(f"is not a whole GIF, WebP or APNG: {_first_line(error)}") from None


def _on_black(picture: Image.Image) -> Pixels:
    if not picture.has_transparency_data:
        return np.asarray(picture.convert("RGB"))
    pixels = np.asarray(picture.convert("RGBA")).astype(np.uint16)
    return ((pixels[..., :3] * pixels[..., 3:] + 127) // 255).astype(np.uint8)


@contextmanager
def _film(handle: IO[bytes]) -> Iterator[Any]:
    try:
        import av
    except ImportError:
        raise DataError("films need PyAV; pip install 'gan-pipelines[formats]'") from None
    try:
        with av.open(handle, mode="r", container_options=CONTAINERS, metadata_errors="replace") as container:
            if not container.streams.video:
                raise DataError("holds no video, only sound")
            yield container
    except (av.FFmpegError, OSError, ValueError, *ARCHIVE_ERRORS) as error:
        raise DataError(f"is not a whole MP4, MOV, WebM, MKV or AVI film: {_first_line(error)}") from None


def _numbered(container: Any, stream: Any, first: int, times: Sequence[int | None]) -> Iterable[tuple[int, Any]]:
    """Decoded frames with their numbers, from the last key frame at or before the first that is wanted."""
    if not first or first >= len(times) or None in times:
        yield from enumerate(container.decode(stream))
        return
    container.seek(times[first], stream=stream, backward=True)
    place = {time: number for number, time in enumerate(times)}
    for frame in container.decode(stream):
        if frame.pts in place:
            yield place[frame.pts], frame


def _first_line(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).partition("\n")[0] or type(error).__name__
