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
        gpus = gpus_of_each(nodes, least, profile)
        room = sum(room_on(node, cpus, gpus) for node in nodes)
        if room < least:
            field = "train.workers.min" if elastic else "train.workers"
            kind, each = ("GPU", gpus) if gpus and total(nodes, "GPU") < least else ("CPU", cpus)
            advice = f"{field}={room} fits" if room else "add a node, or lower the profile's cpus_per_worker"
            if kind == "GPU":
                advice += ", or the profile's gpus_per_worker: 0 trains on CPUs"
            raise ConfigError(f"{field}={least} asks for {least * each} {kind}s and the cluster has "
                              f"{total(nodes, kind):.0f} in {len(nodes)} node{'s' * (len(nodes) != 1)}; {advice}")
        return Placed((wanted.min, wanted.max) if isinstance(wanted, Elastic) else wanted, cpus, gpus)


def gpus_of_each(nodes: Sequence[Resources], least: int, profile: Profile) -> int:
    """GPUs of a training process.  Where the profile leaves it open: one on a cluster that has any; on this machine one
    where there are enough for all, and else its CPUs train.
    """
    if profile.gpus_per_worker is not None:
        return profile.gpus_per_worker
    return int(total(nodes, "GPU") >= (least if profile.ray.address is None else 1))


def total(nodes: Sequence[Resources], kind: str) -> float:
    """What all nodes have of it."""
    return sum(node.get(kind, 0) for node in nodes)


def room_on(node: Resources, cpus: int, gpus: float) -> int:
    """Training processes that one node has room for; none is split over nodes."""
    by_cpu = int(node.get("CPU", 0) // cpus)
    return min(by_cpu, int(node.get("GPU", 0) / gpus + 1e-9)) if gpus else by_cpu
