"""A model card says how to ask this generator for images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from gan_core.config import Experiment
from pipelines.model_card import Onnx, model_card

NOISE = {"shape": [8], "distribution": "normal", "classes": 0, "attributes": []}
DRAWN = "unconditional-image-generation"
PHOTO = {"shape": [1, 8, 8], "distribution": "image", "classes": 0, "attributes": []}


def told(*attributes: dict[str, Any]) -> dict[str, Any]:
    return {"shape": [len(attributes)], "distribution": "condition", "classes": 0, "attributes": [*attributes]}


def test_a_value_stands_with_its_bounds_and_how_they_were_found(experiment: Callable[..., Experiment]) -> None:
    measured = {"value": 0.939, "n_real": 360, "n_fake": 360, "split": "test", "network": "pixels", "seed": 0, "k": 5}
    bounds = {"low": 0.91, "high": 0.96, "level": 0.95, "interval": "wilson", "warning": "360 images | few."}
    card = model_card(experiment(), {"recall_pixels": measured | bounds, "coverage_pixels": measured},
                      {"output": [1, 8, 8], "inputs": {}}, [], {}, Onnx())
    assert "| recall_pixels | 0.939 (0.91 to 0.96) | 360 | 360 | test | pixels | seed=0, k=5, 95% interval: wilson, " \
           "360 images / few. |" in card
    assert "| coverage_pixels | 0.939 | 360 | 360 | test | pixels | seed=0, k=5 |" in card


@pytest.mark.parametrize(("inputs", "tag", "python", "shell"), [
    ([NOISE], DRAWN, "generator.sample(64, seed=0)", "gan sample HERE --n 64 --seed 0 --out"),
    ([NOISE, told({"name": "smiling", "kind": "binary"}, {"name": "hair", "kind": "categorical"})],
     DRAWN, 'generator.sample(64, attributes={"smiling": 1})', "--attributes smiling=1 --out"),
    ([NOISE, told({"name": "age", "kind": "continuous", "low": 18.5})],
     DRAWN, 'generator.sample(64, attributes={"age": 18.5})', "--attributes age=18.5 --out"),
    ([NOISE, {**told(), "classes": 10}], DRAWN, "generator.sample(64, seed=0, label=3)", "--seed 0 --label 3 --out"),
    ([NOISE, {**told(), "classes": 2}], DRAWN, "generator.sample(64, seed=0, label=1)", "--seed 0 --label 1 --out"),
    ([PHOTO, {**told(), "classes": 2}], "image-to-image", "generator.sample(len(photos), images=photos)",
     "gan sample HERE --images FOLDER --out"),
], ids=["noise", "attributes", "a continuous attribute", "classes", "few classes", "images"])
def test_it_asks_as_the_generator_can_be_asked(
    inputs: list[dict[str, Any]], tag: str, python: str, shell: str, experiment: Callable[..., Experiment]
) -> None:
    specification = {"output": [1, 8, 8], "inputs": {str(number): taken for number, taken in enumerate(inputs)}}
    card = model_card(experiment(), {}, specification, [], {}, Onnx())
    assert yaml.safe_load(card.split("---")[1])["pipeline_tag"] == tag
    assert f"images = {python}" in card
    assert shell in card


def test_it_says_what_the_tools_were_and_how_far_onnx_is_from_the_network(
    experiment: Callable[..., Experiment]
) -> None:
    specification = {"output": [1, 8, 8], "inputs": {"z": NOISE}}
    card = model_card(experiment(publish={"licence": "cc0-1.0"}), {}, specification, [],
                      {"torch": "2.13.0", "numpy": "2.4.6"}, Onnx(4.2e-7, 8, "1.32.0"))
    assert "| torch | 2.13.0 |\n| numpy | 2.4.6 |" in card
    assert "by 4.2e-07 at most" in card
    assert "8 were compared, by onnxruntime 1.32.0" in card
    assert "## Licence\n\ncc0-1.0. " in card
    front = yaml.safe_load(card.split("---")[1])
    assert {name: type(front[name]) for name in front} == {"license": str, "library_name": str, "pipeline_tag": str,
                                                           "tags": list}
    assert "onnx" in front["tags"]


def test_without_onnx_it_says_why_and_has_no_program(experiment: Callable[..., Experiment]) -> None:
    card = model_card(experiment(), {}, {"output": [1, 8, 8], "inputs": {"z": NOISE}}, [], {},
                      Onnx(left_out="no operator for fft"))
    assert "This version has no `generator.onnx`: no operator for fft." in card
    assert "onnxruntime" not in card
    assert "onnx" not in yaml.safe_load(card.split("---")[1])["tags"]
