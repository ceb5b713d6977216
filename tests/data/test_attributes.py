from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import Field

from gan_core.data.attributes import attributes_of
from gan_core.data.batches import Batches
from gan_core.data.cache import BOUND
from gan_core.data.shards import RemoteSplit, Shards, open_shards
from gan_core.data.source import Example, Source
from gan_core.data.write import write_shards
from gan_core.errors import DataError
from gan_core.options.conditions import Attribute
from gan_core.store import Store

HAIR, AGES = [0.0, 3, 1, 4, 4, 2, 0, 1], [18.0, 40, 33, 41, 19.5, 20, 80, 70]


class Described(Source):
    """Grey images with these numbers; the test split has others."""

    columns: dict[str, list[float]]
    test: dict[str, list[float]] = Field(default_factory=dict)

    def examples(self, split: str) -> Iterator[Example]:
        columns = {"train": self.columns, "test": self.test}.get(split, {})
        for i in range(max(map(len, columns.values()), default=0)):
            yield Example(np.full((4, 4), i, np.uint8), attributes={name: of[i] for name, of in columns.items()})


def shards_of(columns: Mapping[str, Sequence[float]], store: Store, **others: Any) -> Shards:
    source = Described(columns={name: list(values) for name, values in columns.items()}, **others)
    write_shards(source, store, "s", shard_examples=3, key="k")
    return open_shards(store, "s")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.mark.parametrize(
    ("values", "want"),
    [
        ([0, 1, 1, 0], {"kind": "binary"}),
        ([0, 0, 0, 0], {"kind": "binary"}),
        ([0, 2, 1], {"kind": "categorical", "values": 3}),
        ([5, 2], {"kind": "categorical", "values": 6}),
        ([0, 63], {"kind": "categorical", "values": 64}),
        ([0, 64], {"kind": "continuous", "low": 0, "high": 64}),
        ([-1, 1], {"kind": "continuous", "low": -1, "high": 1}),
        ([0, 0.5, 1], {"kind": "continuous", "low": 0, "high": 1}),
    ],
)
def test_the_numbers_of_the_training_examples_say_what_an_attribute_is(
    store: Store, values: list[float], want: dict[str, Any]
) -> None:
    assert attributes_of(shards_of({"it": values}, store)) == (Attribute(name="it", **want),)


def test_attributes_come_in_the_order_of_a_batchs_columns(store: Store) -> None:
    shards = shards_of({"smiling": [0, 1] * 4, "hair": HAIR, "age": AGES}, store)
    names = tuple(attribute.name for attribute in attributes_of(shards))
    assert names == shards.split("train").attribute_names == ("age", "hair", "smiling")


def test_other_splits_do_not_say_what_an_attribute_is(store: Store) -> None:
    shards = shards_of({"smiling": [0, 1]}, store, test={"smiling": [0, 1, 2, 9.5]})
    assert attributes_of(shards)[0].kind == "binary"


def test_a_set_without_attributes_has_none(digits_store: Store) -> None:
    assert attributes_of(open_shards(digits_store, "shards/digits")) == ()


@pytest.mark.parametrize("hole", [math.nan, math.inf])
def test_an_attribute_that_some_examples_lack_is_named(store: Store, hole: float) -> None:
    shards = shards_of({"age": [18, hole, 30, 31], "smiling": [0, 1, 1, 1]}, store)
    message = "the attribute 'age' is missing of 1 training examples; fill it in"
    with pytest.raises(DataError, match=message):
        attributes_of(shards)
    with pytest.raises(DataError, match=message):
        attributes_of(shards, wanted=["age"])


def test_what_a_model_does_not_learn_by_may_have_holes(store: Store) -> None:
    shards = shards_of({"age": [18, math.nan, 30.5, 31], "never": [math.nan] * 4, "smiling": [0, 1, 1, 1]}, store)
    age, never, smiling = attributes_of(shards, wanted=["smiling"])
    assert (age.low, age.high, never.kind, smiling.kind) == (18, 31, "continuous", "binary")


def test_an_attribute_that_is_the_same_everywhere_teaches_nothing(store: Store) -> None:
    with pytest.raises(DataError, match=r"'height' is 1\.7 of every training example.*leave it out"):
        attributes_of(shards_of({"height": [1.7, 1.7]}, store))


def test_a_set_larger_than_the_cache_says_it_without_being_fetched(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {"hair": HAIR, "age": AGES}
    here = attributes_of(shards_of(columns, store))
    away = Store("memory://attributes")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv(BOUND, str(sum(size for path, size in store.sizes("s").items() if path.endswith("arrow")) - 1))
    try:
        shards = shards_of(columns, away)
        assert isinstance(shards.split("train"), RemoteSplit)
        assert attributes_of(shards) == here
        assert not list((tmp_path / "cache").rglob("*.arrow"))
        drawn = Batches(shards.split("train"), seed=0, batch=8, rank=0, world=1, device=torch.device("cpu"),
                        shuffle_shards=1).at(0)["attributes"]
    finally:
        away.delete("")
    assert sorted(map(tuple, drawn.tolist())) == sorted(zip(AGES, HAIR, strict=True))


def test_a_prepared_set_gone_on_with_knows_the_whole_range(store: Store) -> None:
    class Killed(Described):
        def examples(self, split: str) -> Iterator[Example]:
            for number, example in enumerate(super().examples(split)):
                if number == 7:
                    raise KeyboardInterrupt
                yield example

    with pytest.raises(KeyboardInterrupt):
        write_shards(Killed(columns={"age": AGES}), store, "s", shard_examples=3, key="k")
    shards = shards_of({"age": AGES}, store)
    noted = shards.facts["splits"]["train"]["attributes"]["age"]
    assert noted == {"low": 18, "high": 80, "whole": False, "missing": 0}
