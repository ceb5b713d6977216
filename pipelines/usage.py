"""How a generator is asked for images: in Python, and on the command line."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from gan_core.modalities.form import Form
from gan_core.modalities.kinds import modality_of


@dataclass(frozen=True)
class Usage:
    """tag: Hugging Face's name of the task.  shell: arguments of `gan sample`.  python: a call of `generator`, with a
    comment on what comes back.  alone: what the program of `pipelines.onnx_program` makes, in a sentence.  result: a
    name for what comes back.  file: what `gan sample --out` writes.
    """

    tag: str
    shell: str
    python: str
    alone: str = "`pictures.png` is `samples.png` made again."
    result: str = "images"
    file: str = "grid.png"


def usage_of(specification: Mapping[str, Any]) -> Usage:
    """Of a generator, from the content of its `generator.json`."""
    modality, found = modality_of(Form.published(specification)), usage(specification["inputs"].values())
    if modality.is_picture:
        return found
    python = found.python.replace("uint8 [64, C, H, W]", modality.array.replace("[n,", "[64,"))
    return Usage(modality.tag, found.shell, python, f"`{modality.program.writes}` is one of {modality.noun}, as "
                 "`generator.sample(…, seed=seed)` makes them.", modality.noun, modality.file)


def usage(inputs: Collection[Mapping[str, Any]]) -> Usage:
    """Of a generator of images with these inputs, as `generator.json` has them."""
    if any(taken["distribution"] == "image" for taken in inputs):
        return Usage("image-to-image", "--images FOLDER",
                     "generator.sample(len(photos), images=photos)  # photos: uint8 [n, C, H, W]; label=0: the way "
                     "back",
                     "`pictures.png` has what `generator.sample` makes of these images, ten in a row.")
    attributes = [known for taken in inputs for known in taken.get("attributes", ())]
    if attributes:
        first = attributes[0]
        name, value = first["name"], first["low"] if first["kind"] == "continuous" else 1
        return Usage("unconditional-image-generation", f"--n 64 --seed 0 --attributes {name}={value:g}",
                     f'generator.sample(64, attributes={{"{name}": {value:g}}})  # uint8 [64, C, H, W]',
                     "`pictures.png` has the images of `generator.sample(100, seed=seed)`: attributes are drawn, and "
                     "in `samples.png` they are those of real images.")
    if classes := max((taken["classes"] for taken in inputs if taken["distribution"] == "condition"), default=0):
        label = min(3, classes - 1)
        return Usage("unconditional-image-generation", f"--n 64 --seed 0 --label {label}",
                     f"generator.sample(64, seed=0, label={label})  # uint8 [64, C, H, W]; without label classes take "
                     "turns")
    return Usage("unconditional-image-generation", "--n 64 --seed 0",
                 "generator.sample(64, seed=0)  # uint8 [64, C, H, W]")
