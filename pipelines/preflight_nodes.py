"""Every node of a cluster asked at once what it is like: a small Ray task on each, which takes no CPU of it.

A node that does not answer in time is named; the others are not kept waiting by it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gan_core.outages import reason
from gan_core.store import Store
from pipelines.preflight_facts import MARKER, Facts, facts_here, now

if TYPE_CHECKING:
    from ray import ObjectRef

HEAD = "node:__internal_head__"  # the resource by which Ray marks the head's node
CLOCK_S = 5.0  # for all answers about clocks, from processes that run already
SCRATCH = ".doctor/preflight"


@dataclass(frozen=True)
class Node:
    """address: as the others reach it.  resources: in all, by Ray's names.  free: of them, what nobody holds now."""

    id: str
    name: str
    address: str
    resources: Mapping[str, float]
    free: Mapping[str, float]

    @property
    def is_head(self) -> bool:
        return HEAD in self.resources

    @property
    def has_gpus(self) -> bool:
        return self.resources.get("GPU", 0) > 0


@dataclass(frozen=True)
class Answer:
    """facts: None where there are none, and `problem` says why.  ahead: seconds by which the node's clock is ahead of
    this process's, give or take `give_or_take`.
    """

    node: Node
    facts: Facts | None
    problem: str = ""
    ahead: float = 0.0
    give_or_take: float = 0.0


def alive_nodes() -> list[Node]:
    """Of the cluster that this process is connected to, the head first; each with a name that no other has."""
    import ray
    from ray._private.state import available_resources_per_node

    free = available_resources_per_node()
    alive = sorted((node for node in ray.nodes() if node["Alive"]), key=lambda node: HEAD not in node["Resources"])
    addresses = [node["NodeManagerAddress"] for node in alive]
    return [Node(node["NodeID"], _name(node, addresses), node["NodeManagerAddress"], node["Resources"],
                 free.get(node["NodeID"], {})) for node in alive]


def asked(nodes: Sequence[Node], url: str, answer_s: float) -> list[Answer]:
    """What each says within so many seconds.  url: of the store that each tries; '' for none.

    Raises what the store raises where this process cannot write to it.
    """
    from ray import cancel

    prefix = f"{SCRATCH}/{uuid.uuid4().hex}"
    store = Store(url) if url else None
    if store is not None:
        store.write(f"{prefix}/{MARKER}", prefix.encode())
    try:
        refs = {_task(node, facts_here, url, prefix, node.id, node.has_gpus, node.is_head, other.address): node
                for node, other in zip(nodes, [*nodes[1:], *nodes[:1]], strict=True)}
        found = _results(refs, answer_s)
        for ref in refs.keys() - found.keys():
            cancel(ref)
    finally:
        if store is not None:
            with suppress(Exception):  # what was asked counts; the next `gan doctor` has another prefix
                store.delete(prefix)
    answers = [_answer(node, found.get(ref), answer_s) for ref, node in refs.items()]
    return _with_clocks(answers)


def _task(node: Node, function: Any, *arguments: Any) -> ObjectRef[Any]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    pinned = NodeAffinitySchedulingStrategy(node.id, soft=False)
    task = ray.remote(num_cpus=0, max_retries=0)(function)
    ref: ObjectRef[Any] = task.options(scheduling_strategy=pinned).remote(*arguments)
    return ref


def _results(refs: Mapping[ObjectRef[Any], Node], seconds: float) -> dict[ObjectRef[Any], Any]:
    """What came within so many seconds: a result, or the exception that the task ended with."""
    import ray

    ready, _ = ray.wait(list(refs), num_returns=len(refs), timeout=seconds)
    found: dict[ObjectRef[Any], Any] = {}
    for ref in ready:
        try:
            found[ref] = ray.get(ref, timeout=seconds)
        except Exception as error:  # of Ray, and of whatever the node's own program raises
            found[ref] = error
    return found


def _answer(node: Node, said: object, answer_s: float) -> Answer:
    if said is None:
        return Answer(node, None, f"does not answer within {answer_s:g} s")
    if isinstance(said, Exception):
        return Answer(node, None, _why(said))
    try:
        return Answer(node, Facts.model_validate(said))
    except ValidationError:
        return Answer(node, None, OTHER)


OTHER = "has another gan-pipelines, which answers in other words"


def _why(error: Exception) -> str:
    """What a task ended with, as something that is so of its node."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if any("No module named" in line for line in lines):
        return "has no gan-pipelines, or another one, in the environment that its Ray runs in"
    if any(f"{facts_here.__module__}" in line and "TypeError" in line for line in lines):
        return OTHER
    return f"could not be asked: {lines[-1] if lines else reason(error)}"


def _with_clocks(answers: Sequence[Answer]) -> list[Answer]:
    """With each clock, asked of a process that runs already, so that the way there and back takes milliseconds."""
    import ray

    begun, waiting = {}, {}
    for answer in answers:
        if answer.facts is not None:
            ref = _task(answer.node, now)
            begun[ref], waiting[ref] = time.time(), answer.node.id
    clocks: dict[str, tuple[float, float]] = {}
    deadline, left = time.monotonic() + CLOCK_S, list(waiting)
    while left and time.monotonic() < deadline:
        ready, left = ray.wait(left, timeout=max(0.0, deadline - time.monotonic()))
        heard = time.time()
        for ref in ready:
            with suppress(Exception):  # a node that died since then is found by whoever uses it
                half = (heard - begun[ref]) / 2
                clocks[waiting[ref]] = (ray.get(ref, timeout=CLOCK_S) - begun[ref] - half, half)
    return [Answer(one.node, one.facts, one.problem, *clocks.get(one.node.id, (0.0, 0.0))) for one in answers]


def _name(node: Mapping[str, Any], addresses: Sequence[str]) -> str:
    address: str = node["NodeManagerAddress"]
    return address if addresses.count(address) == 1 else f"{address} ({node['NodeID'][:6]})"
