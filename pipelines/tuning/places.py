"""How many trials a cluster has room for at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gan_core.config import Experiment
from gan_core.errors import ConfigError
from pipelines.profile import Profile
from pipelines.room import Resources, room_on
from pipelines.tuning.settings import tune_of


@dataclass(frozen=True)
class Places:
    """at_once: trials.  cpus, gpus: of a training process.  workers: of a trial."""

    at_once: int
    cpus: int
    gpus: float
    workers: int

    @property
    def takes_turns(self) -> bool:
        """Whether trials hold slots, as Tune does not know what their workers take."""
        return self.workers > 1

    @staticmethod
    def of(experiment: Experiment, profile: Profile) -> Places:
        """On the cluster that this process is connected to.  ConfigError as of `among`."""
        import ray  # asked from outside a cluster, this takes none

        return Places.among([node["Resources"] for node in ray.nodes() if node["Alive"]], experiment, profile)

    @staticmethod
    def among(nodes: Sequence[Resources], experiment: Experiment, profile: Profile) -> Places:
        """ConfigError where not one trial finds room, however long it waited.

        nodes: what each has in all, as Ray names it: CPU, GPU.
        """
        block, cpus = tune_of(experiment), profile.cpus_per_worker
        has_gpus = any(node.get("GPU", 0) for node in nodes)
        # several workers have whole GPUs: the block refuses others
        gpus = float(has_gpus) if block.gpus is None else block.gpus / block.workers
        room = sum(room_on(node, cpus, gpus) for node in nodes)
        if room < block.workers:
            has = ", ".join(f"{sum(node.get(kind, 0) for node in nodes):g} {kind}s" for kind in ("CPU", "GPU"))
            advice = f"tune.workers={room} fits" if room else "lower tune.gpus or the profile's cpus_per_worker"
            raise ConfigError(f"tune.workers={block.workers}: a trial asks for {block.workers * cpus} CPUs and "
                              f"{block.workers * gpus:g} GPUs, and the cluster has {has} in {len(nodes)} "
                              f"node{'s' * (len(nodes) != 1)}: it would wait for ever; {advice}")
        at_once = min(room // block.workers, block.samples, block.concurrent or room)
        return Places(at_once, cpus, gpus, block.workers)
