from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from gan_core.bundle import Generator, load_generator, read_generator
from gan_core.errors import ConfigError, DamagedFile, Diverged
from gan_core.manifest import artefact
from gan_core.models.spec import GeneratorSpec
from gan_core.pictures import to_uint8
from gan_core.store import Store
from tests.artefacts import CLASSES, SHAPE, finish_run, finish_scores, flip_a_byte, in_fresh_process, publish_one


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def generator(store: Store) -> Generator:
    return read_generator(store, finish_run(store))


def made_again(store: Store, changed: dict[str, bytes]) -> str:
    """The URL of a run with some of its files replaced before its manifest was written."""
    run = store.local_path(finish_run(store))
    with artefact(store, "runs/again", kind="run", key="again") as draft:
        for file in ("generator.json", "generator.safetensors"):
            (draft.path / file).write_bytes(changed.get(file, (run / file).read_bytes()))
    return store.uri("runs/again")


def with_spec(store: Store, **changes: object) -> str:
    spec = json.loads(store.read(f"{finish_run(store)}/generator.json"))
    return made_again(store, {"generator.json": json.dumps(spec | changes).encode()})


SMILING: dict[str, Any] = {"name": "smiling", "kind": "binary"}
HAIR: dict[str, Any] = {"name": "hair", "kind": "categorical", "values": 5}
AGE: dict[str, Any] = {"name": "age", "kind": "continuous", "low": 18, "high": 80}


def inputs(**given: Any) -> dict[str, Any]:
    """A specification's inputs: one, which is a condition unless it says otherwise."""
    return {"inputs": {"c": {"shape": [], "distribution": "condition"} | given}}


def test_samples_are_the_networks_own_images(generator: Generator) -> None:
    z = np.random.Generator(np.random.Philox(key=3)).standard_normal((4, 8))
    labels = torch.tensor([7, 7, 7, 7])
    by_hand = generator.network(z=torch.from_numpy(z), label=labels).detach().numpy()
    np.testing.assert_array_equal(generator.sample(4, seed=3, label=7), to_uint8(by_hand))


def test_weights_are_those_that_were_saved(store: Store, generator: Generator) -> None:
    saved = load_file(store.local_path("runs/r1/generator.safetensors"))
    loaded = generator.network.state_dict()
    assert saved.keys() == loaded.keys()
    assert all(torch.equal(loaded[name], weight.to(loaded[name].dtype)) for name, weight in saved.items())


def test_samples_are_uint8_images_that_differ(generator: Generator) -> None:
    images = generator.sample(20)
    assert images.dtype == np.uint8
    assert images.shape == (20, *SHAPE)
    assert len(np.unique(images.reshape(20, -1), axis=0)) == 20


@pytest.mark.parametrize(("n", "more"), [(1, 2), (37, 74), (64, 65), (100, 200)])
def test_the_first_n_of_more_samples_are_the_n_samples(generator: Generator, n: int, more: int) -> None:
    np.testing.assert_array_equal(generator.sample(more, seed=5)[:n], generator.sample(n, seed=5))


def test_the_seed_alone_decides_whatever_ran_before(generator: Generator) -> None:
    before = generator.sample(8, seed=1)
    torch.manual_seed(99)
    generator.sample(3, seed=2)
    np.testing.assert_array_equal(generator.sample(8, seed=1), before)
    assert (generator.sample(8, seed=2) != before).any()


def test_loading_and_sampling_leave_the_global_random_state_alone(store: Store) -> None:
    run = finish_run(store)
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    read_generator(store, run).sample(2)
    assert torch.equal(torch.rand(3), expected)


def test_without_a_label_classes_take_turns(generator: Generator) -> None:
    turns = np.arange(25, dtype=np.int64) % CLASSES
    np.testing.assert_array_equal(generator.sample(25), generator.sample(25, label=turns))


def test_one_label_is_the_same_as_that_label_for_each(generator: Generator) -> None:
    each = np.full(5, 3, np.int64)
    np.testing.assert_array_equal(generator.sample(5, label=3), generator.sample(5, label=each))
    assert (generator.sample(5, label=3) != generator.sample(5, label=4)).any()


def test_an_unconditional_generator_samples_and_refuses_labels(store: Store) -> None:
    generator = read_generator(store, finish_run(store, classes=0))
    assert generator.classes == 0
    assert generator.sample(3).shape == (3, *SHAPE)
    with pytest.raises(ConfigError, match=r"label=3: .* without labels; leave the label out"):
        generator.sample(3, label=3)


@pytest.mark.parametrize("label", [-1, 10, np.array([0, 1, 10])])
def test_a_label_out_of_range_is_refused_with_labels_that_work(generator: Generator, label: int) -> None:
    with pytest.raises(ConfigError, match=r"label=(-1|10): not a class .* label=0 to label=9 work"):
        generator.sample(3, label=label)


@pytest.mark.parametrize("label", [np.array([1, 2]), np.array([0.5, 1, 2]), True])
def test_labels_of_the_wrong_shape_or_kind_are_refused(generator: Generator, label: int) -> None:
    with pytest.raises(ConfigError, match="not one whole number, nor 3 of them"):
        generator.sample(3, label=label)


@pytest.mark.parametrize("seed", [-1, 2**63])
def test_a_seed_out_of_range_is_refused(generator: Generator, seed: int) -> None:
    with pytest.raises(ConfigError, match=f"seed={seed}: .*; seed=0 works"):
        generator.sample(1, seed=seed)


def test_the_largest_seed_works_and_no_samples_do_not(generator: Generator) -> None:
    assert len(generator.sample(1, seed=2**63 - 1)) == 1
    with pytest.raises(ConfigError, match="n=0"):
        generator.sample(0)


def test_a_url_a_path_and_another_file_system_load_the_same(store: Store) -> None:
    run = finish_run(store)
    elsewhere = Store("memory://bundle")
    for path in store.sizes(run):
        elsewhere.write(f"{run}/{path}", store.read(f"{run}/{path}"))
    places = [store.uri(run), str(store.local_path(run)), f"{store.uri(run)}/", elsewhere.uri(run)]
    images = [load_generator(place).sample(4) for place in places]
    elsewhere.delete("")
    assert all((image == images[0]).all() for image in images)


@pytest.mark.parametrize("file", ["generator.json", "generator.safetensors"])
def test_a_flipped_byte_is_found_and_the_file_named(store: Store, file: str) -> None:
    run = finish_run(store)
    flip_a_byte(store, f"{run}/{file}")
    with pytest.raises(DamagedFile, match=rf"{run}/{file}: is damaged: sha256"):
        read_generator(store, run)


def test_a_missing_file_is_named(store: Store) -> None:
    run = finish_run(store)
    store.delete(f"{run}/generator.safetensors")
    with pytest.raises(DamagedFile, match=r"generator\.safetensors: is missing"):
        read_generator(store, run)


def test_an_artefact_without_a_generator_says_so(store: Store) -> None:
    scores = finish_scores(store, finish_run(store))
    with pytest.raises(DamagedFile, match=r"lists no generator\.json"):
        load_generator(store.uri(scores))


def test_a_place_with_no_manifest_is_refused_with_advice(store: Store, tmp_path: Path) -> None:
    for place in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(ConfigError, match=r"no published version there; an address is .*models/NAME@latest"):
            load_generator(str(place))
        with pytest.raises(ConfigError, match=r"no MANIFEST\.json there.*gan models list"):
            read_generator(Store(place), "run")


def test_an_alias_loads_what_it_stands_on(tmp_path: Path) -> None:
    store = Store(tmp_path)
    published = publish_one(store)
    alias = load_generator(store.uri("models/digits@latest"))
    assert alias.uri == published.uri
    np.testing.assert_array_equal(alias.sample(3), load_generator(published.uri).sample(3))
    with pytest.raises(ConfigError, match=r"digits@chmpion: no such version in .*aliases: .*digits@latest"):
        load_generator(store.uri("models/digits@chmpion"))


def test_truncation_keeps_images_and_makes_them_alike(generator: Generator) -> None:
    whole, close = generator.noise(64, seed=3)["z"], generator.noise(64, seed=3, truncation=0.5)["z"]
    assert np.abs(close).max() <= 0.5 < np.abs(whole).max()
    assert (np.sign(close) == np.sign(whole)).all()
    images = generator.sample(64, seed=3, label=1, truncation=0.5)
    assert images.std(axis=0).mean() < generator.sample(64, seed=3, label=1).std(axis=0).mean()
    np.testing.assert_array_equal(images[:5], generator.sample(5, seed=3, label=1, truncation=0.5))
    parts = list(generator.inputs(64, 20, seed=3, label=1, truncation=0.5))
    np.testing.assert_array_equal(images, np.concatenate([generator.images_of(part) for part in parts]))


@pytest.mark.parametrize("truncation", [0, -1.0, float("nan"), float("inf")])
def test_truncation_out_of_range_is_refused(generator: Generator, truncation: float) -> None:
    for ask in (generator.sample, generator.noise):
        with pytest.raises(ConfigError, match=r"truncation=.*: not a number above 0; truncation=1 works"):
            ask(1, truncation=truncation)


def test_in_single_precision_images_are_the_same_to_a_level(generator: Generator) -> None:
    fast = generator.at(torch.float32)
    np.testing.assert_allclose(fast.sample(70, seed=2).astype(int), generator.sample(70, seed=2).astype(int), atol=1)
    assert {p.dtype for p in generator.network.parameters()} == {torch.float64}
    assert {p.dtype for p in fast.network.parameters()} == {torch.float32}


def test_a_family_that_is_not_installed_is_named_with_advice(store: Store) -> None:
    with pytest.raises(ConfigError, match=r"generator\.json: unknown network family 'dcgan_generato'; "
                                          r"did you mean 'dcgan_generator'.*install the package"):
        load_generator(with_spec(store, family="dcgan_generato"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": {"size": 3}}, r"generator\.json: options: dcgan_generator cannot be built"),
        ({"inputs": {"z": {"shape": [8], "distribution": "levy"}}}, r"json: inputs\.z\.distribution"),
        ({"surprise": 1}, r"generator\.json: surprise"),
        ({"output": [1, 0, 8]}, r"output: \[1, 0, 8\] are no images"),
        ({"output": [3, 2**20, 2**20]}, r"output: .* are no images"),
        (inputs(shape=[2**20, 2**20], distribution="normal"), r"inputs\.c\.shape: .* holds no numbers, or too many"),
        (inputs(shape=[0], distribution="normal"), r"inputs\.c\.shape: \[0\] holds no numbers"),
        (inputs(shape=[8, 8], distribution="image"), r"inputs\.c\.shape: \[8, 8\] is not the \[C, H, W\]"),
        (inputs(), r"inputs\.c: a label has the shape \[\] and classes=1 to classes=1048576"),
        (inputs(classes=2**40), r"inputs\.c: a label has the shape"),
        (inputs(classes=3, shape=[3]), r"inputs\.c: a label has the shape"),
        (inputs(attributes=[AGE], shape=[2]), r"inputs\.c: 1 attributes have the shape \[1\] and classes=0"),
        (inputs(attributes=[AGE], shape=[1], classes=3), r"inputs\.c: 1 attributes have the shape"),
        (inputs(attributes=[AGE, AGE], shape=[2]), r"inputs\.c: names an attribute twice: age, age"),
        (inputs(attributes=[AGE | {"high": 18}], shape=[1]), r"inputs\.c: age goes from 18 to 18"),
        (inputs(attributes=[HAIR | {"values": 2**40}], shape=[1]), r"inputs\.c: hair has 1099511627776 values"),
        (inputs(attributes=[{"name": "age", "kind": "prime"}], shape=[1]), r"inputs\.c\.attributes\.0\.kind"),
        ({"inputs": {name: {"shape": [], "distribution": "condition", "classes": 2} for name in "ab"}},
         "at most one condition can be sampled, and there are a, b"),
    ],
)
def test_a_specification_that_cannot_be_is_named(
    store: Store, change: dict[str, object], message: str
) -> None:
    with pytest.raises(DamagedFile, match=message):
        load_generator(with_spec(store, **change))


def test_images_of_another_shape_than_promised_are_refused(store: Store) -> None:
    generator = load_generator(with_spec(store, output=[1, 16, 16]))
    with pytest.raises(DamagedFile, match=r"images of \[1, 16, 16\], the network makes \[1, 8, 8\]"):
        generator.sample(1)


def test_weights_of_another_network_are_refused_by_name(store: Store, tmp_path: Path) -> None:
    save_file({"stray": torch.zeros(1)}, tmp_path / "other.safetensors")
    url = made_again(store, {"generator.safetensors": (tmp_path / "other.safetensors").read_bytes()})
    with pytest.raises(DamagedFile, match=r"generator\.safetensors: does not fit generator\.json.*stray"):
        load_generator(url)


def test_a_pickle_under_the_name_of_the_weights_is_refused(store: Store, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "weights.pt")
    url = made_again(store, {"generator.safetensors": (tmp_path / "weights.pt").read_bytes()})
    with pytest.raises(DamagedFile, match=r"generator\.safetensors: not a safetensors file"):
        load_generator(url)


def test_weights_that_are_not_finite_are_no_image(store: Store, tmp_path: Path) -> None:
    weights = load_file(store.local_path(finish_run(store)) / "generator.safetensors")
    weights["to_image.bias"].fill_(float("nan"))
    save_file(weights, tmp_path / "nan.safetensors")
    url = made_again(store, {"generator.safetensors": (tmp_path / "nan.safetensors").read_bytes()})
    with pytest.raises(Diverged, match="not finite"):
        load_generator(url).sample(1)


class TwoNormals(torch.nn.Module):
    """An image from two latent inputs of different shapes."""

    def forward(self, style: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return torch.tanh(style[:, :, None, None] + noise)


def test_the_first_samples_stay_the_same_with_several_inputs() -> None:
    inputs = {
        "style": {"shape": (1,), "distribution": "normal"},
        "noise": {"shape": (1, 2, 2), "distribution": "normal"},
    }
    spec = {"family": "any", "options": {}, "inputs": inputs, "output": (1, 2, 2)}
    generator = Generator("here", GeneratorSpec.model_validate(spec), TwoNormals())
    np.testing.assert_array_equal(generator.sample(7), generator.sample(90)[:7])


ONLY_THE_LAYERS_BELOW = """
import sys
from gan_core.bundle import load_generator
load_generator(sys.argv[1]).sample(2)
ours = ("gan_core", "pipelines", "ray", "prefect", "typer", "onnx", "onnxruntime")
print(*sorted(m for m in sys.modules if m.split(".")[0] in ours))
"""


def test_a_bundle_loads_with_models_and_the_layers_below_them_alone(store: Store) -> None:
    loaded = in_fresh_process(ONLY_THE_LAYERS_BELOW, store.uri(finish_run(store))).split()
    below = ("bundle", "addresses", "published", "errors", "plugin_files", "registry", "block", "transforms", "config",
             "store", "outages", "manifest", "pictures", "modalities", "models", "options", "asked", "claims", "disk",
             "exclusive", "patience", "own_time", "bundle_files", "bundle_network", "specification")
    assert "gan_core.models.dcgan" in loaded
    assert {m.split(".")[1] for m in loaded if "." in m} <= set(below)
    assert {m.split(".")[0] for m in loaded} == {"gan_core"}
