"""The card of one data set: a single HTML file with the verdict of a check, its findings, and what the set holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from gan_core.data.checks.report import Report, SplitFacts
from pipelines.pages import page
from pipelines.report import picture_uri

CLASSES_SHOWN = 60
SHAPES_SHOWN = 12
QUARANTINED_SHOWN = 100
LEVEL_BARS = 64
NONE = "\N{EN DASH}"
MARKS = {"pass": "✓", "warn": "!", "refuse": "✗"}
VERDICTS = {
    "pass": "Nothing was found that speaks against training on this set.",
    "warn": "It can be trained on; read the findings first.",
    "refuse": "It should not be trained on as it is.",
}


@dataclass(frozen=True)
class Bar:
    """One split's examples of a class.  percent: of the longest bar of all."""

    split: str
    count: int
    percent: float


def write_card(path: Path, name: str, options: Mapping[str, Any], report: Report, contact_png: bytes) -> None:
    """Writes the card as one HTML file; its directory must exist.

    options: the source's, as in the experiment.  contact_png: the contact sheet; b'' for none.
    """
    classes = sorted({label for facts in report.splits.values() for label in facts.histogram})
    text = page(
        "data_card.html",
        name=name,
        report=report,
        mark=MARKS[report.verdict],
        verdict=VERDICTS[report.verdict],
        splits={split: row(facts) for split, facts in report.splits.items() if facts.items},
        classes=[(report.class_name(label), bars(report.splits, label)) for label in classes[:CLASSES_SHOWN]],
        n_classes=len(classes),
        more_classes=len(classes) - CLASSES_SHOWN,
        shapes=list(shape_rows(report.splits)),
        levels=level_bars([facts.levels for facts in report.splits.values()]),
        contact=picture_uri(contact_png) if contact_png else "",
        quarantined=report.quarantined[:QUARANTINED_SHOWN],
        more_quarantined=sum(facts.bad for facts in report.splits.values()) - QUARANTINED_SHOWN,
        options=yaml.safe_dump({"data": dict(options)}, sort_keys=False, allow_unicode=True),
    )
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def row(facts: SplitFacts) -> Mapping[str, str]:
    """One split's line in the table of splits."""
    extent, moments = facts.level_range, facts.mean_and_std
    return {
        "Items": f"{facts.items:,}",
        "Read": f"{facts.read:,}" if facts.read < facts.items else "all",
        "Unusable": f"{facts.bad:,}" if facts.bad else "none",
        "Data": size(facts.size),
        "Levels": f"{extent[0]} … {extent[1]}" if extent else NONE,
        "Mean ± deviation": f"{moments[0]:.1f} ± {moments[1]:.1f}" if moments else NONE,
    }


def bars(splits: Mapping[str, SplitFacts], label: int) -> list[Bar]:
    """A class's examples, split by split; splits without labels are left out."""
    longest = max((count for facts in splits.values() for count in facts.histogram.values()), default=1)
    return [Bar(split, (count := facts.histogram.get(label, 0)), 100 * count / longest)
            for split, facts in splits.items() if facts.histogram]


def shape_rows(splits: Mapping[str, SplitFacts]) -> Iterator[tuple[str, str, int, int]]:
    """(split, shape, examples as the source yields them, examples after the transforms), the most common first."""
    for split, facts in splits.items():
        shapes = sorted({*facts.shapes, *facts.stored},
                        key=lambda shape: (-max(facts.shapes.get(shape, 0), facts.stored.get(shape, 0)), shape))
        for shape in shapes[:SHAPES_SHOWN]:
            yield split, shape, facts.shapes.get(shape, 0), facts.stored.get(shape, 0)
        if rest := shapes[SHAPES_SHOWN:]:
            yield (split, f"{len(rest):,} other shapes", sum(facts.shapes.get(shape, 0) for shape in rest),
                   sum(facts.stored.get(shape, 0) for shape in rest))


def level_bars(levels: Sequence[NDArray[np.int64]]) -> list[float]:
    """How often levels occur, 64 bars of 0 … 100 by the square root, so that rare levels show; empty without images."""
    total = np.sum(levels, axis=0) if levels else np.zeros(256)
    if not total.sum():
        return []
    heights = np.sqrt(total.reshape(LEVEL_BARS, -1).sum(1))
    return [float(height) for height in np.round(100 * heights / heights.max(), 2)]


def size(count: int) -> str:
    """'54.9 MB'."""
    amount, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if amount >= 100 or unit == "B" else f"{amount:.1f} {unit}"
