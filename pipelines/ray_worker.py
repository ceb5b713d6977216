"""What each training worker runs under Ray Train: the core's loop, with a reporter that fits Ray.

Ray keeps nothing that is needed: checkpoints are the core's own, in the store, and a restart finds them there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import ray.train

from gan_core.config import experiment_from
from gan_core.data.shards import open_shards
from gan_core.errors import GanError, StoreError
from gan_core.manifest import MANIFEST, Parent
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.loop import fit
from gan_core.train.measure import Compare
from gan_core.train.patience import PatientStore
from pipelines.features import fd_domain_in, figures_in
from pipelines.json_log import JsonLog, is_wanted
from pipelines.keys import PREFIX_CHARS
from pipelines.ray_reporter import RayReporter
from pipelines.stop import Orders
from pipelines.training_metrics import TrainingMetrics
from pipelines.worker_errors import as_text, from_text

_here: RayReporter | None = None  # of the rank that this process is


def train_on_worker(config: dict[str, Any]) -> bool:
    """One start of the run on this worker.  True when the run is finished, False when it was stopped."""
    global _here
    store = Store(config["store"])
    patient = PatientStore(store)  # a restart in an outage of the store waits for it
    place = RunPlace(store, config["prefix"], config["key"])
    # Ray restarts after any error; this one would only come again
    raise_recorded(replace(place, store=patient), config["fit_id"])
    rank, name = ray.train.get_context().get_world_rank(), config["experiment"]["name"]
    orders = Orders(Store(config["store"]), place.prefix, config["fit_id"], _preemption) if rank == 0 else None
    metrics = TrainingMetrics(name, place.key[:PREFIX_CHARS]) if rank == 0 and config["metrics"] else None
    log = JsonLog(name, "train", place.key[:PREFIX_CHARS], rank=rank) if is_wanted() else None
    _here = RayReporter(orders, metrics, log)
    if orders is not None and place.newest_attempt() > config["attempts"]:
        orders.say(_goes_on(place))
    try:
        with orders or nullcontext(), log.telling() if log else nullcontext():
            return fit(
                experiment_from(config["experiment"]),
                open_shards(patient, config["shards"]),
                place,
                _here,
                parents=tuple(Parent(**parent) for parent in config["parents"]),
                threads=config["threads"],
                compare=_compare(patient, config),
            )
    except GanError as error:
        with suppress(StoreError):  # a full disk takes no record either; Ray carries the error's text
            store.write(_failure(place, config["fit_id"]), as_text(error).encode())
        raise


def _compare(store: Store, config: Mapping[str, Any]) -> Compare | None:
    """What measures samples as training goes on; None where nobody does."""
    if not config["features"]:
        return None
    if not config["figures"]:
        return partial(fd_domain_in, store, config["features"])
    return partial(figures_in, store, config["features"], config["figures"])


def checkpoint_now(timeout_s: float) -> bool:
    """In the process of rank 0, beside training: has a checkpoint made and waits until it is whole in the store.

    False when that takes longer.
    """
    reporter = _here
    if reporter is None or reporter.orders is None:
        return False
    before, store = reporter.saved, reporter.orders.store
    reporter.orders.want_checkpoint()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        path = reporter.saved.removeprefix(store.url + "/")
        if reporter.saved != before and store.exists(f"{path}/{MANIFEST}"):
            return True
        time.sleep(0.05)
    return False


def raise_recorded(place: RunPlace, fit_id: str) -> None:
    """The error that ended this start of the run, raised again; nothing when there is none that a person can mend."""
    try:
        told = place.store.read(_failure(place, fit_id)).decode()
    except FileNotFoundError:
        return
    raise from_text(told)


def _failure(place: RunPlace, fit_id: str) -> str:
    return f"{place.prefix}/failures/{fit_id}.json"


def _preemption() -> str | None:
    """Why a checkpoint is wanted at once, when Ray knows that a node of this run will be taken away.

    ray.train.get_preemption_info() is a barrier of all workers, and would be one more at every step; this is what it
    would tell all of them.
    """
    from ray.train.v2._internal.execution.context import get_train_context

    info = get_train_context().preemption_context.preemption_info
    if info is None:
        return None
    workers = ", ".join(str(rank) for rank in info.preempted_ranks)
    left = "" if info.deadline_ms is None else f" in {max(0, info.deadline_ms / 1000 - time.time()):.0f} s"
    return f"the node of worker {workers} will be taken away{left}"


def _goes_on(place: RunPlace) -> str:
    world = ray.train.get_context().get_world_size()
    workers = f"{world} worker{'s' if world > 1 else ''}"
    for name in reversed(place.checkpoints()):
        if place.store.exists(f"{place.prefix}/checkpoints/{name}/{MANIFEST}"):
            return f"training goes on with {workers} from {int(name.partition('-')[0]):,} images"
    return f"training begins again with {workers}"
