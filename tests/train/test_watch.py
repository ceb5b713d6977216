"""What is measured on fixed noise and fixed examples: known answers, and that nobody notices the looking."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gan_core.config import Experiment
from gan_core.data.batches import ready
from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.options.conditions import Attribute
from gan_core.options.cyclegan import CycleganOptions
from gan_core.options.objective import WATCHED
from gan_core.pictures import GAP, to_uint8
from gan_core.recipes.cyclegan import Cyclegan
from gan_core.recipes.draw import Draw
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import Batch, DataSpec, Networks
from gan_core.store import Store
from gan_core.train.state import TrainState
from gan_core.train.watch import ALWAYS, NAMES, Watch
from tests.domains import PREFIX, translation, write_negatives, written

CPU = torch.device("cpu")
Make = Callable[..., Experiment]


@pytest.fixture(scope="module")
def shards(digits_store: Store) -> Shards:
    return open_shards(digits_store, "shards/digits")


class Told(ImageGan):
    """A DCGAN whose samples and logits are told."""

    def __init__(
        self, experiment: Experiment, samples: Callable[[Tensor], Tensor] | None = None,
        says: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    ) -> None:
        super().__init__(experiment.model, DataSpec((1, 8, 8), 10))  # type: ignore[arg-type]
        self.samples, self.says = samples, says

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return super().generate(nets, inputs) if self.samples is None else self.samples(inputs["label"])

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        if self.says is None:
            return super().logits(nets, batch)
        return {name: say(batch["image"]) for name, say in self.says.items()}


def looked(experiment: Experiment, shards: Shards, seed: int = 0, **told: Any) -> dict[str, float]:
    recipe = Told(experiment, **told)
    state = TrainState.fresh(recipe, 0, CPU)
    return Watch(recipe, shards, seed, CPU).measure(state.networks, state.averages)


def drawn_from(split: Split, at: Callable[[int, int], int]) -> Callable[[Tensor], Tensor]:
    """Samples that are real examples: of their class the at(label, i)-th third one for the i-th of a class."""
    assert split.labels is not None
    members = {label: np.flatnonzero(split.labels == label) for label in range(10)}

    def samples(labels: Tensor) -> Tensor:
        counts: dict[int, int] = {}
        chosen = []
        for label in labels.tolist():
            counts[label] = counts.get(label, -1) + 1
            chosen.append(members[label][3 * at(label, counts[label])])
        return ready(torch.from_numpy(split.gather(np.array(chosen))))

    return samples


def test_real_examples_are_as_diverse_as_real_examples_and_in_their_class(experiment: Make, shards: Shards) -> None:
    found = looked(experiment(), shards, samples=drawn_from(shards.split("test"), lambda _, i: i))
    assert found["diversity/pairwise"] == pytest.approx(1, abs=0.05)
    assert 0.7 < found["diversity/class"] < 1.1  # the smallest of ten, of ten samples each
    assert found["agreement/class"] == pytest.approx(found["agreement/real"], abs=0.06)
    assert 0.85 < found["agreement/real"] < 0.95


def test_one_picture_a_class_is_diverse_over_all_and_not_within_a_class(experiment: Make, shards: Shards) -> None:
    found = looked(experiment(), shards, samples=drawn_from(shards.split("test"), lambda *_: 0))
    assert found["diversity/pairwise"] > 0.8
    assert found["diversity/class"] == 0


def test_one_class_that_collapses_is_seen_among_nine_that_do_not(experiment: Make, shards: Shards) -> None:
    found = looked(experiment(), shards,
                   samples=drawn_from(shards.split("test"), lambda label, i: 0 if label == 7 else i))
    assert found["diversity/pairwise"] > 0.9
    assert found["diversity/class"] == 0


def test_one_picture_for_everything_has_no_diversity_and_the_agreement_of_chance(
    experiment: Make, shards: Shards
) -> None:
    found = looked(experiment(), shards, samples=lambda labels: torch.zeros(len(labels), 1, 8, 8))
    assert found["diversity/pairwise"] == 0
    assert found["agreement/class"] == pytest.approx(0.1)


def test_samples_of_the_next_class_agree_with_nothing(experiment: Make, shards: Shards) -> None:
    right = drawn_from(shards.split("test"), lambda _, i: i)
    assert looked(experiment(), shards, samples=lambda labels: right((labels + 1) % 10))["agreement/class"] < 0.1


def test_averages_and_the_weights_in_training_are_told_apart(experiment: Make, shards: Shards) -> None:
    recipe = Told(experiment())
    state = TrainState.fresh(recipe, 0, CPU)
    watch = Watch(recipe, shards, 0, CPU)
    before = watch.measure(state.networks, state.averages)
    with torch.no_grad():
        for weight in state.averages["generator"].parameters():
            weight.normal_(0, 0.5)
    after = watch.measure(state.networks, state.averages)
    assert after["diversity/pairwise"] > 2 * before["diversity/pairwise"]
    assert after["diversity/raw_pairwise"] == before["diversity/raw_pairwise"] == before["diversity/pairwise"]


def test_a_discriminator_that_knows_its_examples_by_heart_is_seen(experiment: Make, shards: Shards) -> None:
    known = {image.tobytes() for image in shards.split("train").images}

    def by_heart(images: Tensor) -> Tensor:
        return torch.tensor([3.0 if image.tobytes() in known else -1.0 for image in to_uint8(images.numpy())])

    found = looked(experiment(), shards, says={"discriminator": by_heart})
    assert (found["logits/train"], found["logits/validation"], found["overfit/discriminator"]) == (3, -1, 1)


def test_a_discriminator_that_says_the_same_of_all_overfits_nothing(experiment: Make, shards: Shards) -> None:
    found = looked(experiment(), shards, says={"discriminator": lambda images: torch.ones(len(images))})
    assert found["overfit/discriminator"] == 0.5


def test_several_discriminators_have_their_own_names_and_a_mean(experiment: Make, shards: Shards) -> None:
    says = {"near": lambda images: torch.ones(len(images)), "far": lambda images: -3 * torch.ones(len(images))}
    found = looked(experiment(), shards, says=says)
    assert (found["logits/train"], found["logits/train/near"], found["logits/train/far"]) == (-1, 1, -3)


def test_equal_seeds_and_networks_measure_equal_and_other_seeds_other_noise(experiment: Make, shards: Shards) -> None:
    first, again, other = (looked(experiment(), shards, seed) for seed in (0, 0, 1))
    assert first == again
    assert first["diversity/pairwise"] != other["diversity/pairwise"]
    assert all(name.startswith(NAMES) for name in first)
    assert {ALWAYS, *WATCHED} <= first.keys()


def test_nobody_notices_the_looking(experiment: Make, shards: Shards) -> None:
    recipe = Told(experiment())
    state = TrainState.fresh(recipe, 0, CPU)
    state.networks["generator"].norms[0].eval()  # a mode of its own  # type: ignore[union-attr,index,operator]
    networks = [*state.networks.values(), *state.averages.values()]
    for weight in (w for network in networks for w in network.parameters()):
        weight.grad = torch.full_like(weight, 2)

    def seen() -> tuple[list[Any], list[Tensor]]:
        tensors = [t for network in networks for t in network.state_dict().values()]
        tensors += [w.grad for network in networks for w in network.parameters() if w.grad is not None]
        modes = [module.training for network in networks for module in network.modules()]
        requires = [weight.requires_grad for network in networks for weight in network.parameters()]
        return [modes, requires], [torch.get_rng_state(), *(tensor.clone() for tensor in tensors)]

    flags, tensors = seen()
    watch = Watch(recipe, shards, 0, CPU)
    watch.measure(state.networks, state.averages)
    watch.grid(state.averages)
    flags_after, tensors_after = seen()
    assert flags == flags_after
    assert all(map(torch.equal, tensors, tensors_after))


def test_without_labels_or_validation_there_is_less_to_say(experiment: Make, shards: Shards) -> None:
    train = Shards({"train": Split((shards.split("train").images,), None)}, shards.shape, 0)
    recipe = ImageGan(experiment(model={"conditional": False}).model, DataSpec((1, 8, 8), 0))  # type: ignore[arg-type]
    state = TrainState.fresh(recipe, 0, CPU)
    found = Watch(recipe, train, 0, CPU).measure(state.networks, state.averages)
    assert {*found} == {"diversity/pairwise", "diversity/raw_pairwise", "logits/train"}


def test_the_grid_shows_the_samples_a_class_a_row(experiment: Make, shards: Shards) -> None:
    recipe = Told(experiment(), samples=drawn_from(shards.split("test"), lambda _, i: i))
    state = TrainState.fresh(recipe, 0, CPU)
    png = Watch(recipe, shards, 0, CPU).grid(state.averages)
    assert png is not None
    picture = Image.open(io.BytesIO(png))
    factor = picture.width // (10 * (8 + GAP) + GAP)
    assert factor == 8
    assert picture.size == (factor * 91, factor * 91)
    sheet = np.asarray(picture)[::factor, ::factor]
    labels = np.asarray(shards.split("test").labels)
    third_of_class_six = shards.split("test").images[np.flatnonzero(labels == 6)[3 * 2]][0]
    top, left = 6 * (8 + GAP) + GAP, 2 * (8 + GAP) + GAP
    assert np.array_equal(sheet[top : top + 8, left : left + 8], third_of_class_six)


def test_what_is_no_grey_or_colour_picture_has_no_grid(experiment: Make, shards: Shards) -> None:
    recipe = Told(experiment(), samples=lambda labels: torch.zeros(len(labels), 2, 8, 8))
    assert Watch(recipe, shards, 0, CPU).grid(TrainState.fresh(recipe, 0, CPU).averages) is None


def test_of_a_set_larger_than_the_cache_a_few_files_are_fetched(
    tmp_path: Path, experiment: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store = Store("memory://watched")
    write_shards(Digits(), store, "shards/digits", shard_examples=100, key="digits")
    largest = max(size for path, size in store.sizes("shards/digits").items() if path.endswith(".arrow"))
    monkeypatch.setenv("GAN_CACHE_BYTES", str(9 * largest))
    found = looked(experiment(), open_shards(store, "shards/digits"))
    assert {"diversity/class", "overfit/discriminator"} <= found.keys()
    assert 1 <= len([*tmp_path.rglob("train-*.arrow")]) <= 4 < len(
        [path for path in store.sizes("shards/digits") if path.startswith("train-")])


@pytest.fixture(scope="module")
def domains(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    folder = tmp_path_factory.mktemp("domains")
    experiment = translation(write_negatives(folder / "negatives.npz"))
    return open_shards(written(experiment, folder / "store"), PREFIX)


class Unmoved(Cyclegan):
    """Leaves every image as it is."""

    def __init__(self) -> None:
        super().__init__(CycleganOptions(width=4, blocks=1), DataSpec((1, 8, 8), 2, domains="unpaired"))

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return inputs["image"]


def test_images_to_translate_are_held_out_ones_of_the_other_domain_and_stand_above_their_translations(
    domains: Shards
) -> None:
    state = TrainState.fresh(Unmoved(), 0, CPU)
    watch = Watch(Unmoved(), domains, 0, CPU)
    found, png = watch.measure(state.networks, state.averages), watch.grid(state.averages)
    assert found["agreement/class"] == 0  # left where they are, they look like the domain they come from
    assert found["diversity/pairwise"] == pytest.approx(1, abs=0.1)
    assert {"logits/train/judge_a", "logits/train/judge_b", "overfit/discriminator"} <= found.keys()
    assert png is not None
    sheet = np.asarray(Image.open(io.BytesIO(png)))[::8, ::8]
    rows = [sheet[1 + 9 * row : 9 + 9 * row, 1:9] for row in range(4)]
    assert np.array_equal(rows[0], rows[1])
    assert np.array_equal(rows[2], rows[3])
    held_out, labels = domains.split("validation").images[:, 0], np.asarray(domains.split("validation").labels)
    assert any(np.array_equal(rows[0], image) for image in held_out[labels == 1])  # first what becomes domain 0
    assert any(np.array_equal(rows[2], image) for image in held_out[labels == 0])


def test_attributes_that_are_asked_for_are_those_of_real_examples(experiment: Make, shards: Shards) -> None:
    train = shards.split("train")
    tall = np.asarray(train.images, np.float64).mean((1, 2, 3))
    told = Split((train.images,), train.labels, numbers={"weight": tall, "dark": tall / 255, "odd": tall % 2},
                 attribute_names=("dark", "odd"))
    asked = []

    class Asked(Told):
        def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
            asked.append(condition)
            return super().inputs(draw, None)

        def published(self) -> tuple[tuple[str, ...], GeneratorSpec]:
            names, spec = super().published()
            attributes = (Attribute(name="odd", kind="continuous"), Attribute(name="dark", kind="continuous"))
            one = InputSpec(shape=(2,), distribution="condition", attributes=attributes)
            return names, spec.model_copy(update={"inputs": {**spec.inputs, "label": one}})

    Watch(Asked(experiment(model={"conditional": False})), Shards({"train": told}, shards.shape, 0), 0, CPU)
    (condition,) = asked
    assert condition is not None
    assert condition.dtype == torch.float32
    assert condition.shape == (64, 2)
    chosen = np.arange(64) * len(told) // 64
    assert np.allclose(condition.numpy(), np.stack([tall % 2, tall / 255], 1)[chosen])
