"""What this machine has: versions, processors, memory, GPUs, room, plug-ins."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from gan_core import plugin_files
from gan_core.errors import ConfigError
from gan_core.probes.finding import Finding, bad, good, probed, warning
from gan_core.store import Store

CONSTRAINTS = Path(__file__).parents[1] / "infra" / "constraints.txt"  # of a checkout; an installed package has none
PACKAGES = ("torch", "ray", "prefect", "fastapi", "fsspec", "s3fs")
LITTLE_ROOM = 5 * 10**9  # bytes; a run of images leaves some, and checkpoints come in twos


def packages(constraints: Path = CONSTRAINTS) -> Finding:
    """Versions of what breaks when others are taken, against those that are pinned."""
    have = {name: _version(name) for name in PACKAGES}
    told = [f"{name} {have[name] or 'missing'}" for name in PACKAGES]
    found = ", ".join([f"Python {platform.python_version()}", *told])
    missing = [name for name in PACKAGES if have[name] is None]
    if missing == ["torch"]:
        return warning("versions", found, "asks a cluster for jobs (backend: ray-jobs) and trains nothing itself; "
                                          "pip install -c infra/constraints.txt torch brings the rest")
    if missing:
        return bad("versions", found, f"install {', '.join(missing)}: pip install -c infra/constraints.txt "
                                      "'gan-pipelines[pipelines]'")
    if not constraints.exists():
        return good("versions", found, "not a checkout: nothing to compare them with")
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)", constraints.read_text(encoding="utf-8"), re.MULTILINE))
    others = [f"{name} {pinned[name]}" for name in PACKAGES if name in pinned and have[name] != pinned[name]]
    if others:
        return warning("versions", found, f"not what was tested together: {', '.join(others)}; "
                                          "pip install -c infra/constraints.txt takes those")
    return good("versions", found, "tested together (infra/constraints.txt)")


def processors() -> Finding:
    """CPUs and memory that this process may use."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    left = _memory() if _version("torch") else None
    memory = "memory unknown" if left is None else f"{left / 1e9:.0f} GB of memory free"
    return good("CPUs, memory", f"{cpus} CPUs, {memory}",
                "a training worker takes a CPU; `gan config show` counts the memory of a run")


def _memory() -> int | None:
    from gan_core.train.memory import of_host  # beside what asks GPUs, which imports torch

    return of_host()


def gpus() -> Finding:
    """CUDA devices, with what training on several of them uses."""
    if _version("torch") is None:
        return good("GPUs", "not asked, without torch", "a cluster's jobs use those of its own")
    return probed("GPUs", _gpus, "PyTorch's CUDA does not work here: look at the driver (nvidia-smi), and that the "
                                 "version of torch is built for it")


def _gpus() -> Finding:
    import torch

    if not torch.cuda.is_available():
        return good("GPUs", "none", "trains on the CPU")
    devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    names = ", ".join(f"{device.name} ({device.total_memory / 1e9:.0f} GB)" for device in devices)
    nccl = ".".join(map(str, torch.cuda.nccl.version())) if torch.distributed.is_nccl_available() else "missing"
    bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    found = f"{len(devices)}: {names}; NCCL {nccl}, {'with' if bfloat16 else 'without'} bfloat16"
    if nccl == "missing" and len(devices) > 1:
        return warning("GPUs", found, "several workers would speak by gloo, slowly: install a torch with NCCL")
    return good("GPUs", found, "trains on them, a worker each")


def disks(store: Store) -> Iterator[Finding]:
    """Room where a run keeps things here: a local store, copies of a remote one's shards, temporary files."""
    from gan_core.data.cache import cache_bound

    temporary = Path(tempfile.gettempdir())
    if store.is_local:
        yield _room("room: store", store.local_path(""), "name another --store, or remove what nothing needs")
        yield _room("room: TMPDIR", temporary, "make room, or set TMPDIR to a larger disk")
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gan-pipelines"
    larger = "make room, or set XDG_CACHE_HOME to a larger disk"
    yield probed("room: shards", lambda: _room("room: shards", cache, larger, cache_bound()), larger)
    yield _room("room: TMPDIR", temporary, "artefacts are built there first: set TMPDIR to a larger disk")


def _room(name: str, folder: Path, advice: str, bound: int | None = None) -> Finding:
    """bound: bytes that are kept there at most."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / 1e9:.0f} GB free in {folder}"
    if not os.access(there, os.W_OK):
        return bad(name, f"{there} cannot be written", advice)
    if free < LITTLE_ROOM:
        return warning(name, f"{free / 1e9:.1f} GB free in {folder}", f"a run may end for want of room: {advice}")
    if bound is not None:
        return good(name, found, f"at most {bound / 1e9:.0f} GB are kept there (GAN_CACHE_BYTES)")
    return good(name, found, "enough to begin with")


def plug_ins() -> Finding:
    """Plug-in files that the environment names, by loading them."""
    files = plugin_files.named()
    if not files:
        return good("plug-ins", "no files named", f"`--plugin FILE.py` or {plugin_files.VARIABLE} names them")
    try:
        for file in files:
            plugin_files.load(file)
    except ConfigError as error:
        return bad("plug-ins", str(error), "every command here stops at it")
    return good("plug-ins", f"loaded: {', '.join(file.name for file in files)}", "they must lie there on every machine")


def _version(name: str) -> str | None:
    """Without what says for which processor it was built."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None
