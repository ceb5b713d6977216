"""Small published versions to compare: the test says what was measured and how, all else is as stages leave it."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from gan_core.config import experiment_from
from gan_core.manifest import artefact
from gan_core.store import Store
from tests.artefacts import a_parent, finish_scores, finish_shards, publish_as

HOW = {"n_real": 360, "n_fake": 360, "split": "test", "seed": 0}
CURVES = [{"position": position, "loss/generator": 1 / position, "logits/real": 0.5} for position in (64, 128)]
OF_NOBODY = {"family": "not_installed", "options": {}, "inputs": {}, "output": [1, 8, 8]}
GOOD = {"coverage_pixels": {"at_least": 0.5}}


def measured(value: float, network: str = "domain", **terms: Any) -> dict[str, Any]:
    return {"value": value, **HOW, "network": network, **terms}


def n_images(n: int) -> dict[str, int]:
    return {"n_real": n, "n_fake": n}


def a_version(
    store: Store,
    name: str,
    metrics: dict[str, Any],
    *,
    data: bytes = b"arrow",
    features: str = "",
    gate: dict[str, Any] | None = None,
    colour: str = "red",
    noise: int = 0,
    licence: str = "not stated",
    curves: Sequence[dict[str, float]] = CURVES,
    page: str = "<html></html>",
    **blocks: Any,
) -> str:
    """Publishes one version and returns its address.

    data: what its shards hold.  noise: the side of a picture that cannot be packed, in place of one of one colour.
    page: its scores' report.html.  blocks: of the experiment, as evaluate={"samples": 100}.
    """
    key = f"{name}-{len(store.names(f'models/{name}/versions'))}"
    run = a_run(store, f"r-{key}", finish_shards(store, f"s-{data.decode()}", data), curves)
    picture = a_noisy_picture(noise) if noise else a_picture(colour)
    scores = finish_scores(store, run, f"e-{key}", metrics=metrics, samples=picture, features=features, page=page)
    experiment = experiment_from({
        "name": name, "data": {"source": "digits"}, "model": {"recipe": "dcgan"},
        "publish": {"gate": GOOD if gate is None else gate, "licence": licence}, **blocks,
    })
    return f"{name}@{publish_as(store, key, run, scores, experiment).version}"


def a_run(store: Store, key: str, shards: str, curves: Sequence[dict[str, float]]) -> str:
    """A finished run whose weights nobody loads: publishing takes them as they are, for nothing here builds them."""
    with artefact(store, f"runs/{key}", kind="run", key=key, parents=(a_parent(store, shards),)) as draft:
        (draft.path / "generator.json").write_text(json.dumps(OF_NOBODY))
        for file in ("generator.safetensors", "networks.safetensors"):
            (draft.path / file).write_text(key)
        (draft.path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in curves))
        draft.facts["position"] = 128
    return f"runs/{key}"


def a_picture(colour: str) -> bytes:
    return _png(Image.new("RGB", (91, 91), colour))


def a_noisy_picture(side: int) -> bytes:
    return _png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)))


def _png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
