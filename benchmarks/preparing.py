"""What preparing costs, for benchmarks/data.py: with two workers against one, and the memory it takes as sets grow; and
what it costs to see that a set has not changed.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from gan_core.config import experiment_from
from gan_core.data.files import Files
from gan_core.data.fingerprints import SETTLED_NS, fingerprint, remembered
from gan_core.store import Store
from pipelines.cluster import connect, stop_ray
from pipelines.on_ray_data import on_ray_data
from pipelines.profile import Profile
from pipelines.stages.prepare import prepare

IMAGES, SIDE, DRAWN = 60_000, 128, 200
FEW, MANY, SMALL = 20_000, 200_000, 28
FILES, FILE_BYTES = 10_000, 2_000
EVERY_S = 0.05


def two_workers_against_one(folder: Path, images: int = IMAGES) -> tuple[Callable[[], float], Callable[[], float], str]:
    """Images/s of a zip of 128×128 JPEG files brought to 64×64: Ray Data's two tasks, and this process alone.

    Ray runs already, and its workers have started: what that costs, about 8 s, is paid once however large the set.
    """
    archive = folder / "photos.zip"
    write_zip(archive, images, SIDE, "JPEG")
    experiment = experiment_from({
        "name": "photos",
        "data": {"source": "image_zip", "url": str(archive)},
        "prepare": {"transforms": [{"resize": 64}]},
        "model": {"recipe": "dcgan"},
    })
    connect(Profile(), 2)
    runs = count()

    def rate(workers: int) -> float:
        store, run = Store(folder / "store"), next(runs)
        place = on_ray_data(experiment, Profile(), workers)
        start = time.perf_counter()
        prepare(store, experiment, key=str(run), prefix=f"shards/{run}", place=place)
        seconds = time.perf_counter() - start
        store.delete(f"shards/{run}")
        return images / seconds

    rate(2)
    return lambda: rate(2), lambda: rate(1), "the same in one process, without Ray"


def listing_against_reading(folder: Path) -> tuple[Callable[[], float], Callable[[], float], str]:
    """Images/s of the fingerprint of 10,000 files of 2 kB that were written long ago: known by their listing, and read.

    Their pages are in memory: a disk or a network makes reading slower, and listing less so.
    """
    for number in range(FILES):
        path = folder / "set" / f"{number % 10}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(4) * (FILE_BYTES // 4))
    store = Store(folder / "store")
    time.sleep(2 * SETTLED_NS / 1e9)

    def rate(verify: bool) -> float:
        start = time.perf_counter()
        with remembered(store, verify=verify):
            fingerprint(Files(folder / "set"))
        return FILES / (time.perf_counter() - start)

    rate(False)
    return lambda: rate(False), lambda: rate(True), "every byte read, as with --verify-data"


def peak_memory(folder: Path) -> tuple[float, float]:
    """MiB at the peak, of 200,000 images and of 20,000: the whole of `gan dataset prepare --workers 2`, Ray's servers
    and workers included, as the sum of their resident sets.
    """
    stop_ray()
    peaks = []
    for images in (MANY, FEW):
        archive = folder / f"{images}.zip"
        write_zip(archive, images, SMALL, "PNG")
        words = ["dataset", "prepare", "--source", "image_zip", "--url", str(archive), "--workers", "2"]
        command = [sys.executable, "-m", "pipelines.cli", *words, "--store", str(folder / f"store-{images}")]
        process = psutil.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        peaks.append(peak_of(process))
        made = json.loads(process.stdout.read())
        assert sum(made["splits"].values()) == images
    return peaks[0], peaks[1]


def peak_of(process: psutil.Popen) -> float:
    """The largest sum of resident sets of a process and all below it, MiB, while it runs."""
    peak = 0
    while process.poll() is None:
        held = 0
        for member in (process, *process.children(recursive=True)):
            try:
                held += member.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        peak = max(peak, held)
        time.sleep(EVERY_S)
    return peak / 2**20


def write_zip(path: Path, images: int, side: int, form: str) -> None:
    """A zip of images in ten folders, of which some hundred differ: smooth colours with noise, as photographs are."""
    draw = np.random.default_rng(0)
    drawn = []
    for _ in range(DRAWN):
        coarse = Image.fromarray(draw.integers(0, 256, (8, 8, 3), np.uint8)).resize((side, side))
        noisy = np.asarray(coarse) * 0.9 + draw.random((side, side, 3)) * 25
        file = io.BytesIO()
        Image.fromarray(noisy.astype(np.uint8)).save(file, form)
        drawn.append(file.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(images):
            archive.writestr(f"{i % 10}/{i:07d}.{form.lower()}", drawn[i % DRAWN])
