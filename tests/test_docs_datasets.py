"""docs/datasets.md does what it says: its commands run, and every source reads the data that its block names."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import wave
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from numpy.typing import NDArray
from PIL import Image

from gan_core.config import experiment_from
from gan_core.data.source import SPLITS, Example, source_of
from gan_core.registry import SOURCES
from tests.pipeline import Prefect

PAGE = Path(__file__).parents[1] / "docs" / "datasets.md"
ELSEWHERE = ("s3://", "fashion_mnist")  # what a test cannot read without a network
COUNT = 60


@dataclass(frozen=True)
class Block:
    """A fenced block of the page.  name: the file that its first line says it is, or ''."""

    language: str
    text: str

    @property
    def name(self) -> str:
        found = re.match(r"# (\S+\.(?:py|yaml))\n", self.text)
        return found[1] if found else ""


def blocks() -> list[Block]:
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)]


def fragments() -> list[str]:
    return [block.text for block in blocks() if block.language == "yaml" and not block.name]


@pytest.mark.system
def test_the_page_works_from_top_to_bottom(served: Prefect, tmp_path: Path) -> None:
    """A command ends with 0, or with the exit code that its remark says."""
    binaries = Path(sys.executable).parent
    environment = {**served.environment(), "PATH": f"{binaries}:/usr/bin:/bin", "OMP_NUM_THREADS": "1",
                   "PYTHONPATH": str(PAGE.parents[1])}
    for block in blocks():
        if block.name:
            (tmp_path / block.name).write_text(block.text)
            continue
        commands = {"sh": block.text.splitlines(), "python": [f"{sys.executable} -c {shlex.quote(block.text)}"]}
        for command in commands.get(block.language, []):
            remark = re.search(r"# exit code (\d)", command)
            done = subprocess.run(shlex.split(command, comments=True), cwd=tmp_path, env=environment,
                                  capture_output=True, text=True)
            assert done.returncode == int(remark[1] if remark else 0), f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything that the blocks name, below `data`."""
    folder = tmp_path_factory.mktemp("page")
    write_data(folder / "data")
    return folder


@pytest.mark.parametrize("fragment", fragments())
def test_a_block_of_the_page_reads_the_data_that_it_names(
    fragment: str, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(data)
    experiment = experiment_from({"name": "page", "model": {"recipe": "dcgan"}} | yaml.safe_load(fragment))
    if any(place in fragment for place in ELSEWHERE):
        return
    source = source_of(experiment)
    items = {split: list(source.examples(split)) for split in SPLITS}
    assert items["train"]
    assert items["test"]
    assert all(isinstance(item, Example) for found in items.values() for item in found)


def test_every_source_is_on_the_page() -> None:
    text = PAGE.read_text()
    assert [name for name in SOURCES if f"source: {name}" not in text and f"`{name}`" not in text] == []


def images(count: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


def write_data(root: Path) -> None:
    root.mkdir()
    labels = np.arange(COUNT) % 2
    for i, image in enumerate(images(COUNT, 8, 12, 3)):
        save(image, root / "flags" / ("tricolour" if labels[i] else "bicolour") / f"{i}.png")
    shutil.make_archive(str(root / "flags"), "zip", root, "flags")
    with tarfile.open(root / "flags.tar.gz", "w:gz") as archive:
        archive.add(root / "flags", "flags")
    write_arrays(root, labels)
    write_tables(root, labels)
    write_pairs(root)
    write_sound_and_text(root)
    for i in range(COUNT // 3):
        frames = [Image.fromarray(frame) for frame in images(16, 8, 8, 3)]
        (root / "clips").mkdir(exist_ok=True)
        frames[0].save(root / "clips" / f"{i}.gif", save_all=True, append_images=frames[1:])


def save(image: NDArray[np.uint8], file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(file)


def write_arrays(root: Path, labels: NDArray[np.int64]) -> None:
    (root / "fashion").mkdir()
    for split, count in (("train", COUNT), ("t10k", 10)):
        pixels, of = images(count, 8, 8), labels[:count].astype(np.uint8)
        header = bytes([0, 0, 8, 3]) + np.array([count, 8, 8], ">u4").tobytes()
        (root / "fashion" / f"{split}-images-idx3-ubyte").write_bytes(header + pixels.tobytes())
        header = bytes([0, 0, 8, 1]) + np.array([count], ">u4").tobytes()
        (root / "fashion" / f"{split}-labels-idx1-ubyte").write_bytes(header + of.tobytes())
    named = {"train": COUNT, "val": 10, "test": 10}
    np.savez(root / "xrays.npz", **{f"{split}_images": images(count, 8, 8) for split, count in named.items()},
             **{f"{split}_labels": labels[:count, None] for split, count in named.items()})
    np.save(root / "images.npy", images(COUNT, 8, 8))
    np.save(root / "labels.npy", labels)
    with h5py.File(root / "usps.h5", "w") as file:
        for split, count in named.items():
            file[f"{split}/data"] = (images(count, 64) / 255).astype(np.float32)
            file[f"{split}/target"] = labels[:count]


def write_tables(root: Path, labels: NDArray[np.int64]) -> None:
    encoded = []
    for i, image in enumerate(images(COUNT, 8, 8)):
        save(image, root / "faces" / "images" / f"{i}.png")
        encoded.append({"bytes": (root / "faces" / "images" / f"{i}.png").read_bytes(), "path": f"{i}.png"})
    table = pa.table({"image": encoded, "kind": labels})
    (root / "hub").mkdir()
    pq.write_table(table, root / "hub" / "train-00000-of-00001.parquet")
    with pa.OSFile(str(root / "table.arrow"), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    rows = [f"{i}.png,{'yes' if label else 'no'},{20 + i}" for i, label in enumerate(labels)]
    (root / "faces" / "labels.csv").write_text("\n".join(["file,smiling,age", *rows]) + "\n")


def write_pairs(root: Path) -> None:
    for i, image in enumerate(images(COUNT, 8, 16, 3)):
        save(image, root / "facades" / f"{i}.png")
        for domain in "AB":
            split = "test" if i % 5 == 0 else "train"
            half = image[:, :8] if domain == "A" else image[:, 8:]
            save(half, root / "horse2zebra" / f"{split}{domain}" / f"{i}.png")


def write_sound_and_text(root: Path) -> None:
    (root / "spoken").mkdir()
    for i in range(COUNT):
        with wave.open(str(root / "spoken" / f"{i % 10}_{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(np.random.default_rng(i).integers(-9999, 9999, 3000, np.int16).tobytes())
    (root / "names").mkdir()
    for language, vowel in (("one", "a"), ("two", "e")):
        lines = [f"{consonant}{vowel}{other}{vowel}" for consonant in "bdfgk" for other in "lmnrst"]
        (root / "names" / f"{language}.txt").write_text("\n".join(lines) + "\n")
    (root / "plays.txt").write_text("to be or not to be, that is the question\n" * 200)
