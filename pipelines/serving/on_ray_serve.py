"""The same application as several processes of a Ray cluster, behind Ray Serve's own proxy.

Each replica is a whole server: it loads the model, follows its alias and makes batches by itself.  A replica that dies
is started again; while one is left, requests are answered.
"""

from __future__ import annotations

import logging
import signal
import threading
from typing import TYPE_CHECKING, Any

from gan_core.addresses import resolve
from gan_core.errors import ConfigError, WorkersFailed
from gan_core.store import Store
from pipelines.cluster import connect, ray_for_a_while
from pipelines.profile import Profile
from pipelines.serving.limits import Limits
from pipelines.serving.server import LOG, bound

if TYPE_CHECKING:
    from fastapi import FastAPI
    from ray.serve import Application

NAME = "gan"


def serve_on_ray(
    address: str, store: Store, precision: str, limits: Limits, at: tuple[str, int], reload_seconds: float, *,
    profile: Profile, replicas: int,
) -> None:
    """Answers until SIGTERM or Ctrl-C; then what is under way is answered, and the replicas are gone.

    at: host and port, of every node that Serve has a proxy on.  ConfigError for an address that leads nowhere, a port
    that is taken here, and more replicas than CPUs; WorkersFailed when the replicas do not start.
    """
    resolve(address, store)  # told here, before anything slow begins
    if profile.ray.address is None:
        bound(*at).close()
    asked = threading.Event()
    with ray_for_a_while():
        connect(profile, replicas)
        refuse_too_many(replicas)
        from ray import serve

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        _listening(at)
        for number in (signal.SIGTERM, signal.SIGINT):  # after Ray, which has one of its own
            signal.signal(number, lambda *_: asked.set())
        try:
            _started(_application(address, store.url, precision, limits, reload_seconds, replicas))
            LOG.info("http://%s:%d serves %s with %d replicas", *at, address, replicas)
            asked.wait()
        finally:
            serve.shutdown()
    LOG.info("stopped")


def refuse_too_many(replicas: int) -> None:
    """ConfigError for more replicas than the cluster has CPUs, for which Serve would wait for ever."""
    import ray

    cpus = int(ray.cluster_resources().get("CPU", 0))
    if replicas > cpus:
        raise ConfigError(f"--replicas {replicas}: each needs a CPU, and the cluster has {cpus}; "
                          f"--replicas {max(cpus, 1)} works")


def _application(
    address: str, store: str, precision: str, limits: Limits, reload_seconds: float, replicas: int
) -> Application:
    from ray import serve

    def build() -> FastAPI:  # on a replica
        import torch

        from pipelines.serving.app import make_app
        from pipelines.serving.reload import Source

        source = Source(address, Store(store), getattr(torch, precision))
        return make_app(source, source.load(), limits, reload_seconds)

    replica: Any = serve.ingress(build)()  # a class, which Serve's own types do not say
    deployment = serve.deployment(
        name=NAME,
        num_replicas=replicas,
        max_ongoing_requests=limits.max_waiting,
        graceful_shutdown_timeout_s=limits.timeout,
        ray_actor_options={"num_cpus": 1},
    )
    return deployment(replica).bind()


def _listening(at: tuple[str, int]) -> None:
    from ray import serve
    from ray.exceptions import RayError

    try:
        serve.start(proxy_location="EveryNode", http_options={"host": at[0], "port": at[1]}, logging_config=_quiet())
    except (RayError, RuntimeError) as error:
        raise WorkersFailed(f"--port {at[1]}: a node's proxy did not start: {_last_line(error)}; name another port, or "
                            "see what listens there") from error


def _last_line(error: Exception) -> str:
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)


def _started(application: Application) -> None:
    from ray import serve

    try:
        serve.run(application, name=NAME, route_prefix="/")
    except (RuntimeError, TimeoutError) as error:
        raise WorkersFailed(f"the replicas did not start: {_last_line(error)}") from error


def _quiet() -> dict[str, object]:
    return {"log_level": "ERROR", "enable_access_log": False}
