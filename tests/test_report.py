"""The report: one file, nothing fetched, what it shows, and what it does with awkward input."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser

import numpy as np
import pytest
import yaml
from PIL import Image

from gan_core.metrics.evaluate import Measured
from gan_core.options.gate import TIMES
from gan_core.pictures import grid
from pipelines.report import (
    GRID_BYTES,
    MARKER,
    MOST_GRIDS,
    STRETCHES,
    Report,
    charts,
    outline,
    picture_uri,
    spread,
    table,
    write_report,
)
from pipelines.report_json import report_json

LIMIT = 3_000_000
VOID = {"meta", "img", "br", "wbr", "line"}  # SVG's <line/> closes itself


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that elements close in the order they open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def values(self, attribute: str) -> list[str]:
        return [value for _, name, value in self.attributes if name == attribute]


def png(seed: int = 0, n: int = 20, size: int = 8) -> bytes:
    images = np.random.default_rng(seed).integers(0, 256, (n, 1, size, size), np.uint8)
    file = io.BytesIO()
    grid(images, 10).save(file, "PNG")
    return file.getvalue()


def measured(value: float, network: str = "domain", k: int | None = None) -> Measured:
    return Measured(value=value, n_real=360, n_fake=360, split="test", network=network, seed=0, k=k)


def a_report(**changes) -> Report:
    names = ("loss/generator", "loss/discriminator", "logits/real", "images_per_second")
    curves = [{"position": 1280 * (i + 1), **dict.fromkeys(names, i % 3 + 0.5)} for i in range(40)]
    report = Report(
        title="digits 0003",
        experiment={"name": "digits", "train": {"images": 102_400, "batch": 128}},
        metrics={"fd_domain": measured(1.25), "coverage_pixels": measured(0.95, "pixels", 5)},
        gate={"coverage_pixels": {"at_least": 0.9, "at_most": None}},
        curves=curves,
        samples_png=png(0),
        real_png=png(1),
        lineage=[("shards", "s3://bucket/shards/abc", "0123abcd" * 8)],
        versions={"torch": "2.13.0"},
        notes=["Trained in 62 s."],
    )
    return dataclasses.replace(report, **changes)


def written(tmp_path, **changes) -> tuple[str, Page]:
    write_report(tmp_path / "report.html", a_report(**changes))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_the_page_needs_nothing_but_itself(tmp_path):
    text, page = written(tmp_path)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert "http://" not in text
    assert "https://" not in text
    assert "@import" not in text
    assert all(source.startswith("data:image/png;base64,") for source in page.values("src"))
    assert all(target.startswith("#") for target in page.values("href"))
    assert "default-src 'none'" in text


def test_equal_reports_give_equal_bytes(tmp_path):
    assert written(tmp_path)[0] == written(tmp_path)[0]


def test_every_reference_of_a_chart_finds_its_one_target(tmp_path):
    text, page = written(tmp_path)
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([\w-]+)\)", text)) | {t[1:] for t in page.values("href")} == set(ids)


def test_the_headline_says_value_terms_and_gate(tmp_path):
    words = " ".join(written(tmp_path)[1].text.split())
    assert "Every bound of the gate in these settings is kept" in words
    assert "fd_domain 1.2500" in words
    assert "Fréchet distance; lower is better 360 real, 360 generated · test · domain" in words
    assert "coverage_pixels 0.9500 ✓ passed ≥ 0.9" in words
    assert "360 real, 360 generated · test · pixels · k = 5" in words


BOUNDS = {"low": 0.91, "high": 0.96, "level": 0.95, "interval": "wilson", "warning": "360 images are few."}


def test_bounds_their_method_and_a_warning_are_in_the_row_of_the_metric(tmp_path):
    metrics = {"coverage_pixels": measured(0.95, "pixels", 5).model_copy(update=BOUNDS), "fd_domain": measured(1.25)}
    words = " ".join(written(tmp_path, metrics=metrics)[1].text.split())
    assert "coverage_pixels 0.9500 0.9100 to 0.9600 ✓ passed" in words
    assert "test · pixels · k = 5 · 95% interval: wilson ⚠ 360 images are few. fd_domain 1.2500" in words
    assert words.count("⚠") == 1


def test_the_place_of_how_it_stands_is_one_comment_after_the_notes_and_before_the_metrics(tmp_path):
    text, _ = written(tmp_path, notes=["Last note.", str(MARKER)])
    assert text.count(MARKER) == 1
    assert text.index("Last note.") < text.index(MARKER) < text.index("<h2>Metrics</h2>")


def test_settings_lineage_versions_notes_and_the_command_are_there(tmp_path):
    page = written(tmp_path)[1]
    (lineage,) = a_report().lineage
    for words in (*lineage, "2.13.0", "Trained in 62 s.", "gan sample digits"):
        assert words in page.text
    settings = page.text[page.text.index("name: digits") : page.text.index("Lineage")]
    assert yaml.safe_load(settings) == a_report().experiment


def test_both_pictures_are_there_byte_for_byte(tmp_path):
    shown = [base64.b64decode(source.partition(",")[2]) for source in written(tmp_path)[1].values("src")]
    assert shown == [png(0), png(1)]


def test_charts_take_the_pages_text_colour_and_no_other_for_text(tmp_path):
    text, page = written(tmp_path)
    assert "currentColor" in text
    assert "#010203" not in text
    assert "#000000" not in text
    styles = [value for tag, name, value in page.attributes if (tag, name) == ("text", "style")]
    assert styles
    assert all("fill: currentColor" in style for style in styles)


def test_what_others_wrote_is_shown_as_text_and_never_as_markup(tmp_path):
    evil = "<script>alert(1)</script>"
    curves = [{"position": 1, f"{evil}/{evil}": 1.0, '"><b>x/$y': 2.0}]
    names = {"title": evil, "notes": [evil], "lineage": [(evil, evil, evil)], "versions": {evil: evil}}
    metrics, experiment = {evil: measured(1)}, {"name": evil}
    page = written(tmp_path, curves=curves, metrics=metrics, gate={}, experiment=experiment, **names)[1]
    assert not {"script", "b"} & set(page.tags)
    assert page.text.count(evil) >= 9


@pytest.mark.parametrize(("bounds", "value", "passed"), [
    ({"at_least": 0.9}, 0.9, True), ({"at_least": 0.9}, 0.899, False),
    ({"at_most": 5.0, "at_least": None}, 5.0, True), ({"at_most": 5.0}, 5.1, False),
    ({"at_least": 0.2, "at_most": 0.4}, 0.3, True), ({"at_least": 0.2, "at_most": 0.4}, 0.5, False),
    ({}, 0.5, None), ({"at_least": None, "at_most": None}, 0.5, None),
    ({"at_most_champion": 1.02}, 0.5, None), ({"at_most": 1, "at_most_champion": 1.02}, 0.5, None),
    ({"at_most": 0.4, "at_most_champion": 1.02}, 0.5, False),
])  # fmt: skip
def test_the_gates_mark_follows_its_bounds_ends_included(bounds, value, passed):
    (row,) = table({"fd_domain": measured(value)}, {"fd_domain": bounds})
    assert row.passed is passed


def test_what_is_judged_beside_the_champion_waits_for_publishing_and_its_rule_is_shown(tmp_path):
    gate = {"fd_domain": {"at_most_champion": 1.02, "at_most_champion_plus": 0.5},
            "coverage_pixels": {"at_least": 0.5}}
    metrics = {"fd_domain": measured(12), "coverage_pixels": measured(0.9)}
    words = " ".join(written(tmp_path, metrics=metrics, gate=gate)[1].text.split())
    assert "when this is published, the gate of these settings judges fd_domain; every other bound is kept." in words
    assert f"when published ≤ 1.02 {TIMES} champion and ≤ champion + 0.5" in words
    assert "✓ passed ≥ 0.5" in words
    facts = json.loads(report_json(a_report(metrics=metrics, gate=gate), {}))
    assert facts["gate"]["fd_domain"] == {**gate["fd_domain"], "passed": None}


def test_a_metric_that_the_gate_asks_for_and_nobody_measured_is_refused(tmp_path):
    words = " ".join(written(tmp_path, gate={"class_agreement": {"at_least": 0.9}})[1].text.split())
    assert "The gate of these settings refuses: class_agreement" in words
    assert "class_agreement not measured ✗ refused ≥ 0.9" in words


@pytest.mark.parametrize(("value", "shown"), [
    (0.0, "0.0000"), (0.04097, "0.0410"), (123.456, "123.5"),
    (-0.000213, "\N{MINUS SIGN}0.000213"), (1e-9, "1e\N{MINUS SIGN}09"),
])  # fmt: skip
def test_values_line_up_and_small_ones_are_not_rounded_away(value, shown):
    assert table({"fd_domain": measured(value)}, {})[0].value == shown


def test_curves_are_grouped_by_what_stands_before_the_slash():
    drawn = charts(a_report().curves)
    assert [chart.group for chart in drawn] == ["loss", "logits", "images_per_second"]
    lines = [[key.name for key in chart.keys] for chart in drawn]
    assert lines == [["generator", "discriminator"], ["real"], []]


def test_known_groups_come_first_and_say_what_they_are():
    names = ("penalty/r1", "other/x", "diversity/class", "gradient/generator", "accuracy/d", "loss/generator")
    drawn = charts([{"position": p, **dict.fromkeys(names, 1.0)} for p in (1, 2)])
    assert [chart.group for chart in drawn] == ["loss", "accuracy", "gradient", "diversity", "penalty", "other"]
    assert (drawn[2].title, drawn[2].meaning) == ("Gradients", "L2 norm of each network's mean gradient")
    assert (drawn[-1].title, drawn[-1].meaning) == ("other", "")


def test_gradients_far_apart_are_drawn_on_a_logarithmic_scale_with_plain_numbers():
    (near,) = charts([{"position": p, "gradient/g": float(p)} for p in (1, 2, 3)])
    (far,) = charts([{"position": p, "gradient/g": 10.0**p} for p in (-2, 1, 3)])
    (zero,) = charts([{"position": p, "gradient/g": value} for p, value in enumerate((0.0, 1.0, 1e3))])
    ticks = [re.findall(r">([\d.]+)</text>", chart.svg) for chart in (near, far, zero)]
    assert {"0.01", "1", "100"} <= set(ticks[1])
    assert "0.01" not in ticks[0] + ticks[2]
    assert "$" not in far.svg


def test_objectives_without_penalties_are_not_drawn_twice():
    rows = [{"position": p, "loss/g": float(p), "objective/g": float(p)} for p in (1, 2)]
    assert [chart.group for chart in charts(rows)] == ["loss"]
    assert [chart.group for chart in charts([row | {"objective/g": 9.0} for row in rows])] == ["loss", "objective"]


def won_between(first: int, last: int) -> list[dict[str, float]]:
    """A hundred rows of a run whose discriminator wins in some of them."""
    healthy = {"logits/real": 0.1, "logits/fake": -0.1, "accuracy/discriminator": 0.6}
    winning = {"logits/real": 2.5, "logits/fake": -2.5, "accuracy/discriminator": 1.0}
    return [{"position": 1280.0 * (i + 1), **(winning if first <= i < last else healthy)} for i in range(100)]


def test_troubles_are_told_with_their_time_what_was_seen_and_advice(tmp_path):
    words = " ".join(written(tmp_path, curves=won_between(20, 40))[1].text.split())
    assert "the discriminator wins from 35,840 images to 51,200" in words
    assert "it is right about 100.0% of real and generated examples, whose logits are 5 apart for 8,960 images" in words
    assert "→ raise model.generator_optimizer.learning_rate or lower" in words
    lasting = " ".join(written(tmp_path, curves=won_between(20, 100))[1].text.split())
    assert "from 35,840 images to the end" in lasting


def test_the_facts_for_programs_are_those_of_the_page(tmp_path):
    curves = won_between(20, 40)
    report = a_report(curves=curves, images=128_000, features="f" * 64)
    facts = json.loads(report_json(report, {"fd_domain": {"value": 1.25}}))
    assert set(facts) == {"title", "metrics", "gate", "troubles", "images", "features", "lineage", "versions", "notes",
                          "experiment", "made", "classes", "nearest", "maps", "data", "left_out"}
    assert facts["metrics"] == {"fd_domain": {"value": 1.25}}
    assert facts["gate"] == {"coverage_pixels": {"at_least": 0.9, "at_most": None, "passed": True}}
    (spell,) = facts["troubles"]
    assert (spell["name"], spell["first"], spell["last"], spell["lasting"]) == (
        "the discriminator wins", 35_840, 51_200, False)
    assert spell["what"].startswith("it is right about 100.0%")
    assert spell["advice"].startswith("raise model.generator_optimizer.learning_rate")
    assert facts["lineage"] == [{"kind": "shards", "at": "s3://bucket/shards/abc", "digest": "0123abcd" * 8}]
    assert (facts["images"], facts["features"]) == (128_000, "f" * 64)
    assert len(report_json(report, {})) < 5_000  # curves and pictures lie beside it


def test_a_metric_of_the_gate_that_nobody_measured_is_not_passed():
    facts = json.loads(report_json(a_report(gate={"class_agreement": {"at_least": 0.9}}), {}))
    assert facts["gate"] == {"class_agreement": {"at_least": 0.9, "passed": False}}


def test_a_run_without_troubles_says_so_and_one_without_curves_does_not(tmp_path):
    assert "No trouble was found" in written(tmp_path, curves=won_between(0, 0))[1].text
    assert "None is named in a run this short" in written(tmp_path, curves=won_between(0, 0)[:15])[1].text
    empty = written(tmp_path, curves=[])[1].text
    assert "No trouble was found" not in empty
    assert "No curves were recorded to look for troubles in" in empty


def test_sample_grids_are_shown_in_order_with_their_positions(tmp_path):
    grids = [(20_480 * (i + 1), png(i)) for i in range(3)]
    _, page = written(tmp_path, grids=grids)
    shown = [base64.b64decode(source.partition(",")[2]) for source in page.values("src")]
    assert shown == [*(content for _, content in grids), png(0), png(1)]
    strip = page.text[page.text.index("Samples as training went on") :]
    assert re.findall(r"[\d,]{6,}", strip)[:3] == ["20,480", "40,960", "61,440"]
    assert "Samples as training went on" not in written(tmp_path)[1].text


def test_large_grids_are_reduced_for_the_strip_and_the_page_stays_small(tmp_path):
    large = png(n=64, size=64)
    assert len(large) > 5 * GRID_BYTES
    write_report(tmp_path / "report.html", a_report(grids=[(i, large) for i in range(MOST_GRIDS)]))
    assert (tmp_path / "report.html").stat().st_size < 2 * GRID_BYTES * MOST_GRIDS


@pytest.mark.parametrize(("n", "most", "chosen"), [
    (0, 8, []), (1, 8, [0]), (8, 8, [*range(8)]), (9, 3, [0, 4, 8]), (100, 2, [0, 99]), (5, 1, [0]),
])  # fmt: skip
def test_a_spread_has_both_ends(n, most, chosen):
    assert spread(range(n), most) == chosen


def test_rows_may_lack_values_and_values_may_lack_numbers():
    rows = [
        {"position": 1, "loss/g": 1.0, "note": "started"},
        {"position": 2, "loss/d": float("nan")},
        {"position": 3, "loss/g": float("inf"), "loss/d": None},
        {"position": 4, "loss/g": 2, "done": True},
    ]
    (chart,) = charts(rows)
    assert [key.name for key in chart.keys] == ["g", "d"]


def test_many_lines_with_long_names_still_leave_room_to_draw():
    names = [f"gradients/discriminator.block{i}.convolution.weight.norm" for i in range(40)]
    (chart,) = charts([{"position": p, **dict.fromkeys(names, 1.0)} for p in (1, 2)])
    assert len({(key.colour, key.dashes) for key in chart.keys}) == 32  # then the looks come round again


def test_a_long_curve_keeps_its_peaks_in_few_points():
    values = np.random.default_rng(0).normal(size=50_000)
    values[31_234] = 99.0
    positions, kept = outline(range(50_000), list(values))
    assert len(kept) <= 2 * STRETCHES
    assert positions == sorted(positions)
    assert (max(kept), min(kept)) == (99.0, values.min())
    assert positions[kept.index(99.0)] == 31_234


def test_long_runs_and_large_pictures_stay_below_three_megabytes(tmp_path):
    draw = np.random.default_rng(0)
    names = [f"group{i % 4}/line{i}" for i in range(16)]
    curves = [{"position": i, **dict(zip(names, row, strict=True))}
              for i, row in enumerate(draw.normal(size=(3000, 16)).tolist())]
    large = png(n=64, size=256)
    assert len(large) > LIMIT
    write_report(tmp_path / "report.html", a_report(curves=curves, samples_png=large, real_png=large))
    assert (tmp_path / "report.html").stat().st_size < LIMIT


def test_a_picture_is_reduced_only_when_it_must_be():
    assert base64.b64decode(picture_uri(png()).partition(",")[2]) == png()
    kind, _, content = picture_uri(png(n=64, size=256)).partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).width >= 400


def test_an_empty_report_is_still_a_page(tmp_path):
    page = written(tmp_path, metrics={}, gate={}, curves=[], samples_png=b"", real_png=b"", lineage=[],
                   versions={}, notes=[], experiment={})[1]
    for words in ("No gate is set", "Nothing was measured", "No curves", "No parents"):
        assert words in page.text


def test_drawing_leaves_matplotlibs_settings_alone():
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    charts([{"position": 1, "loss/g": 1.0}])
    assert dict(mpl.rcParams) == before


def test_matplotlib_is_imported_only_to_draw():
    code = "import sys, pipelines.report; sys.exit('matplotlib' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
