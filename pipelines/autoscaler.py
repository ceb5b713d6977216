"""What a cluster's autoscaler may start at most, which Ray itself only says in its autoscaler's own settings.

On machines that Ray's cluster launcher started, they are a file that the monitor process on the head is given; on
Kubernetes they are the RayCluster, which KubeRay lets the head's pod read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import yaml

from gan_core.config import Config

MONITOR, OPTION, OF = "monitor.py", "--autoscaling-config=", "--gcs-address="
CLUSTER, NAMESPACE = "RAY_CLUSTER_NAME", Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
CUSTOM_RESOURCE = "rayclusters"


class NodeType(Config):
    """resources: of one such node.  most: nodes of it."""

    resources: dict[str, float]
    most: int


class NodeTypes(Config):
    """types: of what the autoscaler starts.  most: nodes of all of them together."""

    types: tuple[NodeType, ...]
    most: int

    def nodes(self) -> list[Mapping[str, float]]:
        """The resources of every node that may be started, were there no bound on all together."""
        return [kind.resources for kind in self.types for _ in range(min(kind.most, self.most))]


def node_types_here() -> NodeTypes | None:
    """On the head: what its autoscaler may start.  None where there is none, or nobody tells."""
    with suppress(Exception):  # for information: without it the nodes that are there count
        if (file := _monitors_file()) is not None:
            return types_of(yaml.safe_load(file.read_text(encoding="utf-8")))
        if CLUSTER in os.environ and NAMESPACE.exists():
            return _of_kuberay(os.environ[CLUSTER], NAMESPACE.read_text().strip())
    return None


def types_of(config: Mapping[str, Any]) -> NodeTypes:
    """From an autoscaler's settings, as Ray's cluster launcher has them.  The head is no node that it starts."""
    kinds = {name: kind for name, kind in config["available_node_types"].items() if name != config["head_node_type"]}
    bounds = {name: int(kind.get("max_workers", config["max_workers"])) for name, kind in kinds.items()}
    return NodeTypes(
        types=tuple(NodeType(resources=kinds[name].get("resources", {}), most=most) for name, most in bounds.items()),
        most=min(int(config["max_workers"]), sum(bounds.values())),
    )


def _monitors_file() -> Path | None:
    """Of the monitor of this node's own cluster."""
    import ray

    own = f"{OF}{ray.get_runtime_context().gcs_address}"
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if own in words and any(word.endswith(MONITOR) for word in words):
            named = [word.removeprefix(OPTION) for word in words if word.startswith(OPTION)]
            if named:
                return Path(named[-1]).expanduser()
    return None


def _of_kuberay(cluster: str, namespace: str) -> NodeTypes | None:
    from ray.autoscaler._private.kuberay import autoscaling_config
    from ray.autoscaler._private.kuberay.node_provider import KubernetesHttpApiClient

    found = KubernetesHttpApiClient(namespace=namespace).get(f"{CUSTOM_RESOURCE}/{cluster}")
    if not found["spec"].get("enableInTreeAutoscaling"):
        return None
    return types_of(autoscaling_config._derive_autoscaling_config_from_ray_cr(found))
