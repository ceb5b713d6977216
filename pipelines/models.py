"""What is written and remembered of models: aliases' moves, what gates said, and what a version was made from.

    models/<name>/aliases/<alias>/<NNNNNN>.json    an alias and its history: the highest number is current
    models/<name>/gates/<NNNN>-<rules12>.json      what one gate said of one version, written once

Everything is made by exclusive create and nothing is ever changed, so readers need no lock and writers that
race get one number each.  Versions and addresses are read by gan_core.published and gan_core.addresses.
"""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath

from pydantic import Field

from gan_core.addresses import Alias, alias_folder, newest_move, no_such
from gan_core.config import Bound, Config
from gan_core.errors import ConfigError, StoreError
from gan_core.manifest import Manifest, Parent, canonical_digest
from gan_core.published import is_whole, model_prefix, parsed, readable_manifest, stored_number, taken, version_prefix
from gan_core.store import Store

ATTEMPTS = 100  # lost races in a row after which something else must be wrong


class Standard(Config):
    """The champion that relative rules measured a version by.

    values: the champion's, by metric, on the data and by the settings that the version was measured with.  anew: those
    that were measured for this; the others are as it was published with.  without: metric to why there is no value.
    """

    version: str
    values: dict[str, float]
    anew: tuple[str, ...] = ()
    without: dict[str, str] = Field(default_factory=dict)


class Verdict(Config):
    """What one gate said of one version.

    champion: where rules were relative and there was one.  notes: sentences on what was not judged, and why.
    """

    version: str
    gate: dict[str, Bound]
    passed: bool
    refusals: tuple[str, ...]
    when: str
    who: str
    champion: Standard | None = None
    notes: tuple[str, ...] = ()


def find_version(store: Store, name: str, key: str, others: set[str] | None = None) -> str | None:
    """The newest whole version that was published under that stage key.

    others: numbers that have another key, for good: not looked at again, and those met here are added.
    """
    others = set() if others is None else others
    for version in reversed([number for number in taken(store, name) if number not in others]):
        manifest = readable_manifest(store, version_prefix(name, version))
        if manifest is not None and manifest.key != key:
            others.add(version)
        elif manifest is not None and is_whole(store, name, version):
            return version
    return None


def next_version(store: Store, name: str) -> str:
    """The number after the highest one taken, whole or not."""
    numbers = taken(store, name)
    return f"{int(numbers[-1]) + 1 if numbers else 1:04d}"


def previous_version(store: Store, name: str, version: str) -> str | None:
    """The highest whole version with a lower number."""
    lower = (n for n in reversed(taken(store, name)) if int(n) < int(version))
    return next((n for n in lower if is_whole(store, name, n)), None)


def set_alias(
    store: Store,
    name: str,
    alias: str,
    version: str,
    *,
    why: str,
    unless: Callable[[Alias], bool] = lambda current: False,
    rollback: bool = False,
) -> Alias:
    """Moves an alias and returns what is current then: the new move, or the one of which `unless` is true.

    `unless` is asked again after every race lost, of the very move that this one would follow.  ConfigError when there
    is no such whole version.
    """
    folder = alias_folder(name, alias)
    if not is_whole(store, name, version):
        raise ConfigError(no_such(store, name, f"{name}@{version}"))
    for _ in range(ATTEMPTS):
        number, current = newest_move(store, folder)
        if current is not None and unless(current):
            return current
        previous = current.version if current else None
        move = Alias(version=stored_number(version), when=now(), who=who(), why=why, previous=previous,
                     rollback=rollback)
        try:
            store.create(f"{folder}/{number + 1:06d}.json", move.model_dump_json(indent=1).encode())
        except FileExistsError:
            continue
        return move
    raise StoreError(f"{store.uri(folder)}: lost {ATTEMPTS} races for the next number; "
                     "see who else writes there")


def gate_path(name: str, version: str, gate: Mapping[str, Bound]) -> str:
    """Where the verdict of these rules on this version is kept."""
    rules = canonical_digest({metric: bound.model_dump(mode="json") for metric, bound in gate.items()})
    return f"{model_prefix(name)}/gates/{stored_number(version)}-{rules[:12]}.json"


def read_verdict(store: Store, name: str, version: str, gate: Mapping[str, Bound]) -> Verdict | None:
    """What these rules said of this version; None when they have not judged it."""
    path = gate_path(name, version, gate)
    try:
        text = store.read(path)
    except FileNotFoundError:
        return None
    return parsed(Verdict, text, store.uri(path))


def lineage(store: Store, parents: Iterable[Parent]) -> list[Parent]:
    """The parents and theirs, back to where the data came in; what something was made from comes before it.

    Further back than an artefact that is gone or was made again from other inputs there is nothing to read.
    """
    found: dict[tuple[str, str], Parent] = {}
    for parent in parents:
        for ancestor in (*lineage(store, _parents_of(store, parent)), parent):
            found.setdefault((ancestor.uri, ancestor.digest), ancestor)
    return list(found.values())


def _parents_of(store: Store, artefact: Parent) -> tuple[Parent, ...]:
    found = find_artefact(store, artefact)
    return found[1].parents if found else ()


def find_artefact(store: Store, artefact: Parent) -> tuple[str, Manifest] | None:
    """The prefix and manifest of what something was made from; None when it is gone or was made again otherwise."""
    inside = artefact.uri.removeprefix(f"{store.url}/")
    # <stage>/<key> finds it where the whole store was copied or renamed; the digest tells if it is the one
    for prefix in (inside, "/".join(PurePosixPath(artefact.uri).parts[-2:])):
        manifest = None if "://" in prefix else readable_manifest(store, prefix)
        if manifest is not None and manifest.digest == artefact.digest:
            return prefix, manifest
    return None


def who() -> str:
    """user@host, for the record."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # containers run under users that have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def now() -> str:
    """UTC in ISO 8601, for the record."""
    return datetime.now(UTC).isoformat(timespec="seconds")
