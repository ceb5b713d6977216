"""The pages people look at, in Chromium: on a phone and on a desk, by day and by night."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from gan_core.store import Store
from pipelines.compare import compare
from pipelines.compare_page import write_page
from pipelines.compared_version import MOST_VERSIONS, gather
from pipelines.report import GROUPS, MEANINGS, write_report
from tests.compared import a_version
from tests.compared import measured as a_metric
from tests.test_report import a_report, measured, png

pytestmark = pytest.mark.system
NAME = "an-experiment_" + "y" * 49  # as long as they may be
NETWORK = "a-network-of-ours-of-31-letters"
NETWORKS = ("domain", "pixels", "inception", NETWORK)
WIDTHS, SCHEMES = (390, 1280), ("light", "dark")
READABLE = 4.5  # contrast of text and its ground, WCAG 2.2, 1.4.3 at level AA

TEXTS = """() => [...document.querySelectorAll("body *:not(style, title)")]
  .filter(one => [...one.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim()))
  .map(one => {
    let ground = one;
    while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
    const {color, fill} = getComputedStyle(one);
    return [one.textContent.trim().slice(0, 40), one instanceof SVGElement ? fill : color,
            getComputedStyle(ground).backgroundColor];
  })"""


@dataclass
class Opened:
    """A page in a window, and what the browser had to say while it opened.  requests: the addresses."""

    page: Page
    said: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def open(self, path: Path) -> None:
        """All that is folded is unfolded, and settings with it."""
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("requestfailed", lambda request: self.said.append(f"{request.url}: {request.failure}"))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not (chromium := shutil.which("chromium")):
        pytest.skip("there is no chromium here; make system-packages installs it")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium)
        yield found
        found.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with report.html and compare.html of as much as a version can have, and of names as long as they come.
    """
    folder = tmp_path_factory.mktemp("pages")
    a_long_report(folder / "report.html")
    a_wide_comparison(Store(folder / "store"), folder / "compare.html")
    return folder


def a_long_report(path: Path) -> None:
    metrics = {f"{name}_{network}": measured(12345.678, network, 5) for name, network in product(MEANINGS, NETWORKS)}
    write_report(path, a_report(
        title=f"{NAME} 0003",
        metrics=metrics,
        gate={name: {"at_least": 0.25, "at_most": 20000.0 * (i % 2)} for i, name in enumerate(metrics)}
        | {f"sliced_wasserstein_{NETWORK[::-1]}": {"at_least": 0.9}},
        curves=curves(),
        experiment={"name": NAME, "data": {"source": "image_folder", "url": f"s3://bucket/{NAME}/{NAME}"}},
        lineage=[("shards", f"s3://{NAME}/{NAME}/shards/abc", "0123abcd" * 8)],
        versions={"torch": "2.13.0", "scikit-learn": "1.9.1"},
        notes=[f"After 20,480 images training went back to 10,240: s3://{NAME}/{NAME} did not answer."],
        grids=[(1280 * i, png(i)) for i in range(1, 9)],
        features="0123abcd" * 8,
        images=128_000,
    ))


def a_wide_comparison(store: Store, path: Path) -> None:
    names = [a_version(
        store, f"{NAME[:-1]}{i}",
        {f"{name}_{network}": a_metric(12345.678 * i, network, k=5 + i % 2 * (network == NETWORK))
         for name, network in product(MEANINGS, NETWORKS)},
        curves=curves(), noise=64, licence=f"{NAME} {i}", model={"recipe": "dcgan", "width": 8 + i},
    ) for i in range(MOST_VERSIONS)]
    write_page(compare(gather(names, store)), path)


def curves() -> list[dict[str, Any]]:
    """Of every group, with a discriminator that wins all along and is named for it."""
    names = [f"{group}/{line}" for group in GROUPS for line in ("generator", "discriminator", "real", NETWORK)]
    values = np.random.default_rng(0).uniform(0.01, 99, (100, len(names)))
    won = {"accuracy/real": 1.0, "accuracy/fake": 1.0, "logits/real": 9.0, "logits/fake": -9.0}
    return [{"position": 1280 * (i + 1), **dict(zip(names, row, strict=True)), **won}
            for i, row in enumerate(values.tolist())]


WINDOWS = [*product(("report", "compare"), WIDTHS, SCHEMES)]


@pytest.fixture(scope="module", params=WINDOWS, ids=lambda window: "-".join(map(str, window)))
def opened(request: pytest.FixtureRequest, browser: Browser, pages: Path) -> Iterator[Opened]:
    name, width, scheme = request.param
    window = Opened(browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme))
    window.open(pages / f"{name}.html")
    yield window
    window.page.close()


def test_it_opens_without_a_complaint_and_fetches_nothing(opened: Opened) -> None:
    assert opened.said == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [opened.page.url]


def test_nothing_is_wider_than_the_window(opened: Opened) -> None:
    wide = opened.page.evaluate("""[...document.querySelectorAll("body *")]
        .filter(one => one.getBoundingClientRect().right > innerWidth && !one.closest("pre")).map(one => one.outerHTML)
        .slice(0, 3)""")
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), wide


def test_every_picture_is_there(opened: Opened) -> None:
    pictures = opened.page.evaluate("""[...document.images].map(
        one => one.complete && one.naturalWidth > 0 && one.getBoundingClientRect().width > 0)""")
    assert len(pictures) >= MOST_VERSIONS
    assert all(pictures)


def test_all_text_can_be_read(opened: Opened) -> None:
    texts = opened.page.evaluate(TEXTS)
    assert len(texts) > 300
    assert [text for text in texts if contrast(*text[1:]) < READABLE] == []


def test_the_page_follows_the_hour(opened: Opened) -> None:
    is_dark = opened.page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    ground = opened.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (luminance(ground) < 0.5) == is_dark


def contrast(one: str, other: str) -> float:
    """Of two colours, 1 … 21: WCAG's."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Of 'rgb(28, 37, 48)', 0 … 1: WCAG's relative luminance."""
    levels = [int(level) / 255 for level in re.fullmatch(r"rgb\((\d+), (\d+), (\d+)\)", colour).groups()]
    linear = [level / 12.92 if level <= 0.04045 else ((level + 0.055) / 1.055) ** 2.4 for level in levels]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
