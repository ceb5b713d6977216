"""A real S3 store for tests: Ceph on this machine, by infra/local/s3.sh.

GAN_TEST_S3=moto is for where Ceph cannot be installed: the same tests on moto's server.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.pipeline import free_port

SCRIPT = Path(__file__).parents[2] / "infra" / "local" / "s3.sh"
SECRET = "a-secret-that-stays-in-the-environment"  # of a store that holds nothing, on loopback


@pytest.fixture(scope="session")
def ceph() -> Iterator[dict[str, str]]:
    """One for all tests, as it takes ten seconds to start: the environment that leads to it; nothing with moto."""
    if os.environ.get("GAN_TEST_S3") == "moto":
        yield {}
        return
    home = Path(tempfile.mkdtemp(prefix="s3-"))
    told = os.environ | {"S3_HOME": str(home), "S3_SECRET": SECRET}
    start = [SCRIPT, "start", str(_port())]
    try:
        started = subprocess.run(start, env=told, capture_output=True, text=True, timeout=120)
        assert started.returncode == 0, started.stderr
        yield dict(re.findall(r"(AWS_\w+)=(\S+)", started.stdout))
    finally:
        subprocess.run([SCRIPT, "stop"], env=told, check=True, timeout=60)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def own_bucket(ceph: dict[str, str]) -> Iterator[str]:
    """An empty bucket that the environment leads to; yields its URL."""
    import boto3

    from tests.s3_server import s3_server  # imports moto, which most tests do without

    if not ceph:
        with s3_server("lab", SECRET):
            yield "s3://lab"
        return
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ceph.items():
            patch.setenv(name, value)
        bucket = f"lab-{uuid.uuid4().hex}"
        boto3.session.Session().client("s3").create_bucket(Bucket=bucket)
        yield f"s3://{bucket}"


def _port() -> int:
    """One that nobody listens on, nor on the next, which the monitor takes."""
    while True:
        port = free_port()
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port + 1))
            return port
