"""Two data sets as domains: every example of both, labelled with its domain, its class kept where it means the same."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gan_core.config import experiment_from
from gan_core.data.batches import Batches
from gan_core.data.shards import open_shards
from gan_core.data.source import Example
from gan_core.data.sources.arrays import Npz
from gan_core.data.sources.digits import Digits
from gan_core.data.sources.hdf5 import Hdf5
from gan_core.data.sources.two_domains import TwoDomains
from gan_core.data.write import write_experiment, write_shards
from gan_core.errors import ConfigError
from gan_core.store import Store
from gan_core.testing import SourceContract
from tests.domains import write_negatives


@pytest.fixture(scope="module")
def negatives(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_negatives(tmp_path_factory.mktemp("npz") / "negatives.npz")


@pytest.fixture(scope="module")
def domains(negatives: str) -> TwoDomains:
    return TwoDomains(a=Digits(), b=Npz(url=negatives), names=("light", "dark"))


class TestTwoDomains(SourceContract):
    limit = 4000

    @pytest.fixture
    def source(self, domains: TwoDomains) -> TwoDomains:
        return domains


def test_all_of_the_first_set_comes_before_all_of_the_second_with_its_class(
    domains: TwoDomains, negatives: str
) -> None:
    for split, count in domains.splits().items():
        found = [e for e in domains.examples(split) if isinstance(e, Example)]
        sources = (Digits(), Npz(url=negatives))
        known = [e for source in sources for e in source.examples(split) if isinstance(e, Example)]
        assert len(found) == len(known) == count
        assert Counter(e.label for e in found) == {0: count // 2, 1: count // 2}
        assert [e.label for e in found] == sorted(e.label for e in found if e.label is not None)
        for ours, theirs in zip(found, known, strict=True):
            assert np.array_equal(ours.image, theirs.image)
            assert ours.attributes == {"class": theirs.label}
    assert domains.facts() == {"class_names": ["light", "dark"], "domains": "unpaired"}


def test_classes_that_do_not_mean_the_same_are_left_out(negatives: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "named.npz", train_images=np.zeros((9, 8, 8), np.uint8),
             train_labels=np.array([*"abcabcabc"]))
    for other in (Npz(url=str(tmp_path / "named.npz")), Npz(url=negatives, labels="none")):
        mixed = TwoDomains(a=Digits(), b=other)
        assert all(not e.attributes for e in mixed.examples("train") if isinstance(e, Example))


def test_its_shards_are_drawn_as_two_domains(domains: TwoDomains, tmp_path: Path) -> None:
    store = Store(tmp_path)
    write_shards(domains, store, "shards/d", shard_examples=4096, key="d")
    shards = open_shards(store, "shards/d")
    assert (shards.shape, shards.classes, shards.facts["domains"]) == ((1, 8, 8), 2, "unpaired")
    batch = Batches(shards.split("train"), seed=0, batch=32, rank=0, world=1, device=torch.device("cpu"),
                    facts=shards.facts).at(0)
    assert {*batch} == {"image", "image_b"}
    assert batch["image"].mean() < -0.2 < 0.2 < batch["image_b"].mean()


def test_a_fingerprint_changes_with_either_set(domains: TwoDomains, negatives: str) -> None:
    there_and_back = [TwoDomains(a=a, b=b).fingerprint() for a, b in
                      ((Digits(), Npz(url=negatives)), (Npz(url=negatives), Digits()), (Digits(), Digits()))]
    assert len({*there_and_back}) == 3
    assert there_and_back[0] == domains.fingerprint()


@pytest.mark.parametrize(("block", "said"), [
    ({"source": "digit"}, r"data\.a: unknown source 'digit'; did you mean 'digits'\?.*\{source: digits\} works"),
    ({}, r"data\.a: unknown source 'None'"),
    ({"source": "npz", "urls": "x"}, r"data\.a: npz: url: missing.*"),
    ({"source": "digits", "colour": 1}, r"data\.a: digits: colour: unknown key; known: source"),
])
def test_what_is_wrong_with_one_set_is_said_with_its_field(block: dict[str, Any], said: str) -> None:
    raw = {"name": "two", "model": {"recipe": "dcgan"},
           "data": {"source": "two_domains", "a": block, "b": {"source": "digits"}}}
    with pytest.raises(ConfigError, match=said):
        experiment_from(raw)


def test_usps_and_digits_meet_at_one_size(real_data: Path, tmp_path: Path) -> None:
    raw = {
        "name": "usps", "model": {"recipe": "dcgan"}, "prepare": {"transforms": [{"resize": 16, "kernel": "bicubic"}]},
        "data": {"source": "two_domains", "names": ["usps", "digits"], "b": {"source": "digits"},
                 "a": {"source": "hdf5", "url": f"{real_data}/usps/usps.h5", "deal": {"validation": 0.1, "test": 0}}},
    }
    experiment = experiment_from(raw)
    assert isinstance(getattr(experiment.data, "a", None), Hdf5)
    assert experiment_from(experiment.as_json()) == experiment
    write_experiment(experiment, Store(tmp_path), "shards/u", key="u")
    shards = open_shards(Store(tmp_path), "shards/u")
    assert shards.shape == (1, 16, 16)
    counts = {name: np.bincount(np.asarray(split.labels)).tolist() for name, split in shards.splits.items()}
    assert counts == {"train": [6562, 1257], "validation": [729, 180], "test": [2007, 360]}
    assert np.bincount(shards.split("test").numbers["class"].astype(int))[:10].min() > 100
