"""What is asked over HTTP and what comes back."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from gan_core.bundle import read_generator
from gan_core.pictures import grid
from gan_core.store import Store
from pipelines.serving.limits import MAX_BODY
from tests.serving.served import FACES, Faces, images, metric, of, served

VERSION = "models/digits/versions/0001"


def test_a_request_gives_the_pixels_of_the_generator_whatever_else_is_made_with_it(published: Store) -> None:
    generator = read_generator(published, VERSION)
    asked: list[dict[str, Any]] = [
        {"n": n, "seed": seed, "label": seed % 11 if seed % 11 < 10 else None, "truncation": 0.5 if seed % 3 else None}
        for seed, n in enumerate([1, 7, 2, 31, 1, 1, 40, 3, 1, 5, 17, 1] * 2)
    ]

    async def all_at_once() -> tuple[list[Any], float]:
        async with served(published, max_batch=32) as client:
            found = await asyncio.gather(*(images(client, **one) for one in asked))
            return found, await metric(client, "gan_batch_images_count")

    found, passes = asyncio.run(all_at_once())
    assert passes < len(asked)  # some were made together
    for one, made in zip(asked, found, strict=True):
        np.testing.assert_array_equal(made, generator.sample(**one))


def test_a_picture_is_the_grid_of_the_same_images_and_the_answer_says_whose(published: Store) -> None:
    async def both() -> Any:
        async with served(published) as client:
            return (await client.get("/sample?n=12&seed=5"),
                    await client.get("/sample?n=5&seed=5&label=3&truncation=0.7&format=npy"))

    turns, threes = asyncio.run(both())
    generator = read_generator(published, VERSION)
    expected = np.asarray(grid(generator.sample(12, seed=5), 10))
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(turns.content))), expected)
    assert (turns.headers["content-type"], turns.headers["gan-seed"]) == ("image/png", "5")
    assert turns.headers["gan-version"] == published.uri(VERSION)
    np.testing.assert_array_equal(np.load(io.BytesIO(threes.content)),
                                  generator.sample(5, seed=5, label=3, truncation=0.7))


def test_without_a_seed_one_is_drawn_that_makes_the_images_again(published: Store) -> None:
    async def twice() -> Any:
        async with served(published) as client:
            drawn = [await client.get("/sample?n=2&format=npy") for _ in range(2)]
            return drawn, await client.get(f"/sample?n=2&format=npy&seed={drawn[0].headers['gan-seed']}")

    drawn, again = asyncio.run(twice())
    assert drawn[0].headers["gan-seed"] != drawn[1].headers["gan-seed"]
    assert again.content == drawn[0].content != drawn[1].content


@pytest.mark.parametrize(("body", "status", "said"), [
    ({"n": 0}, 422, "n: Input should be greater than or equal to 1"),
    ({"n": "5"}, 422, "n: Input should be a valid integer"),
    ({"seed": -1}, 422, "seed: Input should be greater than or equal to 0"),
    ({"sed": 1}, 422, "sed: Extra inputs are not permitted"),
    ({"truncation": 0}, 422, "truncation: Input should be greater than 0"),
    ({"format": "gif"}, 422, "format: Input should be 'png' or 'npy'"),
    ({"n": 17}, 400, "n=17: at most 16 images are made for one request; n=16 works"),
    ({"label": 10}, 400, "label=0 to label=9 work"),
    ({"attributes": {"hair": 1}}, 400, "was trained without attributes"),
])
def test_what_cannot_be_made_is_refused_in_one_line(
    published: Store, body: dict[str, Any], status: int, said: str
) -> None:
    async def refused() -> Any:
        async with served(published, max_images=16) as client:
            return await client.post("/sample", json=body)

    answer = asyncio.run(refused())
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_one_bad_request_fails_alone(published: Store) -> None:
    async def together() -> Any:
        async with served(published) as client:
            return await asyncio.gather(*(client.post("/sample", json={"label": label}) for label in (1, 10, 2) * 4))

    assert [answer.status_code for answer in asyncio.run(together())] == [200, 400, 200] * 4


@pytest.mark.parametrize("stated", [True, False])
def test_a_body_that_is_too_long_is_refused(published: Store, stated: bool) -> None:
    sent = 0

    async def parts() -> Any:
        nonlocal sent
        for _ in range(100):
            sent += 1
            yield b" " * 4096

    async def refused() -> Any:
        async with served(published) as client:
            headers = {"Content-Type": "application/json"} | ({"Content-Length": "409600"} if stated else {})
            return await client.post("/sample", content=parts(), headers=headers)

    assert asyncio.run(refused()).status_code == 413
    assert sent <= (0 if stated else MAX_BODY // 4096 + 1)


def test_attributes_are_asked_for_by_name(published: Store) -> None:
    generator = of(FACES, Faces())

    async def asked() -> Any:
        async with served(published, "digits@1", generator=generator) as client:
            return (await images(client, n=3, seed=2, attributes={"smiling": 1, "age": 25.5}),
                    await client.get("/sample?n=3&seed=2&format=npy&attributes=smiling=1,age=25.5"),
                    await client.get("/sample?attributes=smiling=2"), await client.get("/openapi.json"))

    posted, got, refused, described = asyncio.run(asked())
    expected = generator.sample(3, seed=2, attributes={"smiling": 1, "age": 25.5})
    np.testing.assert_array_equal(posted, expected)
    np.testing.assert_array_equal(np.load(io.BytesIO(got.content)), expected)
    assert (refused.status_code, refused.json()["detail"]) == (400, "smiling=2: smiling is 0 or 1")
    taken = described.json()["components"]["schemas"]["Sample"]["properties"]["attributes"]["anyOf"][0]["properties"]
    assert taken == {"smiling": {"type": "integer", "minimum": 0, "maximum": 1},
                     "hair": {"type": "integer", "minimum": 0, "maximum": 4},
                     "age": {"type": "number", "minimum": 18, "maximum": 80}}


def test_images_that_no_screen_shows_are_sent_as_a_file(published: Store) -> None:
    two_channels = FACES | {"output": [2, 1, 2]}

    async def asked() -> Any:
        async with served(published, "digits@1", generator=of(two_channels, Faces((2, 1, 2)))) as client:
            return await client.get("/sample"), await client.get("/sample?format=npy&n=2"), await client.get("/")

    refused, sent, page = asyncio.run(asked())
    assert (refused.status_code, "format=npy works" in refused.json()["detail"]) == (400, True)
    assert np.load(io.BytesIO(sent.content)).shape == (2, 2, 1, 2)
    assert "Images of 2 channels cannot be shown" in page.text
