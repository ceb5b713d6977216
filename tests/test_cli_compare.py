"""`gan compare`: what it prints, the page it writes, and how it refuses."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gan_core.store import Store
from pipelines.cli import main
from pipelines.compare import compare
from pipelines.compare_page import check_html, html
from pipelines.compared_version import gather
from tests.compared import a_picture, a_version, measured, n_images
from tests.test_report import LIMIT, Page

FIRST = {"fd_domain": measured(12.5), "coverage_pixels": measured(0.8, "pixels", k=5)}
SECOND = {"fd_domain": measured(10.0), "coverage_pixels": measured(0.9, "pixels", k=3)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Versions 1 and 2 compare in fd_domain alone; 3 in nothing.  No test changes it."""
    made = Store(tmp_path_factory.mktemp("compared") / "store")
    a_version(made, "digits", FIRST, colour="red")
    a_version(made, "digits", SECOND, colour="blue", train={"images": 2560})
    a_version(made, "digits", {name: {**one, **n_images(100)} for name, one in FIRST.items()}, seed=7)
    return made


def gan(store: Store, capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of `gan compare`."""
    with pytest.raises(SystemExit) as ended:
        main(["compare", *map(str, words), "--store", store.url])
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_the_table_marks_the_best_and_says_what_is_not_compared(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = gan(store, capsys, "digits@0001", "digits@0002")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert lines[:3] == ["metric better digits@0001 digits@0002",
                         "fd_domain lower 12.5 10 ↓ \N{MINUS SIGN}2.5000 ★", "coverage_pixels higher 0.8000 0.9000"]
    assert "not compared: coverage_pixels: k 5 against 3 of digits@0002" in lines
    assert "train.images 102400 2560" in lines
    assert any(line.startswith("run ≠ r-digits-0 (") for line in lines)


def test_json_is_all_that_goes_to_standard_output(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = gan(store, capsys, "digits@1", "digits@2", "--json", "--metric", "fd_domain")
    facts = json.loads(out)
    assert (code, err, facts["comparable"]) == (0, "", True)
    assert [metric["name"] for metric in facts["metrics"]] == ["fd_domain"]


def test_where_nothing_can_be_compared_all_is_shown_and_one_line_says_how_to_make_it_so(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = gan(store, capsys, "digits@0001", "digits@0003")
    (line,) = err.splitlines()
    assert code == 1
    assert line.startswith("gan: none of 2 metrics can be compared: fd_domain, coverage_pixels: n_real 360 against 100")
    assert line.endswith("0001/config.json --store " + store.url +
                         " --set evaluate.samples=100` measures digits@0001 alike")
    assert "★" not in out
    assert "12.5" in out


@pytest.mark.parametrize(("words", "said"), [
    (["digits"], "gan: gan compare digits: 1 versions; 2 to 8 can be put side by side"),
    (["digits", "digits@9"], "gan: digits@9: no such version in "),
    (["digits", "digts"], "gan: unknown model 'digts' in "),
    (["digits@1", "digits@2", "--metric", "fid"], "gan: --metric fid: none of these versions has it; known: fd_domain"),
    (["digits@1", "digits@2", "--out", "page.pdf"], "gan: --out page.pdf: a page is HTML; --out page.html works"),
])  # fmt: skip
def test_wrong_usage_is_one_line_and_exit_code_2(
    store: Store, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    code, out, err = gan(store, capsys, *words)
    (line,) = err.splitlines()
    assert (code, out) == (2, "")
    assert line.startswith(said)


def test_a_directory_is_no_page(tmp_path: Path) -> None:
    (tmp_path / "there.html").mkdir()
    with pytest.raises(Exception, match=r"there.html: is a directory; --out .*there.html/compare.html works"):
        check_html(tmp_path / "there.html")


# --- the page -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def text(store: Store) -> str:
    return page_of(store, "digits@0001", "digits@0002")


def page_of(store: Store, *addresses: str) -> str:
    return html(compare(gather(addresses, store)))


def test_the_page_is_written_whole_and_said(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "compare.html"
    code, _, err = gan(store, capsys, "digits@0001", "digits@0002", "--out", out)
    assert (code, err) == (0, f"{out}: 2 versions side by side\n")
    assert [path.name for path in out.parent.iterdir()] == ["compare.html"]
    assert Page(out.read_text(encoding="utf-8")).tags.count("img") == 2


def test_the_page_needs_nothing_but_itself(text: str) -> None:
    page = Page(text)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert not re.search("https?://|@import", text)
    assert all(source.startswith("data:image/png;base64,") for source in page.values("src"))
    assert "default-src 'none'" in text
    ids = page.values("id")
    assert len(ids) == len(set(ids))


def test_the_page_has_the_pictures_in_order_and_a_chart_for_each_curve(text: str) -> None:
    page = Page(text)
    pictures = [base64.b64decode(source.partition(",")[2]) for source in page.values("src")]
    assert pictures == [a_picture("red"), a_picture("blue")]
    assert page.values("aria-label") == [f"{curve} over images seen: digits@0001, digits@0002"
                                         for curve in ("loss/generator", "logits/real")]
    assert text.count("stroke: #3b82d6") >= 2
    assert text.count("stroke: #dd7a2b") >= 2


def test_the_page_says_what_the_terminal_says(text: str) -> None:
    words = " ".join(Page(text).text.split())
    assert "12.5 10 ★ ↓ \N{MINUS SIGN}2.5000" in words
    assert "Not compared coverage_pixels: k 5 against 3 of digits@0002" in words
    assert "train.images 102400 2560" in words
    assert "images seen 128 128" in words


def test_nothing_comparable_is_the_pages_first_word(store: Store) -> None:
    words = " ".join(Page(page_of(store, "digits@0001", "digits@0003")).text.split())
    assert "✗ None of these numbers can be compared." in words
    assert "★" not in words


def test_a_version_whose_run_is_gone_says_so_and_the_others_keep_their_colours(tmp_path: Path) -> None:
    store = Store(tmp_path)
    names = [a_version(store, "digits", FIRST), a_version(store, "digits", SECOND)]
    store.delete("runs/r-digits-0")
    text = page_of(store, *names)
    assert "digits@0001: its run is no longer in the store, and its curves with it." in " ".join(text.split())
    assert "stroke: #dd7a2b" in text
    assert "stroke: #3b82d6" not in text
    store.delete("runs/r-digits-1")
    assert "<svg" not in page_of(store, *names)


def test_long_runs_and_large_pictures_of_many_versions_stay_below_three_megabytes(tmp_path: Path) -> None:
    store, draw = Store(tmp_path), np.random.default_rng(0)
    curves = [{"position": i, **{f"loss/{j}": float(value) for j, value in enumerate(row)}}
              for i, row in enumerate(draw.normal(size=(2000, 5)))]
    names = [a_version(store, "digits", FIRST, curves=curves, noise=1000) for _ in range(3)]
    assert len(page_of(store, *names).encode()) < LIMIT


def test_what_others_wrote_is_shown_as_text(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    store = Store(tmp_path)
    metrics: dict[str, Any] = {evil: measured(1.0)}
    names = [a_version(store, "digits", metrics, licence=evil), a_version(store, "digits", metrics)]
    page = Page(page_of(store, *names))
    assert "script" not in page.tags
    assert page.text.count(evil) == 2
