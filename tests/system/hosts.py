"""A Ray cluster of several hosts on one machine: network namespaces whose cables are pulled and whose power is cut.

By infra/local/hosts.sh, as root.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.pipeline import free_port, kill_tree
from tests.system.nodes import ALIVE, RAY

SCRIPTS = Path(__file__).parents[2] / "infra" / "local"
START_S = 180.0
GCS, JOBS = 6379, 8265  # ports of the head
# a host is dead to the others after three silences of 2 s, each a second after the other: 5 s are ridden out
HEALTH = {"RAY_health_check_initial_delay_ms": "0", "RAY_health_check_period_ms": "1000",
          "RAY_health_check_timeout_ms": "2000", "RAY_health_check_failure_threshold": "3",
          "RAY_raylet_start_wait_time_s": "120"}  # several begin at one time on one machine's CPUs


@dataclass
class Hosts:
    """Hosts of one CPU each.  The first is the head, which trains nothing; drivers of runs work there.

    net: the first three numbers of their addresses.
    """

    name: str = field(default_factory=lambda: f"t{secrets.token_hex(2)}")
    net: str = field(default_factory=lambda: f"10.{77 + secrets.randbelow(100)}.{secrets.randbelow(250)}")
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    store: dict[str, str] = field(default_factory=dict)
    rays: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"{self.ip('host0')}:{GCS}"

    @property
    def jobs_api(self) -> str:
        return f"http://{self.ip('host0')}:{JOBS}"

    def ip(self, host: str) -> str:
        return f"{self.net}.{10 + int(host.removeprefix('host'))}"

    def environment(self) -> dict[str, str]:
        """What a process needs to join, as a node or as a driver, and to reach the store."""
        return {**os.environ, **HEALTH, **self.store, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token,
                "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd()),
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def up(self, number: int) -> None:
        """The hosts, without Ray."""
        self._script("up", str(number))

    def command(self, host: str, *words: str) -> list[str]:
        """What runs a command on a host."""
        return [str(SCRIPTS / "hosts.sh"), "run", host, *words]

    def begin_ray(self, host: str) -> None:
        """Starts Ray there, plugged in, and does not wait for it."""
        self.heal(host)
        where = ([f"--address={self.address}", "--num-cpus=1"] if host != "host0" else
                 ["--head", f"--port={GCS}", f"--dashboard-host={self.ip(host)}", f"--dashboard-port={JOBS}",
                  "--num-cpus=0"])
        command = self.command(host, RAY, "start", *where, f"--node-ip-address={self.ip(host)}", "--block",
                               f"--object-store-memory={128 * 2**20}")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.rays[host] = subprocess.Popen(command, env=self.names | self.environment(), **quiet)

    def start_ray(self, *hosts: str) -> None:
        """Ray on these hosts, the head first; returns when the cluster counts them all."""
        before = set(self.alive()) if self.rays else set()
        for host in hosts:
            self.begin_ray(host)
            if host == "host0":
                self._until_counted({self.ip(host)})
        self._until_counted(before | {self.ip(host) for host in hosts})

    def alive(self) -> list[str]:
        """The addresses of the hosts that the cluster counts."""
        code = ALIVE.replace("node.node_id.hex()", "node.node_manager_address")
        command = self.command("host0", sys.executable, "-c", code, self.address)
        done = subprocess.run(command, env=self.names | self.environment(), capture_output=True, text=True)
        return re.findall(r"^(?:head|node) ([\d.]+)$", done.stdout, re.M)

    def cut(self, host: str) -> None:
        """Pulls its network cable."""
        self._script("cut", host)

    def heal(self, host: str) -> None:
        """Puts it back."""
        self._script("heal", host)

    def part(self, host: str) -> None:
        """Parts it from the other hosts; the store can still be reached."""
        self._script("part", host)

    def join(self, host: str) -> None:
        """Joins it with them again."""
        self._script("join", host)

    def off(self, host: str) -> None:
        """A power cut."""
        self._script("off", host)
        if host in self.rays:
            self.rays.pop(host).wait(timeout=60)

    def pids(self, host: str) -> list[int]:
        """All that runs there."""
        return [int(pid) for pid in self._script("pids", host).split()]

    def processes(self, host: str, pattern: str) -> list[int]:
        """Those whose command line, or Ray's name for them, has the pattern."""
        found = []
        for pid in self.pids(host):
            with suppress(OSError):
                if re.search(pattern, Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")):
                    found.append(pid)
        return found

    def send(self, host: str, pattern: str, number: signal.Signals) -> int:
        """A signal to those processes; how many there were."""
        pids = self.processes(host, pattern)
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        return len(pids)

    def down(self) -> None:
        """All of them away."""
        self._script("down")
        for process in self.rays.values():
            kill_tree(process)

    @property
    def names(self) -> dict[str, str]:
        return {"HOSTS_NAME": self.name, "HOSTS_NET": self.net}

    def _script(self, *words: str) -> str:
        done = subprocess.run([SCRIPTS / "hosts.sh", *words], env=os.environ | self.names, capture_output=True,
                              text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _until_counted(self, hosts: set[str]) -> None:
        deadline = time.monotonic() + START_S
        while not hosts <= set(self.alive()):
            assert time.monotonic() < deadline, f"the cluster counts {self.alive()}, and not {hosts}"
            assert all(ray.poll() is None for ray in self.rays.values()), "a host's Ray ended while it started"


@contextmanager
def hosts_with_store(number: int) -> Iterator[Hosts]:
    """So many hosts and one Ceph on their bridge; `store` leads to it.  Ray is started on none."""
    hosts, home = Hosts(), Path(tempfile.mkdtemp(prefix="s3-"))
    told = os.environ | {"S3_HOME": str(home), "S3_BIND": f"{hosts.net}.1", "S3_SECRET": secrets.token_hex(16)}
    try:
        hosts.up(number)
        started = subprocess.run([SCRIPTS / "s3.sh", "start", str(free_port())], env=told, capture_output=True,
                                 text=True, timeout=120)
        assert started.returncode == 0, started.stderr
        hosts.store = dict(re.findall(r"(AWS_\w+)=(\S+)", started.stdout)) | {"S3_HOME": str(home)}
        yield hosts
    finally:
        hosts.down()
        subprocess.run([SCRIPTS / "s3.sh", "stop"], env=told, check=True, timeout=60)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def bucket_of(hosts: Hosts) -> Iterator[str]:
    """An empty bucket of the hosts' store, which this process's environment leads to as well; yields its URL."""
    import boto3
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        for name, value in hosts.store.items():
            patch.setenv(name, value)
        bucket = f"lab-{uuid.uuid4().hex}"
        boto3.session.Session().client("s3").create_bucket(Bucket=bucket)
        yield f"s3://{bucket}"
