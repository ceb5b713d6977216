"""Where to run: the only thing that changes between a laptop and a cluster.  Nothing in it is in a stage key."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from gan_core.config import Config, Count, Elastic, read_yaml, validate
from gan_core.errors import ConfigError
from gan_core.store import holds_password
from pipelines.network import NetworkConfig

PROFILES = Path("configs/profiles")
RAY_JOBS = "ray-jobs"
JOBS_API = "http://127.0.0.1:8265"  # where `ray start --head` on this machine has it
ADDRESSES = ("GAN_RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")  # of the Jobs API, instead of the profile's


class RayConfig(Config):
    """Which Ray cluster, and how it treats failures."""

    address: str | None = Field(
        None, examples=[JOBS_API],
        description="local: ray://… or host:port of a running cluster, null starts one here; ray-jobs: the URL of the "
                    "cluster's Jobs API")
    away_s: float = Field(
        120, gt=0, description="ray-jobs: seconds that a run waits for a cluster's head that stopped answering")
    ship: Literal["code", "none"] = Field(
        "code", description="ray-jobs: code: a job brings the source of gan_core and pipelines and the plug-in files "
                            "along, and the cluster needs what they depend on; none: all of it is installed there")
    stop_wait_s: int = Field(
        300, gt=0, description="ray-jobs: seconds that a job asked to stop has for its checkpoint before it is killed")
    worker_retries: int = Field(
        2, ge=0, description="restarts of the training workers, with no new checkpoint between them, before giving up")
    start_timeout_s: float | None = Field(
        None, gt=0, examples=[120],
        description="seconds to wait for room for the workers before counting the nodes again; null is 120, or 5 for "
                    "elastic workers, which then start on the nodes that are left")
    room_wait_s: float = Field(
        3600, gt=0, description="seconds that workers wait for room which others hold, before the run gives up")
    silent_s: float = Field(
        7200, gt=0, description="seconds without one more part of a data set, block of images or shard from any of the "
                                "cluster's workers, before preparation, evaluation or generation gives up")
    grow_check_s: float = Field(
        60, gt=0, description="elastic: seconds between looks for room for more workers; each growth restarts them")
    poll_s: float = Field(0.2, gt=0, description="seconds between looks at the training workers")
    preemption_poll_s: float = Field(
        5, gt=0, description="seconds between looks for nodes about to be taken away, on a cluster")
    network: NetworkConfig = Field(NetworkConfig(), description="how the training workers reach each other")


Looked = Literal["room", "versions", "gpus", "image", "store", "disk", "clock", "network"]


class PreflightConfig(Config):
    """What is looked at on a cluster that is not this machine's own before anything starts there."""

    enabled: bool = True
    skip: tuple[Looked, ...] = Field(
        (), examples=[["image", "clock"]], description="what is not looked at")
    answer_s: float = Field(20, gt=0, description="seconds that each node has to answer, all of them at once")
    clock_s: float = Field(
        5, gt=0, description="seconds that a node's clock may differ from the command's, beyond what is uncertain")
    nodes_wait_s: float = Field(
        900, gt=0, description="seconds that a cluster's autoscaler has to start the nodes that a run asks for")


class Profile(Config):
    """`--profile NAME` reads configs/profiles/NAME.yaml; without it all defaults hold."""

    backend: Literal["local", "ray-jobs"] = Field(
        "local", description="local: stages run in the process of the command; ray-jobs: as jobs of a Ray cluster")
    workers: Count | Elastic | None = Field(
        None, description="training processes, instead of the experiment's train.workers")
    cpus_per_worker: Count = 1
    gpus_per_worker: Literal[0, 1] | None = Field(
        None, description="of each training process; null: one on a cluster that has any, and on this machine one "
                          "where it has enough for all")
    retries: int = Field(
        2, ge=0, le=10, description="further tries of a stage that failed for want of a store, a network or workers")
    retry_wait_s: float = Field(
        10, ge=0, description="seconds before the first of them, twice as long before each further one")
    ray: RayConfig = RayConfig()
    preflight: PreflightConfig = PreflightConfig()

    @model_validator(mode="after")
    def _address_is_the_backends(self) -> Self:
        address = self.ray.address
        if address is not None and holds_password(address):
            raise ValueError("ray.address: the URL holds a password; leave it out, and export RAY_AUTH_MODE=token "
                             f"and RAY_AUTH_TOKEN; {JOBS_API} works")
        if self.backend == RAY_JOBS and not _is_web_url(address):
            raise ValueError(f"ray.address={address or 'null'}: backend ray-jobs needs the URL of a cluster's Jobs "
                             f"API; {JOBS_API} works")
        if self.backend != RAY_JOBS and _is_web_url(address):
            raise ValueError(f"ray.address={address}: backend local joins a cluster at host:port; 127.0.0.1:6379 "
                             "works, or backend: ray-jobs")
        return self

    def in_a_job(self) -> Profile:
        """This profile for a process that runs on the cluster already."""
        return self.model_copy(update={"backend": "local", "ray": self.ray.model_copy(update={"address": "auto"})})

    @property
    def overrides(self) -> list[str]:
        """What the profile sets in an experiment, as `--set` takes it."""
        return [] if self.workers is None else [f"train.workers={json.dumps(self.model_dump()['workers'])}"]


def load_profile(name: str | None, ray_address: str | None = None) -> Profile:
    """A profile by name or by the path of its YAML, or the defaults.  ConfigError names those that exist.

    ray_address: of the command line.  It wins over the profile's and the environment's, and says the backend: the URL
    of a Jobs API is ray-jobs, host:port of a cluster is local.  ConfigError for what is neither.
    """
    raw, where = ({}, "--ray-address") if name is None else _read(name)
    variable = next((variable for variable in ADDRESSES if os.environ.get(variable)), None)
    if ray_address is not None:
        raw = _with_address(raw, ray_address) | {"backend": _backend_at(ray_address)}
    elif variable is not None and raw.get("backend") == RAY_JOBS:
        raw, where = _with_address(raw, os.environ[variable]), f"{where} with {variable}"
    return validate(Profile, raw, where)


def _read(name: str) -> tuple[dict[str, Any], str]:
    """What a profile's file says, and its path."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else PROFILES / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(p.stem for p in PROFILES.glob("*.yaml"))) or "none"
        raise ConfigError(f"--profile {name}: no such file as {path}; in {PROFILES}: {known}")
    return read_yaml(path), str(path)


def _with_address(raw: Mapping[str, Any], address: str) -> dict[str, Any]:
    return {**raw, "ray": {**(raw.get("ray") or {}), "address": address}}


def _backend_at(address: str) -> str:
    """The backend that works with an address of the command line."""
    if holds_password(address if "://" in address else f"ray://{address}"):
        raise ConfigError("--ray-address: the URL holds a password; leave it out, and export RAY_AUTH_MODE=token and "
                          f"RAY_AUTH_TOKEN; {JOBS_API} works")
    if _is_web_url(address):
        return RAY_JOBS
    if _is_cluster(address):
        return "local"
    raise ConfigError(f"--ray-address {address or repr(address)}: is neither the URL of a cluster's Jobs API nor "
                      f"host:port of a cluster to join; {JOBS_API} works, or 127.0.0.1:6379")


def _is_web_url(address: str | None) -> bool:
    with suppress(ValueError):  # what is no port
        parts = urlsplit(address or "")
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    return False


def _is_cluster(address: str) -> bool:
    """Whether it is host:port or ray://host:port."""
    with suppress(ValueError):
        parts = urlsplit(address if "://" in address else f"ray://{address}")
        return parts.scheme == "ray" and bool(parts.hostname) and bool(parts.port) and not parts.path
    return False
