"""Published versions side by side: which numbers may be compared, what is best, and which settings differ.

    comparison = compare(gather(["digits@champion", "digits@latest"], store))
    comparison.metrics[0].refused        # why these numbers are not put beside each other

Two numbers are compared only if their terms are equal: the feature network's name and, where it lies in a file, its
sha256 and resizer; split, counts of images, k, KID's subsets, seed, the digest of the data they were measured on, and
for `domain` the digest of the network itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from gan_core.config import ANOMALY_METRICS, NEIGHBOUR_METRICS, TRANSLATION_METRICS
from gan_core.errors import ConfigError
from pipelines.compared_version import Version

LOWER, HIGHER, NEARER_ONE = "lower", "higher", "nearer 1"
BETTER: Mapping[str, str] = {
    "fd": LOWER, "kid": LOWER, "precision": HIGHER, "recall": HIGHER, "density": NEARER_ONE, "coverage": HIGHER,
    "class_agreement": HIGHER, "cycle_error_a": LOWER, "cycle_error_b": LOWER, "sliced_wasserstein": LOWER,
    "inception_score": HIGHER, "class_fd": LOWER, "class_kl": LOWER, "gan_train": HIGHER, "gan_test": HIGHER,
    "membership_auc": LOWER, "linear_probe": HIGHER, "cycle_psnr_a": HIGHER, "cycle_psnr_b": HIGHER,
    "cycle_ssim_a": HIGHER, "cycle_ssim_b": HIGHER, "adaptation": HIGHER,
    "anomaly_auc": HIGHER, "anomaly_precision": HIGHER, "anomaly_found": HIGHER, "anomaly_false_alarms": LOWER,
    "ngram_js_1": LOWER, "ngram_js_2": LOWER, "ngram_js_3": LOWER, "ngram_js_4": LOWER,
}
"""What is better, by metric without its network; of others, as what real images reach, neither is."""

MEASURED_TERMS = (  # of metrics.json
    "network", "sha256", "resizer", "split", "n_real", "n_fake", "k", "subsets", "subset_size", "seed",
)
DATA, FEATURES = "data", "features"
DOMAIN = "domain"
NOT_KNOWN = "not known"
DIGEST_SHOWN = 12


@dataclass(frozen=True)
class TermDifference:
    """A term on which a version's number differs from that of the first version which has the metric."""

    term: str
    first: Any
    other: Any
    version: str

    def __str__(self) -> str:
        return f"{self.term} {said(self.first)} against {said(self.other)} of {self.version}"

    @property
    def from_other(self) -> str:
        """The same, told of the version that differs."""
        return f"{self.term} {said(self.other)} against {said(self.first)}"


@dataclass(frozen=True)
class Cell:
    """One version's number.  value: None where it has none, and `why` says so.  low, high: its bounds, where known.

    difference: from the first version.  within: whether they differ, and one lies within the bounds of the other.
    better: than the first version's; None where that is not said.  best: of all; ties share it.
    """

    value: float | None
    why: str = ""
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    within: bool = False
    better: bool | None = None
    best: bool = False

    def holds(self, value: float) -> bool:
        """Whether a number lies within the bounds of this one."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high


@dataclass(frozen=True)
class Metric:
    """One metric of all versions.  better: 'lower', 'higher', 'nearer 1', or '' where neither is.

    refused: why the numbers are not compared.  terms: of the first version that has it.
    """

    name: str
    better: str
    cells: tuple[Cell, ...]
    refused: tuple[TermDifference, ...]
    terms: Mapping[str, Any]

    @property
    def compared(self) -> bool:
        """Whether two or more numbers were measured alike, and all that there are."""
        return not self.refused and sum(cell.value is not None for cell in self.cells) > 1


@dataclass(frozen=True)
class Comparison:
    """All that is shown.  settings: those that differ; a version that has no such setting lacks the key."""

    versions: tuple[Version, ...]
    metrics: tuple[Metric, ...]
    settings: Mapping[str, tuple[Mapping[str, Any], ...]]

    @property
    def comparable(self) -> bool:
        """Whether any metric can be compared."""
        return any(metric.compared for metric in self.metrics)


def compare(versions: Sequence[Version], only: Sequence[str] = ()) -> Comparison:
    """Puts versions side by side.  only: metrics, all when empty.  ConfigError for one that no version has."""
    names = list(dict.fromkeys(name for version in versions for name in version.metrics))
    for name in only:
        if name not in names:
            raise ConfigError(f"--metric {name}: none of these versions has it; known: {', '.join(names) or 'none'}")
    return Comparison(
        versions=tuple(versions),
        metrics=tuple(_metric(name, versions) for name in names if not only or name in only),
        settings=settings_diff([version.settings for version in versions]),
    )


def _metric(name: str, versions: Sequence[Version]) -> Metric:
    have = [version for version in versions if name in version.metrics]
    first = terms(name, have[0])
    refused = tuple(difference for version in have[1:] for difference in differences(first, name, version))
    better = BETTER.get(name.removesuffix(f"_{first['network']}"), "")
    numbers = [_number(name, version) for version in versions]
    return Metric(name, better, _cells(numbers, better, ranked=not refused), refused, first)


def _number(name: str, version: Version) -> Cell:
    """A version's number by itself."""
    if name not in version.metrics:
        return Cell(None, why_missing(name, version))
    measured = version.metrics[name]
    return Cell(measured["value"], low=measured.get("low"), high=measured.get("high"))


def terms(name: str, version: Version) -> dict[str, Any]:
    """All that a number depends on beside the generator.  features: only of what goes through the `domain` network."""
    measured = version.metrics[name]
    found = {term: measured.get(term) for term in MEASURED_TERMS} | {DATA: version.data}
    return found | ({FEATURES: version.features} if measured.get("network") == DOMAIN else {})


def differences(first: Mapping[str, Any], name: str, version: Version) -> Iterator[TermDifference]:
    """The terms of a version's number that are not those of the first, or not known."""
    other = terms(name, version)
    for term in (*MEASURED_TERMS, DATA, FEATURES):
        one, two = first.get(term), other.get(term)
        if term == FEATURES and not (one and two):
            continue  # recorded since report.json is written; before, the data's digest and the seed stand for it
        if one != two or (term == DATA and not one):
            yield TermDifference(term, one, two, version.label)


def _cells(numbers: Sequence[Cell], better: str, *, ranked: bool) -> tuple[Cell, ...]:
    """The numbers, and where they may be ranked, which is best and how the others lie from the first."""
    if not ranked:
        return tuple(numbers)
    known = {_badness(cell.value, better) for cell in numbers if cell.value is not None}
    best = min(known) if better and len(known) > 1 else None
    first, *others = (replace(cell, best=_is(best, cell.value, better)) for cell in numbers)
    return (first, *(_beside(first, cell, better) for cell in others))


def _beside(first: Cell, cell: Cell, better: str) -> Cell:
    if cell.value is None or first.value is None:
        return cell
    within = cell.value != first.value and (cell.holds(first.value) or first.holds(cell.value))
    return replace(cell, difference=cell.value - first.value, within=within,
                   better=_better(cell.value, first.value, better))


def _is(best: float | None, value: float | None, better: str) -> bool:
    return best is not None and value is not None and _badness(value, better) == best


def _better(value: float, first: float, better: str) -> bool | None:
    one, two = _badness(first, better), _badness(value, better)
    return None if one == two else two < one


def _badness(value: float, better: str) -> float:
    """Lower is better of every metric that has a direction."""
    return {LOWER: value, HIGHER: -value, NEARER_ONE: abs(value - 1)}.get(better, 0.0)


def why_missing(name: str, version: Version) -> str:
    """Why a version lacks a metric that another has."""
    networks = version.settings.get("evaluate.networks", [])
    network = name.rpartition("_")[2]
    if name.startswith(("fd_", "kid_", *(f"{metric}_" for metric in NEIGHBOUR_METRICS))) and network not in networks:
        return f"evaluate.networks is [{', '.join(networks)}]"
    if name in TRANSLATION_METRICS:
        return "it does not translate, or its data has no classes"
    if name in ANOMALY_METRICS:
        return "it has no encoder, or its data does not say what is normal"
    return "it is asked for no class" if name == "class_agreement" else "it was not measured"


def settings_diff(settings: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Dotted name to {"value": …} of each version, {} where it has no such setting; only what differs.

    A block that one version has and another leaves out, or null, is told by what is in it.
    """
    names = dict.fromkeys(name for one in settings for name in one)
    blocks = {name.rsplit(".", depth)[0] for name in names for depth in range(1, name.count(".") + 1)}
    found = {name: tuple({"value": one[name]} if name in one else {} for one in settings)
             for name in names if name not in blocks}
    return {name: values for name, values in found.items() if _differ(values)}


def _differ(values: Sequence[Mapping[str, Any]]) -> bool:
    """Null is no setting."""
    return any(value.get("value") != values[0].get("value") for value in values)


def said(value: Any) -> str:
    """A term as people read it: digests short, counts with their thousands."""
    if value in (None, ""):
        return NOT_KNOWN
    if isinstance(value, int):
        return f"{value:,}"
    return value[:DIGEST_SHOWN] if len(str(value)) == 64 else str(value)


def as_json(comparison: Comparison) -> dict[str, Any]:
    """The same facts for programs; docs/compare.md says what each key holds."""
    return {
        "versions": [_version_json(version) for version in comparison.versions],
        "comparable": comparison.comparable,
        "metrics": [_metric_json(metric, comparison.versions) for metric in comparison.metrics],
        "settings": [{"name": name, "values": [given.get("value") for given in values],
                      "set": [bool(given) for given in values]} for name, values in comparison.settings.items()],
    }


def _version_json(version: Version) -> dict[str, Any]:
    return {
        "version": version.label,
        "uri": version.uri,
        "created": version.created,
        "aliases": list(version.aliases),
        "gate": {"passed": version.passed, "refusals": list(version.refusals)},
        "images": version.images,
        "data": version.data or None,
        "features": version.features or None,
        "lineage": [parent.model_dump() for parent in version.lineage],
        "tools": dict(version.tools),
        "code": {stage: dict(modules) for stage, modules in version.code.items()},
    }


def _metric_json(metric: Metric, versions: Sequence[Version]) -> dict[str, Any]:
    return {
        "name": metric.name,
        "better": metric.better or None,
        "compared": metric.compared,
        "refused": [asdict(difference) for difference in metric.refused],
        "values": [
            {"version": version.label, **asdict(cell), "why": cell.why or None,
             "terms": terms(metric.name, version) if cell.value is not None else None}
            for version, cell in zip(versions, metric.cells, strict=True)
        ],
    }
