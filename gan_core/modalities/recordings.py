"""Audio: int16 [channels, T], looked at as spectrograms.

A spectrogram is the magnitude of a short-time Fourier transform under a Hann window, in decibels of a sine at full
scale: −80 dB and less is black, 0 dB white.  The window is the power of two nearest to 32 ms, or to √(2T) samples where
the rate is not known, and no longer than the recording; each begins half a window after the one before, the first half
a window before the recording.  Low frequencies are at the bottom, the constant one is left out, and of several channels
the first is at the top.
"""

from __future__ import annotations

import io
import math
import wave
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_core.modalities.images import grid_png
from gan_core.modalities.modality import FileKind, Medium, Modality, Program, Stored, Views, npy

FULL_SCALE = 32_768  # of int16; a network makes 1.0
WINDOW_S = 0.032
FLOOR_DB = -80.0
SMALLEST = 1e-10  # amplitude that stands for none, far below the floor
AT_ONCE = 64  # recordings whose windows are in memory at the same time
PAUSE_S = 0.25  # between two recordings of one file

ENDS = """\
audio = np.int16(np.clip(np.rint(made * 32768), -32768, 32767))  # [n, channels, samples]

for i, recording in enumerate(audio):
    with wave.open(f"recording-{i}.wav", "wb") as file:
        file.setnchannels(len(recording))
        file.setsampwidth(2)
        file.setframerate(round(spec.get("rate", 0)) or 16000)  # 0: the data set did not say
        file.writeframes(recording.T.astype("<i2").tobytes())
"""


class Recordings(Modality):
    """A network makes them in [−1, 1]."""

    axes = ("channels", "T")
    dtype = np.dtype(np.int16)
    made = "audio"
    noun = "recordings"
    file = "samples.wav"
    tag = "other"
    program: ClassVar[Program] = Program("import wave\n", "", ENDS, "recording-0.wav")

    def stored(self, made: NDArray[np.floating]) -> Stored:
        levels: Stored = np.clip(np.rint(made * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
        return levels

    def views(self, stored: Stored) -> Views:
        window = self._window()
        parts = [_spectrograms(stored[start : start + AT_ONCE], window) for start in range(0, len(stored), AT_ONCE)]
        return np.concatenate(parts) if parts else _spectrograms(stored, window)

    def _window(self) -> int:
        length = self.form.shape[1]
        wished = WINDOW_S * self.form.rate if self.form.rate else math.sqrt(2 * length)
        longest = 2 ** max(1, int(math.log2(length)))
        return int(min(longest, max(2, 2 ** round(math.log2(wished)))))

    def files(self) -> Mapping[str, FileKind]:
        sound = {".wav": FileKind(lambda stored, layout: wav(stored, self.form.rate))} if self.form.rate else {}
        return {**sound, ".png": FileKind(lambda stored, layout: grid_png(self.views(stored), layout)),
                ".npy": FileKind(npy)}

    def media(self, stored: Stored) -> Sequence[Medium]:
        if not self.form.rate:
            return ()
        return [Medium("audio", "audio/wav", wav(stored[i : i + 1], self.form.rate)) for i in range(len(stored))]

    @property
    def words(self) -> str:
        channels, length = self.form.shape
        rate = f" at {self.form.rate:,.0f} Hz" if self.form.rate else ""
        return f"recordings of {length:,} samples{rate} with {channels} channel" + ("s" if channels > 1 else "")


def wav(stored: Stored, rate: float) -> bytes:
    """[n, channels, T] int16 as one WAV file, pauses between them; rate: in Hz."""
    n, channels, length = stored.shape
    pause = round(PAUSE_S * rate)
    samples = np.zeros((n, length + pause, channels), "<i2")
    samples[:, :length] = stored.transpose(0, 2, 1)
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(channels)
        sound.setsampwidth(2)
        sound.setframerate(round(rate))
        sound.writeframes(samples.reshape(-1, channels)[: n * (length + pause) - pause].tobytes())
    return file.getvalue()


def _spectrograms(stored: Stored, window: int) -> Views:
    """[n, channels, T] int16 to [n, 1, channels · window/2, 1 + T / (window/2)]."""
    hop, hann = window // 2, np.hanning(window + 1)[:-1]
    padded = np.pad(stored.astype(np.float64) / FULL_SCALE, ((0, 0), (0, 0), (hop, hop)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window, axis=2)[:, :, ::hop]
    amplitude = np.abs(np.fft.rfft(frames * hann, axis=3))[..., 1:] * (2 / hann.sum())
    level = 20 * np.log10(np.maximum(amplitude, SMALLEST))
    shade = np.clip(np.rint((level - FLOOR_DB) * (255 / -FLOOR_DB)), 0, 255).astype(np.uint8)
    pictures = shade.transpose(0, 1, 3, 2)[:, :, ::-1]  # [n, channels, frequency, time], low ones last
    n, channels, frequencies, times = pictures.shape
    return np.ascontiguousarray(pictures).reshape(n, 1, channels * frequencies, times)
