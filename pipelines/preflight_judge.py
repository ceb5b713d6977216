"""What is wrong with what the nodes of a cluster said, and what to do about it.  Asks nobody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gan_core.config import Config
from gan_core.probes.finding import Finding, Judgement
from pipelines.network import known, listed
from pipelines.preflight_facts import MISSING, Facts
from pipelines.preflight_nodes import Answer, Node
from pipelines.profile import Looked, PreflightConfig

LEAST_ROOM = 64 * 2**20  # bytes, with which nothing runs
LITTLE_ROOM = 5 * 10**9  # bytes; a run of images leaves some, and checkpoints come in twos
LITTLE_SHM = 2**30  # bytes: NCCL takes shared memory between the GPUs of a node
SLOW_NAME_S = 1.0  # torch asks for the name of each worker that joins its process group
NAMED = 3  # nodes in one line
LARGER = {"TMPDIR": "make room, or set TMPDIR there to a larger disk",
          "spilling": "make room, or start Ray there with another --temp-dir or --object-spilling-directory",
          "shards": "make room, or set XDG_CACHE_HOME there to a larger disk"}


class Here(Config):
    """What this process is like, and what the run will keep on a node's disks, in bytes.  shards: of a remote store.
    interface: that its workers are to speak over; None where each finds its own.
    """

    versions: dict[str, str]
    code: str
    checkpoint: int = 0
    shards: int = 0
    interface: str | None = None


@dataclass(frozen=True)
class Fault:
    """Something that is so of one node.  about: the part of a preflight that found it; '' of the node itself."""

    node: str
    about: str
    verdict: Judgement
    what: str
    advice: str


def faults(answers: Sequence[Answer], here: Here, settings: PreflightConfig) -> list[Fault]:
    """Of all nodes, but for what the settings skip."""
    told = [(answer, answer.facts) for answer in answers if answer.facts is not None]
    by_part: Mapping[Looked, Callable[[], Iterator[Fault]]] = {
        "versions": lambda: _each(told, lambda node, facts: _versions(node, facts, here)),
        "gpus": lambda: _gpus(told),
        "image": lambda: _images(told),
        "store": lambda: _each(told, _store),
        "disk": lambda: _each(told, lambda node, facts: _disks(node, facts, here)),
        "clock": lambda: _clocks(answers, settings.clock_s),
        "network": lambda: _each(told, lambda node, facts: _network(node, facts, here.interface)),
    }
    silent = [Fault(answer.node.name, "", "bad", answer.problem,
                    "look at Ray there (`ray status` on the head), or take the node out with `ray stop`")
              for answer in answers if answer.facts is None]
    return silent + [fault for part, judged in by_part.items() if part not in settings.skip for fault in judged()]


def findings(found: Iterable[Fault]) -> list[Finding]:
    """One for each thing that is wrong, with all nodes of which it is so."""
    alike: dict[tuple[str, Judgement, str, str], list[str]] = {}
    for fault in found:
        alike.setdefault((fault.about, fault.verdict, fault.what, fault.advice), []).append(fault.node)
    return [Finding(about or "node", verdict, f"{_names(nodes)} {what}", advice)
            for (about, verdict, what, advice), nodes in alike.items()]


def _names(nodes: Sequence[str]) -> str:
    shown = ", ".join(nodes[:NAMED]) + (f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else "")
    return f"node{'s' * (len(nodes) > 1)} {shown}:"


def _each(
    known: Sequence[tuple[Answer, Facts]], judge: Callable[[str, Facts], Iterator[Fault]]
) -> Iterator[Fault]:
    for answer, facts in known:
        yield from judge(answer.node.name, facts)


def _versions(node: str, facts: Facts, here: Here) -> Iterator[Fault]:
    for name, ours in here.versions.items():
        theirs = facts.versions.get(name, MISSING)
        if _plain(theirs) != _plain(ours):
            only_a_patch = name == "Python" and theirs.split(".")[:2] == ours.split(".")[:2]
            yield Fault(node, "versions", "warning" if only_a_patch else "bad", f"{name} {theirs}, here {ours}",
                        f"install the same there, in the environment that Ray is started in: {name} {ours}")
    if facts.code != here.code:
        yield Fault(node, "versions", "bad", f"the code of gan-pipelines is {facts.code}, here {here.code}",
                    "install the same on all nodes, or start Ray there from the same checkout")


def _plain(version: str) -> str:
    """Without what says for which processor it was built: a head without a GPU has another build."""
    return version.partition("+")[0]


def _gpus(known: Sequence[tuple[Answer, Facts]]) -> Iterator[Fault]:
    """Of the nodes that offer GPUs: those are the ones that train."""
    training = [(answer.node, facts) for answer, facts in known if answer.node.has_gpus]
    for node, facts in training:
        if not facts.gpus:
            yield Fault(node.name, "gpus", "warning", f"offers {node.resources['GPU']:g} GPUs, and nvidia-smi finds "
                        "none", "training fails there unless CUDA works: look at the driver, and at what the container "
                        "is given")
        elif len(facts.gpus) > 1 and facts.shm < LITTLE_SHM:
            yield Fault(node.name, "gpus", "warning", f"{facts.shm / 2**20:.0f} MiB of shared memory for "
                        f"{len(facts.gpus)} GPUs", "NCCL may fail: give the container more, as --shm-size=8g does")
    told = [(node, facts) for node, facts in training if facts.gpus]
    yield from _unlike([(node, " and ".join(sorted(set(facts.gpus)))) for node, facts in told], "gpus", "",
                       "the slowest sets the pace, and bits may depend on which trains: have them all alike")
    yield from _unlike([(node, facts.driver) for node, facts in told], "gpus", "CUDA driver ",
                       "install the same driver everywhere")


def _images(known: Sequence[tuple[Answer, Facts]]) -> Iterator[Fault]:
    """Of the nodes that say which image they are from; the id of a container is its own."""
    named = [(answer.node, facts.image) for answer, facts in known
             if facts.image and not facts.image.startswith("container ")]
    yield from _unlike(named, "image", "image ", "start all nodes from one image")


def _unlike(told: Sequence[tuple[Node, str]], about: Looked, label: str, advice: str) -> Iterator[Fault]:
    """Those that are not as most are."""
    if not told:
        return
    usual = Counter(what for _, what in told).most_common(1)[0][0]
    for node, what in told:
        if what != usual:
            yield Fault(node.name, about, "warning", f"{label}{what}, elsewhere {usual}", advice)


def _store(node: str, facts: Facts) -> Iterator[Fault]:
    if facts.store:
        yield Fault(node, "store", "bad", facts.store, "name a --store that every node reaches under the same URL, and "
                    "give each node credentials and AWS_ENDPOINT_URL before Ray is started there")


def _disks(node: str, facts: Facts, here: Here) -> Iterator[Fault]:
    """A disk is judged by all that a run keeps on it; of folders on one disk the first is named."""
    needed = {"TMPDIR": 2 * here.checkpoint, "shards": here.shards, "spilling": 0}
    judged: set[int] = set()
    for name, room in facts.disks.items():
        if room.device in judged:
            continue
        judged.add(room.device)
        need = max(LEAST_ROOM, sum(needed[other] for other, its in facts.disks.items() if its.device == room.device))
        has = f"{_size(room.free)} free in {room.folder} ({name})"
        if room.free < need:
            yield Fault(node, "disk", "bad", f"{has}, and the run needs {_size(need)}", LARGER[name])
        elif room.free < need + LITTLE_ROOM:
            yield Fault(node, "disk", "warning", has, LARGER[name])


def _size(amount: int) -> str:
    return f"{amount / 1e9:.1f} GB" if amount >= 1e8 else f"{amount / 1e6:.0f} MB"


def _network(node: str, facts: Facts, interface: str | None) -> Iterator[Fault]:
    if interface is not None and not known(interface, facts.interfaces):
        yield Fault(node, "network", "bad", f"ray.network.interface={interface}: has no such network interface; it "
                    f"has: {listed(facts.interfaces)}", "null finds the one that reaches the other hosts")
    if facts.name_s > SLOW_NAME_S:
        yield Fault(node, "network", "warning", f"the name of another node's address takes {facts.name_s:.1f} s or "
                    "more", "each start of the workers waits for it, 10 s where a name server is silent: have the "
                    "nodes' addresses in DNS or in /etc/hosts there")


def _clocks(answers: Sequence[Answer], limit: float) -> Iterator[Fault]:
    for answer in answers:
        if abs(answer.ahead) > limit + answer.give_or_take:
            way = "ahead of" if answer.ahead > 0 else "behind"
            yield Fault(answer.node.name, "clock", "warning",
                        f"its clock is {abs(answer.ahead):.1f} s {way} this one, give or take "
                        f"{answer.give_or_take:.2f} s", "have an NTP client set it: leases, logs and records are dated "
                        "by it")
