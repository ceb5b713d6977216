"""One recording's bytes as samples at a given rate: only the stretch that is asked for is decoded and resampled."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gan_core.data.files import Limits
from gan_core.errors import DataError

if TYPE_CHECKING:
    from soundfile import SoundFile

RATES = range(1_000, 384_001)  # Hz
FULL_SCALE = 32_768  # of int16; floats have 1.0
UNSTATED = (0, 0xFFFFFFFF)  # a WAV's size where a program streamed it out
MOST_CHUNKS = 1_000
FILTER_REACH = 10  # scipy's anti-alias filter spans this many samples of the slower rate to each side


@contextmanager
def recording(data: bytes) -> Iterator[SoundFile]:
    """A WAV, FLAC or Ogg file.  DataError, with the reason alone, for one that is empty, cut off, or something else."""
    soundfile = _soundfile()
    if not data:
        raise DataError("is empty: 0 bytes")
    _refuse_cut_off(data)
    try:
        with soundfile.SoundFile(BytesIO(data)) as file:
            if not file.frames:
                raise DataError("holds no samples")
            if file.samplerate not in RATES:
                raise DataError(f"states {file.samplerate:,} Hz; {RATES.start:,} to {RATES.stop - 1:,} Hz are read")
            yield file
    except soundfile.SoundFileError as error:
        raise DataError(f"is not a whole recording: {_detail(error)}") from None


def excerpt(file: SoundFile, rate: int, length: int, *, centre: bool, mono: bool, limits: Limits) -> NDArray[np.int16]:
    """Up to `length` samples at `rate` Hz, from the start or the centre: [channels, ≤ length] int16.

    Resampled by scipy's polyphase filter; floats beyond ±1 are clipped.  The stretch is read with the filter's reach to
    each side, from a multiple of the phases, so that the samples are those of the whole recording resampled.
    """
    ratio = Fraction(rate, file.samplerate)
    up, down = ratio.numerator, ratio.denominator
    first = max(0, math.ceil(file.frames * ratio) - length) // 2 if centre else 0
    reach = 0 if ratio == 1 else FILTER_REACH * -(-max(up, down) // up) + 1
    start = max(0, first * down // up - reach) // down * down
    stop = min(file.frames, math.ceil((first + length) / ratio) + reach)
    samples = _samples(file, start, stop, limits)
    if mono:
        samples = samples.mean(axis=1, keepdims=True)
    if ratio != 1:
        from scipy.signal import resample_poly  # takes half a second to import

        samples = resample_poly(samples, up, down, axis=0)
    skip = first - start * up // down
    return _as_int16(samples[skip : skip + length]).T


def _samples(file: SoundFile, start: int, stop: int, limits: Limits) -> NDArray[np.float32]:
    """[stop − start, channels]; integers of up to 16 bits are exact."""
    size = (stop - start) * file.channels * 4
    if size > limits.bytes:
        raise DataError(f"takes {size:,} bytes in memory, more than limits.bytes={limits.bytes:,}; take fewer seconds")
    if start:  # a damaged FLAC file would fail here, with a reason that says less
        file.seek(start)
    samples: NDArray[np.float32] = file.read(stop - start, dtype="float32", always_2d=True)
    if len(samples) < stop - start:
        raise DataError(f"is truncated: {len(samples):,} of {stop - start:,} samples are there")
    if not np.isfinite(samples).all():
        raise DataError("holds samples that are not finite numbers; write it again as 16-bit WAV")
    return samples


def _as_int16(samples: NDArray[np.floating]) -> NDArray[np.int16]:
    scaled = np.clip(samples * FULL_SCALE, -FULL_SCALE, FULL_SCALE - 1)
    return np.asarray(np.rint(scaled), np.int16)


def _refuse_cut_off(data: bytes) -> None:
    """libsndfile takes what is left of a WAV file for all of it; the size in its data chunk tells otherwise."""
    if not data.startswith(b"RIFF"):
        return
    at = 12
    for _ in range(MOST_CHUNKS):
        if at + 8 > len(data):
            return
        name, size = struct.unpack_from("<4sI", data, at)
        at += 8
        if name == b"data" and size not in UNSTATED and at + size > len(data):
            raise DataError(f"is truncated: {len(data) - at:,} of {size:,} bytes of sound are there")
        at += size + size % 2


def _detail(error: Exception) -> str:
    return str(error).rpartition(">: ")[2].removeprefix("Error : ").rstrip(".")


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError):  # OSError: the package is there and its library is not
        raise DataError("recordings need soundfile; pip install 'gan-pipelines[formats]'") from None
    return soundfile
