"""Ray Train's trainer without the helper processes that a run of ours has no use for.

Beside its controller and the workers, Ray Train starts four actors, each a process of a second or two of import: one
that hands out Ray Data's sets, one that asks an autoscaler for room, one that frees the workers' room should the
controller be killed, one that keeps the workers' reports in step.  Our data does not come from Ray Data; Ray on one
machine has no autoscaler, and ends with the run, room and all.  The last is needed.  On a cluster all but the first
are; the one that frees room is then not waited for at the end.
"""

from __future__ import annotations

from typing import Any

import ray
from ray._private import state
from ray.train.v2._internal.callbacks import placement_group_callback
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.context import TrainRunContext
from ray.train.v2._internal.execution.controller import placement_group_cleaner
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.torch.torch_trainer import TorchTrainer


class LeanTrainer(TorchTrainer):
    """A TorchTrainer for training that reads its data itself.  on_this_machine: Ray was started here for this run."""

    def __init__(self, *arguments: Any, on_this_machine: bool, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._on_this_machine = on_this_machine

    def _initialize_and_run_controller(self, **parts: Any) -> Any:
        unused: tuple[type, ...] = (DatasetsCallback,)
        if self._on_this_machine:
            unused = (DatasetsCallback, PlacementGroupCleanerCallback)
            if isinstance(parts["scaling_policy"], FixedScalingPolicy):  # the elastic one is told by it what is free
                parts["scaling_policy"] = _WithoutAutoscaler(parts["scaling_policy"].scaling_config)
        parts["callbacks"] = [
            _CleanerThatIsKilled() if isinstance(callback, PlacementGroupCleanerCallback) else callback
            for callback in parts["callbacks"] if not isinstance(callback, unused)
        ]
        return super()._initialize_and_run_controller(**parts)


class _Cleaner(placement_group_cleaner.PlacementGroupCleaner):
    """Ray's own, which asks the dashboard whether the controller lives, and frees nothing where none answers."""

    def start_monitoring(self) -> bool:
        vars(placement_group_cleaner)["is_actor_alive"] = _is_alive
        return bool(super().start_monitoring())


def _is_alive(actor_id: str, timeout: float) -> bool:
    """Whether an actor lives, by the word of the cluster's control service, which every cluster has."""
    return bool(state.actors(actor_id).get("State") != "DEAD")


class _CleanerThatIsKilled(PlacementGroupCleanerCallback):
    """Frees the workers' room should the controller be killed; a run that ends well does not wait for it."""

    def after_controller_start(self, train_run_context: TrainRunContext) -> None:
        vars(placement_group_callback)["PlacementGroupCleaner"] = _Cleaner
        super().after_controller_start(train_run_context)

    def _stop_cleaner(self) -> None:
        """Ray's own way asks it to end and waits: its thread does not answer, and 12 s pass."""
        cleaner: Any = self._cleaner  # a handle on it, whatever Ray's annotation says
        if cleaner is not None:
            ray.kill(cleaner)
            self._cleaner = None


class _WithoutAutoscaler(FixedScalingPolicy):
    """Always as many workers as asked for, and nobody told of it."""

    def after_controller_start(self, train_run_context: TrainRunContext) -> None:
        """Would start the actor that speaks with an autoscaler."""

    def _maybe_send_resource_request(self) -> None:
        """Would speak with it."""

    async def before_controller_shutdown(self) -> None:
        """Would take the request back."""

    def before_controller_abort(self) -> None:
        """Would take the request back."""
