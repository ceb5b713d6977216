"""The page of `gan serve-model`, in Chromium: on a phone and on a desk, by day and by night."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import product

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from gan_core.store import Store
from pipelines.serving.reload import Source
from tests.artefacts import publish_one
from tests.serving.process import listening
from tests.serving.served import FACES, Faces, of
from tests.system.test_report_in_browser import READABLE, SCHEMES, TEXTS, WIDTHS, Opened, contrast

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not (chromium := shutil.which("chromium")):
        pytest.skip("there is no chromium here; make system-packages installs it")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium)
        yield found
        found.close()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = Store(tmp_path_factory.mktemp("page") / "store")
    publish_one(made)
    return made


@pytest.fixture(scope="module")
def digits(store: Store) -> Iterator[str]:
    with listening(store, Source("digits", store).load()) as url:
        yield url


@pytest.fixture(scope="module")
def faces(store: Store) -> Iterator[str]:
    with listening(store, of(FACES, Faces())) as url:
        yield url


@pytest.fixture(params=[*product(("digits", "faces"), WIDTHS, SCHEMES)], ids=lambda window: "-".join(map(str, window)))
def opened(request: pytest.FixtureRequest, browser: Browser, digits: str, faces: str) -> Iterator[Opened]:
    name, width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    window = Opened(page)
    page.on("console", lambda message: window.said.append(message.text))
    page.on("pageerror", lambda error: window.said.append(str(error)))
    page.on("requestfailed", lambda failed: window.said.append(f"{failed.url}: {failed.failure}"))
    page.on("request", lambda sent: window.requests.append(sent.url))
    page.goto({"digits": digits, "faces": faces}[name])
    yield window
    page.close()


def pixels(page: Page) -> list[int]:
    """Width and height of the picture, once it is there."""
    picture = page.locator("#sheet img:not(.stale)")
    picture.wait_for()
    return page.evaluate("async () => { const one = document.querySelector('#sheet img'); await one.decode(); "
                         "return [one.naturalWidth, one.naturalHeight]; }")


def test_a_picture_is_there_and_the_form_makes_another_one(opened: Opened) -> None:
    page = opened.page
    first = pixels(page)
    page.get_by_label("Images").first.fill("4")
    page.get_by_label("Seed", exact=True).fill("77")
    page.get_by_label("Truncation").fill("0.7")
    page.get_by_role("button", name="Make images").click()
    expect(page.get_by_role("img")).to_have_attribute("alt", "4 images of seed 77")
    assert pixels(page) != first
    expect(page.locator("#facts")).to_contain_text("versions/0001, seed 77: seed-77.png")
    page.get_by_role("button", name="Another seed").click()
    expect(page.get_by_role("img")).not_to_have_attribute("alt", "4 images of seed 77")
    assert opened.said == []
    assert all(url.startswith(("http://127.0.0.1:", "blob:http://127.0.0.1:", "data:")) for url in opened.requests)


def test_nothing_is_wider_than_the_window_and_all_text_can_be_read(opened: Opened) -> None:
    pixels(opened.page)
    assert opened.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert [text for text in opened.page.evaluate(TEXTS) if contrast(*text[1:]) < READABLE] == []


def test_what_is_refused_is_said_on_the_page(browser: Browser, faces: str) -> None:
    page = browser.new_page()
    page.goto(faces)
    pixels(page)
    page.get_by_label("hair").evaluate("one => { one.options[1].value = 9; one.selectedIndex = 1; }")
    page.get_by_role("button", name="Make images").click()
    expect(page.get_by_role("alert")).to_have_text("hair=9: hair is 0 to 4")
    page.close()


def test_a_server_that_has_gone_is_said_on_the_page(browser: Browser, store: Store) -> None:
    page = browser.new_page()
    with listening(store, of(FACES, Faces())) as url:
        page.goto(url)
        pixels(page)
    page.get_by_role("button", name="Make images").click()
    expect(page.get_by_role("alert")).to_have_text("The server does not answer.")
    page.close()
