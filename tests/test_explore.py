from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import Tensor, nn

from gan_core.bundle import Generator, read_generator
from gan_core.errors import ConfigError
from gan_core.explore.attributes import Reading, attributes
from gan_core.explore.between import classes, interpolation, truncation
from gan_core.explore.components import components
from gan_core.explore.first_layer import Layer, first_layer, outputs_of
from gan_core.explore.picture import Extent, LeftOut, Picture
from gan_core.explore.space import Space
from gan_core.modalities.form import Form
from gan_core.models.spec import GeneratorSpec
from gan_core.registry import FAMILIES
from gan_core.store import Store
from tests.artefacts import finish_run

SMALL = Extent(rows=2, columns=3, samples=64)


class Linear(nn.Module):
    """Four pixels that are linear in z, seen through a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 4, bias=False)

    def forward(self, z: Tensor) -> Tensor:
        return (self.layer(z) / 20)[:, None, None]


class Bare(nn.Module):
    """The same, with no layer to look into."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, z: Tensor) -> Tensor:
        return (z @ self.weight.T / 20)[:, None, None]


def of(network: nn.Module, *shape: int, **others: Any) -> Space:
    """A space of a network with z of that shape and further inputs."""
    inputs = {"z": {"shape": shape, "distribution": "normal"}, **others}
    spec = {"family": "any", "options": {}, "inputs": inputs, "output": (1, 1, 4)}
    return Space(Generator("here", GeneratorSpec.model_validate(spec), network.double().eval().requires_grad_(False)))


@pytest.fixture
def linear() -> Space:
    torch.manual_seed(0)
    return of(Linear(), 6)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    store = Store(tmp_path_factory.mktemp("explored"))
    return read_generator(store, finish_run(store))


def test_images_of_a_seeds_noise_are_its_samples(digits: Generator) -> None:
    space = Space(digits, seed=7)
    made = space.images(space.draw(100), space.asked(100))
    assert_array_equal(made, digits.sample(100, seed=7))
    asked = Space(digits, seed=7, label=3)
    assert_array_equal(asked.images(asked.draw(5), asked.asked(1)), digits.sample(5, seed=7, label=3))


class TwoNormals(nn.Module):
    """An image from two latent inputs of different shapes."""

    def forward(self, style: Tensor, z: Tensor) -> Tensor:
        return torch.tanh(style[:, :, None, None] + z)


def test_several_noises_are_one_vector() -> None:
    space = of(TwoNormals(), 1, 1, 4, style={"shape": (1,), "distribution": "normal"})
    assert space.size == 5
    assert_array_equal(space.images(space.draw(9), {}), space.generator.sample(9))


FORMS = {"dcgan_original_generator": Form(shape=(1, 28, 28)),
         "wavegan_generator": Form(kind="audio", shape=(1, 100), rate=8000)}  # the others make any image of 16 pixels


OF_OTHERS = {"mocogan_generator", "text_conv_generator", "text_rnn_generator"}  # with options of their own


@pytest.mark.parametrize("told", [0, 3])
@pytest.mark.parametrize("family", [name for name in FAMILIES
                                    if name.endswith("_generator") and name not in OF_OTHERS])
def test_the_first_layer_of_every_family_reads_z_and_not_the_label_alone(family: str, told: int) -> None:
    form = FORMS.get(family, Form(shape=(1, 16, 16)))
    options = {"shape": form.shape, "latent": 24, "width": 16, "conditions": {"classes": told} if told else None}
    inputs: dict[str, Any] = {"z": {"shape": (24,), "distribution": "normal"}}
    if told:
        inputs["label"] = {"shape": (), "distribution": "condition", "classes": told}
    spec = GeneratorSpec.model_validate({"family": family, "options": options, "inputs": inputs, **form.stated})
    network = spec.build().double().eval()
    space = Space(Generator("here", spec, network))
    layer = first_layer(network, space.inputs(space.draw(2), space.asked(1)))
    assert layer is not None
    assert layer.kind == "Linear"
    outputs = outputs_of(network, layer, space.inputs(space.draw(100), space.asked(1)))
    assert len(np.unique(outputs, axis=0)) == 100
    assert not any(module._forward_hooks for module in network.modules())


def test_the_first_layers_outputs_are_its_own(linear: Space) -> None:
    network = linear.generator.network
    z = linear.draw(100)
    weight = network.layer.weight.numpy()
    assert first_layer(network, linear.inputs(z[:2], {})) == Layer("layer", "Linear")
    assert_allclose(outputs_of(network, Layer("layer", "Linear"), linear.inputs(z, {})), z @ weight.T, rtol=1e-12)


def facts_of(made: Picture | LeftOut) -> dict[str, Any]:
    assert isinstance(made, Picture)
    return dict(made.facts)


def test_the_variance_that_components_explain_is_that_of_the_layer(linear: Space) -> None:
    facts = facts_of(components(linear, Extent(rows=3, columns=5, samples=64)))
    lengths = np.linalg.svd(linear.generator.network.layer.weight.numpy())[1] ** 2
    assert (facts["layer"], facts["layer_is"], facts["samples"]) == ("layer", "Linear", 64)
    assert_allclose(facts["explained_variance"], (lengths / lengths.sum())[:3], rtol=1e-5)
    assert facts["columns"] == [-2, -1, 0, 1, 2]


def test_a_network_without_layers_has_the_components_of_its_pixels(linear: Space) -> None:
    bare = of(Bare(linear.generator.network.layer.weight.detach().clone()), 6)
    facts, layers = facts_of(components(bare, SMALL)), facts_of(components(linear, SMALL))
    assert (facts["layer"], facts["of"]) == (None, "pixels: no layer of this network could be read")
    assert_allclose(facts["explained_variance"], layers["explained_variance"], rtol=0.05)  # 256 levels


def test_a_generator_of_one_image_has_no_components() -> None:
    made = components(of(Bare(torch.zeros(4, 6)), 6), SMALL)
    assert made == LeftOut("pca", "here makes the same image of every latent vector")


def test_lower_thresholds_leave_less_spread(digits: Generator) -> None:
    spread = facts_of(truncation(Space(digits, label=3), SMALL))["spread"]
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] < spread[0] / 2


def test_rows_are_classes_where_there_are_some(digits: Generator) -> None:
    assert facts_of(interpolation(Space(digits), SMALL))["labels"] == [0, 1]
    assert facts_of(interpolation(Space(digits, label=3), SMALL))["labels"] == [3, 3]
    assert facts_of(classes(Space(digits), SMALL))["labels"] == [*range(10)]


def test_directions_of_classes_lead_to_them(linear: Space) -> None:
    """The class is the brighter half of the first pixel; there are none of the third class."""
    read = Reading(lambda images: (images[:, 0, 0, 0] > 127).astype(np.int64), ["dark", "bright", "猫"])
    facts = facts_of(attributes(linear, Extent(rows=2, columns=3), lambda: read))
    dark, bright = facts["rows"]
    assert (dark["name"], bright["name"], facts["without_direction"]) == ("dark", "bright", ["猫"])
    assert dark["read_before"] == pytest.approx(0.5, abs=0.05)
    assert min(dark["read_after"], bright["read_after"]) > 0.95


def test_a_generator_of_one_class_has_no_directions(linear: Space) -> None:
    read = Reading(lambda images: np.zeros(len(images), np.int64), ["dark", "bright"])
    made = attributes(linear, SMALL, lambda: read)
    assert isinstance(made, LeftOut)
    assert made.why.startswith("all of 64 images are read as dark")


@pytest.mark.parametrize(
    ("extent", "message"),
    [
        ({"rows": 0}, "rows=0: rows are 1 to 20; rows=8 works"),
        ({"columns": 1}, "columns=1: columns are 2 to 33; columns=9 works"),
        ({"samples": 15}, "samples=15: z has 8 numbers, .* from 16 to 10,000 samples; samples=1000 works"),
        ({"samples": 10_001}, "samples=10001: z has 8 numbers"),
    ],
)
def test_an_extent_that_cannot_be_says_what_works(extent: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Extent(**extent).draws(8)


def test_long_latent_vectors_have_more_samples() -> None:
    assert (Extent().draws(8), Extent().draws(512), Extent(samples=16384).draws(4096)) == (1000, 2048, 16384)


def test_what_was_made_is_told(digits: Generator, tmp_path: Path) -> None:
    counts: list[int] = []
    interpolation(Space(digits, tell=counts.append), SMALL)
    assert sum(counts) == 2 * 9
