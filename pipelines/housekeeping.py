"""What a store holds, what of it anything still needs, and what may go.

An artefact is needed when a version was made from it, as manifests tell, when the newest records of an experiment name
it (so that the next run finds it done), or when it is younger than a limit: pipelines may be at work.  Versions,
aliases, verdicts and records are never removed; what publishers that died left of a version is, and its number stays
taken.

    found = garbage(survey(store), older_than, now)
    gone = remove(store, found)
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from gan_core.errors import DamagedFile
from gan_core.manifest import CLAIM, MANIFEST, Manifest, read_manifest
from gan_core.published import model_names, whole_versions
from gan_core.store import STAGING, Entry, Store
from pipelines.admission import admitted_versions
from pipelines.keys import AUGMENTATIONS, FEATURES, FOLDERS, PREFIX_CHARS, REFERENCES
from pipelines.models import find_artefact
from pipelines.records import latest_stages

CHECKPOINTS = "checkpoints"
BEGUN = "versions begun"  # whose publisher ended before the manifest
FROM_SHARDS = (FEATURES, REFERENCES, AUGMENTATIONS)  # folders of what is needed as long as its data set is
LOOK_AGAIN_S = 5.0
KINDS = (*FOLDERS.values(), *FROM_SHARDS)


@dataclass(frozen=True)
class Item:
    """One artefact, or one checkpoint of a run that has finished.

    finished: its manifest is there.  needed: by what, in words; '' when by nothing.  newest: when its last file was
    written.
    """

    prefix: str
    kind: str
    files: int
    bytes: int
    newest: datetime
    finished: bool
    needed: str = ""


def survey(store: Store, keep_checkpoints: int = 1) -> list[Item]:
    """Everything below the folders of artefacts, and what each is needed for.

    keep_checkpoints: the newest ones of a finished run that count as needed, and its best one as well.
    """
    needed = _needed(store)
    items: list[Item] = []
    for kind in KINDS:
        entries = store.entries(kind)
        for name, files in sorted(_by_folder(entries).items()):
            items += _of_artefact(store, kind, f"{kind}/{name}", files, needed, keep_checkpoints)
    return [*items, *_begun(store)]


def time_of(store: Store) -> datetime:
    """What time it is by the clock that dates the store's objects; this machine's may be an hour ahead."""
    probe = f"{STAGING}/clock-{uuid.uuid4().hex}"
    store.write(probe, b"")
    try:
        return store.entries(probe)["."].modified
    finally:
        store.delete(probe)


def garbage(items: Sequence[Item], age: timedelta, now: datetime) -> list[Item]:
    """What nothing needs and nothing was written to for that long."""
    return [item for item in items if not item.needed and now - item.newest >= age]


def remove(store: Store, items: Sequence[Item]) -> list[Item]:
    """Removes items that nothing needs by now, and returns them.

    What is needed is looked up again every few seconds, for runs may have begun meanwhile.  A manifest goes first, so
    that no half of an artefact looks whole.
    """
    gone, needed, looked = [], _needed(store), time.monotonic()
    for item in items:
        if time.monotonic() - looked > LOOK_AGAIN_S:
            needed, looked = _needed(store), time.monotonic()
        if item.kind == BEGUN:
            gone += [item] if _emptied(store, item.prefix) else []
        elif item.kind == CHECKPOINTS or item.prefix not in needed:
            store.delete(f"{item.prefix}/{MANIFEST}")
            store.delete(item.prefix)
            gone.append(item)
    return gone


def _begun(store: Store) -> Iterator[Item]:
    """What lies under numbers that have no manifest; an admitted one is whole but for that, and is needed."""
    for name in model_names(store):
        top = f"models/{name}/versions"
        begun = {version: files for version, files in sorted(_by_folder(store.entries(top)).items())
                 if MANIFEST not in files and set(files) != {CLAIM}}
        admitted = admitted_versions(store, name) if begun else set()  # there is a record for every version
        for version, files in begun.items():
            why = f"{name}@{version}, which the next start completes" if version in admitted else ""
            yield _item(f"{top}/{version}", BEGUN, files, False, why)


def _emptied(store: Store, prefix: str) -> bool:
    """Removes the files of a version that was begun, but for the claim; False where it was finished meanwhile."""
    if store.exists(f"{prefix}/{MANIFEST}"):
        return False
    for path in store.sizes(prefix):
        if path != CLAIM:
            store.delete(f"{prefix}/{path}")
    return True


def _of_artefact(
    store: Store, kind: str, prefix: str, files: Mapping[str, Entry], needed: Mapping[str, str], keep: int
) -> Iterator[Item]:
    """The artefact, and apart from it the checkpoints of a run that has finished."""
    finished, why = MANIFEST in files, needed.get(prefix, "")
    if kind in FROM_SHARDS and finished:
        why = why or _of_its_shards(store, prefix, needed)
    old = _checkpoints(files) if kind == FOLDERS["train"] and finished else {}
    kept = _kept(store, prefix, old, keep)
    for name, parts in old.items():
        yield _item(f"{prefix}/{CHECKPOINTS}/{name}", CHECKPOINTS, parts, True, why if name in kept else "")
    inside = {path: entry for path, entry in files.items() if not any(path.startswith(f"{CHECKPOINTS}/{name}/")
                                                                      for name in old)}
    yield _item(prefix, kind, inside, finished, why)


def _item(prefix: str, kind: str, files: Mapping[str, Entry], finished: bool, needed: str) -> Item:
    newest = max(entry.modified for entry in files.values())
    return Item(prefix, kind, len(files), sum(entry.size for entry in files.values()), newest, finished, needed)


def _by_folder(entries: Mapping[str, Entry]) -> dict[str, dict[str, Entry]]:
    """Entries by the first part of their path."""
    found: dict[str, dict[str, Entry]] = {}
    for path, entry in entries.items():
        name, _, rest = path.partition("/")
        if rest:
            found.setdefault(name, {})[rest] = entry
    return found


def _checkpoints(files: Mapping[str, Entry]) -> dict[str, dict[str, Entry]]:
    """The checkpoints of a run, by name, oldest first."""
    inside = {path.removeprefix(f"{CHECKPOINTS}/"): entry for path, entry in files.items()
              if path.startswith(f"{CHECKPOINTS}/")}
    return dict(sorted(_by_folder(inside).items()))


def _kept(store: Store, run: str, checkpoints: Mapping[str, object], keep: int) -> set[str]:
    """The newest ones, and the one whose weights were published."""
    newest = list(checkpoints)[-keep:] if keep else []
    manifest = read_manifest(store, run)
    best = manifest.facts.get("weights_of") if manifest is not None and manifest.facts.get("best") else None
    return {*newest, *(name for name in checkpoints if best is not None and int(name.partition("-")[0]) == best)}


def _needed(store: Store) -> dict[str, str]:
    """Prefix to what needs it, of all that a version or an experiment's newest records lead to."""
    found: dict[str, str] = {}
    for name in model_names(store):
        for version, manifest in whole_versions(store, name).items():
            _lead(store, manifest, f"{name}@{version}", found)
    for name in store.names("experiments"):
        for stage, record in latest_stages(store, name).items():
            if stage in FOLDERS:
                prefix = f"{FOLDERS[stage]}/{record.key[:PREFIX_CHARS]}"
                found.setdefault(prefix, f"the newest run of {name}")
                if (manifest_there := _manifest(store, prefix)) is not None:
                    _lead(store, manifest_there, f"the newest run of {name}", found)
    return found


def _lead(store: Store, manifest: Manifest, why: str, found: dict[str, str]) -> None:
    """Adds all that a manifest's parents lead to in this store."""
    for parent in manifest.parents:
        artefact = find_artefact(store, parent)
        if artefact is not None and artefact[0] not in found:
            found[artefact[0]] = why
            _lead(store, artefact[1], why, found)


def _of_its_shards(store: Store, prefix: str, needed: Mapping[str, str]) -> str:
    """Why a feature network, or what one saw, is needed: for the data set that it was made from."""
    manifest = _manifest(store, prefix)
    parents = [] if manifest is None else [find_artefact(store, parent) for parent in manifest.parents]
    return next((needed[found[0]] for found in parents if found is not None and found[0] in needed), "")


def _manifest(store: Store, prefix: str) -> Manifest | None:
    try:
        return read_manifest(store, prefix)
    except DamagedFile:
        return None
