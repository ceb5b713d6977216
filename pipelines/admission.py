"""Which of several publishers of one stage key makes the version, on stores that cannot rename.

    models/<name>/admitted/<key>/<NNNNNN>.json    a version of that key, with its whole manifest

Publishers upload below numbers of their own.  The first to create the next of these records has its version admitted;
the others take their files away again.  Whoever finds a record whose version has no manifest yet, because its publisher
died in between, writes it: all its files were in place, and read back, before the record was made.
"""

from __future__ import annotations

import contextlib

from gan_core.config import Config
from gan_core.manifest import MANIFEST, Manifest, missing_files, text_of
from gan_core.published import is_whole, model_prefix, parsed, version_prefix
from gan_core.store import Store


class Admitted(Config):
    """The version that was made for a stage key, and what its MANIFEST.json says."""

    version: str
    manifest: Manifest


def admissions(store: Store, name: str, key: str) -> int:
    """How many versions of that key were ever admitted; more than one where some were found damaged."""
    return len(store.names(_folder(name, key)))


def admit(store: Store, name: str, key: str, before: int, version: str, manifest: Manifest) -> None:
    """Admits a version as the one after so many; FileExistsError where another was."""
    record = Admitted(version=version, manifest=manifest)
    store.create(_path(name, key, before + 1), record.model_dump_json(indent=1).encode())


def complete(store: Store, name: str, key: str, number: int) -> str | None:
    """The version that was admitted as that one, with its manifest in place; None where files of it are gone."""
    path = _path(name, key, number)
    record = parsed(Admitted, store.read(path), store.uri(path))
    prefix = version_prefix(name, record.version)
    if not missing_files(store, prefix, record.manifest):
        with contextlib.suppress(FileExistsError):
            store.create(f"{prefix}/{MANIFEST}", text_of(record.manifest))
    return record.version if is_whole(store, name, record.version) else None


def admitted_versions(store: Store, name: str) -> set[str]:
    """The versions that were admitted for any key, finished or not."""
    top = f"{model_prefix(name)}/admitted"
    return {parsed(Admitted, store.read(f"{top}/{path}"), store.uri(f"{top}/{path}")).version
            for path in store.sizes(top)}


def _folder(name: str, key: str) -> str:
    return f"{model_prefix(name)}/admitted/{key}"


def _path(name: str, key: str, number: int) -> str:
    return f"{_folder(name, key)}/{number:06d}.json"
