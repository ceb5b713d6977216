"""report.json: the facts of report.html, for programs.

    title         the experiment's name
    metrics       {name: {"value": …, "n_real": …, "n_fake": …, "split": …, "network": …, "seed": …, …}}; where known
                  also "low", "high", "level", "interval" and "warning", as in `gan_core.metrics.evaluate.Measured`
    gate          {name: {"at_least": …, "at_most": …, "passed": true}}: the bounds of these settings, kept or not; null
                  where that takes the champion's number, and is judged when the version is published
    troubles      [{"name", "first", "last", "times", "lasting", "what", "advice"}]: spells, positions in images seen
    images        images seen in training; null where the run does not say
    features      digest of the `domain` feature network that the images went through; "" where it is not known
    lineage       [{"kind", "at", "digest"}]: the shards that were measured on and the run; `at` is inside the store
    versions      {tool: version} of the process that measured
    notes         sentences on how the run went
    made          {kind: {"key", "created"}}: stage key of shards, run and scores; `created` of the scores is ""
    classes       [{"name", "n_real", "n_fake", "figures": {"fd": …, …}, "reason"}], on `domain` features
    nearest       {"usual": …, "samples": [{"sample", "training", "distances", "relative"}]}: of some samples, places of
                  the nearest training examples, and distances on `domain` features; null where it was left out
    maps          {"explained": [share, share]}: variance along the first two principal components; null as before
    data          {"source", "splits", "shape", "classes", "attributes", "quarantined", "digest"}; null as before
    left_out      {part: why it is not there}
    experiment    the resolved settings
    against       of a published version alone: how it stood against others when it was made (`pipelines.standing`)

The curves and the pictures are not in it: they lie beside it and in the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from gan_core.train.trouble import Spell, history
from pipelines.parts import Parts
from pipelines.report import Report, table


def report_json(report: Report, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """The file's text.  metrics: as in metrics.json, whose values are the report's."""
    facts = {
        "title": report.title,
        "metrics": metrics,
        "gate": {row.name: {**report.gate[row.name], "passed": row.passed}
                 for row in table(report.metrics, report.gate) if row.name in report.gate},
        "troubles": [_spell(spell) for spell in history(report.curves)],
        "images": report.images,
        "features": report.features,
        "lineage": [{"kind": kind, "at": at, "digest": digest} for kind, at, digest in report.lineage],
        "versions": dict(report.versions),
        "notes": list(report.notes),
        "made": {kind: asdict(made) for kind, made in report.made.items()},
        **_parts(report.parts),
        "experiment": dict(report.experiment),
    }
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


def _parts(parts: Parts) -> dict[str, Any]:
    near, data = parts.near, parts.data
    return {
        "classes": [asdict(each) for each in parts.classes],
        "nearest": near and {"usual": near.usual, "samples": [asdict(each) for each in near.neighbours]},
        "maps": parts.maps and {"explained": list(parts.maps.explained)},
        "data": data and {name: value for name, value in asdict(data).items() if name != "options"},
        "left_out": dict(parts.left_out),
    }


def _spell(spell: Spell) -> dict[str, Any]:
    return {
        "name": spell.trouble.name, "first": spell.first, "last": spell.last, "times": spell.times,
        "lasting": spell.lasting, "what": spell.trouble.what, "advice": spell.trouble.advice,
    }
