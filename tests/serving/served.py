"""A server of a tiny generator inside the test's own process, and how it is asked."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
import torch
from numpy.typing import NDArray

from gan_core.bundle import Generator
from gan_core.models.spec import GeneratorSpec
from gan_core.store import Store
from pipelines.serving.app import make_app
from pipelines.serving.limits import Limits
from pipelines.serving.reload import Source

FACES = {
    "family": "faces", "options": {}, "output": [1, 1, 4],
    "inputs": {
        "z": {"shape": [1], "distribution": "normal"},
        "label": {"shape": [3], "distribution": "condition", "attributes": [
            {"name": "smiling", "kind": "binary"}, {"name": "hair", "kind": "categorical", "values": 5},
            {"name": "age", "kind": "continuous", "low": 18, "high": 80},
        ]},
    },
}


class Faces(torch.nn.Module):
    """Images of four levels: smiling, hair, age, and the noise."""

    def __init__(self, shape: tuple[int, int, int] = (1, 1, 4)) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, z: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        shown = label / torch.tensor([1, 4, 80]) * 2 - 1
        return torch.cat([shown, torch.tanh(z)], 1).reshape(-1, *self.shape)


def of(spec: dict[str, Any], network: torch.nn.Module) -> Generator:
    """A generator that was never published."""
    return Generator("file:///store/models/faces/versions/0001", GeneratorSpec.model_validate(spec), network)


@asynccontextmanager
async def served(
    store: Store, address: str = "digits", *, generator: Generator | None = None, reload_seconds: float = 1000.0,
    **limits: Any,
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that has started."""
    source = Source(address, store)
    app = make_app(source, generator or source.load(), Limits(**limits), reload_seconds)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    asking = httpx.AsyncClient(transport=transport, base_url="http://here")
    async with app.router.lifespan_context(app), asking as client:
        yield client


async def images(client: httpx.AsyncClient, **question: Any) -> NDArray[np.uint8]:
    """What POST /sample makes."""
    answer = await client.post("/sample", json={"format": "npy", **question})
    assert answer.status_code == 200, answer.text
    found: NDArray[np.uint8] = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return found


async def metric(client: httpx.AsyncClient, line: str) -> float:
    """The value of a line of /metrics that begins so; 0 where there is none."""
    text = (await client.get("/metrics")).text
    return next((float(found.rpartition(" ")[2]) for found in text.splitlines() if found.startswith(f"{line} ")), 0.0)


