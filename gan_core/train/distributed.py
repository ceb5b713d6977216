"""The workers that share each batch: one process alone, torchrun's, or Ray's."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.futures import Future
from torch.nn.parallel import DistributedDataParallel

from gan_core.own_time import OWN
from gan_core.train.patience import WORKERS_WAIT_S

if TYPE_CHECKING:
    from torch.distributed import GradBucket  # type: ignore[attr-defined]

# torch 2.13 renames the argument and warns of the old name; earlier releases know the old one only
_renamed = "forward_sync_buffers" in signature(DistributedDataParallel.__init__).parameters
UNSYNCED_BUFFERS: dict[str, Any] = {"forward_sync_buffers" if _renamed else "broadcast_buffers": False}
# likewise
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor


@dataclass(frozen=True)
class Workers:
    """This process among the workers.  control: a group of CPUs for small numbers, so that no GPU is waited for."""

    rank: int
    world: int
    device: torch.device
    control: dist.ProcessGroup | None = None

    @staticmethod
    def current() -> Workers:
        """The process group that is set up, or one worker alone; a GPU of its own where each worker has one."""
        if not dist.is_available() or not dist.is_initialized():
            return Workers(0, 1, own_device())
        waits = timedelta(seconds=WORKERS_WAIT_S)  # a new group's own half hour is less than rank 0 waits for the store
        control = None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo", timeout=waits)
        return Workers(dist.get_rank(), dist.get_world_size(), own_device(), control)

    @property
    def lead(self) -> bool:
        """Whether this worker writes and reports."""
        return self.rank == 0

    def share_gradients(self, network: nn.Module) -> nn.Module:
        """The network, averaging its gradients over the workers when it is run backward."""
        if self.world == 1 or not any(True for _ in network.parameters()):
            return network
        devices = [self.device] if self.device.type == "cuda" else None
        # buffers are equal already (BatchNorm is over the global batch); broadcasting them breaks two forwards in
        # one backward: pytorch#175024
        shared = DistributedDataParallel(
            network, device_ids=devices, gradient_as_bucket_view=True, **UNSYNCED_BUFFERS
        )
        shared.register_comm_hook(None, mean_in_order if self.world > 2 else mean_of_two)
        return shared

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the workers."""
        if self.world > 1:
            dist.all_reduce(values)
            values /= self.world
        return values

    def largest(self, values: Tensor) -> Tensor:
        """The elementwise maximum of a tensor over the workers."""
        if self.world > 1:
            dist.all_reduce(values, op=dist.ReduceOp.MAX)
        return values

    def gathered(self, values: Tensor) -> Tensor:
        """[world, *values.shape]: the tensors of all workers, in the order of their ranks."""
        every = [torch.empty_like(values) for _ in range(self.world)]
        if self.world > 1:
            dist.all_gather(every, values)
        return torch.stack(every if self.world > 1 else [values])

    def tensor_of_lead(self, values: Tensor) -> Tensor:
        """Rank 0's tensor, on every worker."""
        if self.world > 1:
            dist.broadcast(values, src=0)
        return values

    def told_by_all(self, numbers: Sequence[float]) -> list[list[float]]:
        """The numbers of each worker, in the order of ranks; as many of each."""
        ours = torch.tensor(numbers, dtype=torch.float64)
        every = [torch.empty_like(ours) for _ in range(self.world)]
        if self.world > 1:
            dist.all_gather(every, ours, group=self.control)
        return [theirs.tolist() for theirs in (every if self.world > 1 else [ours])]

    def names(self, own: str) -> list[str]:
        """A text of each worker, in the order of ranks."""
        every = [own] * self.world
        if self.world > 1:
            dist.all_gather_object(every, own, group=self.control)
        return every

    def told_by_lead(self, number: int) -> int:
        """Rank 0's number, on every worker."""
        if self.world == 1:
            return number
        return self.begin_to_tell(number).result()

    def begin_to_tell(self, number: int) -> Told:
        """Rank 0's number on its way to every worker, beside what else they do."""
        told = torch.tensor([number], dtype=torch.int64)
        work = dist.broadcast(told, src=0, group=self.control, async_op=True) if self.world > 1 else None
        return Told(told, work)


@dataclass(frozen=True)
class Told:
    """A number that is on its way."""

    number: Tensor
    work: dist.Work | None

    def result(self) -> int:
        """The number, waited for."""
        if self.work is not None:
            self.work.wait()
        return int(self.number.item())


def mean_in_order(state: None, bucket: GradBucket) -> Future[Tensor]:
    """A bucket's mean over the workers, each element summed in the order of their ranks.

    A ring sums each element in an order that depends on where in a bucket it stands, and DDP deals gradients to
    buckets anew after its first step: of three workers or more, a resumed run would differ in its last bits.  Here
    each worker adds up one stretch of everybody's bucket and sends it to all: as many bytes as a ring moves.
    """
    ours = bucket.buffer()
    world = dist.get_world_size()
    padded = torch.nn.functional.pad(ours, (0, -len(ours) % world))
    theirs = torch.empty_like(padded)
    with OWN.others():
        dist.all_to_all_single(theirs, padded)
    total, *others = theirs.chunk(world)
    for other in others:
        total.add_(other)
    mean = total.div_(world)
    with OWN.others():
        _all_gather(padded, mean)
    done: Future[Tensor] = Future()
    done.set_result(ours.copy_(padded[: len(ours)]))
    return done


def mean_of_two(state: None, bucket: GradBucket) -> Future[Tensor]:
    """A bucket's mean over two workers, beside the backward pass: what DDP does by itself, and when it was handed over.

    Half of one and half of the other: a sum of two has one order.
    """
    OWN.handed_over()
    return allreduce_hook(dist.distributed_c10d._get_default_group(), bucket)


for _hook in (mean_in_order, mean_of_two):
    _hook.__annotations__.clear()  # DDP wants them as objects or not at all, and here they are text


def own_device() -> torch.device:
    """cuda:i for the i-th worker of this host when there are as many GPUs as workers, else the CPU or GPU 0."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    local = int(os.environ.get("LOCAL_RANK", "0"))
    return torch.device("cuda", local % torch.cuda.device_count())


def backend_for(workers_here: int) -> str:
    """nccl when each worker of this host has a GPU of its own, else gloo."""
    return "nccl" if torch.cuda.is_available() and torch.cuda.device_count() >= workers_here else "gloo"
