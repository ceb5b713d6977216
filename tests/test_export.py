"""generator.onnx makes the network's images, of every family."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from gan_core import export
from gan_core.bundle import Generator, generator_of
from gan_core.errors import ExportDiffers, NotExportable
from gan_core.export import LARGEST_DIFFERENCE, Exported, exported
from gan_core.modalities.form import Form
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.onnx_network import MOST_MODEL, OnnxNetwork
from gan_core.options.conditions import Attribute
from gan_core.registry import FAMILIES

LATENT = 12
NOTHING: dict[str, Any] = {}
CLASSES: dict[str, Any] = {"classes": 3}
ATTRIBUTES: dict[str, Any] = {"attributes": [
    {"name": "smiling", "kind": "binary"}, {"name": "hair", "kind": "categorical", "values": 3},
    {"name": "age", "kind": "continuous", "low": 10.0, "high": 90.0},
]}
TOLD = {"nothing": NOTHING, "classes": CLASSES, "attributes": ATTRIBUTES}
SIDES = {"mlp": 5, "dcgan": 12, "dcgan_original": 64, "resnet": 32, "biggan": 32, "r3gan": 32}
FORMS = {"wavegan": Form(kind="audio", shape=(2, 70), rate=8000)}  # of other kinds than images
OWN: list[tuple[str, dict[str, Any]]] = [
    *(("dcgan", {"norm": norm}) for norm in ("none", "instance", "layer", "group", "conditional_batch")),
    ("dcgan", {"activation": "leaky_relu", "dropout": 0.4}),
    ("dcgan", {"activation": "gelu"}),
    *((family, {"spectral": True}) for family in ("mlp", "dcgan", "dcgan_original", "resnet")),
    *((family, {"checkpointing": True}) for family in ("dcgan", "resnet", "biggan", "r3gan")),
    ("resnet", {"norm": "conditional_batch", "attention": 16}),
    ("biggan", {"attention": 16}),
    ("biggan", {"hierarchical": False, "spectral": False}),
    ("wavegan", {"spectral": True, "dropout": 0.4}),
]


def spec_of(family: str, told: dict[str, Any], **own: Any) -> GeneratorSpec:
    form = FORMS.get(family) or Form(shape=(3, SIDES[family], SIDES[family]))
    inputs = {"z": InputSpec(shape=(LATENT,), distribution="normal")}
    if told:
        known = tuple(map(Attribute.model_validate, told.get("attributes", ())))
        inputs["label"] = InputSpec(shape=(len(known),) if known else (), distribution="condition",
                                    classes=told.get("classes", 0), attributes=known)
    options = {"shape": form.shape, "latent": LATENT, "width": 4, "conditions": told, **own}
    return GeneratorSpec(family=f"{family}_generator", options=options, inputs=inputs, **form.stated)


def translators() -> GeneratorSpec:
    inputs = {"image": InputSpec(shape=(1, 16, 16), distribution="image"),
              "label": InputSpec(shape=(), distribution="condition", classes=2)}
    return GeneratorSpec(family="translators", options={"shape": (1, 16, 16), "width": 2, "blocks": 1}, inputs=inputs,
                         output=(1, 16, 16))


def files_of(spec: GeneratorSpec) -> tuple[bytes, bytes]:
    """generator.json and generator.safetensors, with weights and statistics that make images of many levels."""
    torch.manual_seed(0)
    network = spec.build()
    for weight in network.parameters():
        nn.init.normal_(weight, 0, 1 / weight[0].numel() ** 0.5 if weight.dim() > 1 else 0.4)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.uniform_(0.2, 0.8)
    return spec.model_dump_json().encode(), save(network.state_dict())


def asked_of(generator: Generator, n: int) -> dict[str, NDArray[Any]]:
    images = None
    if generator.translates:
        images = np.random.default_rng(n).integers(0, 256, (n, *generator.translates), np.uint8)
    (inputs,) = generator.inputs(n, n, seed=3, images=images)
    return inputs


def check(spec: GeneratorSpec) -> Exported:
    """The model is run on other examples, and in other numbers, than those that it was made and compared with."""
    files = files_of(spec)
    made = exported(*files, "here")
    generator = generator_of(*files, "here")
    network = OnnxNetwork(made.model, tuple(spec.inputs), "here", output=made.output)
    traced = Generator("here", spec, network, torch.float32)
    assert [one.name for one in onnx.load_model_from_string(made.model).graph.input] == list(spec.inputs)
    for n in (1, 5):
        inputs = asked_of(generator, n)
        ours, theirs = (one.images_of(inputs).astype(int) for one in (generator, traced))
        assert np.abs(ours - theirs).max() <= 1
        assert len(np.unique(ours)) > 4
    assert 0 < made.difference < 1e-4
    return made


@pytest.mark.parametrize("told", TOLD)
@pytest.mark.parametrize("family", [*SIDES, *FORMS])
def test_every_family_makes_the_same_images_whatever_it_is_told(family: str, told: str) -> None:
    check(spec_of(family, TOLD[told]))


@pytest.mark.parametrize(("family", "own"), OWN, ids=[f"{family} {json.dumps(own)}" for family, own in OWN])
def test_every_option_of_a_family_makes_the_same_images(family: str, own: dict[str, Any]) -> None:
    check(spec_of(family, CLASSES, **own))


def test_a_translator_goes_both_ways() -> None:
    check(translators())


def test_the_same_weights_make_the_same_bytes_with_nothing_of_this_host_in_them() -> None:
    spec = spec_of("resnet", CLASSES, spectral=True)
    files = files_of(spec)
    model = exported(*files, "here").model
    exported(*files_of(spec_of("dcgan", ATTRIBUTES)), "here")
    assert exported(*files, "there").model == model
    parsed = onnx.load_model_from_string(model)
    nodes = [*parsed.graph.node]
    assert not [node for node in nodes if node.doc_string or node.metadata_props]
    assert (parsed.doc_string, [*parsed.metadata_props], parsed.graph.doc_string) == ("", [], "")
    assert not [word for word in (str(Path(__file__).parents[1]).encode(), b".py", b"here") if word in model]


def test_a_spectral_norm_is_a_weight_there_and_nothing_to_compute() -> None:
    with_norm, without = (exported(*files_of(spec_of("dcgan", CLASSES, spectral=spectral)), "here").model
                          for spectral in (True, False))
    kinds = [[node.op_type for node in onnx.load_model_from_string(model).graph.node] for model in (with_norm, without)]
    assert kinds[0] == kinds[1]


# --- families of others ---------------------------------------------------------------------------------------


class Fourier(nn.Module):
    """Has no operator in ONNX."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, z: Tensor) -> Tensor:
        return torch.linalg.svdvals(z.unflatten(1, (1, 4, 4)))[..., None].expand(-1, 1, 4, 4) * self.weight


class OfTwo(Fourier):
    """Keeps from tracing how many examples there were."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(z.reshape(int(z.shape[0]), 1, 4, 4) + torch.zeros(len([*z]), 1, 1, 1).to(z)) * self.weight


class Restless(Fourier):
    """Makes something else each time."""

    calls = 0

    def forward(self, z: Tensor) -> Tensor:
        self.calls += 1
        return torch.tanh(z.unflatten(1, (1, 4, 4)) + 0.25 * self.calls) * self.weight


class Broken(Fourier):
    """Names a place on this host."""

    def forward(self, z: Tensor) -> Tensor:
        raise OSError("/srv/models/weights.bin: not there\nwhatever follows")


@pytest.fixture
def mine() -> Iterator[None]:
    yield
    FAMILIES.unregister_from(__name__)


def files_of_mine(family: type[nn.Module]) -> tuple[bytes, bytes]:
    FAMILIES.register("mine")(family)
    spec = GeneratorSpec(family="mine", options={}, inputs={"z": InputSpec(shape=(16,), distribution="normal")},
                         output=(1, 4, 4))
    return spec.model_dump_json().encode(), save(spec.build().state_dict())


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(("family", "why"), [
    (Fourier, "svdvals|svd"),
    (OfTwo, "generator.onnx: cannot be run"),
    (Broken, "^OSError: weights.bin: not there$"),
])
def test_what_has_no_onnx_form_is_told_in_one_line(family: type[nn.Module], why: str) -> None:
    files = files_of_mine(family)
    with pytest.raises(NotExportable, match=why) as raised:
        exported(*files, "here")
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) <= export.LONGEST_REASON


@pytest.mark.usefixtures("mine")
def test_a_model_that_makes_other_images_is_refused_with_the_difference() -> None:
    with pytest.raises(ExportDiffers, match=r"here: generator\.onnx .* differ by [1-9]\.\de-01 from the network's"):
        exported(*files_of_mine(Restless), "here")
    assert LARGEST_DIFFERENCE < 2 / 255  # of a level


def test_a_family_that_is_not_installed_is_named() -> None:
    spec, weights = files_of(spec_of("mlp", NOTHING))
    with pytest.raises(NotExportable, match=r"^unknown network family 'mlp_generater'"):
        exported(spec.replace(b"mlp_generator", b"mlp_generater"), weights, "here")


def test_weights_that_no_onnx_file_holds_are_refused_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    files = files_of(spec_of("mlp", NOTHING))
    assert MOST_MODEL < 2**31
    monkeypatch.setattr(export, "MOST_MODEL", export.GRAPH + len(files[1]) - 1)
    monkeypatch.setattr(export, "generator_of", None)
    with pytest.raises(NotExportable, match=r"its weights take .* GB, .*load_generator reads .* of any size"):
        exported(*files, "here")
