"""Requests a second and seconds a request of `gan serve-model`, as JSON lines.

    python benchmarks/serve.py [--width 32] [--seconds 15] [--precision float32] [--precision float64]
    python benchmarks/serve.py --minutes 10 [--clients 8]

The generator is a DCGAN of 28 × 28 images with fresh weights, as wide as those of configs/.  Clients, in a process of
their own, ask for one image after the other; the network has one thread, so that on two cores they have the other.
`serve_batched_vs_single` is 64 clients of the server as it is, against 64 of the same server that makes one image at a
time (--max-batch 1), by turns; `serve_vs_loop` is against a loop of `generator.sample(1)` in this process, without
HTTP.  With --minutes one load runs for so long, and memory and errors are what is told.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import aiohttp
import numpy as np
import psutil
import torch
from demo import hardware  # the script beside this one
from safetensors.torch import save_file

from gan_core.bundle import load_generator
from gan_core.manifest import artefact, tool_versions
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.store import Store

SHAPE, LATENT, CLASSES = (1, 28, 28), 64, 10
CLIENTS = (1, 8, 64)
ROUNDS = 3
START_S = 120.0
MINUTE_S = 60.0


def main() -> None:
    """Prints one line a figure."""
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--width", type=int, default=32)
    cli.add_argument("--seconds", type=float, default=10.0)
    cli.add_argument("--minutes", type=float)
    cli.add_argument("--clients", type=int, default=8)
    cli.add_argument("--precision", action="append")
    cli.add_argument("--ask", metavar="URL")  # this script as the clients' process
    a = cli.parse_args()
    torch.set_num_threads(1)
    if a.ask:
        print(json.dumps(asyncio.run(load(a.ask, a.clients, a.seconds))))
        return
    with tempfile.TemporaryDirectory() as folder:
        make_bundle(Store(folder), a.width)
        model = f"{folder}/model"
        for precision in a.precision or ["float32", "float64"]:
            facts = {"model": f"dcgan of 28 by 28 pixels, width {a.width}", "precision": precision,
                     "threads": torch.get_num_threads()}
            if a.minutes:
                long_load(model, precision, a.minutes * MINUTE_S, a.clients, facts)
            else:
                compare(model, precision, a.seconds, facts)


def make_bundle(store: Store, width: int) -> None:
    """A generator as it is published, as `model` of the store."""
    inputs = {"z": InputSpec(shape=(LATENT,), distribution="normal"),
              "label": InputSpec(shape=(), distribution="condition", classes=CLASSES)}
    options = {"shape": SHAPE, "latent": LATENT, "width": width, "conditions": {"classes": CLASSES}}
    spec = GeneratorSpec(family="dcgan_generator", options=options, inputs=inputs, output=SHAPE)
    with artefact(store, "model", kind="version", key="b1") as draft:
        (draft.path / "generator.json").write_text(spec.model_dump_json())
        save_file(spec.build().state_dict(), draft.path / "generator.safetensors")


def compare(model: str, precision: str, seconds: float, facts: dict[str, Any]) -> None:
    """Batched, one at a time, and without HTTP, by turns."""
    looped, single = [], []
    batched: dict[int, list[dict[str, float]]] = {clients: [] for clients in CLIENTS}
    for _ in range(ROUNDS):
        looped.append(loop(model, precision, seconds / 2))
        with server(model, "--precision", precision) as (url, _process):
            for clients, found in batched.items():
                found.append(asked(url, clients, seconds / 2))
        with server(model, "--precision", precision, "--max-batch", "1") as (url, _process):
            single.append(asked(url, CLIENTS[-1], seconds / 2)["per_second"])
    for clients, found in batched.items():
        for figure, unit in (("per_second", "requests/s"), ("p50", "ms"), ("p99", "ms")):
            report(f"serve_{clients}_clients_{figure}", median(each[figure] for each in found), unit, **facts)
        assert sum(each["errors"] for each in found) == 0
    most = median(each["per_second"] for each in batched[CLIENTS[-1]])
    for name, other, other_is in (("serve_batched_vs_single", single, "the same server with --max-batch 1"),
                                  ("serve_vs_loop", looped, "a loop of generator.sample(1), without HTTP")):
        than = median(other)
        report(name, most, "requests/s", other=round(than, 1), ratio=round(most / than, 2), other_is=other_is, **facts)


def long_load(model: str, precision: str, seconds: float, clients: int, facts: dict[str, Any]) -> None:
    """What a server's memory does under load, after a minute of warming up, and what goes wrong."""
    with server(model, "--precision", precision) as (url, process):
        asked(url, clients, min(MINUTE_S, seconds / 5))
        before = process.memory_info().rss
        found = asked(url, clients, seconds)
        grown = (process.memory_info().rss - before) / 2**20
    report("serve_long_load_growth", grown, "MiB", of=round(before / 2**20), minutes=seconds / MINUTE_S,
           requests=found["requests"], errors=found["errors"], clients=clients, p99_ms=round(found["p99"], 1), **facts)


def loop(model: str, precision: str, seconds: float) -> float:
    """Images a second of one call after the other."""
    generator = load_generator(model)
    if precision == "float32":
        generator = generator.at(torch.float32)
    generator.sample(1)
    made, begun = 0, time.perf_counter()
    while time.perf_counter() - begun < seconds:
        generator.sample(1, seed=made)
        made += 1
    return made / (time.perf_counter() - begun)


@contextmanager
def server(model: str, *options: str) -> Iterator[tuple[str, psutil.Process]]:
    """A server of its own on a free port; its log goes nowhere."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "pipelines.cli", "serve-model", model, "--port", str(port), *options]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    url, begun = f"http://127.0.0.1:{port}", time.monotonic()
    try:
        while not answers(url):
            assert process.poll() is None, f"{command} ended"
            assert time.monotonic() - begun < START_S, f"{command} does not answer"
            time.sleep(0.1)
        yield url, psutil.Process(process.pid)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=START_S) == 0


def answers(url: str) -> bool:
    """Whether the server is there."""
    try:
        with urllib.request.urlopen(f"{url}/ready", timeout=5):
            return True
    except OSError:
        return False


def asked(url: str, clients: int, seconds: float) -> dict[str, float]:
    """What clients in a process of their own saw."""
    command = [sys.executable, __file__, "--ask", url, "--clients", str(clients), "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


async def load(url: str, clients: int, seconds: float) -> dict[str, float]:
    """Requests a second, milliseconds a request, errors; the first tenth of the time is for warming up."""
    took: list[float] = []
    begun, failed = time.perf_counter(), 0

    async def client(session: aiohttp.ClientSession, number: int) -> None:
        nonlocal failed
        seed = number << 32
        while (start := time.perf_counter()) - begun < seconds:
            seed += 1
            try:
                async with session.post(f"{url}/sample", json={"seed": seed}) as answer:
                    await answer.read()
                    failed += answer.status != 200
            except aiohttp.ClientError:
                failed += 1
            if start - begun > seconds / 10:
                took.append(1000 * (time.perf_counter() - start))

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=clients)) as session:
        await asyncio.gather(*(client(session, number) for number in range(clients)))
    p50, p99 = np.quantile(took, (0.5, 0.99))
    counted = time.perf_counter() - begun - seconds / 10
    return {"requests": len(took), "errors": failed, "per_second": len(took) / counted, "p50": p50, "p99": p99}


def report(name: str, value: float, unit: str, **facts: object) -> None:
    """One figure with what it was measured on."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    print(json.dumps({
        "name": name, "ours": round(value, 1), "unit": unit, **facts, "commit": commit.stdout.strip(),
        "versions": tool_versions(), "hardware": hardware(), "load": round(os.getloadavg()[0], 1),
    }, ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
