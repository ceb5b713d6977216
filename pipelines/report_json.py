"""report.json: the facts of report.html, for programs.

    title         the experiment's name
    metrics       {name: {"value": …, "n_real": …, "n_fake": …, "split": …, "network": …, "seed": …, …}}; where known
                  also "low", "high", "level", "interval" and "warning", as in `gan_core.metrics.evaluate.Measured`
    gate          {name: {"at_least": …, "at_most": …, "passed": true}}: the bounds of these settings, kept or not
    troubles      [{"name", "first", "last", "times", "lasting", "what", "advice"}]: spells, positions in images seen
    images        images seen in training; null where the run does not say
    features      digest of the `domain` feature network that the images went through; "" where it is not known
    lineage       [{"kind", "at", "digest"}]: the shards that were measured on and the run; `at` is inside the store
    versions      {tool: version} of the process that measured
    notes         sentences on how the run went
    experiment    the resolved settings
    against       of a published version alone: how it stood against others when it was made (`pipelines.standing`)

The curves and the pictures are not in it: they lie beside it and in the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gan_core.train.trouble import Spell, history
from pipelines.report import Report, table

REPORT_JSON = "report.json"
AGAINST = "against"


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
        "experiment": dict(report.experiment),
    }
    return json.dumps(facts, indent=1, ensure_ascii=False) + "\n"


def _spell(spell: Spell) -> dict[str, Any]:
    return {
        "name": spell.trouble.name, "first": spell.first, "last": spell.last, "times": spell.times,
        "lasting": spell.lasting, "what": spell.trouble.what, "advice": spell.trouble.advice,
    }
