"""A comparison in words, as the terminal and the page say it: reasons, advice, and a row for each fact."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from gan_core.manifest import Parent, canonical_digest
from pipelines.compare import DIGEST_SHOWN, NOT_KNOWN, Comparison, compare
from pipelines.compared_version import CODE_STAGES, Version

EVALUATE, SAMPLES = "evaluate.", "evaluate.samples"
DATA_BLOCKS = ("data", "prepare")  # whole: sources have options of their own


@dataclass(frozen=True)
class Row:
    """One fact or setting of all versions, as text for people."""

    name: str
    values: tuple[str, ...]

    @property
    def differs(self) -> bool:
        """Whether not all versions have the same."""
        return len(set(self.values)) > 1


def refusals(comparison: Comparison) -> list[str]:
    """One line a reason: 'fd_domain, kid_domain: n_real 360 against 10,000 of digits@0002'."""
    names: dict[str, list[str]] = {}
    for metric in comparison.metrics:
        if metric.refused:
            names.setdefault(", ".join(map(str, metric.refused)), []).append(metric.name)
    return [f"{', '.join(of)}: {reason}" for reason, of in names.items()]


def gaps(comparison: Comparison) -> list[str]:
    """One line a reason why a version lacks metrics."""
    names: dict[tuple[str, str], list[str]] = {}
    for metric in comparison.metrics:
        for version, cell in zip(comparison.versions, metric.cells, strict=True):
            if cell.why:
                names.setdefault((version.label, cell.why), []).append(metric.name)
    return [f"{label} has no {', '.join(of)}: {why}" for (label, why), of in names.items()]


def setting_rows(comparison: Comparison) -> list[Row]:
    """The settings that differ, as people read them."""
    return [Row(name, tuple(as_yaml(given["value"]) if given else "not set" for given in values))
            for name, values in comparison.settings.items()]


def origin_rows(comparison: Comparison) -> list[Row]:
    """Where each version came from and where it stands: one fact a row."""
    versions = comparison.versions
    facts: dict[str, list[str]] = {
        "published": [version.created for version in versions],
        "aliases": [", ".join(version.aliases) or "none" for version in versions],
        "gate": [_gate_said(version) for version in versions],
        "images seen": [NOT_KNOWN if version.images is None else f"{version.images:,}" for version in versions],
    }
    for kind in ("shards", "run", "scores"):
        facts[kind] = [_artefact(version.parent(kind)) for version in versions]
    facts["domain network"] = [version.features[:DIGEST_SHOWN] or NOT_KNOWN for version in versions]
    for stage in CODE_STAGES:
        facts[f"code of {stage}"] = [_code_said(version, stage) for version in versions]
    for tool in dict.fromkeys(tool for version in versions for tool in version.tools):
        facts[tool] = [version.tools.get(tool, "none") for version in versions]
    return [Row(name, tuple(values)) for name, values in facts.items()]


def _gate_said(version: Version) -> str:
    if version.passed is None:
        return "not known: relative to a champion" if version.config["publish"]["gate"] else "no bounds are set"
    return "passed" if version.passed else f"refused: {', '.join(line.split()[0] for line in version.refusals)}"


def _artefact(parent: Parent | None) -> str:
    return f"{PurePosixPath(parent.uri).name} ({parent.digest[:DIGEST_SHOWN]})" if parent else NOT_KNOWN


def _code_said(version: Version, stage: str) -> str:
    return canonical_digest(version.code[stage])[:DIGEST_SHOWN] if version.code.get(stage) else NOT_KNOWN


def as_yaml(value: Any) -> str:
    """A setting as it is written after --set: JSON, which is YAML, and strings without quotes."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def refusal(comparison: Comparison) -> str:
    """One line: that nothing can be compared, why, and the commands that make it so."""
    why = "; ".join(refusals(comparison)) or "no two of them have a metric in common"
    what = "; ".join([*advice(comparison), *_without(comparison)])
    return f"none of {len(comparison.metrics)} metrics can be compared: {why}; {what}"


def _without(comparison: Comparison) -> list[str]:
    """Which versions to leave out so that the others can be compared as they are."""
    out = {difference.version for metric in comparison.metrics for difference in metric.refused}
    rest = [version for version in comparison.versions if version.label not in out]
    names = [metric.name for metric in comparison.metrics if any(metric.name in version.metrics for version in rest)]
    if len(rest) < 2 or not compare(rest, names).comparable:
        return []
    return [f"without {', '.join(sorted(out))} the others can be compared"]


def advice(comparison: Comparison) -> list[str]:
    """The commands that measure versions like the first: a line for each that differs."""
    versions = comparison.versions
    counts = [_count(version) for version in versions]
    wanted = {name: value for name, value in versions[0].settings.items() if name.startswith(EVALUATE)}
    wanted.pop(SAMPLES, None)  # null stands for another count in each data set
    lines = []
    for version, count in zip(versions, counts, strict=True):
        changes = {name: value for name, value in wanted.items() if version.settings.get(name, value) != value}
        if count != min(counts):
            changes[SAMPLES] = min(counts)  # the one count that all of them reach
        if version.data == versions[0].data and changes:
            lines.append(f"`{_run(version, changes)}` measures {version.label} alike")
        elif version.data != versions[0].data:
            lines.append(_on_the_same_data(version, versions[0], changes))
    return lines or [f"`{_run(version, {})} --remake evaluate` measures {version.label} again" for version in versions]


def _on_the_same_data(version: Version, first: Version, changes: Mapping[str, Any]) -> str:
    """What is measured on other data was trained on other data too: both come from one `data` block."""
    data = {block: first.config[block] for block in DATA_BLOCKS if version.config[block] != first.config[block]}
    command = _run(version, {**data, **changes})
    if data:
        return f"`{command}` trains and measures {version.label} anew, on the data of {first.label}"
    return f"`{command}` makes {version.label} anew, and `{_run(first, {})}` {first.label}, from one preparation"


def _run(version: Version, changes: Mapping[str, Any]) -> str:
    config = f"{version.prefix}/config.json"
    here = version.store.is_local
    sets = [f"--set {shlex.quote(f'{name}={as_yaml(value)}')}" for name, value in changes.items()]
    experiment = shlex.quote(str(version.store.local_path(config))) if here else "EXPERIMENT.yaml"
    return " ".join(["gan run", experiment, f"--store {shlex.quote(version.store.url)}", *sets])


def _count(version: Version) -> int:
    return max((measured["n_real"] for measured in version.metrics.values()), default=0)
