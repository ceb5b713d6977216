"""Recordings that are made at hand: tones of four pitches, each its own class, of any loudness, in noise."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np

from gan_core.config import Experiment, experiment_from

RATE, LENGTH = 1000, 128
PITCHES = (60, 120, 200, 330)  # Hz
EACH = 60


def write_tones(folder: Path, each: int = EACH) -> str:
    """WAV files, `pitch-number.wav`."""
    folder.mkdir(parents=True, exist_ok=True)
    draw, time = np.random.default_rng(0), np.arange(LENGTH) / RATE
    for pitch in PITCHES:
        for number in range(each):  # of one phase: a few steps find it
            sound = draw.uniform(0.3, 0.8) * np.sin(2 * np.pi * pitch * time) + draw.normal(0, 0.05, LENGTH)
            with wave.open(str(folder / f"{pitch}-{number}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes((32767 * sound.clip(-1, 1)).astype("<i2").tobytes())
    return str(folder)


def recordings(url: str, *, model: dict[str, Any] | None = None, **blocks: Any) -> Experiment:
    """A tiny WaveGAN of tones; `blocks` in place of those of the experiment."""
    return experiment_from({
        "name": "tones",
        "data": {"source": "wav_folder", "url": url, "seconds": LENGTH / RATE, "label_pattern": r"^(\d+)-"},
        "model": {"recipe": "wavegan", "width": 4, "latent": 6, "conditional": True, **(model or {})},
        "train": {"images": 512, "batch": 64, "checkpoint_every": 128, "report_every": 64, "sample_every": 256},
    } | blocks)
