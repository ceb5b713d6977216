"""Where a store's probes work: a scratch prefix of their own, and on S3 the client beneath the file system."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fsspec

from gan_core.exclusive import SCRATCH
from gan_core.store import Store

MIB = 2**20
CONNECT_S = 10.0


@dataclass(frozen=True)
class Place:
    """prefix: below which all is removed in the end.  folder: of this machine, likewise."""

    store: Store
    prefix: str
    folder: Path

    @cached_property
    def opened(self) -> tuple[Any, str]:
        """The store's fsspec file system, and its root there."""
        return _opened(self.store)

    @cached_property
    def s3(self) -> S3 | None:
        """None for every other kind of store."""
        return s3_of(self.store)

    def path(self, name: str) -> str:
        return f"{self.prefix}/{name}"


@dataclass(frozen=True)
class Answer:
    """url: that was asked; empty where no request went out.  headers: none where none came back.  at: by our clock."""

    url: str
    headers: dict[str, str]
    at: datetime


@dataclass(frozen=True)
class S3:
    """fs: s3fs's file system.  root: bucket, and the prefix within it."""

    fs: Any
    root: str

    def key(self, path: str) -> dict[str, str]:
        """An object of the store as requests name it."""
        bucket, _, inside = f"{self.root}/{path}".partition("/")
        return {"Bucket": bucket, "Key": inside}

    @property
    def bucket(self) -> str:
        return self.root.partition("/")[0]

    def ask(self) -> Answer:
        """What comes back from one small request, refused or not."""
        urls: list[str] = []

        def seen(request: Any, **_: Any) -> None:
            urls.append(request.url)

        self.fs.connect()
        events = self.fs.s3.meta.events
        events.register("before-send.s3.HeadBucket", seen)
        begun = datetime.now(UTC)
        try:
            told = self.fs.call_s3("head_bucket", Bucket=self.bucket)
        except Exception as error:  # denied, missing, skewed: what counts is that something answered
            told = getattr(error.__cause__, "response", None) or {}
        finally:
            events.unregister("before-send.s3.HeadBucket", seen)
        half_way = begun + (datetime.now(UTC) - begun) / 2
        headers = told.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        return Answer(urls[0] if urls else "", headers, half_way)


def s3_of(store: Store) -> S3 | None:
    """Its client, which asks once where s3fs and botocore would ask five times each; None for every other store."""
    once = {"config_kwargs": {"connect_timeout": CONNECT_S, "retries": {"total_max_attempts": 1}}}
    fs, root = _opened(store, **(once if _is_s3(store) else {}))
    if not hasattr(fs, "call_s3"):
        return None
    fs.retries = 1
    return S3(fs, root)


def _opened(store: Store, **options: Any) -> tuple[Any, str]:
    fresh = {"use_listings_cache": False, "skip_instance_cache": True} if _is_s3(store) else {}
    fs, root = fsspec.core.url_to_fs(store.url, **fresh, **options)
    return fs, str(root).rstrip("/")


def _is_s3(store: Store) -> bool:
    return store.url.startswith("s3")


@contextlib.contextmanager
def scratch(store: Store) -> Iterator[Place]:
    """A place that is gone when the block ends, however it ends."""
    with TemporaryDirectory(prefix="gan-doctor-") as folder:
        place = Place(store, f"{SCRATCH}/{uuid.uuid4().hex}", Path(folder))
        try:
            yield place
        finally:
            with contextlib.suppress(Exception):  # a store that takes nothing has nothing to be removed
                store.delete(place.prefix)
