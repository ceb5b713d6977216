"""A synthetic set from its first shard to its manifest: begun, gone on with after a kill, found finished.

    <prefix>/.parts/order.json        what the set is made of, before anything else is written
    <prefix>/train-00000.arrow        the shards, whole each
    <prefix>/.parts/train-00000.json  a note of each
    <prefix>/MANIFEST.json            last; the notes go
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gan_core.data.parts import Part, Written, noted, put_set
from gan_core.errors import ConfigError, DamagedFile
from gan_core.manifest import MANIFEST, NOTES, Manifest, Parent, missing_files, read_manifest
from gan_core.store import Store

if TYPE_CHECKING:  # it takes torch, and to find a set finished takes a moment
    from gan_core.synthesis import ShardWriter, Tell

ORDER = "order.json"

Place = Callable[["ShardWriter", Sequence[Part], "Tell"], Iterator[Written]]
"""Where shards are written; in any order.  The last argument is told of the images as they are made."""


def in_turn(writer: ShardWriter, parts: Sequence[Part], tell: Tell) -> Iterator[Written]:
    """Writes shards in this process, one after another."""
    return (writer.write(part, tell) for part in parts)


def finished(store: Store, prefix: str, key: str) -> Manifest | None:
    """The manifest of the set that `key` names, where it is finished and all its files are there.

    ConfigError where anything else is there that would be mixed up with it.
    """
    where = store.uri(prefix)
    manifest = read_manifest(store, prefix)
    if manifest is not None:
        if manifest.key != key:
            raise ConfigError(f"--out {where}: holds a finished set that was made from other things; "
                              f"--out {where}-2 works, or remove what is there")
        return None if missing_files(store, prefix, manifest) else manifest
    begun = _begun(store, prefix)
    if begun is None and store.sizes(prefix):
        raise ConfigError(f"--out {where}: is not empty, and what is there is no set of `gan generate`; "
                          f"--out {where}-2 works")
    if begun not in (None, key):
        raise ConfigError(f"--out {where}: holds the beginning of a set that is made from other things; the command "
                          f"that began it goes on with it, --out {where}-2 works, or remove what is there")
    return None


def begin(store: Store, prefix: str, key: str) -> None:
    """Says what the set will be.  ConfigError where nothing can be written."""
    try:
        store.write(f"{prefix}/{NOTES}/{ORDER}", json.dumps({"key": key}).encode())
    except OSError as error:
        raise ConfigError(f"--out {store.uri(prefix)}: cannot be written: {error.strerror or error}; name a directory "
                          "of yours") from None


def write_set(
    writer: ShardWriter,
    *,
    key: str,
    parents: tuple[Parent, ...],
    facts: dict[str, Any],
    place: Place = in_turn,
    kept: Tell = lambda images: None,
    tell: Tell = lambda images: None,
) -> Manifest:
    """Writes the shards that are missing, and the manifest.  `begin` comes before.

    kept, tell: are told of images that an earlier call made, and of those that are made now.
    """
    store, prefix = writer.store, writer.prefix
    store.delete(f"{prefix}/{MANIFEST}")  # of a set that lost files
    done: list[Written] = []
    waiting: list[Part] = []
    for part in writer.order.parts():
        found = noted(store, prefix, part)
        if found is None:
            waiting.append(part)
        else:
            done.append(found)
            kept(found.examples)
    if waiting:
        done += place(writer, waiting, tell)
    done.sort(key=lambda written: written.part.number)
    put_set(store, prefix, done, writer.layout, classes=writer.generator.classes, facts=facts, key=key, parents=parents)
    _sweep(store, prefix)
    manifest = read_manifest(store, prefix)
    if manifest is None:
        raise DamagedFile(f"{store.uri(prefix)}/{MANIFEST}: was written and is gone; is another command removing it?")
    return manifest


def _begun(store: Store, prefix: str) -> str | None:
    """The key of what was begun here; None where nothing was."""
    try:
        return str(json.loads(store.read(f"{prefix}/{NOTES}/{ORDER}"))["key"])
    except (FileNotFoundError, NotADirectoryError):
        return None


def _sweep(store: Store, prefix: str) -> None:
    """Removes what killed processes left beside the shards on a local disk: files that were never renamed."""
    for path in store.sizes(prefix) if store.is_local else ():
        if path.startswith(".train-"):
            store.delete(f"{prefix}/{path}")
