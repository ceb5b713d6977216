"""What makes a prefix an artefact: a manifest, written last, that names every file with size and sha256.

A prefix with no manifest is not there.  The digest of an artefact is the sha256 of its sorted (path, sha256):
two artefacts with the same digest hold the same bytes, whoever made them and when.
"""

from __future__ import annotations

import errno
import hashlib
import json
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from gan_core.config import Config
from gan_core.disk import flush, no_room
from gan_core.errors import DamagedFile, StoreError
from gan_core.store import Store

MANIFEST = "MANIFEST.json"
CLAIM = "CLAIM.json"
VERSION = "version"  # the kind of manifest that a published version has
READ_BACK = ".read_back"  # in what is built: copies of what was uploaded, each until it is compared
UPLOADS = 8  # files on their way at once
NOTES = ".parts"  # below an artefact that is made part by part: a note of each part that is done
LONGEST_NAME, LONGEST_PATH = 255, 1024  # bytes, that file systems have
TOOLS = ("torch", "numpy", "pyarrow", "ray", "prefect", "gan-pipelines")


def _inside(path: str) -> str:
    """A path as it is.  ValueError unless it is the plain name of something below where it is looked for."""
    named, shown = PurePosixPath(path), repr(path[:80])
    if not named.parts or named.is_absolute() or ".." in named.parts or "\\" in path or not path.isprintable():
        raise ValueError(f"{shown} is no path below the artefact, such as 'generator.json'")
    if len(path.encode()) > LONGEST_PATH or any(len(part.encode()) > LONGEST_NAME for part in named.parts):
        raise ValueError(f"{shown}… is longer than a file's path may be")
    if str(named) != path or path == MANIFEST:
        raise ValueError(f"{shown} is no file's own name there, such as 'generator.json'")
    return path


class File(Config):
    """One file of an artefact; `path` is relative to its prefix, and leads nowhere else."""

    path: Annotated[str, AfterValidator(_inside)]
    size: int = Field(ge=0)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class Parent(Config):
    """An artefact that this one was made from."""

    kind: str
    uri: str
    digest: str


class Manifest(Config):
    """MANIFEST.json."""

    kind: str
    key: str
    files: tuple[File, ...]
    parents: tuple[Parent, ...] = ()
    facts: dict[str, Any] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    created: str

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        seen: set[str] = set()
        for file in self.files:
            if file.path in seen:
                raise ValueError(f"'{file.path}' is listed twice")
            seen.add(file.path)
        for path in seen:
            if folder := next((str(above) for above in PurePosixPath(path).parents if str(above) in seen), None):
                raise ValueError(f"'{folder}' is listed as a file and as a folder")
        return self

    def file(self, path: str) -> File | None:
        """The file at `path`; None when it is not listed."""
        return next((file for file in self.files if file.path == path), None)

    @property
    def digest(self) -> str:
        """sha256 over the sorted (path, sha256) of the files."""
        listed = sorted((f.path, f.sha256) for f in self.files)
        return hashlib.sha256(json.dumps(listed).encode()).hexdigest()


@dataclass
class Draft:
    """An artefact in the making: write its files below `path`, its facts into `facts`."""

    path: Path
    facts: dict[str, Any] = field(default_factory=dict)


@contextmanager
def artefact(
    store: Store,
    prefix: str,
    *,
    kind: str,
    key: str,
    parents: tuple[Parent, ...] = (),
    exclusive: bool = False,
    admit: Callable[[Manifest], None] = lambda manifest: None,
) -> Iterator[Draft]:
    """Builds an artefact aside and puts it in place, manifest last, when the block ends well.

    What stood there before is replaced; with `exclusive`, FileExistsError when anything stands there, and of several
    that race for one prefix exactly one wins.  StoreError when there is no room.

    admit: asked on a remote store by whoever won a prefix, once all files are in place and before the manifest is.
    Where it raises FileExistsError the files are taken away again; the prefix stays taken.
    """
    draft = Draft(store.staging())
    try:
        with no_room(store.uri(prefix), draft.path.parent):
            yield draft
            files = tuple(_describe(p, draft.path) for p in sorted(draft.path.rglob("*")) if p.is_file())
            manifest = _manifest(kind, key, files, parents, draft.facts)
            _commit(store, prefix, draft.path, manifest, exclusive, admit)
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)


def put_manifest(
    store: Store,
    prefix: str,
    *,
    kind: str,
    key: str,
    files: tuple[File, ...],
    parents: tuple[Parent, ...],
    facts: dict[str, Any],
) -> None:
    """Makes an artefact of files that were written under `prefix` one by one, whole each, by any number of workers."""
    store.write(f"{prefix}/{MANIFEST}", text_of(_manifest(kind, key, files, parents, facts)))


def text_of(manifest: Manifest) -> bytes:
    """MANIFEST.json."""
    return manifest.model_dump_json(indent=1).encode()


def read_manifest(store: Store, prefix: str) -> Manifest | None:
    """The manifest of a finished artefact; None when there is none.  DamagedFile when it cannot be understood."""
    try:
        text = store.read(f"{prefix}/{MANIFEST}")
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        wrong = (f"{field}: " if field else "") + first["msg"].removeprefix("Value error, ")
        raise DamagedFile(f"{store.uri(prefix)}/{MANIFEST}: not a manifest: {wrong}; remove it and run again, or take "
                          "another copy") from None


def missing_files(store: Store, prefix: str, manifest: Manifest) -> list[str]:
    """Files that are not there at the size the manifest states.  Cheap: sizes only.

    A listing may lag behind what was written, so what it lacks is asked for by name.  Once one is really missing, the
    listing is believed about the others: they may be many.
    """
    sizes = store.sizes(prefix)
    unlisted = [f for f in manifest.files if sizes.get(f.path) != f.size]
    for done, file in enumerate(unlisted):
        if store.sizes(f"{prefix}/{file.path}").get(".") != file.size:
            return [f.path for f in unlisted[done:]]
    return []


def damaged_files(store: Store, prefix: str, manifest: Manifest) -> list[str]:
    """One line for each file that is missing or whose bytes are not the manifest's.  Reads everything."""
    problems = []
    for file in manifest.files:
        try:
            read_file(store, prefix, file)
        except DamagedFile as problem:
            problems.append(str(problem))
    return problems


def read_file(store: Store, prefix: str, file: File) -> bytes:
    """The bytes of one file.  DamagedFile when it is missing or differs from the manifest."""
    uri = store.uri(f"{prefix}/{file.path}")
    try:
        data = store.read(f"{prefix}/{file.path}")
    except FileNotFoundError:
        raise DamagedFile(f"{uri}: is missing, though its manifest lists it") from None
    if len(data) != file.size:
        raise DamagedFile(f"{uri}: is damaged: {len(data)} bytes, its manifest says {file.size}")
    found = hashlib.sha256(data).hexdigest()
    if found != file.sha256:
        raise DamagedFile(f"{uri}: is damaged: sha256 {found[:12]}…, its manifest says {file.sha256[:12]}…")
    return data


def read_named(store: Store, prefix: str, manifest: Manifest, path: str) -> bytes:
    """The checked bytes of the file at `path`.  DamagedFile when the manifest does not list it."""
    return read_file(store, prefix, listed(store, prefix, manifest, path))


def listed(store: Store, prefix: str, manifest: Manifest, path: str) -> File:
    """What the manifest says of the file at `path`.  DamagedFile when it does not list it."""
    file = manifest.file(path)
    if file is None:
        raise DamagedFile(f"{store.uri(prefix)}: its manifest lists no {path}")
    return file


def sha256_of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def canonical_digest(value: Mapping[str, Any]) -> str:
    """sha256 of canonical JSON: sorted keys, no spaces, no NaN."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def tool_versions() -> dict[str, str]:
    """Versions of what the result may depend on, for the record; they are in no key."""
    found = {"python": platform.python_version()}
    for tool in TOOLS:
        try:
            found[tool] = version(tool)
        except PackageNotFoundError:
            continue
    return found


def _manifest(
    kind: str, key: str, files: tuple[File, ...], parents: tuple[Parent, ...], facts: dict[str, Any]
) -> Manifest:
    return Manifest(
        kind=kind,
        key=key,
        files=files,
        parents=parents,
        facts=facts,
        versions=tool_versions(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _describe(path: Path, root: Path) -> File:
    return File(path=path.relative_to(root).as_posix(), size=path.stat().st_size, sha256=sha256_of(path))


def _commit(
    store: Store, prefix: str, built: Path, manifest: Manifest, exclusive: bool, admit: Callable[[Manifest], None]
) -> None:
    text = text_of(manifest)
    if store.is_local and (exclusive or not store.exists(prefix)):
        (built / MANIFEST).write_bytes(text)
        for name in (*(f.path for f in manifest.files), MANIFEST):
            flush(built / name)  # a rename that outlives a power cut must not name files that did not
        target = store.local_path(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            built.rename(target)  # whole or absent, and only where nothing stands
            return
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if exclusive:
                raise FileExistsError(store.uri(prefix)) from error
    elif exclusive:
        if store.exists(f"{prefix}/{MANIFEST}"):
            raise FileExistsError(store.uri(prefix))
        store.create(f"{prefix}/{CLAIM}", json.dumps({"key": manifest.key}).encode())
        _upload(store, prefix, built, manifest.files, _put_and_compare)
        try:
            admit(manifest)
        except FileExistsError:
            for file in manifest.files:
                store.delete(f"{prefix}/{file.path}")
            raise
        store.create(f"{prefix}/{MANIFEST}", text)
        return
    store.delete(f"{prefix}/{MANIFEST}")
    _upload(store, prefix, built, manifest.files, _put)
    if short := missing_files(store, prefix, manifest):
        raise _arrived_otherwise(store, f"{prefix}/{short[0]}")
    store.write(f"{prefix}/{MANIFEST}", text)


Put = Callable[[Store, str, Path, File], None]


def _upload(store: Store, prefix: str, built: Path, files: tuple[File, ...], put: Put) -> None:
    """Puts files in place, several at once.  The first that fails ends it: what was not begun is left."""
    with ThreadPoolExecutor(UPLOADS) as pool:
        begun = [pool.submit(put, store, prefix, built, file) for file in files]
        try:
            for one in begun:
                one.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _put(store: Store, prefix: str, built: Path, file: File) -> None:
    store.put(built / file.path, f"{prefix}/{file.path}")


def _put_and_compare(store: Store, prefix: str, built: Path, file: File) -> None:
    """Puts one file in place and fetches it again: what is for good and for others is known to have arrived."""
    _put(store, prefix, built, file)
    path, copy = f"{prefix}/{file.path}", built / READ_BACK / file.path
    try:
        store.get(path, copy)
        sha256 = sha256_of(copy)
    except FileNotFoundError:
        sha256 = ""
    finally:
        copy.unlink(missing_ok=True)
    if sha256 != file.sha256:
        raise _arrived_otherwise(store, path)


def _arrived_otherwise(store: Store, path: str) -> StoreError:
    return StoreError(f"{store.uri(path)}: arrived with other bytes than were sent; nothing points to it: run the same "
                      "command again")
