"""The domain network: what it learns, that its seed decides it, and that it comes back from its files."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from gan_core.data.shards import Shards, Split, open_shards
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.errors import DamagedFile, DataError
from gan_core.metrics import domain
from gan_core.metrics.domain import FEATURES, DomainNetwork, train_domain
from gan_core.modalities.form import Form
from gan_core.store import Store

OPEN_SHAPES = [(1, 1, 1), (1, 28, 28), (3, 5, 7), (2, 16, 4), (3, 96, 80), (4, 3, 130)]


@pytest.fixture(scope="module")
def shards(tmp_path_factory) -> Shards:
    store = Store(tmp_path_factory.mktemp("store"))
    write_shards(Digits(), store, "shards/digits", shard_examples=500, key="digits")
    return open_shards(store, "shards/digits")


@pytest.fixture(scope="module")
def trained(shards) -> DomainNetwork:
    return train_domain(shards.split("train"), shards.form, shards.classes, 0, shards.split("validation"))


def noise(n: int, shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8)


def part_of(split: Split, n: int) -> Split:
    return Split((split.gather(np.arange(n)),), None if split.labels is None else split.labels[:n])


def files_of(network: DomainNetwork, directory) -> tuple[bytes, bytes]:
    directory.mkdir(exist_ok=True)
    network.save(directory)
    return (directory / "domain.safetensors").read_bytes(), (directory / "domain.json").read_bytes()


def test_digits_are_told_apart_on_the_validation_split(trained):
    assert trained.facts.accuracy > 0.95
    assert trained.facts.trained_on == 20 * 1257


def test_features_are_64_float32_numbers_an_image(trained, shards):
    made = trained.features(shards.split("test").images)
    assert made.shape == (360, FEATURES)
    assert made.dtype == np.float32


def test_features_of_the_train_split_are_centred_with_unit_spread(trained, shards):
    made = trained.features(shards.split("train").images).astype(np.float64)
    np.testing.assert_allclose(made.mean(axis=0), 0, atol=1e-5)
    assert made.var(axis=0).mean() == pytest.approx(1, rel=1e-5)


def test_training_repeats_bit_for_bit_on_any_number_of_threads(shards, tmp_path):
    split, threads = part_of(shards.split("train"), 96), torch.get_num_threads()
    files = []
    for count in (1, 2, 2):
        torch.set_num_threads(count)
        network = train_domain(split, shards.form, shards.classes, 7)
        assert torch.get_num_threads() == count
        files.append(files_of(network, tmp_path / str(count)))
    torch.set_num_threads(threads)
    assert files[0] == files[1] == files[2]


def test_another_seed_gives_another_network(shards, tmp_path):
    split = part_of(shards.split("train"), 64)
    one, other = (train_domain(split, shards.form, shards.classes, seed) for seed in (0, 1))
    assert files_of(one, tmp_path / "one")[0] != files_of(other, tmp_path / "other")[0]


def test_the_global_random_numbers_are_left_alone(shards):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_domain(part_of(shards.split("train"), 64), shards.form, shards.classes, 0)
    assert torch.equal(torch.rand(3), expected)


def test_the_shards_files_do_not_matter_only_their_examples(shards, tmp_path):
    whole = shards.split("train")
    assert len(whole.parts) == 3
    labels = np.concatenate([whole.labels[start : start + 40] for start in whole.starts])
    parts = Split(tuple(part[:40] for part in whole.parts), labels)
    joined = Split((parts.images,), parts.labels)
    first, second = (train_domain(split, shards.form, shards.classes, 0) for split in (parts, joined))
    assert files_of(first, tmp_path / "parts") == files_of(second, tmp_path / "joined")


def test_features_do_not_depend_on_the_batch_they_are_made_in(trained, shards, monkeypatch):
    images = shards.split("test").images
    whole = trained.features(images)
    for size in (1, 7, 1000):
        monkeypatch.setattr(domain, "FEATURE_BATCH", size)
        np.testing.assert_allclose(trained.features(images), whole, atol=1e-5)


def test_images_on_a_read_only_map_are_taken(trained, shards):
    images = shards.split("test").images[:3]
    assert not images.flags.writeable
    assert trained.features(images).shape == (3, FEATURES)


def test_no_images_have_no_features(trained):
    assert trained.features(noise(0, (1, 8, 8))).shape == (0, FEATURES)


def test_a_saved_network_comes_back_with_the_same_features(trained, shards, tmp_path):
    loaded = DomainNetwork.load(*files_of(trained, tmp_path))
    images = shards.split("test").images
    assert loaded.facts == trained.facts
    assert (loaded.features(images) == trained.features(images)).all()


def test_what_is_known_of_a_network_is_readable_json(trained, tmp_path):
    facts = json.loads(files_of(trained, tmp_path)[1])
    assert facts["form"]["shape"] == [1, 8, 8]
    assert facts["classes"] == 10
    assert facts["accuracy"] == trained.facts.accuracy


def test_damaged_files_are_refused_with_advice(trained, tmp_path):
    weights, facts = files_of(trained, tmp_path)
    other_shape = json.dumps({**json.loads(facts), "form": {"shape": [3, 16, 16]}}).encode()
    of_another = [(weights, b"{}"), (weights, b"\x00"), (weights, other_shape)]
    for bad in [(weights[:100], facts), (b"", facts), *of_another]:
        with pytest.raises(DamagedFile, match="remove the artefact"):
            DomainNetwork.load(*bad)


def test_without_labels_the_weights_are_random_and_a_function_of_the_seed(shards, tmp_path):
    unlabelled = Split(shards.split("train").parts, None)
    first, again, other = (train_domain(unlabelled, shards.form, 0, seed) for seed in (0, 0, 1))
    assert first.facts.trained_on == 0
    assert first.facts.accuracy is None
    assert files_of(first, tmp_path / "a") == files_of(again, tmp_path / "b")
    assert files_of(first, tmp_path / "a") != files_of(other, tmp_path / "c")


def test_random_features_still_tell_digits_from_noise(shards):
    network = train_domain(Split(shards.split("train").parts, None), shards.form, 0, 0)
    digits, dust = network.features(shards.split("test").images), network.features(noise(360, (1, 8, 8)))
    assert np.linalg.norm(digits.mean(axis=0) - dust.mean(axis=0)) > 1


@pytest.mark.parametrize("shape", OPEN_SHAPES)
@pytest.mark.parametrize("classes", [0, 1, 3])
def test_images_of_any_shape_and_any_number_of_classes_have_features(shape, classes):
    images = noise(6, shape)
    labels = np.arange(6) % classes if classes else None
    network = train_domain(Split((images,), labels), Form(shape=shape), classes, 0)
    made = network.features(images)
    assert made.shape == (6, FEATURES)
    assert np.isfinite(made).all()


def test_a_set_of_one_image_repeated_has_finite_features():
    images = np.repeat(noise(1, (1, 8, 8)), 5, axis=0)
    assert np.isfinite(train_domain(Split((images,), None), Form(shape=(1, 8, 8)), 0, 0).features(images)).all()


@pytest.mark.parametrize("images", [noise(2, (1, 9, 8)), noise(2, (3, 8, 8)), noise(2, (1, 8, 8)) / 255,
                                    noise(2, (1, 8, 8))[0]])
def test_images_that_do_not_fit_are_refused(trained, images):
    with pytest.raises(DataError, match=r"made for uint8 \(n, 1, 8, 8\)"):
        trained.features(images)
