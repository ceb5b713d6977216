"""Batch normalisation over the global batch, so that N workers normalise as one would."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import batch_norm

MOMENTUM = 0.1  # share of each batch in the running statistics, torch's default


class SumOverWorkers(torch.autograd.Function):
    """The sum of a tensor over the workers; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        total: Tensor = SumOverWorkers.apply(gradients[0])
        return total


class BatchNorm(nn.BatchNorm2d):
    """x: [n, C, …], normalised per channel over the images of all workers (Ioffe & Szegedy 2015).

    On one worker this is torch's batch norm.  On several, each worker's mean and variance reach all by one
    differentiable all-reduce and are merged, on CPUs (where torch's SyncBatchNorm refuses to run) and GPUs alike.
    Running statistics are equal on all workers at every step.  State dicts are those of nn.BatchNorm2d.
    """

    def forward(self, input: Tensor) -> Tensor:
        alone = not dist.is_available() or not dist.is_initialized() or dist.get_world_size() == 1
        if self.training:
            self.num_batches_tracked.add_(1)  # type: ignore[union-attr]
        if self.training and not alone:
            return self._over_all_workers(input)
        return batch_norm(
            input, self.running_mean, self.running_var, self.weight, self.bias, self.training, MOMENTUM, self.eps
        )

    def _over_all_workers(self, x: Tensor) -> Tensor:
        over = [axis for axis in range(x.dim()) if axis != 1]
        count = x.new_tensor([x.numel() // x.shape[1]])
        ours = torch.cat([x.mean(over), x.var(over, correction=0), count])
        table = x.new_zeros(dist.get_world_size(), len(ours)).index_put((torch.tensor(dist.get_rank()),), ours)
        theirs = SumOverWorkers.apply(table)  # a row a worker
        means, variances, counts = theirs.split([x.shape[1], x.shape[1], 1], dim=1)
        total = counts.sum().detach()
        mean = (counts * means).sum(0) / total
        # Chan et al. 1979: no difference of large numbers, as Σx² − (Σx)² would be
        variance = (counts * (variances + (means - mean).square())).sum(0) / total
        self._track(mean.detach(), variance.detach() * (total / (total - 1)))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        shape = [1, -1] + [1] * (x.dim() - 2)
        normalised: Tensor = x * scale.view(shape) + shift.view(shape)
        return normalised

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        with torch.no_grad():
            self.running_mean.lerp_(mean, MOMENTUM)
            self.running_var.lerp_(variance, MOMENTUM)
