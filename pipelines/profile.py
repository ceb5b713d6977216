"""Where to run: the only thing that changes between a laptop and a cluster.  Nothing in it is in a stage key."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field

from gan_core.config import Config, Count, Elastic, read_yaml, validate
from gan_core.errors import ConfigError

PROFILES = Path("configs/profiles")


class RayConfig(Config):
    """Which Ray cluster, and how it treats failures."""

    address: str | None = Field(None, description="ray://… or host:port of a running cluster; null starts one here")
    worker_retries: int = Field(
        2, ge=0, description="restarts of the training workers, with no new checkpoint between them, before giving up")
    start_timeout_s: float | None = Field(
        None, gt=0, examples=[120],
        description="seconds to wait for room for the workers before counting the nodes again; null is 120, or 5 for "
                    "elastic workers, which then start on the nodes that are left")
    grow_check_s: float = Field(
        60, gt=0, description="elastic: seconds between looks for room for more workers; each growth restarts them")
    poll_s: float = Field(0.2, gt=0, description="seconds between looks at the training workers")
    preemption_poll_s: float = Field(
        5, gt=0, description="seconds between looks for nodes about to be taken away, on a cluster")


class Profile(Config):
    """`--profile NAME` reads configs/profiles/NAME.yaml; without it all defaults hold."""

    backend: Literal["local"] = "local"
    workers: Count | Elastic | None = Field(
        None, description="training processes, instead of the experiment's train.workers")
    cpus_per_worker: Count = 1
    retries: int = Field(
        2, ge=0, le=10, description="further tries of a stage that failed for want of a store, a network or workers")
    retry_wait_s: float = Field(
        10, ge=0, description="seconds before the first of them, twice as long before each further one")
    ray: RayConfig = RayConfig()

    @property
    def overrides(self) -> list[str]:
        """What the profile sets in an experiment, as `--set` takes it."""
        return [] if self.workers is None else [f"train.workers={json.dumps(self.model_dump()['workers'])}"]


def load_profile(name: str | None) -> Profile:
    """A profile by name or by the path of its YAML.  ConfigError names those that exist."""
    if name is None:
        return Profile()
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml"))) or "none"
        raise ConfigError(f"--profile {name}: no such file as {path}; in {PROFILES}: {known}")
    return validate(Profile, read_yaml(path), str(path))
