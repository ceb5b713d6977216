"""Looks at a cluster before anything starts there, and says everything that is wrong at once.

Two questions: has the cluster room for what the run asks, now or once its autoscaler has started nodes; and is every
node fit to work on it.  A cluster of this machine's own is not looked at: it is made for the run.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gan_core.config import Config, Experiment
from gan_core.errors import ConfigError, GanError, WorkersFailed
from gan_core.manifest import MANIFEST, read_manifest
from gan_core.outages import reason
from gan_core.probes.finding import Finding, bad, good, warning
from gan_core.store import Store
from pipelines.plan import Planner, newest_checkpoint
from pipelines.preflight_facts import code_digest, versions
from pipelines.preflight_judge import Fault, Here, faults, findings
from pipelines.preflight_nodes import Answer, Node, alive_nodes, asked
from pipelines.preflight_room import NAME, Need, judge_room, must_wait, waited
from pipelines.profile import PreflightConfig, Profile

Say = Callable[[str], None]
LISTS = ("nodes", "of_cluster", "of_nodes")


class Question(Config):
    """What is asked of a cluster.  need: None where nothing has to find room.  store: its URL.  checkpoint, shards:
    bytes of them that a node will keep.  interface: of the profile's `ray.network`.
    """

    need: Need | None
    store: str
    settings: PreflightConfig
    checkpoint: int = 0
    shards: int = 0
    interface: str | None = None

    @staticmethod
    def of(store: Store, experiment: Experiment, need: Need, profile: Profile) -> Question:
        """Of a run of an experiment on a store: what is there of it already tells how large it is."""
        prefixes = {step.stage: step.prefix for step in Planner(store, experiment).plan()}
        return Question(need=need, store=store.url, settings=profile.preflight, interface=profile.ray.network.interface,
                        checkpoint=_checkpoint_bytes(store, prefixes["train"]),
                        shards=0 if store.is_local else _bytes(store, prefixes["prepare"]))


@dataclass(frozen=True)
class Examined:
    """What came of it.  nodes: a line for each, good or not.  of_cluster, of_nodes: what is not as it should be, the
    latter once for all nodes of which it is so.
    """

    nodes: tuple[Finding, ...]
    of_cluster: tuple[Finding, ...]
    of_nodes: tuple[Finding, ...]
    seconds: float

    @property
    def wrong(self) -> tuple[Finding, ...]:
        return (*self.of_cluster, *self.of_nodes)

    def as_json(self) -> dict[str, Any]:
        lists = {name: [one.as_json() for one in getattr(self, name)] for name in LISTS}
        return {**lists, "seconds": self.seconds}

    @staticmethod
    def of(said: Any) -> Examined:
        """From `as_json`."""
        nodes, of_cluster, of_nodes = (tuple(Finding(**one) for one in said[name]) for name in LISTS)
        return Examined(nodes, of_cluster, of_nodes, said["seconds"])


def say(line: str) -> None:
    """On standard error, and so in the run's log."""
    print(f"gan: {line}", file=sys.stderr, flush=True)


def examine(question: Question, tell: Say = say) -> Examined:
    """Of the cluster that this process is connected to.  Waits for an autoscaler where that can bring the nodes."""
    begun, settings, need = time.monotonic(), question.settings, question.need
    here = Here(versions=versions(), code=code_digest(), checkpoint=question.checkpoint, shards=question.shards,
                interface=question.interface)
    nodes = alive_nodes()
    answers, wrong = _asked(question, nodes)
    if need is not None and NAME not in settings.skip:
        types = next((one.facts.types for one in answers if one.facts and one.facts.types), None)
        refused = list(judge_room(need, nodes, types))
        if not refused and types is not None and must_wait(need, nodes, types):
            nodes, late = waited(need, types, settings.nodes_wait_s, tell)
            refused = [late] if late is not None else []
            known = {one.node.id for one in answers}
            more, unreachable = _asked(question, [node for node in nodes if node.id not in known])
            answers, wrong = [*answers, *more], wrong or unreachable
        wrong = [*refused, *wrong]
    found = faults(answers, here, settings)
    rows = tuple(row(answer, [fault for fault in found if fault.node == answer.node.name]) for answer in answers)
    return Examined(rows, tuple(wrong), tuple(findings(found)), time.monotonic() - begun)


def heed(found: Examined, tell: Say = say) -> None:
    """Says what is wrong and raises when something cannot work.

    ConfigError where the request does not fit, WorkersFailed where nodes do not answer and nothing else is wrong,
    GanError for all else.
    """
    failed = [one for one in found.wrong if one.verdict == "bad"]
    nodes = len(found.nodes)
    tell(f"preflight: {nodes} node{'s' * (nodes != 1)}, {found.seconds:.1f} s")
    for one in found.wrong:
        if len(found.wrong) > 1 or one.verdict != "bad":
            tell(f"preflight: {'✗' if one.verdict == 'bad' else '!'} {one.found}; {one.means}")
    if not failed:
        return
    first, others = failed[0], len(failed) - 1
    text = f"{first.found}; {first.means}" + (f"; and {others} more that cannot work, named above" if others else "")
    if any(one.name == NAME for one in failed):
        raise ConfigError(text)
    raise (WorkersFailed if all(one.name == "node" for one in failed) else GanError)(text)


def row(answer: Answer, found: Sequence[Fault]) -> Finding:
    """A node in one line."""
    name, facts = f"node {answer.node.name}", answer.facts
    bad_ones = [fault for fault in found if fault.verdict == "bad"]
    wrong = "; ".join(f"{fault.what}: {fault.advice}" for fault in found)
    if facts is None:
        return bad(name, answer.problem, found[0].advice if found else "")
    cpus, gpus = (answer.node.resources.get(kind, 0) for kind in ("CPU", "GPU"))
    told = [f"{cpus:g} CPUs", f"{gpus:g} GPUs" + (f": {facts.gpus[0]}, driver {facts.driver}" if facts.gpus else ""),
            *(f"{name} {version}" for name, version in facts.versions.items()), f"code {facts.code}",
            *([facts.image] if facts.image else []), f"store in {facts.store_s * 1000:.0f} ms",
            *(f"{room.free / 1e9:.0f} GB free for {what}" for what, room in facts.disks.items()),
            f"clock {answer.ahead * 1000:+.0f} ± {answer.give_or_take * 1000:.0f} ms"]
    if not found:
        return good(name, ", ".join(told), "as the others, and the store is reached")
    return (bad if bad_ones else warning)(name, ", ".join(told), wrong)


def _asked(question: Question, nodes: Sequence[Node]) -> tuple[list[Answer], list[Finding]]:
    """What the nodes say, and that this process itself does not reach the store, without which they try none."""
    if not nodes:
        return [], []
    url = "" if "store" in question.settings.skip else question.store
    try:
        return asked(nodes, url, question.settings.answer_s), []
    except Exception as error:  # of the store: every file system has its own
        wrong = bad("store", f"{question.store} cannot be written: {reason(error)}", "see `gan doctor --store`")
        return asked(nodes, "", question.settings.answer_s), [wrong]


def _checkpoint_bytes(store: Store, run: str) -> int:
    """Of the newest checkpoint; 0 where there is none yet."""
    if not run or newest_checkpoint(store, run) is None:
        return 0
    folders = [f"{run}/checkpoints/{name}" for name in reversed(store.names(f"{run}/checkpoints"))]
    newest = next((folder for folder in folders if store.exists(f"{folder}/{MANIFEST}")), "")
    return _bytes(store, newest)


def _bytes(store: Store, prefix: str) -> int:
    """Of an artefact's files; 0 where it is not there."""
    manifest = read_manifest(store, prefix) if prefix else None
    return sum(file.size for file in manifest.files) if manifest is not None else 0
