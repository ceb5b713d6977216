"""What stages return to the flow: small frozen records, a URI and a few facts.  Never tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gan_core.manifest import Parent


@dataclass(frozen=True)
class Handle:
    """A finished artefact: its URI, its prefix in the store, and the digest of its files."""

    KIND: ClassVar[str] = ""

    uri: str
    prefix: str
    digest: str

    def parent(self) -> Parent:
        """This artefact as what another is made from."""
        return Parent(kind=self.KIND, uri=self.uri, digest=self.digest)


@dataclass(frozen=True)
class Shards(Handle):
    """A prepared data set."""

    KIND = "shards"


@dataclass(frozen=True)
class Features(Handle):
    """The feature network of a data set."""

    KIND = "features"


@dataclass(frozen=True)
class Trained(Handle):
    """A finished training run."""

    KIND = "run"


@dataclass(frozen=True)
class Tuned(Handle):
    """A finished search over settings."""

    KIND = "tuned"


@dataclass(frozen=True)
class Scored(Handle):
    """Metrics, sample grid and report of a trained generator."""

    KIND = "scores"


@dataclass(frozen=True)
class Published:
    """A whole version.

    promoted: the gate let it through.  refusals: what the gate held against it, in the run that judged it;
    empty in every later run.  judged: whether that was this run.
    """

    uri: str
    version: str
    promoted: bool
    refusals: tuple[str, ...]
    judged: bool = False
