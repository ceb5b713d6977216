from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gan_core.manifest import read_manifest
from gan_core.store import Store, split_url
from tests.conftest import TINY
from tests.train.runs import contents, flip_a_bit, run_main


@pytest.fixture
def yaml(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(json.dumps(TINY | {"train": TINY["train"] | {"images": 128}}))
    return file


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    """The exit status and the one line on standard error."""
    status = run_main(*arguments)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("gan_core.train: ")
    assert err.count("\n") == 1
    return status, err


def files(store: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file."""
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in store.rglob("*") if p.is_file()}


def the_run(store: Path) -> Path:
    (run,) = (store / "runs").iterdir()
    return run


# Mistakes


def test_a_mistake_in_the_command_exits_2_with_one_line(
    capsys: pytest.CaptureFixture[str], yaml: Path, tmp_path: Path
) -> None:
    store = ("--store", tmp_path / "store")
    (tmp_path / "file").write_bytes(b"")
    for arguments, why in [
        ((tmp_path / "tony.yaml", *store), f"tony.yaml: no such file; did you mean {yaml}?"),
        ((yaml, *store, "--set", "train.batchs=1"), "train.batchs: unknown key; did you mean 'batch'?"),
        ((yaml, *store, "--set", "train.batch"), "--set train.batch: not of the form field=value"),
        ((yaml, *store, "--set", "model.recipe=dcgn"), "unknown recipe 'dcgn'; did you mean 'dcgan'?"),
        ((yaml, "--store", tmp_path / "file" / "x"), "cannot be written"),
        ((yaml, "--store", "s4://x"), "./store and s3://bucket/prefix work"),
    ]:
        status, line = refused(capsys, *arguments)
        assert status == 2
        assert why in line
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("arguments", [[], ["a.yaml", "b.yaml"], ["a.yaml", "--no-such"]])
def test_wrong_usage_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        run_main(*arguments)
    assert exit_.value.code == 2
    assert "usage: python -m gan_core.train" in capsys.readouterr().err


def test_damaged_shards_exit_1_and_are_named(capsys: pytest.CaptureFixture[str], yaml: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    assert run_main(yaml, "--store", store.url) == 0
    capsys.readouterr()
    store.delete("runs")
    (name,) = store.names("shards")
    flip_a_bit(store, f"shards/{name}/train-00000.arrow")
    status, line = refused(capsys, yaml, "--store", store.url)
    assert status == 1
    assert f"shards/{name}/train-00000.arrow: is damaged" in line
    assert store.names("runs") == []


def test_a_run_that_diverges_exits_1_and_says_where(
    capsys: pytest.CaptureFixture[str], yaml: Path, tmp_path: Path
) -> None:
    status, line = refused(capsys, yaml, "--store", tmp_path / "store", "--set", "model.penalties.r1.gamma=1e300")
    assert status == 1
    assert "loss/generator is nan after 64 images" in line


# Runs


def test_a_second_start_of_a_finished_run_does_nothing(
    capsys: pytest.CaptureFixture[str], yaml: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    assert run_main(yaml, "--store", store) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[:3] for line in lines[:-1]] == [["64", "/", "128"], ["128", "/", "128"]]
    assert lines[-1] == f"finished: file://{the_run(store)}"
    before = files(store)
    assert run_main(yaml, "--store", store) == 0
    assert capsys.readouterr().err.splitlines() == lines[-1:]
    assert files(store) == before


def test_a_finished_run_that_lost_a_file_is_finished_again(yaml: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    run_main(yaml, "--store", store)
    weights = the_run(store) / "generator.safetensors"
    before = weights.read_bytes()
    weights.unlink()
    assert run_main(yaml, "--store", store) == 0
    assert weights.read_bytes() == before


def test_cadence_and_workers_do_not_make_another_run_and_all_else_does(yaml: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    for setting in ("train.checkpoint_every=64", "train.workers=2", "train.report_every=128"):
        assert run_main(yaml, "--store", store, "--set", setting) == 0
    assert len([*(store / "runs").iterdir()]) == 1
    for setting in ("seed=1", "train.batch=32", "model.width=4"):
        assert run_main(yaml, "--store", store, "--set", setting) == 0
    assert len([*(store / "runs").iterdir()]) == 4
    assert len([*(store / "shards").iterdir()]) == 1


def test_a_finished_run_says_what_it_was_made_from(yaml: Path, tmp_path: Path) -> None:
    run_main(yaml, "--store", tmp_path / "store")
    store = Store(tmp_path / "store")
    manifest = read_manifest(store, f"runs/{the_run(tmp_path / 'store').name}")
    assert manifest is not None
    (parent,) = manifest.parents
    above, name = split_url(parent.uri)
    shards = read_manifest(Store(above), name)
    assert shards is not None
    assert (parent.kind, parent.digest) == (shards.kind, shards.digest)
    assert above == f"file://{tmp_path}/store/shards"


# Signals


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As ALONE is, so that a run in this process has a command's bits."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


ALONE = os.environ | {"OMP_NUM_THREADS": "1"}
ROWS = 64  # a page of a pipe holds 40 of them: the command cannot end before they are read


def start_and_signal(command: list[str], number: int) -> tuple[int, list[str]]:
    """The exit status and the lines of a command that was signalled after its first row, and not later than half."""
    reads, writes = os.pipe()
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(command, stderr=writes, env=ALONE)
    os.close(writes)
    said = b""
    while not said.endswith(b"\n"):
        byte = os.read(reads, 1)
        assert byte, said
        said += byte
    process.send_signal(number)
    with os.fdopen(reads, "rb") as rest:
        said += rest.read()
    return process.wait(), said.decode().splitlines()


@pytest.mark.slow
def test_a_terminated_run_checkpoints_exits_143_and_the_same_command_repeats_the_whole_run(
    tmp_path: Path, one_thread: None, capsys: pytest.CaptureFixture[str]
) -> None:
    yaml, parted, whole = tmp_path / "tiny.yaml", tmp_path / "parted", tmp_path / "whole"
    cadence = {"images": 16 * ROWS, "batch": 16, "report_every": 16, "checkpoint_every": 10**6}
    yaml.write_text(json.dumps(TINY | {"train": cadence}))
    assert run_main(yaml, "--store", whole) == 0
    shutil.copytree(whole / "shards", parted / "shards")

    command = [sys.executable, "-m", "gan_core.train", str(yaml), "--store", str(parted)]
    status, lines = start_and_signal(command, signal.SIGTERM)
    assert status == 128 + signal.SIGTERM == 143
    assert lines[-1] == f"stopped by a signal after a checkpoint; the same command goes on: file://{the_run(parted)}"
    (checkpoint,) = (the_run(parted) / "checkpoints").iterdir()
    stopped = int(checkpoint.name.partition("-")[0])
    assert 0 < stopped < 16 * ROWS
    assert int(lines[-2].split()[0].replace(",", "")) == stopped
    assert not (the_run(parted) / "MANIFEST.json").exists()

    capsys.readouterr()
    assert run_main(yaml, "--store", parted) == 0
    assert int(capsys.readouterr().err.split()[0].replace(",", "")) == stopped + 16
    for weights in ("generator.safetensors", "networks.safetensors"):
        assert (the_run(parted) / weights).read_bytes() == (the_run(whole) / weights).read_bytes()

    before = contents(Store(parted))
    assert run_main(yaml, "--store", parted) == 0
    assert contents(Store(parted)) == before
