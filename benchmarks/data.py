"""What delivering batches and preparing sets cost: ours and another way, measured in turn, as JSON lines.

    python benchmarks/data.py [--only deliver_28_vs_memcpy] [--repeats 5]

Ours is always `Batches.take`, batch 256, in the order that training has, labels included: a uint8 batch on the training
device (the CPU), fresh memory each time, ready to be normalised there.  The set is written as shards, opened (which
checks it) and, as it is below RESIDENT_BYTES, kept on the device: once, and not in the figures.

deliver_28_vs_memcpy     60,000 × 1 × 28 × 28 against Tensor.copy_ of successive slices of 256 images into one buffer,
                         on as many threads: the least that a delivery can cost.  Fashion-MNIST where GAN_TEST_DATA is
                         set, else random bytes
deliver_64_vs_memcpy     20,000 × 3 × 64 × 64 random bytes, likewise
deliver_vs_imagefolder   20,000 of the 28 × 28 images against torch's DataLoader over a folder of PNG files: Pillow,
                         shuffled, 2 workers, batch 256, collated to uint8 [256, 1, 28, 28] and labels
deliver_vs_webdataset    the same images against WebDataset over tar files of .npy: 2 workers, each shuffling shards and
                         1,000 samples, batch 256

prepare_2_vs_1_workers   60,000 JPEG files of 128 × 128 in a zip, brought to 64 × 64: two of Ray Data's workers against
                         this process alone
unchanged_vs_read        10,000 files of 2 kB that have not changed since they were read: their listing against reading
                         them again
prepare_peak_rss         MiB that `gan dataset prepare --workers 2` holds at its peak, all its processes and Ray's, of
                         200,000 images; `other` is the same of 20,000, once each

Of imagefolder and webdataset the images after the first batch are counted, so that starting workers is not in their
figures either.
The pages of every file are in memory on both sides.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import os
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import webdataset
from demo import hardware
from numpy.typing import NDArray
from PIL import Image
from preparing import listing_against_reading, peak_memory, two_workers_against_one
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from gan_core.data.batches import Batches
from gan_core.data.shards import open_shards
from gan_core.data.source import Example, Source
from gan_core.data.write import write_shards
from gan_core.manifest import tool_versions
from gan_core.store import Store

BATCH, WORKERS = 256, 2
PEAK = "prepare_peak_rss"
SECONDS = 0.3  # that one measurement of a fast side takes at least
FEWER = 20_000  # images of the comparisons with slow sides
IN_TAR, SHUFFLED = 2_500, 1_000
IDX_HEADER, SIDE = 16, 28

Measure = Callable[[], float]  # images/s of one measurement


def main() -> None:
    """Prints one line a comparison."""
    comparisons = {
        "deliver_28_vs_memcpy": lambda folder: against_memcpy(folder, images_28()),
        "deliver_64_vs_memcpy": lambda folder: against_memcpy(folder, noise(20_000, (3, 64, 64))),
        "deliver_vs_imagefolder": lambda folder: against_imagefolder(folder, images_28()[:FEWER]),
        "deliver_vs_webdataset": lambda folder: against_webdataset(folder, images_28()[:FEWER]),
        "prepare_2_vs_1_workers": two_workers_against_one,
        "unchanged_vs_read": listing_against_reading,
    }
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*comparisons, PEAK]
    cli.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME")
    cli.add_argument("--repeats", type=int, default=5, help="measurements of each side; default %(default)s")
    a = cli.parse_args()
    for name in a.only:
        with tempfile.TemporaryDirectory() as folder:
            if name == PEAK:
                many, few = peak_memory(Path(folder))
                report(name, many, few, "20,000 images", unit="MiB", better=few / many)
                continue
            ours, other, other_is = comparisons[name](Path(folder))
            measured = [(ours(), other()) for _ in range(a.repeats)]
            report(name, *(statistics.median(side) for side in zip(*measured, strict=True)), other_is)


def against_memcpy(folder: Path, images: NDArray[np.uint8]) -> tuple[Measure, Measure, str]:
    slices = torch.from_numpy(images).split(BATCH)
    buffer = torch.empty_like(slices[0])

    def copied() -> Iterator[int]:
        for part in slices:
            buffer[: len(part)].copy_(part)
            yield len(part)

    return delivery(folder, images), lambda: rate(copied), "torch.Tensor.copy_ of contiguous slices"


def against_imagefolder(folder: Path, images: NDArray[np.uint8]) -> tuple[Measure, Measure, str]:
    for i, image in enumerate(images):
        (folder / f"{i % 10}").mkdir(exist_ok=True)
        Image.fromarray(image[0]).save(folder / f"{i % 10}" / f"{i:05d}.png")
    files = Pngs(folder)
    loader = DataLoader(files, BATCH, shuffle=True, num_workers=WORKERS)
    return delivery(folder, images), lambda: rate_after_first(loader), "torch DataLoader over PNG files, 2 workers"


def against_webdataset(folder: Path, images: NDArray[np.uint8]) -> tuple[Measure, Measure, str]:
    for start in range(0, len(images), IN_TAR):
        write_tar(folder / f"{start // IN_TAR:03d}.tar", images[start : start + IN_TAR], start)
    tars = sorted(str(tar) for tar in folder.glob("*.tar"))
    samples = webdataset.WebDataset(tars, shardshuffle=len(tars)).shuffle(SHUFFLED).decode().to_tuple("npy", "cls")
    loader = DataLoader(samples.batched(BATCH), batch_size=None, num_workers=WORKERS)
    return delivery(folder, images), lambda: rate_after_first(loader), \
        f"webdataset {version('webdataset')} over tar files of .npy, 2 workers"


class Listed(Source):
    """Images that are at hand, with labels."""

    images: Any

    def splits(self) -> Mapping[str, int]:
        return {"train": len(self.images)}

    def part(self, split: str, start: int, stop: int) -> Iterator[Example]:
        return (Example(self.images[i].transpose(1, 2, 0), i % 10) for i in range(start, stop))


class Pngs(Dataset[tuple[Tensor, int]]):
    """PNG files in a folder a class, as torchvision's ImageFolder has them."""

    def __init__(self, folder: Path) -> None:
        self._files = [str(file) for file in sorted(folder.glob("*/*.png"))]

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self._files[index]) as image:
            return torch.from_numpy(np.array(image))[None], int(self._files[index].split("/")[-2])


def delivery(folder: Path, images: NDArray[np.uint8]) -> Measure:
    """Our side: the images as shards below a folder, then epochs of batches, each in an order of its own."""
    store = Store(folder / "store")
    write_shards(Listed(images=images), store, "shards", shard_examples=4096, key="benchmark")
    split = open_shards(store, "shards").split("train")
    batches = Batches(split, seed=0, batch=BATCH, rank=0, world=1, device=torch.device("cpu"))
    epoch = iter(range(10**9))

    def delivered() -> Iterator[int]:
        first = next(epoch) * len(split)
        for position in range(first, first + len(split), BATCH):
            yield len(batches.take(position)["image"])

    return lambda: rate(delivered)


def rate(one_pass: Callable[[], Iterator[int]]) -> float:
    """Images/s over as many passes as take SECONDS, after one that warms up."""
    sum(one_pass())
    images, start = 0, time.perf_counter()
    while (seconds := time.perf_counter() - start) < SECONDS:
        images += sum(one_pass())
    return images / seconds


def rate_after_first(batches: Iterable[tuple[Any, Any]]) -> float:
    """Images/s of one pass from its first batch on."""
    arriving = iter(batches)
    next(arriving)
    start = time.perf_counter()
    images = sum(len(labels) for _, labels in arriving)
    return images / (time.perf_counter() - start)


def images_28() -> NDArray[np.uint8]:
    """[60000, 1, 28, 28]: Fashion-MNIST where it is, else random bytes."""
    if not (root := os.environ.get("GAN_TEST_DATA")):
        return noise(60_000, (1, SIDE, SIDE))
    with gzip.open(Path(root) / "fashion_mnist" / "train-images-idx3-ubyte.gz") as file:
        return np.frombuffer(file.read()[IDX_HEADER:], np.uint8).reshape(-1, 1, SIDE, SIDE).copy()


def noise(count: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def write_tar(path: Path, images: NDArray[np.uint8], first: int) -> None:
    """One tar file of samples `n.npy` and `n.cls`."""
    with tarfile.open(path, "w") as tar:
        for i, image in enumerate(images, first):
            pixels = io.BytesIO()
            np.save(pixels, image)
            for name, data in ((f"{i:05d}.npy", pixels.getvalue()), (f"{i:05d}.cls", str(i % 10).encode())):
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))


def report(
    name: str, ours: float, other: float, other_is: str, unit: str = "images/s", better: float | None = None
) -> None:
    """One comparison with what it was measured on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    ratio = ours / other if better is None else better
    print(json.dumps({
        "name": name, "ours": round(ours), "other": round(other), "unit": unit, "ratio": round(ratio, 2),
        "other_is": other_is, "commit": commit.stdout.strip(), "versions": tool_versions(), "hardware": hardware(),
    }), flush=True)


if __name__ == "__main__":
    main()
