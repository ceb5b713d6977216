"""`gan serve-model`: images from a published generator over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from gan_core.errors import ConfigError
from pipelines.cli_models import AddressArgument
from pipelines.options import DEFAULT_STORE, ProfileOption, StoreOption

if TYPE_CHECKING:
    from gan_core.store import Store
    from pipelines.serving.limits import Limits

PRECISIONS = ("float64", "float32")


def serve_model(
    address: AddressArgument,
    store: StoreOption = DEFAULT_STORE,
    host: Annotated[str, typer.Option("--host", help="Where to listen; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="0 takes one that is free.")] = 8000,
    precision: Annotated[str, typer.Option(
        "--precision", metavar="float64|float32",
        help="float64 makes the pixels of `gan sample`; float32 is faster and differs by a level here and there.",
    )] = "float64",
    max_images: Annotated[int, typer.Option("--max-images", help="Images that one request may ask for.")] = 64,
    max_batch: Annotated[int, typer.Option("--max-batch", help="Images that the network makes at a time.")] = 16,
    max_waiting: Annotated[int, typer.Option("--max-waiting", help="Requests that may wait; over it: 503.")] = 256,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds that a request may take; over it: 504.")] = 30.0,
    reload_seconds: Annotated[float, typer.Option(
        "--reload-seconds", help="How often to look whether an alias moved to another version.")] = 10.0,
    replicas: Annotated[int | None, typer.Option(
        "--replicas", min=1, help="So many processes of a Ray cluster, behind Ray Serve; without it one process here.",
    )] = None,
    profile: ProfileOption = None,
) -> None:
    """Serves images of a published generator over HTTP, with a page at /.

    Requests that wait are made together.  When the alias moves, the version
    that it moved to is served, and no request fails for it.

    SIGTERM or Ctrl-C stop it: what is under way is answered first.

    Example: gan serve-model digits@champion --port 8000

    Example: gan serve-model s3://bucket/gans/models/digits@champion --host 0.0.0.0 --precision float32

    Example: gan serve-model s3://bucket/gans/models/digits@champion --replicas 4 --profile cluster
    """
    from gan_core.store import Store
    from pipelines.serving.limits import Limits

    if precision not in PRECISIONS:
        raise ConfigError(f"--precision {precision}: float64 and float32 are the two; --precision float64 works")
    if not reload_seconds > 0:
        raise ConfigError(f"--reload-seconds {reload_seconds:g}: not above 0; --reload-seconds 10 works")
    limits = Limits(max_images, max_batch, max_waiting, timeout)
    if replicas is None:
        if profile is not None:
            raise ConfigError(f"--profile {profile}: says where replicas run; --replicas 2 starts two there")
        _serve(address, Store(store), precision, limits, (host, port), reload_seconds)
        return
    if port == 0:
        raise ConfigError("--port 0: replicas on several machines need one port that is known; --port 8000 works")
    from pipelines.profile import load_profile
    from pipelines.serving.on_ray_serve import serve_on_ray
    from pipelines.serving.server import log_to_stderr

    log_to_stderr()
    serve_on_ray(address, Store(store), precision, limits, (host, port), reload_seconds,
                 profile=load_profile(profile), replicas=replicas)


def _serve(
    address: str, store: Store, precision: str, limits: Limits, at: tuple[str, int], reload_seconds: float
) -> None:
    """Takes the port before the slow part, and listens after it: whoever connects is answered."""
    import torch

    from pipelines.serving.app import make_app
    from pipelines.serving.reload import LOG, Source
    from pipelines.serving.server import bound, log_to_stderr, serve

    with bound(*at) as listening:
        source = Source(address, store, getattr(torch, precision))
        generator = source.load()
        app = make_app(source, generator, limits, reload_seconds)
        log_to_stderr()
        LOG.info("http://%s:%d serves %s", at[0], listening.getsockname()[1], generator.uri)
        serve(app, listening, limits.timeout)
