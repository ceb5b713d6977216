"""The published versions of a store's models: versions that never change, numbered once.

    models/<name>/versions/<NNNN>/                 one published version

Versions are made by exclusive create and never changed, so readers need no lock.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import TypeVar

from pydantic import ValidationError

from gan_core.config import Config
from gan_core.errors import ConfigError, DamagedFile
from gan_core.manifest import MANIFEST, Manifest, missing_files, read_manifest
from gan_core.store import Store

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
NUMBER = re.compile(r"[0-9]{1,9}")  # as people write it; in the store it has at least four digits
STORED_NUMBER = re.compile(r"[0-9]{4,9}")
VERSION = re.compile(r"models/(?P<name>[^/@]+)/versions/(?P<number>[^/]+)")

RecordT = TypeVar("RecordT", bound=Config)


def model_names(store: Store) -> tuple[str, ...]:
    """Every model that was ever published here."""
    return tuple(n for n in store.names("models") if NAME.fullmatch(n))


def version_prefix(name: str, version: str) -> str:
    """Where a version lies in its store.  ConfigError for names that cannot be."""
    return f"{model_prefix(name)}/versions/{stored_number(version)}"


def name_and_version(prefix: str) -> tuple[str, str] | None:
    """The reverse of `version_prefix`; None for a version that lies outside a store's models."""
    match = VERSION.fullmatch(prefix)
    return (match["name"], match["number"]) if match else None


def versions(store: Store, name: str) -> tuple[str, ...]:
    """The whole versions of a model, oldest first."""
    return tuple(whole_versions(store, name))


def whole_versions(store: Store, name: str) -> dict[str, Manifest]:
    """Version to manifest, oldest first, of those whose files are all present at their sizes."""
    top = f"{model_prefix(name)}/versions"
    sizes = store.sizes(top)
    whole = {}
    for version in in_order(p.removesuffix(f"/{MANIFEST}") for p in sizes):
        manifest = readable_manifest(store, f"{top}/{version}")
        if manifest is not None and all(sizes.get(f"{version}/{f.path}") == f.size for f in manifest.files):
            whole[version] = manifest
    return whole


def is_whole(store: Store, name: str, version: str) -> bool:
    """Whether a version's manifest is there and its files are at their sizes."""
    prefix = version_prefix(name, version)
    manifest = readable_manifest(store, prefix)
    return manifest is not None and not missing_files(store, prefix, manifest)


def published_manifest(store: Store, prefix: str) -> Manifest:
    """The manifest of a version that an address named.  DamagedFile when it is gone or cannot be understood."""
    manifest = read_manifest(store, prefix)
    if manifest is None:
        raise DamagedFile(f"{store.uri(prefix)}/{MANIFEST}: is missing; "
                          "`gan models list` prints what is whole")
    return manifest


def refuse_unknown(store: Store, name: str) -> None:
    """ConfigError for a model of which nothing was ever published here."""
    if not taken(store, name):
        raise ConfigError(unknown_model(store, name))


def stored_number(version: str) -> str:
    """A version's number as it is in the store: 1 is 0001.  ConfigError for what is no number."""
    if not NUMBER.fullmatch(version):
        raise ConfigError(f"'{version}' is not a version's number; 0001 works")
    return f"{int(version):04d}"


def model_prefix(name: str) -> str:
    if not NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is not a model's name: lower-case letters, digits, - and _; "
                          "'digits' works")
    return f"models/{name}"


def taken(store: Store, name: str) -> list[str]:
    """Every version's number that was given out, whole or not, lowest first."""
    return in_order(store.names(f"{model_prefix(name)}/versions"))


def in_order(names: Iterable[str]) -> list[str]:
    """Those of the names that are versions' numbers, lowest first."""
    return sorted((n for n in names if STORED_NUMBER.fullmatch(n)), key=int)


def readable_manifest(store: Store, prefix: str) -> Manifest | None:
    """A version whose manifest cannot be read is not whole; `verify` says why."""
    try:
        return read_manifest(store, prefix)
    except DamagedFile:
        return None


def unknown_model(store: Store, name: str) -> str:
    known = model_names(store)
    near = get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    there = f"known: {', '.join(known)}" if known else "none is published there yet; see --store"
    return f"unknown model '{name}' in {store.url}; {hint}{there}"


def parsed(kind: type[RecordT], text: bytes, where: str) -> RecordT:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise DamagedFile(f"{where}: cannot be understood: {error.errors()[0]['msg']}; "
                          "restore the file from a copy of the store") from None
