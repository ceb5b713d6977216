"""How many training workers a cluster has room for, from what its nodes have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gan_core.config import Elastic, Experiment
from gan_core.errors import ConfigError
from pipelines.profile import Profile

Resources = Mapping[str, float]
"""What one node has in all, as Ray names it: CPU, GPU."""


@dataclass(frozen=True)
class Placed:
    """How many workers the cluster has room for, and what each has."""

    workers: int | tuple[int, int]
    cpus: int
    gpus: int

    @staticmethod
    def on_cluster(experiment: Experiment, profile: Profile) -> Placed:
        """On the cluster that this process is connected to; errors as of `among`."""
        import ray  # asked from outside a cluster, this takes none

        return Placed.among([node["Resources"] for node in ray.nodes() if node["Alive"]], experiment, profile)

    @staticmethod
    def among(nodes: Sequence[Resources], experiment: Experiment, profile: Profile) -> Placed:
        """ConfigError when not even the least number of workers finds room."""
        wanted, cpus = experiment.train.workers, profile.cpus_per_worker
        elastic = isinstance(wanted, Elastic)
        least = wanted.min if isinstance(wanted, Elastic) else wanted
        gpus = int(sum(int(node.get("GPU", 0)) for node in nodes) >= least)
        room = sum(_room(node, cpus, gpus) for node in nodes)
        if room < least:
            field = "train.workers.min" if elastic else "train.workers"
            has = sum(node.get("CPU", 0) for node in nodes)
            advice = f"{field}={room} fits" if room else "add a node, or lower the profile's cpus_per_worker"
            raise ConfigError(f"{field}={least} asks for {least * cpus} CPUs and the cluster has {has:.0f} in "
                              f"{len(nodes)} node{'s' * (len(nodes) != 1)}; {advice}")
        return Placed((wanted.min, wanted.max) if isinstance(wanted, Elastic) else wanted, cpus, gpus)


def _room(node: Resources, cpus: int, gpus: int) -> int:
    """Workers that one node has room for; a worker is not split over nodes."""
    by_cpu = int(node.get("CPU", 0) // cpus)
    return min(by_cpu, int(node.get("GPU", 0))) if gpus else by_cpu
