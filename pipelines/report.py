"""The report of one version: a single HTML file that any browser opens, on a phone or offline.

    write_report(path, Report(title="digits 0003", experiment=..., metrics=..., ...))

Charts are inline SVG in the page's own text colour, pictures are data URIs; equal reports give equal bytes.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import yaml
from markupsafe import Markup
from PIL import Image

from gan_core.options.gate import SIGNS, rules_of
from gan_core.train.trouble import WARM_UP_IMAGES, WARM_UP_ROWS, Spell, history, warmed_up
from pipelines.intervals import between, method
from pipelines.pages import page
from pipelines.parts import FIGURES, Made, Parts
from pipelines.report_classes import cells, shown
from pipelines.report_data import bars, shape_words
from pipelines.report_names import MARKER, number
from pipelines.svg import svg_of
from pipelines.usage import usage

if TYPE_CHECKING:
    from matplotlib.axes import Axes


MEANINGS = {
    "fd": "Fréchet distance; lower is better",
    "kid": "kernel distance; lower is better, round 0 for like sets",
    "precision": "generated images that could be real; higher is better",
    "recall": "real images that could be generated; higher is better",
    "density": "how thick generated images lie among real ones; about 1 is like real",
    "coverage": "real images with a generated one nearby; higher is better",
    "sliced_wasserstein": "mean distance along random directions; lower is better",
    "inception_score": "sure of each image and of all classes; higher is better, at most the number of classes",
    "class_fd": "Fréchet distance within a class, mean over classes; lower is better",
    "class_kl": "how unlike the classes generated are to the real ones; 0 for equal shares",
    "ms_ssim": "how alike generated images of a class are; lower is more diverse",
    "memorisation": "well below 0 for copies of training images, about 0 for fresh ones",
    "gan_train": "real images put into their class by what learnt from generated ones alone; near gan_real is best",
    "gan_test": "generated images put into the class asked for by what learnt from real ones; near gan_real is best",
    "gan_real": "real images put into their class by what learnt from real ones: what gan_train can reach",
    "feature_diversity": "how far generated images spread, 0 to 4; as far as real ones is best",
    "feature_diversity_real": "how far real images spread",
    "membership_auc": "pairs in which a training image scores above a held-out one; ½ gives nothing away",
    "linear_probe": "real images whose class can be read off the discriminator's features; higher is better",
    **{f"ngram_js_{n}": f"how unlike the {what} of generated texts and of real ones are, 0 to 1; lower is better"
       for n, what in ((1, "symbols"), (2, "pairs of symbols"), (3, "3-grams"), (4, "4-grams"))},
    **{f"ngram_js_real_{n}": "the same of as many training texts: what a perfect generator would reach"
       for n in (1, 2, 3, 4)},
    "distinct_1": "unlike symbols in generated texts; as many as in real ones is best",
    "distinct_2": "unlike pairs of symbols in generated texts; as many as in real ones is best",
    "distinct_texts": "unlike texts among the generated ones; as many as among real ones is best",
    "distinct_real_1": "unlike symbols in real texts",
    "distinct_real_2": "unlike pairs of symbols in real texts",
    "distinct_real_texts": "unlike texts among the real ones",
    "copied_texts": "generated texts that are training texts, whole",
    "copied_12grams": "stretches of 12 symbols that training texts have too; as of real texts is best",
    "copied_real_texts": "real texts that are training texts, whole",
    "copied_real_12grams": "stretches of 12 symbols of real texts that training texts have too",
    "cycle_psnr_a": "likeness of the first domain translated there and back, in dB; higher is better",
    "cycle_psnr_b": "the same of the second domain",
    "cycle_ssim_a": "structural similarity of the first domain translated there and back; 1 is equal",
    "cycle_ssim_b": "the same of the second domain",
    "class_agreement": "generated images in the class asked for; higher is better",
    "adaptation": "real images of the other domain read by a classifier that learned from translations alone",
    "adaptation_before": "the same of one that learned from images that were not translated",
    "agreement_before": "source images in their own class, by a classifier that knows the other domain alone",
    "agreement_real": "real examples in their own class: what agreement can reach",
    "cycle_error_a": "mean absolute error of the first domain translated there and back, pixels from 0 to 1",
    "cycle_error_b": "the same of the second domain",
    "anomaly_auc": "pairs in which an abnormal image scores above a normal one; ½ tells nothing, 1 is best",
    "anomaly_precision": "average precision of the ranking by score; by chance it is the share of abnormal images",
    "anomaly_threshold": "score that the stated share of normal validation images is below",
    "anomaly_found": "abnormal images above the threshold; higher is better",
    "anomaly_false_alarms": "normal images above the threshold; lower is better",
}

GROUPS = {
    "loss": ("Losses", "what each phase descends, penalties apart"),
    "logits": ("Logits", "what the discriminator says, higher is more real; train and validation: of fixed examples"),
    "accuracy": ("Accuracy", "share of real and generated examples that the discriminator gets right; ½ is a match"),
    "gradient": ("Gradients", "L2 norm of each network's mean gradient"),
    "diversity": ("Diversity", "distance between samples beside that between real examples: 1 is like the data, 0 is "
                               "one picture; raw: of the weights in training, not averaged"),
    "agreement": ("Agreement", "share nearest to the class mean of its own class; real: of held-out real examples"),
    "overfit": ("Overfitting", "pairs in which a training example scores above a validation example; ½ is none, 1 is "
                               "known by heart"),
    "fd_domain": ("Fréchet distance", "between held-out real examples and as many samples of the averaged weights, on "
                                     "features of a classifier of this data set; lower is better"),
    "penalty": ("Penalties", "before their weights"),
    "objective": ("Objectives", "losses with their penalties, as they are descended"),
}
"""Title and meaning of the curves' groups, in the order of their charts; others follow as they appear."""

RANGED = {"gradient", "penalty", "fd_domain"}  # over orders of magnitude: on a logarithmic scale where all are positive
WIDE = 30  # highest beside lowest, from which that is worth it
FEW_POINTS = 24  # of a line, up to which each is marked

MOST_GRIDS = 8  # of a strip of sample grids
GRID_BYTES, GRID_SIDES = 40_000, (480, 320, 240, 160)
SHEET_BYTES, SHEET_SIDES = 60_000, (1200, 900, 600, 400)

Line = tuple[Sequence[float], Sequence[float]]  # positions, values

CHART_INCHES = (4.4, 2.5)
LINE_COLOURS = ("#3b82d6", "#dd7a2b", "#2f9e77", "#c565a8", "#a58a1f", "#7a6fd0", "#d05a5a", "#6d8a96")
LINE_DASHES = ((), (6.0, 3.0), (1.5, 2.5), (6.0, 3.0, 1.5, 3.0))  # in points; taken once all colours are used
STRETCHES = 400  # of a line, about one for each point of a chart's width
LARGEST_PICTURE = 600_000  # bytes; two of these as base64, with all else, stay below 3 MB
REDUCED_SIDES = (1600, 1200, 800, 400)


class Value(Protocol):
    """What the report needs of a measured metric; `gan_core.metrics.evaluate.Measured` has it."""

    @property
    def value(self) -> float: ...
    @property
    def n_real(self) -> int: ...
    @property
    def n_fake(self) -> int: ...
    @property
    def split(self) -> str: ...
    @property
    def network(self) -> str: ...
    @property
    def k(self) -> int | None: ...
    @property
    def low(self) -> float | None: ...
    @property
    def high(self) -> float | None: ...
    @property
    def level(self) -> float | None: ...
    @property
    def interval(self) -> str | None: ...
    @property
    def warning(self) -> str | None: ...


@dataclass(frozen=True)
class Report:
    """All that a report shows.

    experiment: the resolved settings.  gate: metric to the bound's fields that are set.  curves: rows of
    the metrics files, {"position": images seen, "loss/generator": …}.  samples_png, real_png: grids of one
    layout, a class a row.  lineage: (kind, URI, digest) of what the version was made from.  grids: (position, PNG) of
    the same noise as training went on.  images: seen in training.  features: digest of the `domain` network.
    made: of a kind of artefact, how it came to be.
    """

    title: str
    experiment: Mapping[str, Any]
    metrics: Mapping[str, Value]
    gate: Mapping[str, Mapping[str, float | None]]
    curves: Sequence[Mapping[str, Any]]
    samples_png: bytes
    real_png: bytes
    lineage: Sequence[tuple[str, str, str]]
    versions: Mapping[str, str]
    notes: Sequence[str] = field(default_factory=tuple)
    grids: Sequence[tuple[int, bytes]] = field(default_factory=tuple)
    images: int | None = None
    features: str = ""
    parts: Parts = field(default_factory=Parts)
    made: Mapping[str, Made] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One line of the headline table.  passed: None where the gate says nothing, or nothing without a champion.
    bounds: of the value, if known.
    """

    name: str
    meaning: str
    value: str
    terms: str
    bound: str
    passed: bool | None
    bounds: str = ""
    warning: str = ""


@dataclass(frozen=True)
class Key:
    """What a chart's legend says of one line.  dashes: lengths of ink and gap; none for a solid line."""

    name: str
    colour: str
    dashes: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """The lines of one group over images seen.  keys: empty where the title says it all."""

    group: str
    title: str
    meaning: str
    svg: Markup
    keys: tuple[Key, ...]


def write_report(path: Path, report: Report) -> None:
    """Writes the report as one HTML file below 3 MB; its directory must exist."""
    rows, parts = table(report.metrics, report.gate), report.parts
    text = page(
        "report.html",
        report=report,
        marker=MARKER,
        rows=rows,
        refused=[row for row in rows if row.passed is False],
        waiting=[row for row in rows if row.bound and row.passed is None],
        charts=charts(report.curves),
        spells=[(spell, when(spell)) for spell in history(report.curves)],
        warm_up="" if warmed_up(report.curves) else f"{WARM_UP_IMAGES:,} images and {WARM_UP_ROWS} rows of the curves",
        strip=[(f"{position:,}", picture_uri(picture, GRID_BYTES, GRID_SIDES)) for position, picture in report.grids],
        pictures=[
            (caption, picture_uri(picture))
            for caption, picture in (("Generated", report.samples_png), ("Real", report.real_png))
            if picture
        ],
        config=yaml.safe_dump(dict(report.experiment), sort_keys=False, allow_unicode=True),
        name=report.experiment.get("name", "NAME"),
        parts=parts,
        figures=FIGURES,
        class_rows=cells(shown(parts.classes), number),
        small_uri=lambda picture: picture_uri(picture, SHEET_BYTES, SHEET_SIDES),
        colours=LINE_COLOURS,
        shape=shape_words(parts.data.shape) if parts.data else "",
        bars=bars(parts.data) if parts.data else [],
        usage=parts.usage or usage([]),
    )
    path.write_text(text, encoding="utf-8")


def table(metrics: Mapping[str, Value], gate: Mapping[str, Mapping[str, float | None]]) -> list[Row]:
    """Every metric with its terms and the gate's mark, then what the gate asks for and nobody measured."""
    rows = []
    for name, measured in metrics.items():
        bounds = gate.get(name, {})
        rows.append(Row(
            name=name,
            meaning=MEANINGS.get(name.removesuffix(f"_{measured.network}"), ""),
            value=number(measured.value),
            terms=_terms(measured),
            bound=_bound(bounds),
            passed=_within(measured.value, bounds),
            bounds=between(measured.low, measured.high, number),
            warning=measured.warning or "",
        ))
    unmeasured = [name for name in gate if name not in metrics]
    return rows + [Row(name, "", "not measured", "", _bound(gate[name]), False) for name in unmeasured]


def _terms(measured: Value) -> str:
    terms = f"{measured.n_real:,} real, {measured.n_fake:,} generated · {measured.split} · {measured.network}"
    further = ("" if measured.k is None else f"k = {measured.k}", method(measured.level, measured.interval))
    return " · ".join([terms, *filter(None, further)])


def _bound(bounds: Mapping[str, float | None]) -> str:
    return " and ".join(f"{SIGNS[rule.side]} {rule.words()}" for rule in rules_of(bounds))


def _within(value: float, bounds: Mapping[str, float | None]) -> bool | None:
    """None where no rule is set, and where those that the value decides alone are kept and others need a champion."""
    rules = rules_of(bounds)
    if not all(rule.keeps(value) for rule in rules if not rule.relative):
        return False
    return None if not rules or any(rule.relative for rule in rules) else True


Item = TypeVar("Item")


def spread(items: Sequence[Item], most: int) -> list[Item]:
    """Up to `most` of some items, evenly, the first and the last among them."""
    n = min(most, len(items))
    return [items[i * (len(items) - 1) // max(1, n - 1)] for i in range(n)]


def when(spell: Spell) -> str:
    """In which part of the run: 'from 20,480 images to the end'."""
    end = "to the end" if spell.lasting else f"to {spell.last:,}"
    again = f", {spell.times} times" if spell.times > 1 else ""
    return f"from {spell.first:,} images {end}{again}"


def picture_uri(picture: bytes, most: int = LARGEST_PICTURE, sides: Sequence[int] = REDUCED_SIDES) -> str:
    """A picture as a data URI; one of more bytes than that is brought to JPEG, and smaller until it fits."""
    if len(picture) <= most:
        return _data_uri("png", picture)
    for side in sides:
        reduced = Image.open(io.BytesIO(picture)).convert("RGB")
        reduced.thumbnail((side, side))
        jpeg = io.BytesIO()
        reduced.save(jpeg, "JPEG", quality=85)
        if jpeg.tell() <= most:
            break
    return _data_uri("jpeg", jpeg.getvalue())


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def charts(curves: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """One chart for each group of curves, known groups first."""
    return [chart(group, lines) for group, lines in grouped(curves).items()]


def grouped(curves: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Line]]:
    """Group to name to line, known groups first: a group is the part of a curve's name before '/'."""
    groups: dict[str, dict[str, tuple[list[float], list[float]]]] = {}
    for row in curves:
        for name, value in row.items():
            if name == "position" or isinstance(value, bool) or not isinstance(value, int | float):
                continue
            group, _, line = name.partition("/")
            positions, values = groups.setdefault(group, {}).setdefault(line or group, ([], []))
            positions.append(row["position"])
            values.append(value)
    if groups.get("objective") == groups.get("loss"):
        groups.pop("objective", None)  # without penalties they are the same
    return {group: {**groups[group]} for group in in_order(groups)}


def in_order(groups: Iterable[str]) -> list[str]:
    """Known groups first, others as they appear."""
    there = list(dict.fromkeys(groups))
    return [*(group for group in GROUPS if group in there), *(group for group in there if group not in GROUPS)]


def chart(group: str, lines: Mapping[str, Line]) -> Chart:
    """Lines over images seen.  group: of this chart of the page alone.  lines: name to (positions, values)."""
    colours, looks = len(LINE_COLOURS), len(LINE_DASHES)
    keys = tuple(Key(name, LINE_COLOURS[i % colours], LINE_DASHES[i // colours % looks])
                 for i, name in enumerate(lines))
    logarithmic = group.partition("/")[0] in RANGED and _wide(lines)
    drawn = svg_of(lambda figure: _draw(figure.add_subplot(), lines, keys, logarithmic=logarithmic), CHART_INCHES,
                   group, f"{group} over images seen: {', '.join(lines)}")
    title, meaning = GROUPS.get(group, (group, ""))
    return Chart(group, title, meaning, drawn, () if list(lines) == [group] else keys)


def _wide(lines: Mapping[str, Line]) -> bool:
    """Whether the values are positive and far apart."""
    values = [value for _, found in lines.values() for value in found if math.isfinite(value)]
    return bool(values) and min(values) > 0 and max(values) > WIDE * min(values)


def outline(positions: Sequence[float], values: Sequence[float], stretches: int = STRETCHES) -> Line:
    """A line that looks the same in few points: of each stretch its lowest and its highest, in order."""
    n = len(values)
    stretch = -(-n // stretches)
    if stretch <= 2:
        return positions, values
    ends = ((start, min(start + stretch, n)) for start in range(0, n, stretch))
    kept = sorted({pick(range(*end), key=values.__getitem__) for end in ends for pick in (min, max)})
    return [positions[i] for i in kept], [values[i] for i in kept]


def _draw(axes: Axes, lines: Mapping[str, Line], keys: Sequence[Key], *, logarithmic: bool) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullLocator, StrMethodFormatter

    for key in keys:
        positions, values = outline(*lines[key.name])
        mark = "o" if len(values) <= FEW_POINTS else None  # a line of one point would not be seen without it
        line, = axes.plot(positions, values, color=key.colour, linewidth=1.5, marker=mark, markersize=3)
        if key.dashes:
            line.set_linestyle((0, tuple(length / 1.5 for length in key.dashes)))  # in line widths
    axes.grid(alpha=0.15, linewidth=0.6)
    axes.set_xlabel("images seen")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=8))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5))
