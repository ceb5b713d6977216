"""The model card of a version: what it is, how to use it, what was measured, and what it was made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from gan_core.config import Experiment
from gan_core.modalities.form import Form
from gan_core.modalities.kinds import modality_of
from gan_core.modalities.modality import Modality
from pipelines.intervals import bounded, how
from pipelines.onnx_program import program
from pipelines.usage import Usage, usage_of

LICENCE_NOT_STATED = "unknown"  # Hugging Face's own word for it
PROVENANCE = ("n_real", "n_fake", "split", "network")
METRIC_HEAD = ["metric", "value", "real", "generated", "split", "network", "how"]


@dataclass(frozen=True)
class Onnx:
    """The ONNX model of a version, or why it has none.

    difference: the largest of its images from the network's, in [−1, 1], of so many that were compared.  runtime: the
    version of onnxruntime that ran it.
    """

    difference: float = 0.0
    images: int = 0
    runtime: str = ""
    left_out: str = ""

    def facts(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {"left_out": self.left_out} if self.left_out else {
            name: value for name, value in asdict(self).items() if name != "left_out"}


def model_card(
    experiment: Experiment,
    metrics: Mapping[str, Mapping[str, Any]],
    specification: Mapping[str, Any],
    origin: list[tuple[str, str, str]],
    versions: Mapping[str, str],
    onnx: Onnx,
    mixture: str = "",
) -> str:
    """README.md with Hugging Face's front matter.

    specification: the generator's.  origin: (kind, place, digest), what came first first.  versions: of the tools that
    it was trained with.  mixture: the versions that it is made of, where it was not trained itself.
    """
    modality, use = modality_of(Form.published(specification)), usage_of(specification)
    licence = experiment.publish.licence
    front = {
        "license": LICENCE_NOT_STATED if licence == "not stated" else licence,
        "library_name": "gan-pipelines",
        "pipeline_tag": use.tag,
        "tags": ["gan", experiment.recipe, experiment.source, *([] if onnx.left_out else ["onnx"])],
    }
    data = {k: v for k, v in experiment.as_json()["data"].items() if k != "source"}
    options = f" ({json.dumps(data, sort_keys=True)})" if data else ""
    made_of = [[kind, f"`{place}`", f"`{digest[:12]}`"] for kind, place, digest in origin]
    return CARD.format(
        front=yaml.safe_dump(front, sort_keys=False, allow_unicode=True).strip(),
        name=experiment.name,
        source=experiment.source,
        makes=modality.words,
        noun=modality.noun,
        result=use.result,
        file=use.file,
        same="pixels" if modality.is_picture else modality.noun,
        options=options,
        trained=MIXED.format(mixture=mixture) if mixture else TRAINED.format(
            recipe=experiment.recipe, source=experiment.source, options=options,
            images=f"{experiment.train.images:,}"),
        python=use.python,
        shell=use.shell,
        alone=_alone(specification, modality, use, experiment.evaluate.seed, onnx),
        licence=licence,
        metrics=_table(METRIC_HEAD, _metric_rows(metrics)),
        lineage=_table(["artefact", "in the store", "digest"], made_of),
        versions=_table(["trained with", "version"], [[tool, version] for tool, version in versions.items()]),
    )


def mixed_of(shares: Mapping[str, float]) -> str:
    """'digits@0001 (70 %), digits@0002 (30 %)': the parts of a mixture and their shares."""
    return ", ".join(f"{version} ({100 * share:.0f} %)" for version, share in shares.items())


def _alone(specification: Mapping[str, Any], modality: Modality, use: Usage, seed: int, onnx: Onnx) -> str:
    """How to use the version without this package."""
    if onnx.left_out:
        return f"This version has no `generator.onnx`: {onnx.left_out}."
    differs = (PIXELS if modality.is_picture else OTHERS).format(
        difference=onnx.difference, images=onnx.images, runtime=onnx.runtime, made=modality.made)
    return ALONE.format(program=program(specification["inputs"], seed, modality), result=use.alone, differs=differs)


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


TRAINED = """trained as `{recipe}` on `{source}`{options} until it had seen
{images} images."""
MIXED = """a mixture: each is made by one of
{mixture}."""

CARD = """---
{front}
---

# {name}

A generator of {makes}, {trained}

![samples](samples.png)

## Use

```python
from gan_core.bundle import load_generator
generator = load_generator("HERE")  # the path or URL of the directory that holds this card
{result} = {python}
```

```sh
gan sample HERE {shell} --out {file}
gan models verify HERE
```

The same seed gives the same {same} on every machine.

### Without this package

{alone}

## Measured

{metrics}

Real and generated are counts of {noun}; in brackets are a value's confidence bounds, where they are known.
[metrics.json](metrics.json) has all figures, [report.html](report.html) shows them, [report.json](report.json) says the
same to programs.

## Licence

{licence}. It is what whoever published this model says of it; the data that it was made from may have terms of its own.

## Made from

Data source: `{source}`{options}; the whole configuration is in [config.json](config.json).

{lineage}

{versions}
"""

ALONE = """`pip install onnxruntime numpy pillow`, and in the directory that holds this card:

```python
{program}```

{result}

{differs}
[generator.json](generator.json) lists the inputs: name, shape of one example, distribution, and what a label or an
attribute may be."""

PIXELS = """\
Images of `generator.onnx`, in float32, differ from the network's, in float64, by {difference:.1e} at most, where black
is -1 and white is 1: {images} were compared, by onnxruntime {runtime}. That can move a pixel by one of 256 levels."""

OTHERS = """\
The numbers of `{made}`, which `generator.onnx` makes in float32, differ from the network's, in float64, by
{difference:.1e} at most: {images} examples were compared, by onnxruntime {runtime}."""
