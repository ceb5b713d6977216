"""The code that a job brings along, so that a cluster's machines need only what it depends on.

    gan_core/…  pipelines/…  plug_ins/<the plug-in files>  gan_pipelines.dist-info/METADATA  COMMIT

One zip, the same bytes for the same files: the cluster keeps it under the digest of its bytes, and its machines put the
folder before all that is installed there.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gan_core import plugin_files
from gan_core.errors import ConfigError
from pipelines.commit import SHIPPED, commit
from pipelines.jobs_api import JobsApi
from pipelines.profile import Profile

PACKAGES = ("gan_core", "pipelines")
PLUG_INS = "plug_ins"
LIMIT = 32 * 2**20  # bytes; our own code is 2 MB.  Ray's limit is 500 MiB, and its head keeps all of it in memory
MIB = 2**20
LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the first date that a zip knows: when files were copied changes nothing


@dataclass(frozen=True)
class Parcel:
    """A zip.  plug_ins: what GAN_PLUGINS says where it is unpacked.  told: what is in it, in words."""

    content: bytes
    plug_ins: str
    told: str


def runtime_env(
    api: JobsApi, profile: Profile, variables: Mapping[str, str], tell: Callable[[str], None]
) -> dict[str, Any]:
    """What a job is given, with the code where the profile ships it.

    variables: of its environment, and its workers'.  tell: is told what is shipped, when the cluster has it not yet.
    ConfigError for files that are too large to be code.
    """
    if profile.ray.ship == "none":
        return {"env_vars": dict(variables)}
    parcel = packed()
    uri, had = api.bring(parcel.content)
    if not had:
        tell(parcel.told)
    brought = {plugin_files.VARIABLE: parcel.plug_ins} if parcel.plug_ins else {}
    return {"env_vars": {**variables, **brought}, "py_modules": [uri]}


def packed() -> Parcel:
    """The code of this process as it is on disk now, with the plug-in files.  ConfigError when it is too large."""
    files, caches = _files()
    _refuse_large(files)
    texts = {SHIPPED: commit()} | _metadata()
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as packing:
        for name, bytes_ in sorted(_contents(files, texts)):
            about = zipfile.ZipInfo(name, LONG_AGO)
            about.compress_type, about.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            packing.writestr(about, bytes_)
    plug_ins = [name for name in files if name.startswith(f"{PLUG_INS}/")]
    parts = ", ".join([*PACKAGES, *(name.rpartition("/")[2] for name in plug_ins)])
    told = (f"ships {parts} to the cluster: {len(files)} files, {len(content.getvalue()) / MIB:.1f} MiB as a zip; left "
            f"out: {caches} files of caches, and all that lies beside (tests, data, stores, .git)")
    return Parcel(content.getvalue(), os.pathsep.join(f"{plugin_files.BESIDE}/{name}" for name in plug_ins), told)


def _files() -> tuple[dict[str, Path], int]:
    """What is shipped, by its name in the zip, and how many files of caches are not."""
    files, caches = {}, 0
    for package in PACKAGES:
        root = _folder(package)
        for path in root.rglob("*"):
            inside = path.relative_to(root)
            if not path.is_file():
                continue
            if _is_cache(inside):
                caches += 1
            else:
                files[f"{package}/{inside.as_posix()}"] = path
    for path in plugin_files.named():
        if not path.is_file():
            raise ConfigError(f"{plugin_files.VARIABLE} names {path}, which is not there; correct it")
        name = f"{PLUG_INS}/{path.name}"
        if name in files:
            raise ConfigError(f"{path}: is called like {files[name]}; rename one of the two plug-in files")
        files[name] = path
    return files, caches


def _folder(package: str) -> Path:
    """Where a package is, in a checkout or among what is installed."""
    spec = find_spec(package)
    assert spec is not None  # as this module is in one of them, and imports the other
    assert spec.origin is not None
    return Path(spec.origin).parent


def _is_cache(inside: Path) -> bool:
    hidden = any(part.startswith(".") for part in inside.parts)
    return hidden or "__pycache__" in inside.parts or inside.suffix == ".pyc"


def _refuse_large(files: Mapping[str, Path]) -> None:
    sizes = {name: path.stat().st_size for name, path in files.items()}
    if (total := sum(sizes.values())) > LIMIT:
        largest = max(sizes, key=lambda name: sizes[name])
        raise ConfigError(f"the code to be shipped has {total / MIB:.1f} MiB, more than {LIMIT / MIB:.0f} MiB, and "
                          f"{files[largest]} {sizes[largest] / MIB:.1f} of them; move what is no code elsewhere, or "
                          "install it on the cluster: ray.ship=none works then")


def _metadata() -> dict[str, str]:
    """By which the shipped code knows its version, where an older one is installed beside it."""
    try:
        ours = version("gan-pipelines")
    except PackageNotFoundError:
        return {}
    return {"gan_pipelines.dist-info/METADATA": f"Metadata-Version: 2.1\nName: gan-pipelines\nVersion: {ours}\n"}


def _contents(files: Mapping[str, Path], texts: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    yield from ((name, path.read_bytes()) for name, path in files.items())
    yield from ((name, text.encode()) for name, text in texts.items())
