"""What a run asks of a cluster against what the cluster has, may come to have, and has free now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from gan_core.config import Config, Elastic, Experiment
from gan_core.probes.finding import Finding, bad, warning
from pipelines.autoscaler import NodeTypes
from pipelines.preflight_nodes import Node, alive_nodes
from pipelines.profile import Profile
from pipelines.room import Resources, room_on, total
from pipelines.tuning.settings import tune_of

SAY_EVERY_S = 30.0
NAME = "room"


class Need(Config):
    """The least that must find room.  field: that asks for it.  workers: each with so many CPUs and GPUs; gpus: None is
    one on a cluster that has any or may start some.
    """

    field: str
    workers: int
    cpus: int
    gpus: float | None

    @staticmethod
    def of(stage: str, experiment: Experiment, profile: Profile) -> Need:
        """Of one trial where the stage is `tune`, else of training."""
        cpus = profile.cpus_per_worker
        if stage == "tune":
            block = tune_of(experiment)
            gpus = None if block.gpus is None else block.gpus / block.workers
            return Need(field="tune.workers", workers=block.workers, cpus=cpus, gpus=gpus)
        wanted = experiment.train.workers
        field, least = ("train.workers.min", wanted.min) if isinstance(wanted, Elastic) else ("train.workers", wanted)
        return Need(field=field, workers=least, cpus=cpus, gpus=profile.gpus_per_worker)

    def gpus_among(self, nodes: Sequence[Resources]) -> float:
        """Of each worker."""
        return float(total(nodes, "GPU") > 0) if self.gpus is None else self.gpus


def could_be(nodes: Sequence[Node], types: NodeTypes | None) -> list[Resources]:
    """The nodes that are there, and those that an autoscaler may start besides.

    Which of the types it starts is left open: all count that the bound on all together allows of each.
    """
    there = [node.resources for node in nodes]
    return there if types is None else [*(node.resources for node in nodes if node.is_head), *types.nodes()]


def room(need: Need, nodes: Sequence[Resources], types: NodeTypes | None = None) -> int:
    """Workers that find room on such nodes.  types: with them, no more nodes than these allow besides the first."""
    gpus = need.gpus_among(nodes)
    rooms = [room_on(node, need.cpus, gpus) for node in nodes]
    if types is None:
        return sum(rooms)
    return rooms[0] + sum(sorted(rooms[1:], reverse=True)[:types.most])


def judge_room(need: Need, nodes: Sequence[Node], types: NodeTypes | None) -> Iterator[Finding]:
    """What cannot work, whatever is waited for; and that others hold what the run asks for."""
    largest, there = could_be(nodes, types), [node.resources for node in nodes]
    most = max(room(need, largest, types), room(need, there))
    gpus = need.gpus_among([*largest, *there])
    if most < need.workers:
        yield bad(NAME, _refusal(need, nodes, largest, types, gpus), _advice(need, most, gpus))
        return
    need = need.model_copy(update={"gpus": gpus})
    if room(need, there) >= need.workers > (free := room(need, [node.free for node in nodes])):
        yield warning(NAME, f"{need.field}={need.workers}: room for {free} is free now, others hold the rest",
                      "training waits until it is free, up to the profile's ray.room_wait_s")


def must_wait(need: Need, nodes: Sequence[Node], types: NodeTypes | None) -> bool:
    """Whether the autoscaler has to start nodes first."""
    gpus = need.gpus_among([*could_be(nodes, types), *(node.resources for node in nodes)])
    return room(need.model_copy(update={"gpus": gpus}), [node.resources for node in nodes]) < need.workers


def waited(
    need: Need, types: NodeTypes, seconds: float, say: Callable[[str], None]
) -> tuple[list[Node], Finding | None]:
    """The nodes once there is room for all workers, which the autoscaler is asked for; what is wrong when there is none
    within so many seconds.

    A placement group asks: it is this process's own, where `request_resources` would replace what others asked for.
    """
    from ray.util.placement_group import placement_group, remove_placement_group

    gpus = need.gpus_among([*types.nodes(), *(node.resources for node in alive_nodes())])
    each = {"CPU": float(need.cpus), **({"GPU": gpus} if gpus else {})}
    group = placement_group([each] * need.workers)
    try:
        left = seconds
        while left > 0:
            nodes = alive_nodes()
            say(f"preflight: waits for the autoscaler: {_has([node.resources for node in nodes], gpus)} of "
                f"{_asks(need, gpus)}; up to {left:.0f} s more")
            pause = min(SAY_EVERY_S, left)
            if group.wait(pause):
                return alive_nodes(), None
            left -= pause
        return alive_nodes(), bad(
            NAME, f"{need.field}={need.workers}: the autoscaler started no room for {_asks(need, gpus)} within "
            f"{seconds:g} s; the cluster has {_has([node.resources for node in alive_nodes()], gpus)}",
            "see what it says, by `ray status` on the head, or raise the profile's preflight.nodes_wait_s")
    finally:
        remove_placement_group(group)


def _refusal(
    need: Need, nodes: Sequence[Node], largest: Sequence[Resources], types: NodeTypes | None, gpus: float
) -> str:
    """In numbers of what is short, GPUs or CPUs."""
    there = [node.resources for node in nodes]
    short = gpus > 0 and max(_most(largest, types, "GPU"), total(there, "GPU")) < need.workers * gpus
    kind, each = ("GPU", gpus) if short else ("CPU", float(need.cpus))
    most = max(_most(largest, types, kind), total(there, kind))
    has = f"the cluster has {total(there, kind):g} in {len(nodes)} node{'s' * (len(nodes) != 1)}"
    bound = f" and its autoscaler's maximum is {most:g}" if types is not None else ""
    whole = ", and no worker is split over nodes" if most >= need.workers * each else ""
    asked = f"{need.workers} x {kind}" if each == 1 else f"{need.workers} x {each:g} {kind}s"
    return f"{need.field}={need.workers} asks for {asked}; {has}{bound}{whole}"


def _most(nodes: Sequence[Resources], types: NodeTypes | None, kind: str) -> float:
    """Of one kind, on the first node and as many of the others as may be there together."""
    rest = sorted((node.get(kind, 0) for node in nodes[1:]), reverse=True)
    return nodes[0].get(kind, 0) + sum(rest if types is None else rest[:types.most])


def _asks(need: Need, gpus: float) -> str:
    cpus = f"{need.cpus} CPU{'s' * (need.cpus != 1)}"
    return f"{need.workers} x ({gpus:g} GPU, {cpus})" if gpus else f"{need.workers} x {cpus}"


def _has(nodes: Sequence[Resources], gpus: float) -> str:
    cpus = f"{total(nodes, 'CPU'):g} CPUs"
    return f"{total(nodes, 'GPU'):g} GPUs, {cpus}" if gpus else cpus


def _advice(need: Need, most: int, gpus: float) -> str:
    fits = f"{need.field}={most} fits" if most else "add a node, or lower the profile's cpus_per_worker"
    return f"{fits}, or the profile's gpus_per_worker: 0 trains on CPUs" if gpus and need.gpus is None else fits
