"""Searches that train in a second, and what Tune would hear of their trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gan_core.config import Experiment
from gan_core.data.shards import Shards, open_shards
from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines.tuning.records import TrialSettings, read_trial, trial_prefix, write
from pipelines.tuning.setting import Setting
from pipelines.tuning.settings import LOOKS, POSITION, VALUE
from pipelines.tuning.trial import run_trial

Make = Callable[..., Experiment]
RATE, OTHER_RATE = (f"model.{network}_optimizer.learning_rate" for network in ("generator", "discriminator"))
HALF_LIFE = "train.ema_half_life"
SPACE = {RATE: "loguniform(1e-4, 1e-2)", HALF_LIFE: "uniform(100, 1000)"}
SHARDS, FEATURES = "shards/digits", "features/random"


def searched(make: Make, tune: Mapping[str, Any] | None = None, **blocks: Any) -> Experiment:
    """The tiny experiment with a search of four trials, each of three looks at 128 images, and these settings."""
    block = {"space": SPACE, "samples": 4, "images": 384, "look_every": 128, "look_samples": 64, **(tune or {})}
    return make(tune=block, **blocks)


@dataclass
class Heard:
    """What Tune was told.  ends_at: the position at which the process of the trial is ended."""

    told: list[dict[str, Any]] = field(default_factory=list)
    ends_at: int | None = None

    def report(self, result: Mapping[str, Any]) -> None:
        """Takes the place of `ray.tune.report`."""
        self.told.append(dict(result))
        if result[POSITION] == self.ends_at:
            raise SystemExit

    @property
    def positions(self) -> list[int]:
        return [result[POSITION] for result in self.told]

    @property
    def looks(self) -> list[int]:
        return [result[LOOKS] for result in self.told]

    @property
    def values(self) -> list[float]:
        return [result[VALUE] for result in self.told]


@dataclass(frozen=True)
class Bench:
    """One search in a store of shards and features, and the one process that its trials run in."""

    store: Store
    prefix: str
    heard: Heard

    @property
    def shards(self) -> Shards:
        return open_shards(self.store, SHARDS)

    def digest(self, prefix: str) -> str:
        manifest = read_manifest(self.store, prefix)
        assert manifest is not None
        return manifest.digest

    def setting(self, experiment: Experiment, start: str = "first", *, last_look_only: bool = False) -> Setting:
        """Of one start of the search."""
        return Setting(
            store=self.store.url, search=self.prefix, experiment=experiment.as_json(), shards=SHARDS,
            features=FEATURES, shards_digest=self.digest(SHARDS), parents=(), start=start, threads=1,
            last_look_only=last_look_only, profile={},
        )

    def propose(self, number: int, params: dict[str, Any], seed: int = 0) -> dict[str, Any]:
        """Writes a trial's settings, as the searcher does; the configuration that Tune gives the trial function."""
        at = trial_prefix(self.prefix, number)
        if read_trial(self.store, at) is None:
            write(self.store, f"{at}/trial.json", TrialSettings(number=number, params=params, seed=seed))
        return {"at": at, "number": number, "changes": 0, "params": params}

    def run(
        self, experiment: Experiment, number: int, params: dict[str, Any], start: str = "first", seed: int = 0
    ) -> None:
        """One start of a trial."""
        run_trial(self.propose(number, params, seed), self.setting(experiment, start))
