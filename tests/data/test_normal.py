"""`prepare.normal`: train and validation hold the normal classes alone, test holds all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gan_core.config import experiment_from
from gan_core.data.normal import normal_labels, normal_of
from gan_core.data.shards import Shards, open_shards
from gan_core.data.source import Example, Source
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_experiment, write_shards
from gan_core.errors import ConfigError, DataError
from gan_core.store import Store


def prepared(folder: Path, normal: list[Any]) -> Shards:
    experiment = experiment_from({"name": "some", "data": {"source": "digits"}, "model": {"recipe": "wgan_gp"},
                                  "prepare": {"normal": normal, "shard_examples": 200}})
    store = Store(folder)
    write_experiment(experiment, store, "shards/some", key="some")
    return open_shards(store, "shards/some")


def labels(data: Shards, split: str) -> list[int]:
    return sorted({int(label) for label in np.asarray(data.split(split).labels)})


def test_train_and_validation_hold_normal_classes_alone_and_test_all(tmp_path: Path) -> None:
    data = prepared(tmp_path, [2, "8"])
    assert [labels(data, split) for split in ("train", "validation", "test")] == [[2, 8], [2, 8], [*range(10)]]
    everything = [example.label for example in Digits().examples("train") if isinstance(example, Example)]
    assert len(data.split("train")) == sum(label in (2, 8) for label in everything)
    assert data.facts["normal"] == [2, 8]
    assert data.facts["quarantined"] == 0
    assert data.classes == 10


def test_without_it_nothing_is_left_out_and_nothing_said(tmp_path: Path) -> None:
    data = prepared(tmp_path, [])
    assert labels(data, "train") == [*range(10)]
    assert "normal" not in data.facts
    assert normal_of(data) is data


def test_the_normal_test_examples_are_those_of_the_test_split_in_its_order(tmp_path: Path) -> None:
    data = prepared(tmp_path, [2])
    test, kept = data.split("test"), normal_of(data).split("test")
    members = np.flatnonzero(np.asarray(test.labels) == 2)
    assert np.array_equal(kept.images, test.gather(members))
    assert np.asarray(kept.labels).tolist() == [2] * len(members)
    assert normal_of(data).split("train") is data.split("train")


def test_classes_are_named_as_the_set_names_them_or_by_label() -> None:
    assert normal_labels(["cat", "2"], ["dog", "cat", "bird"]) == {1, 2}
    assert normal_labels(["7"], []) == {7}


@pytest.mark.parametrize(("normal", "names", "said"), [
    (["cow"], ["dog", "cat"], r"prepare\.normal=\[\"cow\"\]: 'cow' is no class; the classes are dog, cat$"),
    (["2"], ["dog", "cat"], r"'2' is no class; the classes are dog, cat"),
    (["dog"], [], r"'dog' is no class; the classes are numbers"),
])
def test_what_is_no_class_is_refused_with_those_there_are(normal: list[str], names: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        normal_labels(normal, names)


class Unlabelled(Source):
    def examples(self, split: str) -> Iterator[Example]:
        yield from [Example(np.zeros((4, 4), np.uint8))] * 3


class NoneOfThem(Source):
    def examples(self, split: str) -> Iterator[Example]:
        yield from [Example(np.zeros((4, 4), np.uint8), label=1)] * 3

    def facts(self) -> dict[str, Any]:
        return {"class_names": ["good", "bad"]}


def test_a_set_without_labels_has_no_normal_class(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"prepare\.normal=\[\"good\"\] needs labels.*prepare\.normal=\[\] works"):
        write_shards(Unlabelled(), Store(tmp_path), "s", shard_examples=9, key="k", normal=("good",))


def test_a_class_without_training_examples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"prepare\.normal=\[\"good\"\]: no training example is of these classes"):
        write_shards(NoneOfThem(), Store(tmp_path), "s", shard_examples=9, key="k", normal=("good",))


def test_a_test_split_without_normal_examples_is_refused(tmp_path: Path) -> None:
    data = prepared(tmp_path, [2])
    others = Shards({**data.splits, "test": data.split("test")}, data.shape, data.classes, facts={"normal": [77]})
    with pytest.raises(DataError, match="no test example is of a normal class"):
        normal_of(others)
