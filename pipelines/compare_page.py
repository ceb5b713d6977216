"""The page of a comparison: one HTML file with metrics, samples, curves, settings and origin of each version."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from gan_core.errors import ConfigError
from gan_core.manifest import read_named
from pipelines.compare import Comparison, Metric, said
from pipelines.compare_words import gaps, origin_rows, refusals, setting_rows
from pipelines.compared_version import Version
from pipelines.intervals import between
from pipelines.models import find_artefact
from pipelines.pages import page
from pipelines.pictures import check_folder
from pipelines.report import (
    GROUPS,
    LINE_COLOURS,
    MEANINGS,
    STRETCHES,
    Line,
    chart,
    grouped,
    in_order,
    outline,
    picture_uri,
)
from pipelines.report_names import number

PICTURE_BYTES = 800_000  # of all versions' samples; with the lines below and all else, the page stays below 3 MB
ALL_STRETCHES = 30_000  # of all lines of all charts, two points each
OPEN = ("loss", "logits", "diversity")  # groups of curves that are not folded away
NO_LINE: Line = ((), ())


@dataclass(frozen=True)
class Curve:
    """One curve of all versions in one chart."""

    name: str
    svg: Markup


@dataclass(frozen=True)
class CurveGroup:
    """The charts of one group of curves."""

    title: str
    meaning: str
    opened: bool
    curves: tuple[Curve, ...]


def check_html(out: Path) -> None:
    """ConfigError for a file that cannot become the page, before anything slow begins."""
    if out.suffix.lower() != ".html":
        raise ConfigError(f"--out {out}: a page is HTML; --out {out.stem or 'compare'}.html works")
    if out.is_dir():
        raise ConfigError(f"--out {out}: is a directory; --out {out / 'compare.html'} works")
    check_folder(out.parent, out)


def write_page(comparison: Comparison, out: Path) -> None:
    """Writes the page, whole or not at all, below 3 MB; `check_html` was asked before.  ConfigError when it cannot."""
    aside = out.parent / f".{out.name}.{uuid.uuid4().hex}"
    try:
        aside.write_text(html(comparison), encoding="utf-8")
        aside.replace(out)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise ConfigError(f"--out {out}: {error.strerror or error}; name a file that can be written") from None


def html(comparison: Comparison) -> str:
    """The page as text."""
    versions = comparison.versions
    curves = [read_curves(version) for version in versions]
    return page(
        "compare.html",
        versions=versions,
        colours=LINE_COLOURS,
        metrics=[(metric, meaning(metric), terms_said(metric)) for metric in comparison.metrics],
        comparable=comparison.comparable,
        number=number,
        between=between,
        bounded=any(cell.low is not None for metric in comparison.metrics for cell in metric.cells),
        gaps=gaps(comparison),
        refusals=refusals(comparison),
        pictures=[(version.label, samples(version, PICTURE_BYTES // len(versions))) for version in versions],
        groups=curve_groups({version.label: rows or () for version, rows in zip(versions, curves, strict=True)}),
        without_curves=[version.label for version, rows in zip(versions, curves, strict=True) if rows is None],
        settings=setting_rows(comparison),
        origin=origin_rows(comparison),
    )


def meaning(metric: Metric) -> str:
    """What a metric says, in the report's words."""
    return MEANINGS.get(metric.name.removesuffix(f"_{metric.terms['network']}"), "")


def terms_said(metric: Metric) -> str:
    """On what all numbers of a metric were measured; nothing where they differ."""
    if metric.refused:
        return ""
    terms = metric.terms
    told = [f"{said(terms['n_real'])} real", f"{said(terms['n_fake'])} generated", f"{terms['split']} split"]
    return " · ".join([*told, *([f"k\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{terms['k']}"] if terms["k"] else [])])


def samples(version: Version, most: int) -> str:
    """The version's grid of samples as a data URI of about so many bytes."""
    manifest = version.manifest
    return picture_uri(read_named(version.store, version.prefix, manifest, "samples.png"), most)


def read_curves(version: Version) -> list[dict[str, Any]] | None:
    """The rows of the run that made a version; None where the store no longer has it."""
    run = version.parent("run")
    found = find_artefact(version.store, run) if run else None
    if found is None:
        return None
    prefix, manifest = found
    text = read_named(version.store, prefix, manifest, "metrics.jsonl")
    return [json.loads(line) for line in text.splitlines()]


def curve_groups(curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[CurveGroup]:
    """A chart for each curve, of all versions, in one colour a version.

    curves: by the version's label; of one whose curves are gone, none, so that the others keep their colours.
    """
    lines = {label: grouped(rows) for label, rows in curves.items()}
    names = {group: list(dict.fromkeys(name for groups in lines.values() for name in groups.get(group, ())))
             for group in in_order(group for groups in lines.values() for group in groups)}
    stretches = min(STRETCHES, ALL_STRETCHES // max(1, len(lines) * sum(map(len, names.values()))))
    return [
        CurveGroup(*GROUPS.get(group, (group, "")), group in OPEN, tuple(
            _curve(group, name, {label: groups.get(group, {}).get(name, NO_LINE) for label, groups in lines.items()},
                   stretches) for name in those
        ))
        for group, those in names.items()
    ]


def _curve(group: str, name: str, lines: Mapping[str, Line], stretches: int) -> Curve:
    thinned = {label: outline(*line, stretches) for label, line in lines.items()}
    return Curve(name, chart(f"{group}/{name}", thinned).svg)
