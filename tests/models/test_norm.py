from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from gan_core.models.checkpointing import again
from gan_core.models.norm import BatchNorm, each_by_itself
from tests.workers import run_workers

CHANNELS, ROWS, WORKERS, STEPS = 3, 8, 2, 3
HALVES = ([0, 1, 4, 5], [2, 3, 6, 7])  # what each worker has of two kinds, 0 … 3 and 4 … 7
Facts = dict[str, Tensor]


def images(step: int, dtype: torch.dtype) -> Tensor:
    drawn = torch.randn(ROWS, CHANNELS, 4, 5, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
    return (drawn * torch.tensor([0.1, 1, 10])[:, None, None] + torch.tensor([0.0, -1, 5])[:, None, None]).to(dtype)


def batch_norm(kind: type[nn.BatchNorm2d], dtype: torch.dtype) -> nn.BatchNorm2d:
    """With weights that differ from channel to channel."""
    norm = kind(CHANNELS).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.5, 1.0, 2.0]))
        norm.bias.copy_(torch.tensor([-1.0, 0.0, 3.0]))
    return norm.train()


def facts(
    norm: nn.BatchNorm2d, rows: slice | list[int], dtype: torch.dtype, stretches: int = 1, checkpointing: bool = False
) -> Facts:
    """Outputs, gradients of first and second order, and running statistics after some steps on these rows."""
    found: Facts = {}
    weights = dict(norm.named_parameters())
    for step in range(STEPS):
        x = images(step, dtype)[rows].requires_grad_()
        with each_by_itself(stretches):
            out = again(norm, x) if checkpointing else norm(x)
        loss = (out.sin() * torch.linspace(-1, 1, 20, dtype=dtype).view(4, 5)).sum()
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), x, retain_graph=True)
        found |= {f"{step}/output": out, f"{step}/gradient": gradient, f"{step}/second": second}
        if weights:
            gradients = torch.autograd.grad(loss, [*weights.values()])
            found |= {f"{step}/{name}": of for name, of in zip(weights, gradients, strict=True)}
    return {name: tensor.detach() for name, tensor in (found | norm.state_dict()).items()}


def work(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=WORKERS)
    rows = slice(rank * ROWS // WORKERS, (rank + 1) * ROWS // WORKERS)
    for dtype in (torch.float32, torch.float64):
        torch.save(facts(batch_norm(BatchNorm, dtype), rows, dtype), f"{folder}/{rank}-{dtype}.pt")
        apart = facts(batch_norm(BatchNorm, dtype), HALVES[rank], dtype, stretches=2)
        torch.save(apart, f"{folder}/{rank}-{dtype}-apart.pt")
        bare = BatchNorm(CHANNELS, affine=False, dtype=dtype)
        torch.save(facts(bare, rows, dtype, checkpointing=True), f"{folder}/{rank}-{dtype}-bare.pt")
        kept = facts(batch_norm(BatchNorm, dtype), HALVES[rank], dtype, stretches=2, checkpointing=True)
        torch.save(kept, f"{folder}/{rank}-{dtype}-again.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two workers found with half the batch each."""
    folder = tmp_path_factory.mktemp("norm")
    run_workers(work, (str(folder),), WORKERS)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # float64 shows that the mathematics is the same; float32 that nothing is lost to cancellation in E[x²] − E[x]²
    [(torch.float64, 1e-10), (torch.float32, 1e-4)],
)
def test_two_workers_with_half_the_batch_normalise_as_one_with_all_of_it(
    worked: Path, dtype: torch.dtype, tolerance: float
) -> None:
    whole = facts(batch_norm(nn.BatchNorm2d, dtype), slice(None), dtype)
    first, second = (torch.load(worked / f"{rank}-{dtype}.pt", weights_only=True) for rank in range(WORKERS))
    for name, want in whole.items():
        step, _, kind = name.rpartition("/")
        if kind in ("weight", "bias") and step:  # each worker has its rows' part; DDP adds them
            found = first[name] + second[name]
        elif step:
            found = torch.cat([first[name], second[name]])
        else:
            assert torch.equal(first[name], second[name]), name
            found = first[name]
        scale = want.abs().max().clamp_min(1)
        assert (found - want).abs().max() <= tolerance * scale, name


def two_calls(dtype: torch.dtype) -> Facts:
    """What torch's batch norm finds when it sees one kind after the other."""

    class Apart(nn.BatchNorm2d):
        def forward(self, input: Tensor) -> Tensor:
            return torch.cat([super(Apart, self).forward(kind) for kind in input.chunk(2)])

    return facts(batch_norm(Apart, dtype), slice(None), dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)])
def test_two_workers_keep_kinds_apart_as_two_calls_would(worked: Path, dtype: torch.dtype, tolerance: float) -> None:
    parts = [torch.load(worked / f"{rank}-{dtype}-apart.pt", weights_only=True) for rank in range(WORKERS)]
    for name, want in two_calls(dtype).items():
        step, _, kind = name.rpartition("/")
        if kind in ("weight", "bias") and step:
            found = parts[0][name] + parts[1][name]
        elif step:
            found = torch.empty_like(want)
            for rows, part in zip(HALVES, parts, strict=True):
                found[rows] = part[name]
        else:
            found = parts[0][name]
        assert (found - want).abs().max() <= tolerance * want.abs().max().clamp_min(1), name


@pytest.mark.slow
def test_two_workers_normalise_without_gains_what_is_computed_again(worked: Path) -> None:
    dtype = torch.float64
    whole = facts(nn.BatchNorm2d(CHANNELS, affine=False, dtype=dtype), slice(None), dtype)
    first, second = (torch.load(worked / f"{rank}-{dtype}-bare.pt", weights_only=True) for rank in range(WORKERS))
    assert first.keys() == whole.keys()
    for name, want in whole.items():
        found = torch.cat([first[name], second[name]]) if "/" in name else first[name]
        torch.testing.assert_close(found, want, msg=name)


@pytest.mark.slow
def test_two_workers_compute_the_same_again_bit_for_bit(worked: Path) -> None:
    for rank in range(WORKERS):
        apart, kept = (torch.load(worked / f"{rank}-{torch.float32}-{name}.pt", weights_only=True)
                       for name in ("apart", "again"))
        assert apart.keys() == kept.keys()
        assert all(torch.equal(apart[name], tensor) for name, tensor in kept.items())


def test_one_worker_keeps_kinds_apart_as_two_calls_would() -> None:
    found = facts(batch_norm(BatchNorm, torch.float64), slice(None), torch.float64, stretches=2)
    wanted = two_calls(torch.float64)
    assert found.keys() == wanted.keys()
    for name, want in wanted.items():
        torch.testing.assert_close(found[name], want, msg=name)


def test_in_evaluation_kinds_are_not_told_apart() -> None:
    norm, x = batch_norm(BatchNorm, torch.float32).eval(), images(0, torch.float32)
    with each_by_itself(2):
        assert torch.equal(norm(x), norm(x))
        assert norm(x[:3]).shape == (3, CHANNELS, 4, 5)


def test_one_worker_is_torch_s_batch_norm_bit_for_bit() -> None:
    ours, theirs = (facts(batch_norm(kind, torch.float32), slice(None), torch.float32)
                    for kind in (BatchNorm, nn.BatchNorm2d))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_in_evaluation_it_is_torch_s_batch_norm_bit_for_bit_and_learns_nothing() -> None:
    ours, theirs = batch_norm(BatchNorm, torch.float32), batch_norm(nn.BatchNorm2d, torch.float32)
    ours(images(0, torch.float32))
    theirs.load_state_dict(ours.state_dict())
    kept = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    x = images(1, torch.float32)
    assert torch.equal(ours.eval()(x), theirs.eval()(x))
    assert all(torch.equal(kept[name], tensor) for name, tensor in ours.state_dict().items())


def test_state_dicts_are_those_of_torch_s_batch_norm() -> None:
    ours, theirs = BatchNorm(CHANNELS), nn.BatchNorm2d(CHANNELS)
    assert {name: tensor.shape for name, tensor in ours.state_dict().items()} \
        == {name: tensor.shape for name, tensor in theirs.state_dict().items()}
