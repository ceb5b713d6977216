"""The program in a model card that needs no more than onnxruntime, NumPy and Pillow.

It draws what `gan_core.bundle.Generator.sample` draws, from the same streams (`gan_core.asked`), and lays images out as
`gan_core.pictures.grid` does: a test runs it and compares.  What it does with other kinds is in `gan_core.modalities`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan_core.modalities.modality import Modality


def program(inputs: Mapping[str, Mapping[str, Any]], seed: int, modality: Modality) -> str:
    """For a generator with these inputs, as generator.json has them, of that kind; seed: of samples.png."""
    kinds = {given["distribution"] for given in inputs.values()}
    told = next((given for given in inputs.values() if given["distribution"] == "condition"), {})
    classes, image = bool(told.get("classes")), "image" in kinds
    drawn = kinds & {"normal", "part"} or told.get("attributes")
    kind = modality.program
    parts = [IMPORTS.format(more="import sys\n" if image else "", kind=kind.imports),
             f"seed = {seed}\n" if drawn else "", SPEC.format(sizes=kind.sizes)]
    parts += [PHOTOS] if image else [COUNT_OF_CLASSES if classes else COUNT]
    parts += [NOISE] if "normal" in kinds else []
    if told:
        parts += [ATTRIBUTES if not classes else TRANSLATED_TO if image else LABELS]
    parts += [PARTS] if "part" in kinds else []
    return "".join([*parts, RUN.format(made=modality.made), kind.ends])


IMPORTS = """\
import json
{more}import numpy as np
import onnxruntime
{kind}
"""
SPEC = """\
spec = json.load(open("generator.json", encoding="utf-8"))
{sizes}inputs, feed = spec["inputs"], {{}}
of = {{given["distribution"]: name for name, given in inputs.items()}}
"""
PHOTOS = """\
files = sys.argv[1:]  # the images to translate
depth, tall, wide = inputs[of["image"]]["shape"]
photos = [Image.open(file).convert("L" if depth == 1 else "RGB").resize((wide, tall)) for file in files]
photos, n = np.stack(photos).reshape(-1, tall, wide, depth).transpose(0, 3, 1, 2), len(files)
feed[of["image"]] = np.float32(photos / 127.5 - 1)
"""
COUNT = "n = 100\n"
COUNT_OF_CLASSES = """\
classes = inputs[of["condition"]]["classes"]
n = 10 * min(classes, 20)
"""
NOISE = """\
normal = {name: given["shape"] for name, given in inputs.items() if given["distribution"] == "normal"}
sizes = [int(np.prod(shape)) for shape in normal.values()]
drawn = np.random.Generator(np.random.Philox(key=seed)).standard_normal((n, sum(sizes)))
for (name, shape), part in zip(normal.items(), np.split(drawn, np.cumsum(sizes)[:-1], axis=1)):
    feed[name] = np.float32(part.reshape(n, *shape))
"""
LABELS = """\
feed[of["condition"]] = np.arange(n) // 10 % classes  # a row of each in turn; np.arange(n) % classes: one of each
"""
TRANSLATED_TO = """\
feed[of["condition"]] = np.full(n, 1 % inputs[of["condition"]]["classes"])  # np.full(n, 0): the way back
"""
ATTRIBUTES = """\
known = inputs[of["condition"]]["attributes"]
share = np.random.Generator(np.random.Philox(key=(1 << 64) + seed)).random((n, len(known)))
for column, a in zip(share.T, known):  # or set the column to a value that you choose
    count = 2 if a["kind"] == "binary" else a["values"]
    column[:] = a["low"] + column * (a["high"] - a["low"]) if a["kind"] == "continuous" else np.floor(column * count)
feed[of["condition"]] = np.float32(share)
"""
PARTS = """\
ends = np.cumsum(inputs[of["part"]]["shares"])[:-1]  # which network of the mixture makes each image
chance = np.random.Generator(np.random.Philox(key=(2 << 64) + seed)).random(n)
feed[of["part"]] = np.searchsorted(ends, chance, side="right")
"""
RUN = """\
session = onnxruntime.InferenceSession("generator.onnx", providers=["CPUExecutionProvider"])
rows = [{{name: values[i : i + 10] for name, values in feed.items()}} for i in range(0, n, 10)]
made = np.concatenate([session.run(["{made}"], row)[0] for row in rows])
"""
