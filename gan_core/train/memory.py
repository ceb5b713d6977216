"""How much memory a worker can still take: of its GPU, or of its host within the control groups that it is in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

PROC, GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def available(device: torch.device) -> int | None:
    """Bytes for this worker, when the workers of its host share evenly what is left; None where nobody says."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # set by torchrun and by Ray Train
    if device.type == "cuda":
        left = torch.cuda.mem_get_info(device)[0]
        return left // -(-here // torch.cuda.device_count())
    return None if (left_here := of_host()) is None else left_here // here


def of_host(proc: Path = PROC, groups: Path = GROUPS) -> int | None:
    """Bytes that a process on this host can still take.

    proc, groups: the kernel's views of processes and of control groups.  None where there are none, as on macOS.
    """
    left = [limit - used for limit, used in _limits(proc, groups)]
    if (host := _read(proc / "meminfo")) is not None:
        left += [int(line.split()[1]) * 1024 for line in host.splitlines() if line.startswith("MemAvailable:")]
    return max(0, min(left)) if left else None


def _limits(proc: Path, groups: Path) -> Iterator[tuple[int, int]]:
    """(limit, in use) of each control group that this process is in and that limits memory.

    Files that were read and can be dropped are not in use.
    """
    for line in (_read(proc / "self" / "cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            names, root = ("memory.max", "memory.current", "inactive_file"), groups
        elif "memory" in controllers.split(","):
            names, root = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"), groups / "memory"
        else:
            continue
        inner = root / path.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder.is_relative_to(root) and (found := _limit(folder, *names)) is not None:
                yield found


def _limit(folder: Path, limit: str, used: str, droppable: str) -> tuple[int, int] | None:
    most, now, details = (_read(folder / name) for name in (limit, used, "memory.stat"))
    if most is None or now is None or not most.strip().isdecimal():  # "max" is no limit
        return None
    cached = [int(line.split()[1]) for line in (details or "").splitlines() if line.startswith(f"{droppable} ")]
    return int(most), int(now) - sum(cached)


def _read(path: Path) -> str | None:
    """None for a file that is not there or not for us."""
    try:
        return path.read_text()
    except OSError:
        return None
