"""The workers that share each batch: one process alone, torchrun's, or Ray's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

# torch 2.13 renames the argument and warns of the old name; earlier releases know the old one only
_renamed = "forward_sync_buffers" in signature(DistributedDataParallel.__init__).parameters
UNSYNCED_BUFFERS: dict[str, Any] = {"forward_sync_buffers" if _renamed else "broadcast_buffers": False}


@dataclass(frozen=True)
class Workers:
    """This process among the workers."""

    rank: int
    world: int
    device: torch.device

    @staticmethod
    def current() -> Workers:
        """The process group that is set up, or one worker alone; a GPU of its own where each worker has one."""
        grouped = dist.is_available() and dist.is_initialized()
        rank, world = (dist.get_rank(), dist.get_world_size()) if grouped else (0, 1)
        return Workers(rank, world, own_device())

    @property
    def lead(self) -> bool:
        """Whether this worker writes and reports."""
        return self.rank == 0

    def share_gradients(self, network: nn.Module) -> nn.Module:
        """The network, averaging its gradients over the workers when it is run backward."""
        if self.world == 1:
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        # buffers are equal already (BatchNorm is over the global batch); broadcasting them breaks two forwards in
        # one backward: pytorch#175024
        return DistributedDataParallel(network, device_ids=devices, **UNSYNCED_BUFFERS)

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the workers."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

    def told_by_lead(self, number: int) -> int:
        """Rank 0's number, on every worker."""
        if self.world == 1:
            return number
        told = torch.tensor([number], dtype=torch.int64, device=self.device)
        dist.broadcast(told, src=0)
        return int(told.item())


def own_device() -> torch.device:
    """cuda:i for the i-th worker of this host when there are as many GPUs as workers, else the CPU or GPU 0."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    return torch.device("cuda", local % torch.cuda.device_count())


def backend_for(workers_here: int) -> str:
    """nccl when each worker of this host has a GPU of its own, else gloo."""
    return "nccl" if torch.cuda.is_available() and torch.cuda.device_count() >= workers_here else "gloo"
