"""What the store layer costs beside Amazon's own client on the same S3 server, as JSON lines.

    eval "$(infra/local/s3.sh start)"
    python benchmarks/store.py [--only put_large_vs_awscli] [--repeats 5]

put_large_vs_awscli, get_large_vs_awscli     s for one object of 256 MiB
put_many_vs_awscli, get_many_vs_awscli       s for 2,000 objects of 64 KiB

ratio: how many times faster ours is.  AWS_ENDPOINT_URL and the credentials come from the environment, `aws` from beside
this Python or from PATH.  The bucket is the benchmark's own, and goes with it.  `aws` is a process a command, whose
start counts: it is what its users wait for.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from demo import hardware

from gan_core.data.cache import in_parallel
from gan_core.manifest import tool_versions
from gan_core.store import Store

LARGE, SMALL, MANY = 256 * 2**20, 64 * 2**10, 2000


def main() -> None:
    """Prints one line a comparison."""
    comparisons: dict[str, Callable[[Bench], tuple[Callable[[], object], Callable[[], object]]]] = {
        "put_large_vs_awscli": put_large, "get_large_vs_awscli": get_large,
        "put_many_vs_awscli": put_many, "get_many_vs_awscli": get_many,
    }
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--only", nargs="+", choices=[*comparisons], default=[*comparisons], metavar="NAME")
    cli.add_argument("--repeats", type=int, default=5, help="measurements of each side; default %(default)s")
    cli.add_argument("--small", action="store_true", help="a sixteenth of the bytes, to try it")
    a = cli.parse_args()
    with bench(16 if a.small else 1) as place:
        for name in a.only:
            sides = comparisons[name](place)
            measured = [[seconds(side) for side in sides] for _ in range(a.repeats)]
            ours, theirs = np.median(measured, axis=0)
            place.check()
            report(name, float(ours), float(theirs))


class Bench:
    """Files to send, a bucket, and where both sides put and get them."""

    def __init__(self, folder: Path, bucket: str, smaller: int) -> None:
        self.folder, self.bucket = folder, bucket
        self.store = Store(f"s3://{bucket}/ours")
        self.large, self.many = folder / "large", folder / "many"
        draw = np.random.default_rng(0)
        self.large.write_bytes(draw.bytes(LARGE // smaller))
        self.many.mkdir()
        for number in range(MANY // smaller):
            (self.many / f"{number:05d}").write_bytes(draw.bytes(SMALL))

    def aws(self, *words: str | Path) -> None:
        """`aws s3 cp`, quietly."""
        subprocess.run([AWS, "s3", "cp", "--quiet", *words], check=True)

    def check(self) -> None:
        """What came back is what was sent, on both sides."""
        for got in self.folder.glob("got*"):
            files = [got] if got.is_file() else sorted(got.iterdir())
            for file in files:
                sent = self.large if got.is_file() else self.many / file.name
                assert sha256(file) == sha256(sent), f"{file} is not what was sent"


AWS = shutil.which("aws", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "aws"


@contextmanager
def bench(smaller: int) -> Iterator[Bench]:
    import boto3

    bucket, s3 = f"bench-{uuid.uuid4().hex[:12]}", boto3.session.Session().resource("s3")
    s3.create_bucket(Bucket=bucket)
    folder = Path(tempfile.mkdtemp())
    try:
        yield Bench(folder, bucket, smaller)
    finally:
        shutil.rmtree(folder)
        s3.Bucket(bucket).objects.all().delete()
        s3.Bucket(bucket).delete()


def put_large(place: Bench) -> tuple[Callable[[], object], Callable[[], object]]:
    return (partial(place.store.put, place.large, "large"),
            partial(place.aws, place.large, f"s3://{place.bucket}/theirs/large"))


def get_large(place: Bench) -> tuple[Callable[[], object], Callable[[], object]]:
    for side in put_large(place):
        side()
    return (partial(place.store.get, "large", place.folder / "got-ours-large"),
            partial(place.aws, f"s3://{place.bucket}/theirs/large", place.folder / "got-theirs-large"))


def put_many(place: Bench) -> tuple[Callable[[], object], Callable[[], object]]:
    return (partial(in_parallel, lambda file: place.store.put(file, f"many/{file.name}"), sorted(place.many.iterdir())),
            partial(place.aws, "--recursive", place.many, f"s3://{place.bucket}/theirs/many"))


def get_many(place: Bench) -> tuple[Callable[[], object], Callable[[], object]]:
    for side in put_many(place):
        side()
    names, got = sorted(file.name for file in place.many.iterdir()), place.folder / "got-ours-many"
    return (partial(in_parallel, lambda name: place.store.get(f"many/{name}", got / name), names),
            partial(place.aws, "--recursive", f"s3://{place.bucket}/theirs/many", place.folder / "got-theirs-many"))


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def sha256(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def report(name: str, ours: float, theirs: float) -> None:
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    said = subprocess.run([AWS, "--version"], capture_output=True, text=True).stdout.split()[0]
    versions = {**tool_versions(), "s3fs": version("s3fs"), "aws-cli": said.partition("/")[2]}
    print(json.dumps({"name": name, "ours": round(ours, 3), "other": round(theirs, 3), "unit": "s",
                      "ratio": round(theirs / ours, 2), "other_is": "aws s3 cp", "commit": commit,
                      "versions": versions, "hardware": hardware()}), flush=True)


if __name__ == "__main__":
    main()
