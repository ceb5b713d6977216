"""The models of a store: versions that never change, names that move over them, and what gates said.

    models/<name>/versions/<NNNN>/                 one published version; numbers are given out once
    models/<name>/aliases/<alias>/<NNNNNN>.json    an alias and its history: the highest number is current
    models/<name>/gates/<NNNN>-<rules12>.json      what one gate said of one version, written once

Everything is made by exclusive create and nothing is ever changed, so readers need no lock and writers that
race get one number each.  An address is NAME, NAME@alias or NAME@0003 in a store, or a whole URL that ends in
models/NAME@alias or models/NAME/versions/0003.
"""

from __future__ import annotations

import getpass
import re
import socket
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import TypeVar

from pydantic import Field, ValidationError

from gan_core.config import Bound, Config
from gan_core.errors import ConfigError, DamagedFile, StoreError
from gan_core.manifest import MANIFEST, Manifest, Parent, canonical_digest, missing_files, read_manifest
from gan_core.store import Store, split_url

LATEST = "latest"
CHAMPION = "champion"
ATTEMPTS = 100  # lost races in a row after which something else must be wrong

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")
NUMBER = re.compile(r"[0-9]{1,9}")  # as people write it; in the store it has at least four digits
STORED_NUMBER = re.compile(r"[0-9]{4,9}")
ADDRESS_URL = re.compile(
    r"(?:(?P<root>.*[^:/]|)/)?models/(?P<name>[^/@]+)(?:@(?P<alias>[^/]*)|/versions/(?P<number>[^/]+))?"
)


RecordT = TypeVar("RecordT", bound=Config)


class Alias(Config):
    """One move of an alias.  rollback: it took back moves before it, where others add to them."""

    version: str
    when: str
    who: str
    why: str
    previous: str | None
    rollback: bool = False


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


# --- versions ---------------------------------------------------------------------------------------------


def model_names(store: Store) -> tuple[str, ...]:
    """Every model that was ever published here."""
    return tuple(n for n in store.names("models") if NAME.fullmatch(n))


def version_prefix(name: str, version: str) -> str:
    """Where a version lies in its store.  ConfigError for names that cannot be."""
    return f"{_model(name)}/versions/{stored_number(version)}"


def name_and_version(prefix: str) -> tuple[str, str] | None:
    """The reverse of `version_prefix`; None for a version that lies outside a store's models."""
    match = ADDRESS_URL.fullmatch(prefix)
    return (match["name"], match["number"]) if match and match["number"] and not match["root"] else None


def versions(store: Store, name: str) -> tuple[str, ...]:
    """The whole versions of a model, oldest first."""
    return tuple(whole_versions(store, name))


def whole_versions(store: Store, name: str) -> dict[str, Manifest]:
    """Version to manifest, oldest first, of those whose files are all present at their sizes."""
    top = f"{_model(name)}/versions"
    sizes = store.sizes(top)
    whole = {}
    for version in _in_order(p.removesuffix(f"/{MANIFEST}") for p in sizes):
        manifest = _readable_manifest(store, f"{top}/{version}")
        if manifest is not None and all(sizes.get(f"{version}/{f.path}") == f.size for f in manifest.files):
            whole[version] = manifest
    return whole


def is_whole(store: Store, name: str, version: str) -> bool:
    """Whether a version's manifest is there and its files are at their sizes."""
    prefix = version_prefix(name, version)
    manifest = _readable_manifest(store, prefix)
    return manifest is not None and not missing_files(store, prefix, manifest)


def published_manifest(store: Store, prefix: str) -> Manifest:
    """The manifest of a version that an address named.  DamagedFile when it is gone or cannot be understood."""
    manifest = read_manifest(store, prefix)
    if manifest is None:
        raise DamagedFile(f"{store.uri(prefix)}/{MANIFEST}: is missing; "
                          "`gan models list` prints what is whole")
    return manifest


def find_version(store: Store, name: str, key: str, others: set[str] | None = None) -> str | None:
    """The newest whole version that was published under that stage key.

    others: numbers that have another key, for good: not looked at again, and those met here are added.
    """
    others = set() if others is None else others
    for version in reversed([number for number in _taken(store, name) if number not in others]):
        manifest = _readable_manifest(store, version_prefix(name, version))
        if manifest is not None and manifest.key != key:
            others.add(version)
        elif manifest is not None and is_whole(store, name, version):
            return version
    return None


def next_version(store: Store, name: str) -> str:
    """The number after the highest one taken, whole or not."""
    taken = _taken(store, name)
    return f"{int(taken[-1]) + 1 if taken else 1:04d}"


def previous_version(store: Store, name: str, version: str) -> str | None:
    """The highest whole version with a lower number."""
    lower = (n for n in reversed(_taken(store, name)) if int(n) < int(version))
    return next((n for n in lower if is_whole(store, name, n)), None)


def refuse_unknown(store: Store, name: str) -> None:
    """ConfigError for a model of which nothing was ever published here."""
    if not _taken(store, name):
        raise ConfigError(_unknown_model(store, name))


# --- aliases ----------------------------------------------------------------------------------------------


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
    folder = _alias_folder(name, alias)
    if not is_whole(store, name, version):
        raise ConfigError(_no_such(store, name, f"{name}@{version}"))
    for _ in range(ATTEMPTS):
        number, current = _newest_move(store, folder)
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


def current_alias(store: Store, name: str, alias: str) -> Alias | None:
    """The newest move of an alias; None when there is no such alias."""
    return _newest_move(store, _alias_folder(name, alias))[1]


def alias_moves(store: Store, name: str, alias: str) -> list[Alias]:
    """Every move of an alias, oldest first."""
    folder = _alias_folder(name, alias)
    return [_move(store, folder, number) for number in _move_numbers(store, folder)]


def current_aliases(store: Store, name: str) -> dict[str, Alias]:
    """Every alias of a model and where it stands."""
    names = filter(ALIAS.fullmatch, store.names(f"{_model(name)}/aliases"))
    found = {alias: current_alias(store, name, alias) for alias in names}
    return {alias: move for alias, move in found.items() if move is not None}


def aliases_of(store: Store, name: str, version: str) -> tuple[str, ...]:
    """The aliases that stand on a version."""
    return tuple(alias for alias, move in current_aliases(store, name).items() if move.version == version)


# --- addresses --------------------------------------------------------------------------------------------


def resolve(address: str, store: Store) -> tuple[Store, str]:
    """The store and prefix of the version that an address names; without an alias, `latest`.

    A path or URL that ends in models/NAME… brings its own store, and one of a version that was copied
    elsewhere works too.  ConfigError names the models, aliases or versions that exist.
    """
    if "/" not in address:
        name, at, which = address.partition("@")
        return store, _version_named(store, name, which if at else LATEST)
    match = ADDRESS_URL.fullmatch(address.rstrip("/"))
    own = Store("." if match["root"] is None else match["root"] or "/") if match else None
    if match and own and NAME.fullmatch(match["name"]) and _taken(own, match["name"]):
        given = [w for w in (match["alias"], match["number"], LATEST) if w is not None]
        return own, _version_named(own, match["name"], given[0])
    above, last = split_url(address)
    if Store(above).exists(f"{last}/{MANIFEST}"):
        return Store(above), last
    if match and own:
        raise ConfigError(_unknown_model(own, match["name"]))
    raise ConfigError(f"{address}: no published version there; an address is NAME@latest with --store, "
                      "or a URL that ends in models/NAME@latest or models/NAME/versions/0001")


def _version_named(store: Store, name: str, which: str) -> str:
    """The prefix of NAME@which in a store, `which` being a number or an alias."""
    refuse_unknown(store, name)
    if NUMBER.fullmatch(which):
        prefix = version_prefix(name, which)
        if store.exists(f"{prefix}/{MANIFEST}"):
            return prefix
    elif (move := current_alias(store, name, which)) is not None:
        return version_prefix(name, move.version)
    raise ConfigError(_no_such(store, name, f"{name}@{which}"))


def _unknown_model(store: Store, name: str) -> str:
    known = model_names(store)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    there = f"known: {', '.join(known)}" if known else "none is published there yet; see --store"
    return f"unknown model '{name}' in {store.url}; {hint}{there}"


def _no_such(store: Store, name: str, address: str) -> str:
    aliases = ", ".join(f"{name}@{a}" for a in current_aliases(store, name)) or "none"
    numbers = ", ".join(versions(store, name)) or "none"
    return f"{address}: no such version in {store.url}; aliases: {aliases}; versions: {numbers}"


# --- gates ------------------------------------------------------------------------------------------------


def gate_path(name: str, version: str, gate: Mapping[str, Bound]) -> str:
    """Where the verdict of these rules on this version is kept."""
    rules = canonical_digest({metric: bound.model_dump(mode="json") for metric, bound in gate.items()})
    return f"{_model(name)}/gates/{stored_number(version)}-{rules[:12]}.json"


def read_verdict(store: Store, name: str, version: str, gate: Mapping[str, Bound]) -> Verdict | None:
    """What these rules said of this version; None when they have not judged it."""
    path = gate_path(name, version, gate)
    try:
        text = store.read(path)
    except FileNotFoundError:
        return None
    return _parsed(Verdict, text, store.uri(path))


# --- lineage ----------------------------------------------------------------------------------------------


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
        manifest = None if "://" in prefix else _readable_manifest(store, prefix)
        if manifest is not None and manifest.digest == artefact.digest:
            return prefix, manifest
    return None


# --- shared -----------------------------------------------------------------------------------------------


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


def _model(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is not a model's name: lower-case letters, digits, - and _; "
                          "'digits' works")
    return f"models/{name}"


def stored_number(version: str) -> str:
    """A version's number as it is in the store: 1 is 0001.  ConfigError for what is no number."""
    if not NUMBER.fullmatch(version):
        raise ConfigError(f"'{version}' is not a version's number; 0001 works")
    return f"{int(version):04d}"


def _alias_folder(name: str, alias: str) -> str:
    if not ALIAS.fullmatch(alias):
        raise ConfigError(f"'{alias}' is not an alias: lower-case letters, digits, - and _, "
                          f"beginning with a letter; '{LATEST}' works")
    return f"{_model(name)}/aliases/{alias}"


def _in_order(names: Iterable[str]) -> list[str]:
    """Those of the names that are versions' numbers, lowest first."""
    return sorted((n for n in names if STORED_NUMBER.fullmatch(n)), key=int)


def _taken(store: Store, name: str) -> list[str]:
    """Every version's number that was given out, whole or not, lowest first."""
    return _in_order(store.names(f"{_model(name)}/versions"))


def _newest_move(store: Store, folder: str) -> tuple[int, Alias | None]:
    numbers = _move_numbers(store, folder)
    return (numbers[-1], _move(store, folder, numbers[-1])) if numbers else (0, None)


def _move_numbers(store: Store, folder: str) -> list[int]:
    return sorted(int(n[:-5]) for n in store.names(folder) if n.endswith(".json") and NUMBER.fullmatch(n[:-5]))


def _move(store: Store, folder: str, number: int) -> Alias:
    path = f"{folder}/{number:06d}.json"
    return _parsed(Alias, store.read(path), store.uri(path))


def _readable_manifest(store: Store, prefix: str) -> Manifest | None:
    """A version whose manifest cannot be read is not whole; `verify` says why."""
    try:
        return read_manifest(store, prefix)
    except DamagedFile:
        return None


def _parsed(kind: type[RecordT], text: bytes, where: str) -> RecordT:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise DamagedFile(f"{where}: cannot be understood: {error.errors()[0]['msg']}; "
                          "restore the file from a copy of the store") from None
