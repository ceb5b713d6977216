"""An alias moves while its model is served."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from prometheus_client import CONTENT_TYPE_LATEST

from gan_core.bundle import Generator, read_generator
from gan_core.errors import ConfigError
from gan_core.store import Store
from pipelines.models import set_alias
from pipelines.serving.reload import Source
from tests.artefacts import finish_run, finish_scores, flip_a_byte, publish_as
from tests.serving.served import images, metric, served

OFTEN = 0.01  # seconds between two looks
WEIGHTS = "models/digits/versions/0002/generator.safetensors"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two versions of digits; the first one is champion."""
    made = Store(tmp_path / "store")
    for number, seed in (("1", 0), ("2", 1)):
        run = finish_run(made, f"r{number}", seed=seed)
        publish_as(made, f"p{number}", run, finish_scores(made, run, f"e{number}"))
    set_alias(made, "digits", "champion", "0001", why="first")
    return made


async def until(client: httpx.AsyncClient, line: str, least: float = 1) -> None:
    """Waits for a metric to come so far."""
    while await metric(client, line) < least:
        await asyncio.sleep(0.005)


def test_the_version_an_alias_moves_to_is_served_and_no_request_fails(store: Store) -> None:
    expected = {store.uri(f"models/digits/versions/{number}"):
                read_generator(store, f"models/digits/versions/{number}").sample(3, seed=4)
                for number in ("0001", "0002")}

    async def moving() -> list[httpx.Response]:
        async with served(store, "digits@champion", reload_seconds=OFTEN) as client:
            before = (await client.get("/health")).json()
            answers = [await client.get("/sample?n=3&seed=4&format=npy")]
            set_alias(store, "digits", "champion", "0002", why="better")
            while await metric(client, 'gan_reloads_total{result="ok"}') < 1:
                answers += await asyncio.gather(*(client.get("/sample?n=3&seed=4&format=npy") for _ in range(3)))
            answers.append(await client.get("/sample?n=3&seed=4&format=npy"))
            after = (await client.get("/health")).json()
            assert [before["version"], after["version"]] == list(expected)
            assert after["since"] >= before["since"]
            assert await metric(client, f'gan_model{{version="{after["version"]}"}}') == 1
            assert await metric(client, f'gan_model{{version="{before["version"]}"}}') == 0
            return answers

    answers = asyncio.run(moving())
    assert {answer.status_code for answer in answers} == {200}
    assert {answers[0].headers["gan-version"], answers[-1].headers["gan-version"]} == set(expected)
    for answer in answers:
        made = np.frombuffer(answer.content[-expected[answer.headers["gan-version"]].size:], np.uint8)
        np.testing.assert_array_equal(made, expected[answer.headers["gan-version"]].ravel())


def damage(store: Store) -> None:
    flip_a_byte(store, WEIGHTS)


def take_away(store: Store) -> None:
    """As a store whose host does not answer."""
    folder = Path(store.url.removeprefix("file://")) / "models/digits"
    folder.rename(folder.with_name("elsewhere"))


@pytest.mark.parametrize(("harm", "said"), [(damage, "generator.safetensors"), (take_away, "digits")])
def test_what_cannot_be_loaded_is_told_once_and_the_old_version_stays(
    store: Store, harm: Callable[[Store], None], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def failing() -> Any:
        async with served(store, "digits@champion", reload_seconds=OFTEN) as client:
            before = await images(client, n=3, seed=4)
            harm(store)
            if harm is damage:
                set_alias(store, "digits", "champion", "0002", why="better")
            await until(client, 'gan_reloads_total{result="failed"}', 3)
            after = await images(client, n=3, seed=4)
            return before, after, (await client.get("/health")).json()["version"]

    with caplog.at_level(logging.INFO, logger="pipelines.serving"):
        before, after, version = asyncio.run(failing())
    np.testing.assert_array_equal(before, after)
    assert version == store.uri("models/digits/versions/0001")
    told = [record.message for record in caplog.records if record.name == "pipelines.serving"]
    assert len(told) == 1
    assert re.search(rf"digits@champion still serves .*/0001: .*{said}", told[0])


def test_a_store_that_does_not_answer_does_not_hold_up_the_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answers, gave_up = threading.Event(), threading.Event(), list[bool]()

    def silent(self: Source) -> str:
        asked.set()
        gave_up.append(not answers.wait(timeout=20))
        raise TimeoutError

    async def ended() -> None:
        async with served(store, "digits@champion", reload_seconds=OFTEN):
            monkeypatch.setattr(Source, "uri", silent)
            await asyncio.to_thread(asked.wait, 60)

    asyncio.run(ended())
    assert gave_up == []
    answers.set()


def test_a_version_that_was_mended_is_served(store: Store) -> None:
    async def mended() -> str:
        async with served(store, "digits@champion", reload_seconds=OFTEN) as client:
            damage(store)
            set_alias(store, "digits", "champion", "0002", why="better")
            await until(client, 'gan_reloads_total{result="failed"}')
            flip_a_byte(store, WEIGHTS)
            await until(client, 'gan_reloads_total{result="ok"}')
            return str((await client.get("/health")).json()["version"])

    assert asyncio.run(mended()).endswith("/0002")


@pytest.mark.parametrize(("address", "moves"), [
    ("digits", True), ("digits@champion", True), ("digits@0001", False), ("digits@1", False),
    ("s3://b/models/digits", True), ("s3://b/models/digits@champion/", True), ("s3://b/models/digits@2", False),
    ("s3://b/models/digits/versions/0002", False), ("./copied/bundle", False),
])
def test_only_an_address_that_can_mean_another_version_is_looked_at_again(
    published: Store, address: str, moves: bool
) -> None:
    assert Source(address, published).moves is moves


def test_a_generator_that_translates_is_not_served(published: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Generator, "translates", (1, 8, 8))
    with pytest.raises(ConfigError, match=r"translates images, .* `gan sample --images` translates$"):
        Source("digits", published).load()


def test_metrics_are_in_the_format_that_they_say(published: Store) -> None:
    async def asked() -> httpx.Response:
        async with served(published) as client:
            await client.get("/sample?n=3")
            await client.get("/sample?n=0")
            await client.get("/nowhere")
            return await client.get("/metrics")

    answer = asyncio.run(asked())
    assert answer.headers["content-type"] == CONTENT_TYPE_LATEST
    for line in ('gan_requests_total{path="/sample",status="200"} 1.0',
                 'gan_requests_total{path="/sample",status="422"} 1.0',
                 'gan_requests_total{path="other",status="404"} 1.0',
                 'gan_request_seconds_count{path="/sample"} 2.0',
                 'gan_batch_images_bucket{le="2.0"} 0.0', 'gan_batch_images_bucket{le="4.0"} 1.0',
                 "gan_images_total 3.0", "gan_waiting_requests 0.0"):
        assert f"\n{line}\n" in answer.text
