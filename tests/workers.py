"""Training processes for tests, forked from one that has imported torch: to import it in each takes seconds."""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import set_forkserver_preload
from typing import Any

from torch.multiprocessing.spawn import start_processes

IMPORTED = ["torch._dynamo", "pandas", "gan_core.train.loop", "gan_core.recipes.image_gan", "gan_core.models.dcgan"]
"""Before the first fork.  torch imports the first when it makes an optimizer, pyarrow the second when it reads."""


def run_workers(work: Callable[..., None], arguments: tuple[Any, ...], count: int) -> None:
    """work(rank, *arguments) in so many processes at once, until all have ended; an exception of one ends all."""
    set_forkserver_preload(IMPORTED)
    start_processes(work, arguments, nprocs=count, start_method="forkserver")
