"""A Ray cluster of several nodes on one machine: each is a process tree that can be killed, or announced to go."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.pipeline import free_port, kill_tree

RAY = str(Path(sys.executable).with_name("ray"))
START_S = 120.0
ALIVE = """
import sys
from ray._raylet import GcsClient
for node in GcsClient(address=sys.argv[1]).get_all_node_info(timeout=5).values():
    if node.state == 0:
        print("head" if node.is_head_node else "node", node.node_id.hex())
"""
# a node is dead to the others 3 s after it is; Ray's own default is half a minute
HEALTH = {"RAY_health_check_initial_delay_ms": "0", "RAY_health_check_period_ms": "1000",
          "RAY_health_check_timeout_ms": "1000", "RAY_health_check_failure_threshold": "3"}


@dataclass
class Nodes:
    """Nodes of one CPU each.  The first is the head; the driver of a run works there too."""

    port: int = field(default_factory=free_port)
    token: str = field(default_factory=lambda: secrets.token_hex(32))
    nodes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        """What a process needs to join, as a node or as a driver."""
        return {**os.environ, **HEALTH, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self.token,
                "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}

    def add(self, *options: str, **variables: str) -> subprocess.Popen[bytes]:
        """One more node, with these options and variables besides; returns when the cluster counts it."""
        where = (["--head", f"--port={self.port}", "--include-dashboard=false"] if not self.nodes
                 else [f"--address={self.address}"])
        command = [RAY, "start", *where, "--node-ip-address=127.0.0.1", "--num-cpus=1", "--block",
                   f"--object-store-memory={128 * 2**20}", *options]
        environment = self.environment() | variables
        node = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.nodes.append(node)
        alive = sum(node.poll() is None for node in self.nodes)
        deadline = time.monotonic() + START_S
        while len(self.ids()) < alive:
            assert time.monotonic() < deadline, "a node did not start"
            assert node.poll() is None, "a node ended while it started"
        return node

    def ids(self) -> list[str]:
        """The nodes that the cluster counts, the head first."""
        done = subprocess.run([sys.executable, "-c", ALIVE, self.address], env=self.environment(),
                              capture_output=True, text=True)
        return [line.partition(" ")[2] for line in sorted(re.findall(r"^(?:head|node) \w+$", done.stdout, re.M))]

    def announce_preemption(self, node_id: str, seconds: int) -> None:
        """Tells the cluster, as a cloud's agent does, that a node will be taken away."""
        command = [RAY, "drain-node", f"--address={self.address}", f"--node-id={node_id}",
                   "--reason=DRAIN_NODE_REASON_PREEMPTION", "--reason-message=spot",
                   f"--deadline-remaining-seconds={seconds}"]
        subprocess.run(command, env=self.environment(), check=True, capture_output=True)

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """A power cut: SIGKILL to all that runs there."""
        kill_tree(node)

    def end(self) -> None:
        for node in reversed(self.nodes):
            kill_tree(node)
