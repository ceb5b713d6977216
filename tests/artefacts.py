"""Small finished artefacts with real files, as the stages leave them, for tests of what reads them.

Imports torch only where weights are made, so that scripts which fork or start often can use the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

from gan_core.config import Experiment, experiment_from
from gan_core.manifest import Parent, artefact, read_manifest
from gan_core.store import Store
from pipelines.champion import Score, as_published, standard
from pipelines.handles import Published
from pipelines.stages.publish import publish

ROOT = Path(__file__).parents[1]
SHAPE = (1, 8, 8)
CLASSES = 10
LATENT = 8


def an_experiment(gate: dict[str, Any] | None = None, **options: Any) -> Experiment:
    publish_block = {"gate": {"coverage_pixels": {"at_least": 0.9}} if gate is None else gate}
    return experiment_from({"name": "digits", "data": {"source": "digits"}, "model": {"recipe": "dcgan"},
                            "publish": publish_block | options})


def a_parent(store: Store, prefix: str) -> Parent:
    manifest = read_manifest(store, prefix)
    assert manifest is not None
    return Parent(kind=manifest.kind, uri=store.uri(prefix), digest=manifest.digest)


def finish_shards(store: Store, key: str = "s1", content: bytes = b"arrow") -> str:
    prefix = f"shards/{key}"
    with artefact(store, prefix, kind="shards", key=key) as draft:
        (draft.path / "train-00000.arrow").write_bytes(content)
    return prefix


def finish_run(
    store: Store, key: str = "r1", *, classes: int = CLASSES, channels: int = 1, seed: int = 0
) -> str:
    import torch
    from safetensors.torch import save_file

    from gan_core.models.spec import GeneratorSpec, InputSpec

    inputs = {"z": InputSpec(shape=(LATENT,), distribution="normal")}
    if classes:
        inputs["label"] = InputSpec(shape=(), distribution="condition", classes=classes)
    shape = (channels, *SHAPE[1:])
    conditions = {"classes": classes} if classes else None
    options = {"shape": shape, "latent": LATENT, "width": 4, "conditions": conditions}
    spec = GeneratorSpec(family="dcgan_generator", options=options, inputs=inputs, output=shape)
    torch.manual_seed(seed)
    network = spec.build()
    with torch.no_grad():
        for weight in network.parameters():
            weight.normal_(0, 0.5)  # far from grey, so that images differ
    prefix = f"runs/{key}"
    parents = (a_parent(store, finish_shards(store)),)
    with artefact(store, prefix, kind="run", key=key, parents=parents) as draft:
        weights = network.state_dict()
        (draft.path / "generator.json").write_text(spec.model_dump_json())
        save_file(weights, draft.path / "generator.safetensors")
        save_file({f"generator.{k}": v for k, v in weights.items()}, draft.path / "networks.safetensors")
        (draft.path / "metrics.jsonl").write_text('{"position": 64, "loss/d": 2.0}\n{"position": 128, "loss/d": 1.0}\n')
        draft.facts["position"] = 128
    return prefix


def finish_scores(
    store: Store,
    run_prefix: str,
    key: str = "e1",
    *,
    coverage: float = 0.953,
    metrics: dict[str, Any] | None = None,
    samples: bytes = b"\x89PNG",
    features: str = "",
    page: str = "<html></html>",
) -> str:
    """metrics: in place of two that are measured on 360 images.  features: the digest of the `domain` network.  page:
    report.html.
    """
    prefix = f"scores/{key}"
    how = {"n_real": 360, "n_fake": 360, "split": "test", "k": 5, "seed": 0}
    metrics = metrics or {
        "fd_domain": {"value": 12.5, **how, "network": "domain"},
        "coverage_pixels": {"value": coverage, **how, "network": "pixels"},
    }
    run = read_manifest(store, run_prefix)
    assert run is not None
    lineage = [{"kind": p.kind, "at": p.uri.removeprefix(f"{store.url}/"), "digest": p.digest} for p in run.parents]
    report = {"metrics": metrics, "lineage": lineage, "images": run.facts["position"], "features": features}
    with artefact(store, prefix, kind="scores", key=key, parents=(a_parent(store, run_prefix),)) as draft:
        (draft.path / "metrics.json").write_text(json.dumps(metrics))
        (draft.path / "samples.png").write_bytes(samples)
        (draft.path / "report.html").write_text(page)
        (draft.path / "report.json").write_text(json.dumps(report))
    return prefix


def publish_as(
    store: Store, key: str, run: str, scores: str, experiment: Experiment | None = None, score: Score = as_published
) -> Published:
    """score: of the champion, where a relative rule asks for what it was not published with."""
    parents = (a_parent(store, run), a_parent(store, scores))
    chosen = experiment or an_experiment()
    beside = partial(standard, store, chosen.name, score=score)
    return publish(store, chosen, key=key, run_prefix=run, scores_prefix=scores, parents=parents, beside=beside)


def publish_one(
    store: Store, key: str = "p1", run: str = "r1", *, experiment: Experiment | None = None, **network: int
) -> Published:
    made = finish_run(store, run, **network)
    return publish_as(store, key, made, finish_scores(store, made), experiment)


def flip_a_byte(store: Store, path: str) -> None:
    data = bytearray(store.read(path))
    data[-1] ^= 1
    store.write(path, bytes(data))


def in_fresh_process(script: str, *arguments: str, **environment: str) -> str:
    """What a script prints that runs in a process of its own; fails when the script does."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
