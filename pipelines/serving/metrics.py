"""What Prometheus is told of a server; each has a registry of its own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The names are documented in docs/serving.md."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = Counter("gan_requests", "Requests that were answered, by status.", ("path", "status"),
                                registry=self.registry)
        self.seconds = Histogram("gan_request_seconds", "From a request's arrival to the end of its answer.", ("path",),
                                 buckets=SECONDS, registry=self.registry)
        self.abandoned = Counter("gan_abandoned_requests", "Requests whose client went away before the answer.",
                                 registry=self.registry)
        self.images = Counter("gan_images", "Images that the network made.", registry=self.registry)
        self.passes = Histogram("gan_batch_images", "Images in a forward pass.", buckets=IMAGES, registry=self.registry)
        self.reloads = Counter("gan_reloads", "Versions that an alias brought, by what became of them.", ("result",),
                               registry=self.registry)
        self._waiting = Gauge("gan_waiting_requests", "Requests in the queue.", registry=self.registry)
        self._model = Gauge("gan_model", "1 for the version that is served.", ("version",), registry=self.registry)
        for result in ("ok", "failed"):
            self.reloads.labels(result)  # a counter that is there from the start can be watched

    def passed(self, images: int) -> None:
        """After each forward pass."""
        self.images.inc(images)
        self.passes.observe(images)

    def serves(self, uri: str) -> None:
        """When a version begins to be served in place of another."""
        self._model.clear()
        self._model.labels(uri).set(1)

    def watch_queue(self, waiting: Callable[[], int]) -> None:
        """How many requests wait is asked for whenever the metrics are."""
        self._waiting.set_function(waiting)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
