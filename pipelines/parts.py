"""What a report shows besides metrics and curves, as plain data; `pipelines.report_parts` makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from markupsafe import Markup

from pipelines.usage import Usage

FIGURES = ("fd", "precision", "recall", "density", "coverage", "read as asked")
LOW_IS_GOOD = ("fd",)


@dataclass(frozen=True)
class OfClass:
    """One class.  n_real, n_fake: its examples.  figures: those of FIGURES that were measured.  reason: why others were
    not.
    """

    name: str
    n_real: int
    n_fake: int
    figures: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Sheet:
    """A picture with words.  says: one line above it.  alt: what it shows, for who does not see it."""

    title: str
    says: str
    alt: str
    png: bytes


@dataclass(frozen=True)
class Neighbour:
    """A generated example, by its place among those compared, and the training examples nearest to it.

    distances: to each, on `domain` features.  relative: the same, 1 being usual of a held-out real example.
    """

    sample: int
    training: tuple[int, ...]
    distances: tuple[float, ...]
    relative: tuple[float, ...]


@dataclass(frozen=True)
class Near:
    """Generated examples beside the training examples nearest to them.

    usual: the median distance of a held-out real example to its nearest training example.  reading: a sentence.
    """

    usual: float
    reading: str
    neighbours: Sequence[Neighbour]
    sheets: Sequence[Sheet]


@dataclass(frozen=True)
class Scatter:
    """Real and generated examples as points of a plane."""

    title: str
    says: str
    svg: Markup


@dataclass(frozen=True)
class Mapped:
    """explained: shares of the variance along the two axes of the principal components, 0 … 1."""

    n_real: int
    n_fake: int
    explained: tuple[float, float]
    scatters: Sequence[Scatter]


@dataclass(frozen=True)
class DataSet:
    """What was trained on and measured against.

    options: of the source, as YAML.  splits: examples by name.  classes: name to training examples.  attributes: name
    to the values it has.  quarantined: items that could not be used.  digest: of the shards.
    """

    source: str
    options: str
    splits: Mapping[str, int]
    shape: tuple[int, ...]
    classes: Mapping[str, int]
    attributes: Mapping[str, str]
    quarantined: int
    digest: str


@dataclass(frozen=True)
class Played:
    """A generated example that a page plays or shows.  asked: whether it was asked for by class, which `caption` names.

    element: 'audio', 'img' or 'pre'; what it holds is in `uri`, or for 'pre' in `text`.
    """

    caption: str
    asked: bool
    element: str
    uri: str = ""
    text: str = ""


@dataclass(frozen=True)
class Made:
    """How an artefact came to be.  key: of its stage.  created: ISO 8601; '' where it would be of this moment."""

    key: str
    created: str = ""


@dataclass(frozen=True)
class Parts:
    """Each may be absent; left_out says of 'classes', 'near', 'explored', 'maps' and 'media' why, in one line."""

    classes: Sequence[OfClass] = ()
    near: Near | None = None
    explored: Sequence[Sheet] = ()
    media: Sequence[Played] = ()
    maps: Mapped | None = None
    data: DataSet | None = None
    usage: Usage | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
