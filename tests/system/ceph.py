"""A real S3 store for tests: Ceph on this machine, by infra/local/s3.sh.

GAN_TEST_S3=moto is for where Ceph cannot be installed: the same tests on moto's server.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.pipeline import free_port
from tests.s3_server import s3_server

SCRIPT = Path(__file__).parents[2] / "infra" / "local" / "s3.sh"
SECRET = "a-secret-that-stays-in-the-environment"  # of a store that holds nothing, on loopback


@contextmanager
def ceph(home: Path) -> Iterator[str]:
    """Starts it, with an empty bucket that the environment leads to; yields the bucket's URL."""
    import boto3

    if os.environ.get("GAN_TEST_S3") == "moto":
        with s3_server("lab", SECRET):
            yield "s3://lab"
        return
    told = os.environ | {"S3_HOME": str(home), "S3_SECRET": SECRET}
    start = [SCRIPT, "start", str(_port())]
    try:
        started = subprocess.run(start, env=told, capture_output=True, text=True, timeout=120)
        assert started.returncode == 0, started.stderr
        with pytest.MonkeyPatch.context() as patch:
            for name, value in re.findall(r"(AWS_\w+)=(\S+)", started.stdout):
                patch.setenv(name, value)
            boto3.session.Session().client("s3").create_bucket(Bucket="lab")
            yield "s3://lab"
    finally:
        subprocess.run([SCRIPT, "stop"], env=told, check=True, timeout=60)


def _port() -> int:
    """One that nobody listens on, nor on the next, which the monitor takes."""
    while True:
        port = free_port()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port + 1))
            return port
