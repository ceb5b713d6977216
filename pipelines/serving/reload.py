"""The version behind an address: loaded at the start, and again whenever an alias moved."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from datetime import UTC, datetime

import torch

from gan_core.addresses import ADDRESS_URL, LATEST, resolve
from gan_core.bundle import Generator, read_generator
from gan_core.errors import ConfigError
from gan_core.published import NUMBER
from gan_core.store import Store
from pipelines.serving.batcher import Batcher
from pipelines.serving.metrics import Metrics

LOG = logging.getLogger("pipelines.serving")


@dataclass(frozen=True)
class Source:
    """An address, and the precision that its generators work in."""

    address: str
    store: Store
    dtype: torch.dtype = torch.float64

    @property
    def moves(self) -> bool:
        """Whether the address may mean another version tomorrow."""
        if "/" not in self.address:
            return not NUMBER.fullmatch(self.address.partition("@")[2])
        found = ADDRESS_URL.fullmatch(self.address.rstrip("/"))
        return found is not None and not NUMBER.fullmatch(found["number"] or found["alias"] or LATEST)

    def uri(self) -> str:
        """Which version it means now.  Errors as of `resolve`."""
        place, prefix = resolve(self.address, self.store)
        return place.uri(prefix)

    def load(self) -> Generator:
        """The generator of that version, after it made an image: what cannot be sampled is not served.

        ConfigError, DamagedFile, Diverged, and what a store that is away raises.
        """
        generator = read_generator(*resolve(self.address, self.store))
        if generator.translates is not None:
            raise ConfigError(f"{generator.uri}: translates images, and only generators that make them from noise are "
                              "served; `gan sample --images` translates")
        if not generator.spec.modality.is_picture:
            raise ConfigError(f"{generator.uri}: makes {generator.spec.modality.noun}, and only images are served; "
                              f"`gan sample --out {generator.spec.modality.file}` works")
        generator = generator if self.dtype == generator.dtype else generator.at(self.dtype)
        generator.sample(1)
        return generator


class Follower:
    """Serves the version that the address means, as long as it runs."""

    def __init__(self, source: Source, batcher: Batcher, metrics: Metrics) -> None:
        self.since = datetime.now(UTC)
        self._source = source
        self._batcher = batcher
        self._metrics = metrics
        self._stopped = threading.Event()
        self._trouble = ""  # what was said last, so that it is said once
        self._uri = batcher.generator.uri
        metrics.serves(self._uri)

    def start(self, every: float) -> None:
        """Looks again and again, so many seconds after the last look, where the address can mean another version.

        The thread is a daemon: a store that does not answer for a minute would hold up the end of the process.
        """
        if self._source.moves:
            threading.Thread(target=self._follow, args=(every,), name="follower", daemon=True).start()

    def stop(self) -> None:
        """No more looks; one that is under way is not waited for."""
        self._stopped.set()

    def _follow(self, every: float) -> None:
        while not self._stopped.wait(every):
            self.look()

    def look(self) -> None:
        """Serves another version where the address means one; whatever fails, the one that is served stays."""
        try:
            if self._source.uri() == self._uri:
                self._trouble = ""
                return
            generator = self._source.load()
        except Exception as error:  # a store on the network raises its client's own
            self._metrics.reloads.labels("failed").inc()
            if str(error) != self._trouble:
                LOG.error("%s still serves %s: %s", self._source.address, self._uri, error or type(error).__name__)
            self._trouble = str(error)
            return
        self._serve(generator)

    def _serve(self, generator: Generator) -> None:
        self._batcher.generator = generator
        self._uri, self._trouble, self.since = generator.uri, "", datetime.now(UTC)
        self._metrics.serves(self._uri)
        self._metrics.reloads.labels("ok").inc()
        LOG.info("%s now serves %s", self._source.address, self._uri)
