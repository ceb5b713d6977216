"""The data card: one file, nothing fetched, what it shows, and what it does with hostile names."""
# ruff: noqa: RUF001 - reports say 32×32

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gan_core.data.checks.report import Finding, Report
from gan_core.data.contact import contact_sheet
from gan_core.data.source import Bad
from pipelines.data_card import CLASSES_SHOWN, level_bars, size, write_card
from tests.data.checked import noise, report_of, sound
from tests.test_report import Page


def card(tmp_path: Path, report: Report, name: str = "flags", **options: Any) -> tuple[str, Page]:
    file = io.BytesIO()
    contact_sheet(report).save(file, "PNG")
    write_card(tmp_path / "card.html", name, {"source": "image_zip", **options}, report, file.getvalue())
    text = (tmp_path / "card.html").read_text(encoding="utf-8")
    return text, Page(text)


def test_a_sound_set_has_a_card_that_says_so(tmp_path: Path) -> None:
    text, page = card(tmp_path, report_of(sound(), {"class_names": ["red", "green", "blue", "white"]}))
    for shown in ("flags", "✓ pass", "120 train, 100 test; 32×32 RGB; 4 classes", "red", "white", "127.", "369 kB",
                  "0 … 255", "source: image_zip", "publish.licence"):
        assert shown in page.text, shown
    assert 'class="badge pass"' in text


def test_the_card_is_one_file_that_fetches_nothing(tmp_path: Path) -> None:
    text, page = card(tmp_path, report_of(sound()))
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert all(uri.startswith("data:") for uri in page.values("src"))
    assert not page.values("href")
    assert "default-src 'none'" in text


@pytest.mark.parametrize(("severity", "mark"), [("refuse", "✗ refuse"), ("warn", "! warn")])
def test_the_verdict_and_every_finding_are_shown(tmp_path: Path, severity: Any, mark: str) -> None:
    finding = Finding(severity, "leakage", "test", "3 are in train too", "drop them")
    report = replace(report_of(sound()), findings=[finding])
    _, page = card(tmp_path, report)
    for shown in (mark, "leakage", "test", "3 are in train too", "→ drop them"):
        assert shown in page.text, shown


def test_nothing_that_comes_from_the_data_becomes_part_of_the_page(tmp_path: Path) -> None:
    evil = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'
    items = sound()
    items["train"][3] = replace(items["train"][3], image=noise(40, 40, 3), where=f"train/{evil}.png")
    items["train"].append(Bad(f"bad/{evil}", f"is {evil}"))
    plain, _ = card(tmp_path, report_of(sound()))
    text, page = card(tmp_path, report_of(items, {"class_names": [evil, "b", "c", "d"]}), name=evil, url=evil)
    assert "script" not in page.tags
    assert page.tags.count("img") == plain.count("<img")
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert page.text.count(evil) >= 6
    assert text.count("<script>") == 0


def test_names_that_are_not_unicode_are_shown_escaped(tmp_path: Path) -> None:
    items = sound()
    items["train"].append(Bad("caf\udce9.png", "is empty"))
    _, page = card(tmp_path, report_of(items), url="data/caf\udce9")
    assert "caf\\udce9.png" in page.text


def test_unusable_items_are_listed_up_to_a_hundred(tmp_path: Path) -> None:
    items = sound()
    items["train"] += [Bad(f"bad{i}.png", "is empty") for i in range(1234)]
    _, page = card(tmp_path, report_of(items))
    assert "bad99.png" in page.text
    assert "bad100.png" not in page.text
    assert "… and 1,134 more." in page.text


def test_of_many_classes_the_first_are_shown(tmp_path: Path) -> None:
    items = sound(train=300, classes=100)
    _, page = card(tmp_path, report_of(items))
    assert f"… and {100 - CLASSES_SHOWN} more classes." in page.text


def test_bars_are_as_long_as_their_counts(tmp_path: Path) -> None:
    items = sound()
    items["train"] = [replace(e, label=0 if i < 80 else 1) for i, e in enumerate(items["train"])]
    items["test"] = [replace(e, label=i % 2) for i, e in enumerate(items["test"])]
    _, page = card(tmp_path, report_of(items))
    assert page.values("style") == ["width: 100.00%", "width: 62.50%", "width: 50.00%", "width: 62.50%"]


def test_a_set_that_cannot_be_opened_has_a_card_too(tmp_path: Path) -> None:
    report = Report([Finding("refuse", "unreadable_source", "", "x.zip: is cut off", "download it again")], {})
    write_card(tmp_path / "card.html", "x", {"source": "image_zip"}, report, b"")
    page = Page((tmp_path / "card.html").read_text(encoding="utf-8"))
    assert "x.zip: is cut off" in page.text
    assert "no examples" in page.text
    assert "img" not in page.tags


def test_recordings_have_no_levels(tmp_path: Path) -> None:
    tones = sound(make=lambda i: (9000 * np.sin(np.arange(400) * (0.1 + i / 100))).astype(np.int16), field="audio")
    _, page = card(tmp_path, report_of(tones))
    assert "svg" not in page.tags
    assert "400 samples" in page.text


def test_equal_reports_give_equal_bytes(tmp_path: Path) -> None:
    assert card(tmp_path, report_of(sound()))[0] == card(tmp_path, report_of(sound()))[0]


def test_rare_levels_show() -> None:
    levels = np.zeros(256, np.int64)
    levels[0], levels[255] = 10_000, 100
    assert level_bars([levels])[0] == 100
    assert level_bars([levels])[-1] == 10
    assert level_bars([np.zeros(256, np.int64)]) == []


def test_sizes_are_readable() -> None:
    shown = {0: "0 B", 999: "999 B", 1000: "1.0 kB", 54_880_000: "54.9 MB", 123_456_789_000: "123 GB"}
    assert {count: size(count) for count in shown} == shown
