"""`gan models pull`: a published version as a folder of this machine, whole or not at all.

The folder holds the version's files and their manifest, and is an address like any other: it is sampled, shown and
verified with no store.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from gan_core.bundle_files import bundle_manifest, refuse_another_size
from gan_core.disk import flush, no_room
from gan_core.errors import ConfigError, DamagedFile, StoreError
from gan_core.manifest import MANIFEST, File, Manifest, damaged_files, sha256_of
from gan_core.published import readable_manifest
from gan_core.store import Store
from pipelines.pictures import check_folder
from pipelines.show import console

PARTS = {"generator": ("generator.json", "generator.safetensors", "generator.onnx", "metrics.json", "README.md")}
AT_ONCE = 8  # files on their way
LOOK_EVERY_S = 0.2  # how much of them is there


@dataclass(frozen=True)
class Pulled:
    """A version in a folder.  fetched: whether it was downloaded now; else it was there before."""

    uri: str
    folder: Path
    manifest: Manifest
    fetched: bool


def pull(store: Store, prefix: str, folder: Path, only: str | None = None) -> Pulled:
    """Downloads the version at `prefix`, or the part of it that `only` names, into a folder that is new or empty.

    Nothing is done where the folder holds it already.  What is refused is refused before anything is downloaded, and
    what fails or is killed leaves the folder as it was.  ConfigError for a folder that holds something else;
    DamagedFile for files that are not as the manifest says; StoreError when there is no room.
    """
    uri = store.uri(prefix)
    whole = bundle_manifest(store, prefix)
    if whole is None:
        raise DamagedFile(f"{uri}/{MANIFEST}: is missing; `gan models list` prints what is whole")
    manifest = whole if only is None else _part(whole, only, uri)
    if _is_there(folder, manifest, uri):
        return Pulled(uri, folder, manifest, fetched=False)
    _check_folder(folder)
    _check_room(folder.parent, manifest, uri)
    with _beside(folder) as built, no_room(str(folder), folder):
        _download(store, prefix, built, manifest)
        (built / MANIFEST).write_text(manifest.model_dump_json(indent=1))
        flush(built / MANIFEST)
        _put_in_place(built, folder)
    return Pulled(uri, folder, manifest, fetched=True)


def _part(whole: Manifest, only: str, uri: str) -> Manifest:
    """The manifest of some of the files."""
    if only not in PARTS:
        raise ConfigError(f"--only {only}: is no part of a version; --only {' or '.join(PARTS)} works")
    chosen = tuple(file for file in whole.files if file.path in PARTS[only])
    if PARTS[only][0] not in {file.path for file in chosen}:
        raise ConfigError(f"--only {only}: {uri} has no {PARTS[only][0]}; without --only all of it is downloaded")
    return whole.model_copy(update={"files": chosen})


def _is_there(folder: Path, manifest: Manifest, uri: str) -> bool:
    """Whether a folder holds the files already; False for one that is new or empty.  Reads all of them."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    whole = folder.resolve()
    place, name = Store(whole.parent), whole.name
    found = readable_manifest(place, name) if folder.is_dir() else None
    if found is None or not set(manifest.files) <= set(found.files):
        raise ConfigError(f"--to {folder}: holds something else than {uri}; name a folder that is new, "
                          f"--to {folder}-2 works")
    if damaged := damaged_files(place, name, manifest):
        raise DamagedFile(f"{damaged[0]}; remove {folder}, and run the same command again")
    return True


def _check_folder(folder: Path) -> None:
    """ConfigError where a folder cannot be put."""
    if folder.exists() and folder.samefile(Path.cwd()):
        raise ConfigError(f"--to {folder}: is the folder that you are in, which would be replaced; "
                          f"--to {folder / 'model'} works")
    check_folder(folder.parent, folder, "--to")


def _check_room(where: Path, manifest: Manifest, uri: str) -> None:
    needed, free = sum(file.size for file in manifest.files), shutil.disk_usage(where).free
    if needed > free:
        raise StoreError(f"{uri}: has {needed:,} bytes, and {where} has {free:,} bytes free; make room, or name a "
                         "folder of another disk with --to")


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder to build in, on the same disk, gone at the end; with what killed processes left in such."""
    around = Store(folder.parent)
    around.sweep()
    built = around.staging()
    try:
        yield built
    finally:
        shutil.rmtree(built, ignore_errors=True)
        with contextlib.suppress(OSError):  # others build beside it
            built.parent.rmdir()


def _download(store: Store, prefix: str, built: Path, manifest: Manifest) -> None:
    """Every file, several at once, shown as they come.  The first that fails ends it."""
    with _bar(manifest) as bar, ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(_fetch, store, prefix, built, file) for file in manifest.files]
        try:
            _follow(running, built, bar)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _fetch(store: Store, prefix: str, built: Path, file: File) -> None:
    """One file.  DamagedFile when it is not what the manifest says."""
    local, uri = built / file.path, store.uri(f"{prefix}/{file.path}")
    refuse_another_size(store, prefix, file)
    store.get(f"{prefix}/{file.path}", local)
    if local.stat().st_size != file.size or sha256_of(local) != file.sha256:
        raise DamagedFile(f"{uri}: is damaged: it has not the sha256 that its manifest says; nothing was kept of it")
    flush(local)


def _follow(running: Sequence[Future[None]], built: Path, bar: Progress) -> None:
    """Waits for all; raises what one of them raised."""
    pending = set(running)
    while pending:
        done, pending = wait(pending, LOOK_EVERY_S, FIRST_EXCEPTION)
        for one in done:
            one.result()
        bar.update(bar.task_ids[0], completed=_there(built))


def _there(built: Path) -> int:
    """Bytes of the files so far.  Parts of large ones come in any order, so that only what lies on the disk counts."""
    found = 0
    for path in built.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # renamed between
            told = path.stat()
            found += min(told.st_size, 512 * told.st_blocks) if path.is_file() else 0
    return found


def _bar(manifest: Manifest) -> Progress:
    out = console()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
               TimeRemainingColumn())
    bar = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
    bar.add_task(f"{len(manifest.files)} files", total=sum(file.size for file in manifest.files))
    return bar


def _put_in_place(built: Path, folder: Path) -> None:
    try:
        built.rename(folder)  # whole or absent, and only where nothing stands
    except OSError as error:
        raise ConfigError(f"--to {folder}: came to be while files were downloaded: {error.strerror}; run the same "
                          "command again") from None
