"""Requests that wait: how many may, for how long, and what becomes of those that nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from gan_core.bundle import Generator
from gan_core.errors import ConfigError
from gan_core.store import Store
from pipelines.serving.limits import Limits
from tests.serving.served import FACES, Faces, metric, of, served


class Gate(Faces):
    """Makes nothing until it is opened.  made: images in each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.opened, self.entered, self.made = threading.Event(), threading.Event(), list[int]()

    def forward(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        self.entered.set()
        assert self.opened.wait(timeout=60)
        self.made.append(len(z))
        return super().forward(z, label)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


async def begun(client: httpx.AsyncClient, gate: Gate) -> asyncio.Task[httpx.Response]:
    """A request that the network is busy with."""
    asked = asyncio.create_task(client.get("/sample"))
    await asyncio.to_thread(gate.entered.wait, 60)
    return asked


async def queued(client: httpx.AsyncClient, count: int, *questions: str) -> list[asyncio.Task[httpx.Response]]:
    """Requests that wait, once there are `count` of them."""
    asked = [asyncio.create_task(client.get(f"/sample{question}")) for question in questions]
    while await metric(client, "gan_waiting_requests") < count:
        await asyncio.sleep(0.005)
    return asked


def test_what_waits_is_made_in_one_pass_as_far_as_it_fits(published: Store, gate: Gate) -> None:
    async def all_of_them() -> None:
        async with served(published, "digits@1", generator=of(FACES, gate), max_batch=8) as client:
            first = await begun(client, gate)
            rest = await queued(client, 1, "?n=3") + await queued(client, 2, "?n=5") + await queued(client, 3, "?n=20")
            gate.opened.set()
            assert {answer.status_code for answer in await asyncio.gather(first, *rest)} == {200}

    asyncio.run(all_of_them())
    assert gate.made == [1, 8, 8, 8, 4]


def test_over_the_queue_a_request_is_told_to_come_again_and_the_server_is_not_ready(
    published: Store, gate: Gate
) -> None:
    async def too_many() -> Any:
        async with served(published, "digits@1", generator=of(FACES, gate), max_waiting=2) as client:
            asked = [await begun(client, gate), *await queued(client, 2, "", "")]
            refused, ready = await client.get("/sample"), await client.get("/ready")
            gate.opened.set()
            await asyncio.gather(*asked)
            return refused, ready, await client.get("/ready")

    refused, ready, afterwards = asyncio.run(too_many())
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert (ready.status_code, afterwards.status_code) == (503, 200)


def test_a_request_that_takes_too_long_is_answered_and_not_made(published: Store, gate: Gate) -> None:
    async def late() -> Any:
        async with served(published, "digits@1", generator=of(FACES, gate), timeout=0.2) as client:
            first = await begun(client, gate)
            second = await client.get("/sample?n=3")
            gate.opened.set()
            while (await client.get("/sample?n=2")).status_code != 200:  # a slow machine is late here, too
                pass
            return await first, second

    first, second = asyncio.run(late())
    assert (first.status_code, second.status_code) == (504, 504)
    assert gate.made[0] == 1
    assert 3 not in gate.made


def test_what_nobody_waits_for_is_not_made_and_leaves_its_place(published: Store, gate: Gate) -> None:
    async def gone() -> float:
        async with served(published, "digits@1", generator=of(FACES, gate), max_waiting=2) as client:
            first = await begun(client, gate)
            left, stays = await queued(client, 2, "?n=3", "?n=2")
            left.cancel()
            await asyncio.wait([left])
            (new,) = await queued(client, 2, "?n=4")
            gate.opened.set()
            assert {answer.status_code for answer in await asyncio.gather(first, stays, new)} == {200}
            return await metric(client, "gan_images_total")

    assert asyncio.run(gone()) == 7
    assert gate.made == [1, 6]


def test_a_client_that_closes_the_connection_takes_its_request_away(published: Store, gate: Gate) -> None:
    """Over a socket: the clients above end a task, which a server does not see."""
    from tests.serving.process import listening

    with listening(published, of(FACES, gate)) as url:
        first = threading.Thread(target=httpx.get, args=(f"{url}/sample",), kwargs={"timeout": 60})
        first.start()
        assert gate.entered.wait(60)
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(f"{url}/sample?n=5", timeout=0.2)
        while "gan_abandoned_requests_total 1.0" not in httpx.get(f"{url}/metrics").text:
            assert first.is_alive()
        gate.opened.set()
        first.join(60)
        assert httpx.get(f"{url}/sample?n=2").status_code == 200
    assert gate.made == [1, 2]


def test_weights_that_make_no_numbers_fail_their_own_requests(published: Store) -> None:
    class Sometimes(Faces):
        def forward(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
            made = super().forward(z, label)
            return torch.where(label[:, 0] == 1, torch.nan, 1.0)[:, None, None, None] * made

    generator = of(FACES, Sometimes())

    async def both() -> Any:
        async with served(published, "digits@1", generator=generator) as client:
            return await asyncio.gather(*(client.get(f"/sample?seed=3&format=npy&attributes=smiling={smiling}")
                                          for smiling in (0, 1, 0)))

    good, bad, also_good = asyncio.run(both())
    assert (good.status_code, also_good.status_code) == (200, 200)
    assert (bad.status_code, "not finite" in bad.json()["detail"]) == (500, True)


@pytest.mark.parametrize("limit", ["max_images", "max_batch", "max_waiting", "timeout"])
def test_a_limit_that_serves_nothing_is_refused(limit: str) -> None:
    with pytest.raises(ConfigError, match=f"^--{limit.replace('_', '-')} 0: .* works$"):
        Limits(**{limit: 0})


def test_float32_is_served_where_it_is_asked_for(published: Store) -> None:
    from pipelines.serving.reload import Source

    generator = Source("digits", published, torch.float32).load()
    exact: Generator = Source("digits", published).load()
    assert {weight.dtype for weight in generator.network.parameters()} == {torch.float32}
    assert np.abs(generator.sample(8).astype(int) - exact.sample(8)).max() <= 1
