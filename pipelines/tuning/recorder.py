"""What became of trials, kept in the store as Tune tells of it; and when all of them end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import RayActorError, RayTaskError
from ray.tune import Callback, Stopper
from ray.tune.experiment import Trial as TuneTrial

from gan_core.errors import ConfigError, WorkersFailed
from gan_core.store import Store
from pipelines.interrupt import StopSignals
from pipelines.retries import worth_retrying
from pipelines.tuning.records import TrialEnd, read_end, write
from pipelines.tuning.settings import LOOKS, POSITION

FAILED_FIRST = 5  # trials, with none that worked, after which a search is given up
OUT_OF_TIME = "the time budget was used up"


@dataclass
class Recorder(Callback, Stopper):
    """Ends a trial that has seen all its images, and all trials when a signal, the time or nothing but failures say so.

    looks: of a trial at full length.  heard: called when something became of a trial.  left_s: of the time budget.
    failed, lost: what was said of trials that cannot be trained, and of those whose process or store was gone again
    and again.
    """

    store: Store
    looks: int
    signals: StopSignals
    heard: Callable[[], None]
    left_s: float | None
    failed: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    worked: bool = False
    began: float = field(default_factory=time.monotonic)

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        return bool(result[LOOKS] >= self.looks)

    def stop_all(self) -> bool:
        return bool(self.signals.number) or self.out_of_time or self._hopeless

    @property
    def out_of_time(self) -> bool:
        return self.left_s is not None and time.monotonic() - self.began > self.left_s

    @property
    def _hopeless(self) -> bool:
        return not self.worked and len(self.failed) >= FAILED_FIRST

    def on_trial_result(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, result: Mapping[str, Any], **info: Any
    ) -> None:
        self.worked = self.worked or result[POSITION] > 0
        self.heard()

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """A trial that has failed has said so itself."""
        if self.signals.number:
            return
        at, end = trial.config["at"], read_end(self.store, trial.config["at"])
        if end is None and self.store.exists(f"{at}/trial.json"):
            self.end(at, finished=trial.last_result.get(LOOKS, 0) >= self.looks)
        elif end is not None and end.status == "failed":
            self.failed.append(end.problem)
        self.heard()

    def on_trial_recover(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """Before a further try."""
        why = _in_words(_cause(trial))
        print(f"gan: trial {trial.config['number']}: {why}; it goes on from its newest checkpoint", file=sys.stderr,
              flush=True)

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: Any) -> None:
        """After all further tries."""
        error = _cause(trial)
        if error is not None and worth_retrying(error) and not isinstance(error, RayActorError):
            self.lost.append(str(error))
        else:
            problem = _in_words(error)
            self.failed.append(problem)
            write(self.store, f"{trial.config['at']}/ended.json", TrialEnd(status="failed", problem=problem))
        self.heard()

    def end(self, at: str, *, finished: bool) -> None:
        """Records that a trial has no work left."""
        why = OUT_OF_TIME if self.out_of_time and not finished else ""
        write(self.store, f"{at}/ended.json", TrialEnd(status="finished" if finished else "stopped", problem=why))

    def raise_what_failed(self) -> None:
        """ConfigError where not one trial worked, WorkersFailed where some are left to be tried again."""
        if self.failed and not self.worked:
            raise ConfigError(f"none of the first {len(self.failed)} trials could be trained; the last said: "
                              f"{self.failed[-1]}")
        if self.lost:
            raise WorkersFailed(f"{len(self.lost)} trials are not finished, as what they need was gone again and "
                                f"again; the last said: {self.lost[-1]}; the same command goes on")

    def __deepcopy__(self, known: Mapping[int, Any]) -> Recorder:
        return self  # Tune copies what it is given, and the one that it tells must be the one that is asked

    def __reduce__(self) -> tuple[Any, ...]:
        return str, ()  # Tune keeps its callbacks in a file that nobody reads


def _cause(trial: TuneTrial) -> BaseException | None:
    """What the trial's function raised, or what became of its process."""
    error: BaseException | None = trial.get_pickled_error()
    while isinstance(error, RayTaskError) and isinstance(error.cause, BaseException):
        error = error.cause
    return error


def _in_words(error: BaseException | None) -> str:
    if error is None or isinstance(error, RayActorError):
        return "its process or its machine died; the kernel's log has what was killed for want of memory"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
