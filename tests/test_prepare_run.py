"""`gan dataset prepare` as a data engineer runs it, on Ray Data."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.pipeline import GAN, kill_tree

pytestmark = pytest.mark.slow

COUNT = 3000
SPOILED = "a/00100.png"
TOLERANT = ("--set", "prepare.max_bad_fraction=0.001")


def noise(path: Path) -> Path:
    """A zip of small PNG files in two folders, one of them truncated."""
    draw = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(COUNT):
            Image.fromarray(draw.integers(0, 256, (16, 16, 3), np.uint8)).save(whole := io.BytesIO(), "PNG")
            name = f"{'ab'[number % 2]}/{number:05d}.png"
            archive.writestr(name, whole.getvalue()[:60] if name == SPOILED else whole.getvalue())
    return path


def command(url: Path, store: Path, *words: str) -> list[str]:
    addressed = ["--source", "image_zip", "--url", str(url), "--store", str(store)]
    return [*GAN, "dataset", "prepare", *addressed, "--set", "prepare.shard_examples=256", *words]


def tolerant(url: Path, store: Path) -> list[str]:
    """The command that takes one unusable item."""
    return command(url, store, *TOLERANT)


def prepared(url: Path, store: Path, *words: str) -> Any:
    done = subprocess.run([*tolerant(url, store), *words, "--json"], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise(tmp_path_factory.mktemp("noise") / "noise.zip")


@pytest.fixture(scope="module")
def alone(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What one worker makes of it."""
    return prepared(archive, tmp_path_factory.mktemp("alone"), "--workers", "1")


def test_what_workers_find_unusable_stops_it_in_one_line_or_is_left_out_and_two_make_the_bytes_of_one(
    archive: Path, alone: Any, tmp_path: Path
) -> None:
    done = subprocess.run(command(archive, tmp_path), capture_output=True, text=True, timeout=200)
    assert done.returncode == 1
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("gan: "))
    assert f"1 of 3,000 items cannot be used, such as {SPOILED}: is truncated" in line
    assert "prepare.max_bad_fraction=0.001" in line
    kept = prepared(archive, tmp_path, "--workers", "2")
    assert (kept["quarantined"], sum(kept["splits"].values())) == (1, COUNT - 1)
    assert kept["splits"] == alone["splits"] == {"train": 2399, "validation": 300, "test": 300}
    assert kept["digest"] == alone["digest"]


@pytest.mark.system
def test_a_killed_preparation_goes_on_with_what_is_missing(archive: Path, alone: Any, tmp_path: Path) -> None:
    process = subprocess.Popen(tolerant(archive, tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while len(notes := list(tmp_path.glob("shards/*/.parts/*.json"))) < 3:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    kill_tree(process)
    (note, *_) = notes
    shard = note.parent.parent / f"{note.stem}.arrow"
    before = shard.stat().st_mtime_ns
    assert not (shard.parent / "MANIFEST.json").exists()
    assert prepared(archive, tmp_path)["digest"] == alone["digest"]
    assert shard.stat().st_mtime_ns == before, "a shard that was done was written again"


def test_ctrl_c_ends_it_with_130_and_one_line(archive: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(tolerant(archive, tmp_path), stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not list(tmp_path.glob("shards/*/.parts/*.json")):
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "gan: interrupted; the same command goes on with the shards that are missing"
    assert "Traceback" not in said


@pytest.mark.system  # make test has one in tests/test_cli_dataset.py
def test_a_plug_in_file_is_loaded_by_the_workers(tmp_path: Path) -> None:
    file = tmp_path / "ramps.py"
    file.write_text(
        "from gan_core.data.source import Example, Source\n"
        "import numpy as np\n"
        "class Ramps(Source):\n"
        "    def splits(self): return {'train': 2000, 'test': 100}\n"
        "    def part(self, split, start, stop):\n"
        "        for n in range(start, stop):\n"
        "            yield Example(np.full((8, 8), n % 256, np.uint8), n % 4)\n"
    )
    words = ["dataset", "prepare", "--source", "ramps", "--plugin", str(file), "--store", str(tmp_path / "store")]
    sized = ["--set", "prepare.shard_examples=128", "--workers", "2", "--json"]
    done = subprocess.run([*GAN, *words, *sized], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["splits"] == {"train": 2000, "validation": 0, "test": 100}


@pytest.mark.system
def test_fashion_mnist_goes_from_idx_to_shards(real_data: Path, tmp_path: Path) -> None:
    words = ["--source", "fashion_mnist", "--set", f"root={real_data / 'fashion_mnist'}", "--store", str(tmp_path)]
    run = [*GAN, "dataset", "prepare", *words, "--json"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["splits"] == {"train": 60_000, "validation": 0, "test": 10_000}
    assert (facts["shape"], facts["classes"]) == ([1, 28, 28], 10)


def test_workers_leave_out_what_is_not_normal_as_one_does(tmp_path: Path) -> None:
    found = {}
    for workers in ("1", "2"):
        words = ["--source", "digits", "--store", str(tmp_path / workers), "--workers", workers, "--json",
                 "--set", "prepare.normal=[2]", "--set", "prepare.shard_examples=400"]
        done = subprocess.run([*GAN, "dataset", "prepare", *words], capture_output=True, text=True, timeout=200)
        assert done.returncode == 0, done.stderr
        found[workers] = json.loads(done.stdout)
    assert found["2"]["digest"] == found["1"]["digest"]
    assert found["2"]["splits"]["test"] == 360
    assert found["2"]["splits"]["train"] < 200
