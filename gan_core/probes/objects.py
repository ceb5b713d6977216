"""Whether a store keeps what it is given: written, listed, in parts, deleted."""

from __future__ import annotations

import os

from gan_core.manifest import sha256_of
from gan_core.outages import reason
from gan_core.probes.finding import Finding, bad, good, warning
from gan_core.probes.place import MIB, Place

LISTED, DELETED = 10, 50  # keys
LARGE, PART = 20 * MIB, 8 * MIB


def written_and_read(place: Place) -> Finding:
    """An object, read back and replaced."""
    path, store = place.path("object"), place.store
    for data in (b"first", b"second, and longer"):
        store.write(path, data)
        if (read := store.read(path)) != data:
            return bad("write, read, replace", f"wrote {data!r}, read {read!r}",
                       "results would be lost or stale: use another store, or no cache in front of this one")
    return good("write, read, replace", "what was written last is read", "results can be kept here")


def listed_at_once(place: Place) -> Finding:
    """New keys, each looked for in the listing at once; and gone from it when deleted."""
    store, folder = place.store, place.path("listed")
    missed = 0
    for i in range(LISTED):
        store.write(f"{folder}/{i}", b"")
        missed += str(i) not in store.names(folder)
    store.delete(f"{folder}/0")
    stale = "0" in store.names(folder)
    if missed or stale:
        also = ", and a deleted one still was" if stale else ""
        return bad("list after write", f"{missed} of {LISTED} new keys were not listed at once{also}",
                   "versions and checkpoints could be overlooked: this store is not strongly consistent; use another")
    return good("list after write", f"{LISTED} of {LISTED} new keys listed at once, a deleted one no more",
                "versions and checkpoints are found as soon as they are written")


def kept_in_parts(place: Place) -> Finding:
    """A large file; on S3 as a multipart upload."""
    source, back = place.folder / "large", place.folder / "back"
    source.write_bytes(os.urandom(LARGE))
    path, size = place.path("large"), f"{LARGE // MIB} MiB"
    if place.s3 is None:
        place.store.put(source, path)
    else:
        fs, root = place.opened
        fs.put_file(str(source), f"{root}/{path}", chunksize=PART)
        size += f" in parts of {PART // MIB} MiB"
    place.store.get(path, back)
    if sha256_of(back) != sha256_of(source):
        return bad("large file", f"{size}: other bytes came back",
                   "weights and shards would be damaged: use another store")
    return good("large file", f"{size}, sha256 as sent", "shards and weights arrive whole")


def deleted_together(place: Place) -> Finding:
    """Many keys, removed by one request where S3 has one and as `Store.delete` removes them."""
    store, folder = place.store, place.path("many")
    for i in range(DELETED):
        store.write(f"{folder}/{i}", b"")
    refused = _refusal(place, folder)
    store.delete(folder)
    if left := len(store.sizes(folder)):
        return bad("delete many", f"{left} of {DELETED} keys are left",
                   "stages that are made again, and gc, cannot remove what they replace: allow deletion in the bucket")
    if refused:
        return warning("delete many", f"one request for {DELETED} keys is refused ({refused})",
                       "they are removed one by one instead: right, and slow for large prefixes")
    how = " by one request" if place.s3 else ""
    return good("delete many", f"{DELETED} keys gone{how}", "what is replaced is removed")


def _refusal(place: Place, folder: str) -> str:
    """Why S3's DeleteObjects does not remove the first key; empty where it does, and on other stores."""
    if place.s3 is None:
        return ""
    key = place.s3.key(f"{folder}/0")
    try:
        answer = place.s3.fs.call_s3(
            "delete_objects", Bucket=key["Bucket"], Delete={"Objects": [{"Key": key["Key"]}], "Quiet": True}
        )
    except OSError as error:
        return reason(error.__cause__ or error)
    return ", ".join(one.get("Code", "?") for one in answer.get("Errors", []))
