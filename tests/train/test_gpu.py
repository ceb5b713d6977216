"""The engine on a GPU: exact, and the same step as on the CPU within rounding."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from gan_core.config import Experiment, experiment_from
from gan_core.store import Store
from tests.train.runs import RUN, close_enough, curves, equal, finished, last_state, stop_at, train

pytestmark = pytest.mark.gpu
Make = Callable[..., Experiment]


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_a_resume_on_a_gpu_repeats_the_run_bit_for_bit(
    precision: str, tmp_path: Path, digits_store: Store, experiment: Make
) -> None:
    settings = experiment(model={"penalties": {"r1": {"every": 3}}},
                          train={"precision": precision, "augment": {"flip": 0.5, "shift": 1}})
    whole, parted = Store(tmp_path / "whole"), Store(tmp_path / "parted")
    assert train(whole, digits_store, settings)
    assert not train(parted, digits_store, settings, stop_at(192))
    assert train(parted, digits_store, settings)
    assert finished(whole).facts["device"] == "cuda"
    assert equal(last_state(parted), last_state(whole))
    assert curves(parted) == curves(whole)


def work(rank: int, raw: dict[str, Any], digits: str, folder: str) -> None:
    """One of two workers that share the GPU, over gloo."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2,
                            timeout=timedelta(seconds=60))
    train(Store(f"{folder}/store"), Store(digits), experiment_from(raw))
    dist.destroy_process_group()


def test_two_workers_on_one_gpu_take_the_steps_of_one(
    tmp_path: Path, digits_store: Store, experiment: Make
) -> None:
    settings = experiment(train={"precision": "float32", "images": 192, "workers": 2})
    alone, shared = Store(tmp_path / "alone"), Store(tmp_path / "store")
    assert train(alone, digits_store, settings)
    spawn(work, (settings.as_json(), digits_store.url, str(tmp_path)), nprocs=2)
    assert finished(shared).facts["worlds"] == [2]
    assert close_enough(last_state(shared), last_state(alone), learning_rate=2e-4)
    assert shared.names(f"{RUN}/checkpoints")
