"""The model card of a version: what it is, how to use it, what was measured, and what it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from gan_core.config import Experiment
from pipelines.intervals import bounded, how
from pipelines.usage import usage

LICENCE_NOT_STATED = "unknown"  # Hugging Face's own word for it
PROVENANCE = ("n_real", "n_fake", "split", "network")
METRIC_HEAD = ["metric", "value", "real", "generated", "split", "network", "how"]


def model_card(
    experiment: Experiment,
    metrics: Mapping[str, Mapping[str, Any]],
    specification: Mapping[str, Any],
    origin: list[tuple[str, str, str]],
) -> str:
    """README.md with Hugging Face's front matter.

    specification: the generator's.  origin: (kind, place, digest), what came first first.
    """
    output: list[int] = specification["output"]
    use = usage(specification["inputs"].values())
    licence = experiment.publish.licence
    front = {
        "license": LICENCE_NOT_STATED if licence == "not stated" else licence,
        "library_name": "gan-pipelines",
        "pipeline_tag": use.tag,
        "tags": ["gan", experiment.recipe, experiment.source],
    }
    options = {k: v for k, v in experiment.as_json()["data"].items() if k != "source"}
    made_of = [[kind, f"`{place}`", f"`{digest[:12]}`"] for kind, place, digest in origin]
    return CARD.format(
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(),
        name=experiment.name,
        recipe=experiment.recipe,
        source=experiment.source,
        options=f" ({json.dumps(options, sort_keys=True)})" if options else "",
        size=f"{output[2]}x{output[1]}",
        channels=f"{output[0]} channel" + ("s" if output[0] > 1 else ""),
        images=f"{experiment.train.images:,}",
        python=use.python,
        shell=use.shell,
        metrics=_table(METRIC_HEAD, _metric_rows(metrics)),
        lineage=_table(["artefact", "in the store", "digest"], made_of),
    )


def _metric_rows(metrics: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    rows = []
    for name, measured in metrics.items():
        terms = (str(measured.get(k, "")) for k in PROVENANCE)
        rows.append([name, bounded(measured, _number), *terms, how(measured, PROVENANCE)])
    return rows


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else "none"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


CARD = """---
{front}
---

# {name}

A generator of {size} images with {channels}, trained as `{recipe}` on `{source}`{options} until it had seen
{images} images.

![samples](samples.png)

## Use

```python
from gan_core.bundle import load_generator
generator = load_generator("HERE")  # the path or URL of the directory that holds this card
images = {python}
```

```sh
gan sample HERE {shell} --out grid.png
gan models verify HERE
```

The same seed gives the same pixels on every machine.

## Measured

{metrics}

Real and generated are counts of images; in brackets are a value's confidence bounds, where they are known.
[metrics.json](metrics.json) has all figures, [report.html](report.html) shows them, [report.json](report.json) says the
same to programs.

## Made from

Data source: `{source}`{options}; the whole configuration is in [config.json](config.json).

{lineage}
"""
