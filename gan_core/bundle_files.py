"""The files of a bundle, which may come from a stranger: each is weighed before it is fetched.

Whoever made a bundle wrote its manifest too, so its checksums prove nothing but that the files are those of the
manifest.  What a file may weigh follows from what it is for, and what it does weigh is asked of the store.
"""

from __future__ import annotations

from gan_core.errors import DamagedFile
from gan_core.manifest import MANIFEST, File, Manifest, read_file, read_manifest
from gan_core.store import Store

SPEC = "generator.json"
WEIGHTS = "generator.safetensors"
ONNX = "generator.onnx"

MOST_MANIFEST = 16 * 2**20  # bytes; a version's has some 3,000
MOST_SPEC = 2**20
MOST_FILES = 4096  # of a version, which has some ten, or a run


def bundle_manifest(store: Store, prefix: str) -> Manifest | None:
    """The manifest of the artefact at `prefix`; None when there is none.  DamagedFile when it is none of a bundle."""
    where = store.uri(f"{prefix}/{MANIFEST}")
    size = store.size(f"{prefix}/{MANIFEST}")
    if size is None:
        return None
    if not size:  # of a device or a pipe that stands there in its place, reading may have no end
        raise DamagedFile(f"{where}: is empty; take another copy of the bundle")
    if size > MOST_MANIFEST:
        raise DamagedFile(f"{where}: has {size:,} bytes, and a bundle's has {MOST_MANIFEST:,} at most; take another "
                          "copy of the bundle")
    manifest = read_manifest(store, prefix)
    if manifest is not None and len(manifest.files) > MOST_FILES:
        raise DamagedFile(f"{where}: lists {len(manifest.files):,} files, and a bundle has {MOST_FILES:,} at most; "
                          "take another copy of the bundle")
    return manifest


def fetched(store: Store, prefix: str, file: File, most: int | None = None) -> bytes:
    """The checked bytes of one file.  DamagedFile, before any is read, when it has none, more than `most`, or another
    number of them than its manifest says.
    """
    if not file.size:  # as above
        raise DamagedFile(f"{store.uri(f'{prefix}/{file.path}')}: is empty; take another copy of the bundle")
    if most is not None and file.size > most:
        raise DamagedFile(f"{store.uri(f'{prefix}/{file.path}')}: has {file.size:,} bytes, and {most:,} are the most "
                          "that such a file can need; take another copy of the bundle")
    refuse_another_size(store, prefix, file)
    return read_file(store, prefix, file)


def refuse_another_size(store: Store, prefix: str, file: File) -> None:
    """DamagedFile when the store has no such file, or one of another size than the manifest says.  Reads nothing."""
    size = store.size(f"{prefix}/{file.path}")
    if size is None:
        raise DamagedFile(f"{store.uri(f'{prefix}/{file.path}')}: is missing, though its manifest lists it")
    if size != file.size:
        raise DamagedFile(f"{store.uri(f'{prefix}/{file.path}')}: is damaged: {size} bytes, its manifest says "
                          f"{file.size}")
