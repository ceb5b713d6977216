"""Disks that are really full: small ones of memory, mounted in a namespace of the test's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gan_core.manifest import damaged_files, read_manifest
from gan_core.store import Store
from tests.conftest import TINY
from tests.s3_server import s3_server
from tests.train.runs import run_main

pytestmark = pytest.mark.system
TRAIN = {"images": 1024, "batch": 64, "checkpoint_every": 128, "report_every": 128, "keep_checkpoints": 100}
SCRIPT = """
set -u
mount -t tmpfs -o size={first} tmpfs {disk}
for size in {sizes}; do
    mount -o remount,size=$size {disk}
    echo "size $size" >&2
    {command}
    echo "status $?" >&2
    (cd {disk} && find . -type f | sort | sed 's/^/left /') >&2
done
cp -r {disk}/. {kept}
"""
SAID = re.compile(r"gan_core\.train: (\S+): could not be written: No space left on device: (\S+) has ([\d,]+) of "
                  r"([\d,]+) bytes free; nothing that was finished is lost: make room, and run the same command again")


@pytest.fixture(scope="module")
def yaml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("yaml") / "tiny.yaml"
    file.write_text(json.dumps(TINY | {"train": TRAIN}))
    return file


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, yaml: Path) -> Store:
    """What the same command makes with all the room it wants."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert run_main(yaml, "--store", folder) == 0
    return Store(folder)


def with_disk(folder: Path, sizes: list[str], command: str, environment: dict[str, str]) -> list[tuple[int, list[str]]]:
    """Status and lines of the command with a disk of each size in turn, mounted at folder/disk; copied to folder/kept.
    """
    (folder / "disk").mkdir()
    (folder / "kept").mkdir()
    script = SCRIPT.format(first=sizes[0], sizes=" ".join(sizes), disk=folder / "disk", kept=folder / "kept",
                           command=command)
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True,
                          env=os.environ | {"OMP_NUM_THREADS": "1"} | environment)
    assert done.returncode == 0, done.stderr
    found = []
    for part in done.stderr.split("size ")[1:]:
        lines = part.splitlines()
        (status,) = (line.removeprefix("status ") for line in lines if line.startswith("status "))
        found.append((int(status), lines))
    return found


def refused(lines: list[str]) -> re.Match[str]:
    """The one line that says it; nothing of a traceback."""
    assert not [line for line in lines if "Traceback" in line], lines
    (line,) = (line for line in lines if line.startswith("gan_core.train: "))
    found = SAID.fullmatch(line)
    assert found, line
    return found


def run_of(store: Store) -> str:
    (name,) = store.names("runs")
    return f"runs/{name}"


def assert_same(store: Store, undisturbed: Store) -> None:
    run = run_of(undisturbed)
    ours, theirs = read_manifest(store, run), read_manifest(undisturbed, run)
    assert ours is not None
    assert theirs is not None
    assert ours.digest == theirs.digest
    assert damaged_files(store, run, ours) == []


def test_a_store_whose_disk_is_full_while_it_prepares_and_while_it_trains_goes_on_bit_for_bit(
    tmp_path: Path, yaml: Path, undisturbed: Store
) -> None:
    sizes = undisturbed.sizes("")
    shards = sum(size for path, size in sizes.items() if path.startswith("shards"))
    checkpoint = max(size for path, size in sizes.items() if path.endswith("state.pt"))
    disk = tmp_path / "disk"
    command = f"{sys.executable} -m gan_core.train {yaml} --store {disk}"
    for_all = f"{4 * sum(sizes.values())}"
    small, medium, large = with_disk(
        tmp_path, [f"{shards // 2}", f"{shards + 4 * checkpoint + 2**17}", for_all], command, {})
    assert (small[0], medium[0], large[0]) == (1, 1, 0), (small, medium, large)
    assert refused(small[1])[2].startswith(str(disk))
    assert not [line for line in small[1] if line.startswith("left") and "MANIFEST" in line]
    said = refused(medium[1])
    assert said[1].startswith(f"file://{disk}/runs/")
    assert int(said[3].replace(",", "")) < checkpoint
    left = [line for line in medium[1] if line.startswith("left") and "/checkpoints/" in line]
    whole = {line.rpartition("/")[0] for line in left if line.endswith("MANIFEST.json")}
    assert whole == {line.rpartition("/")[0] for line in left}
    assert whole, "it trained until the disk was full"
    assert not [line for line in medium[1] if line.startswith("left") and "/.staging/" in line]
    assert_same(Store(tmp_path / "kept"), undisturbed)


def test_a_full_temporary_folder_is_named_and_the_store_holds_nothing_half(
    tmp_path: Path, yaml: Path, undisturbed: Store
) -> None:
    with s3_server("full", "secret-of-the-test"):
        store = Store("s3://full/x")
        for path in undisturbed.sizes("shards"):
            store.put(undisturbed.local_path(f"shards/{path}"), f"shards/{path}")
        command = f"{sys.executable} -m gan_core.train {yaml} --store {store.url}"
        small, large = with_disk(tmp_path, ["64k", "64m"], command, {"TMPDIR": str(tmp_path / "disk"),
                                                                      "XDG_CACHE_HOME": str(tmp_path / "cache")})
        assert (small[0], large[0]) == (1, 0), (small, large)
        assert refused(small[1])[2].startswith(str(tmp_path / "disk"))
        assert_same(store, undisturbed)
