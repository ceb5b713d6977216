"""Which protocol a store's `create` follows: the store's own exclusive create, or claims where it has none.

Asked once a process and store: what `gan doctor` recorded in the store, else two creations of one scratch object, of
which the second must be refused.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from fsspec.implementations.local import LocalFileSystem
from pydantic import ValidationError

from gan_core.config import Config
from gan_core.outages import transient

SCRATCH = ".doctor"  # below a store's root: what probes write, and the verdict
VERDICT = f"{SCRATCH}/verdict.json"
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


class Verdict(Config):
    """How objects are created at a store, and who says so.

    probed: when, ISO 8601; None on a disk, where creation is the kernel's.  rounds: of eight writers at once; 0: by
    two creations, one after the other.  endpoint: of the server that was asked.
    """

    protocol: Literal["exclusive-create", "claims"]
    probed: str | None = None
    rounds: int = 0
    endpoint: str = ""

    @property
    def exclusive(self) -> bool:
        return self.protocol == "exclusive-create"

    @property
    def facts(self) -> dict[str, str | None]:
        """For the manifest of what was created."""
        return {"protocol": self.protocol, "probed": self.probed}


_known: dict[tuple[str, str], Verdict] = {}


def verdict(fs: Any, root: str) -> Verdict:
    """Of the store below `root` of an fsspec file system."""
    key = _key(fs, root)
    if key not in _known:
        _known[key] = _recorded(fs, root) or check(fs, root)
    return _known[key]


def assume(fs: Any, root: str, found: Verdict) -> None:
    """What this process goes by from here on."""
    _known[_key(fs, root)] = found


def check(fs: Any, root: str) -> Verdict:
    """By two creations of one object, except on a disk.  Raises what a write raises, where nothing can be written."""
    if isinstance(fs, LocalFileSystem):
        return Verdict(protocol="exclusive-create")
    scratch = f"{root}/{SCRATCH}/{uuid.uuid4().hex}"
    try:
        exclusive = _refuses_a_second(fs, f"{scratch}/object")
    finally:
        with contextlib.suppress(OSError):
            fs.rm(scratch, recursive=True)
    return Verdict(protocol="exclusive-create" if exclusive else "claims", probed=now(), endpoint=endpoint())


def endpoint() -> str:
    """host:port of the S3 server that the environment names; empty where it names none."""
    url = next((url for name in ENDPOINTS if (url := os.environ.get(name))), "")
    return urlsplit(url).netloc.rpartition("@")[2]


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _key(fs: Any, root: str) -> tuple[str, str]:
    return f"{type(fs).__name__}:{root}", endpoint()


def _refuses_a_second(fs: Any, path: str) -> bool:
    try:
        fs.pipe_file(path, b"first", mode="create")
    except Exception as error:
        if transient(error):
            raise
        fs.pipe_file(path, b"first")  # some servers refuse the condition; else this raises what is wrong
        return False
    try:
        fs.pipe_file(path, b"second", mode="create")
    except OSError as error:
        if transient(error):
            raise
        return bool(fs.cat_file(path) == b"first")
    return False


def _recorded(fs: Any, root: str) -> Verdict | None:
    """What `gan doctor` wrote down here, unless it asked another server: a bucket may have been copied."""
    try:
        # s3fs asks for the size first where it may read in parts, and refusals of that have no words
        alone = {"max_concurrency": 1} if "s3" in fs.protocol else {}
        found = Verdict.model_validate_json(fs.cat_file(f"{root}/{VERDICT}", **alone))
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return None
    return found if found.endpoint == endpoint() else None
