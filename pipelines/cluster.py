"""The Ray that a run works on: the profile's cluster, or one of this machine's own for as long as the run lasts."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from gan_core.errors import ConfigError, WorkersFailed
from pipelines.json_log import handed_on
from pipelines.local_ray import LocalRay
from pipelines.profile import RAY_JOBS, Profile

# has Ray's servers and workers listen on loopback alone; its name tells where Ray's own default is this
LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
MEMORY = "memory pressure"  # in what Ray says when it killed a worker so that the node could go on
CODE = Path(__file__).parent.parent
_local: LocalRay | None = None  # a process has one Ray, as it has one connection to it


def start_ray(profile: Profile, workers: int) -> None:
    """Begins to start Ray on this machine, unless the profile names a cluster, and returns at once.

    workers: training processes that must find room.
    """
    global _local
    if _local is None and profile.ray.address is None:
        if "RAY_AUTH_MODE" not in os.environ:  # other users of this machine can reach its ports, and must not
            os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
        os.environ.update(LOOPBACK)
        cpus = max(os.cpu_count() or 1, workers * profile.cpus_per_worker)
        _local = LocalRay.start(cpus, {"RAY_USAGE_STATS_ENABLED": "0"})


def connect(profile: Profile, workers: int) -> None:
    """Connects this process, starting Ray where it is not yet.  WorkersFailed when nothing answers.

    ConfigError for a profile whose cluster takes jobs only.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    start_ray(profile, workers)
    import ray  # takes a second, and reads its environment once

    if ray.is_initialized():
        return
    if profile.backend == RAY_JOBS:
        raise ConfigError(f"backend={profile.backend}: this command does not run as a job, it joins a cluster; a "
                          "profile with backend: local and ray.address: 127.0.0.1:6379 works, or none")
    if profile.ray.address is not None:
        _refuse_silent(profile.ray.address)
    address = profile.ray.address or (_local.address() if _local else None)
    _without_events()
    # Ray has workers look for modules in this process's folder first, and a job's is wherever Ray was started
    folder = chdir(CODE) if _in_a_job() else nullcontext()
    try:
        with folder:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, runtime_env=_for_workers())
    except ConnectionError as error:
        raise WorkersFailed(f"the Ray cluster at {address} does not take this process: {str(error).splitlines()[0]}; "
                            "is RAY_AUTH_TOKEN the cluster's, and Ray's version the same?") from error


def _without_events() -> None:
    """Ray prints long paragraphs on each node and process that died, on standard output, where nothing but a command's
    JSON belongs; ours are told in a line of our own.  What Ray itself killed for want of memory only it can say.
    """
    from ray._private import worker

    show = worker.print_worker_logs

    def show_memory(data: Any, print_file: Any, ignore_prefix: bool) -> None:
        if MEMORY in " ".join(map(str, data.get("lines", ()))):
            show(data, sys.stderr, ignore_prefix)

    vars(worker)["print_worker_logs"] = show_memory


def _for_workers() -> dict[str, Any] | None:
    """What lets workers load the plug-in files that this process was given, where those lie on their machine too, and
    has them log as it does.

    None in a Ray job: its workers have its variables already, and Ray refuses to be told twice.
    """
    if _in_a_job():
        return None
    files = os.environ.get("GAN_PLUGINS")
    variables = {**({"GAN_PLUGINS": files} if files else {}), **handed_on()}
    return {"env_vars": variables} if variables else None


def _in_a_job() -> bool:
    return "RAY_JOB_CONFIG_JSON_ENV_VAR" in os.environ


def _refuse_silent(address: str) -> None:
    """WorkersFailed when nothing listens at host:port; Ray itself would try for many minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        return  # 'auto' and the like: Ray finds the cluster itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise WorkersFailed(f"no Ray cluster answers at {address}: {error.strerror or error}; start it, correct the "
                            "profile's ray.address, or leave it out to run on this machine") from None


@contextmanager
def ray_for_a_while() -> Iterator[None]:
    """Ray that is used within the block ends with it.

    Not after Ctrl-C: threads that wait for Ray are still there then, and Ray ends a process with status 1 in which one
    touches it after its shutdown.  The end of this process ends it all.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        stop_ray()
        raise
    stop_ray()


def stop_ray() -> None:
    """Ends this process's connection, and Ray on this machine where it was started here."""
    global _local
    if "ray" in sys.modules:
        sys.modules["ray"].shutdown()
    if _local is not None:
        _local.stop()
        _local = None

