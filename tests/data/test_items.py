from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from gan_core.config import experiment_from
from gan_core.data.items import Deal, deal_out, labels_of, split_named
from gan_core.errors import ConfigError

NAMES = [f"{number:04}.png" for number in range(1000)]


def dealt(
    named: dict[str, Sequence[Any]], deal: Deal | None = None, names: Sequence[str] = NAMES
) -> dict[str, list[Any]]:
    return {split: list(items) for split, items in deal_out(named, deal, names).items()}


def test_a_set_without_splits_is_dealt_eight_to_one_to_one_and_keeps_its_order() -> None:
    splits = dealt({"train": NAMES})
    assert {split: len(items) for split, items in splits.items()} == {"train": 800, "validation": 100, "test": 100}
    assert sorted(item for items in splits.values() for item in items) == NAMES
    assert all(items == sorted(items) for items in splits.values())


def test_how_items_are_dealt_is_known() -> None:
    """A change would silently move test items into training."""
    assert dealt({"train": NAMES})["test"][:4] == ["0002.png", "0004.png", "0036.png", "0041.png"]


def test_a_file_more_moves_hardly_another() -> None:
    before, after = dealt({"train": NAMES}), dealt({"train": [*NAMES, "new.png"]}, names=[*NAMES, "new.png"])
    assert sum(len(set(before[split]) - set(after[split])) for split in before) <= 2


def test_splits_that_the_data_names_are_kept_and_nothing_is_dealt() -> None:
    assert dealt({"train": NAMES, "test": ["t"]}) == {"train": NAMES, "validation": [], "test": ["t"]}


def test_shares_that_are_asked_for_come_out_of_train_and_join_what_is_named() -> None:
    splits = dealt({"train": NAMES, "test": ["t"]}, Deal(validation=0.2, test=0.1))
    assert [len(splits[split]) for split in ("train", "validation", "test")] == [700, 200, 101]
    assert splits["test"][0] == "t"


def test_arrays_of_rows_are_dealt_as_arrays() -> None:
    splits = deal_out({"train": np.arange(1000)}, None, NAMES)
    assert np.sort(np.concatenate(list(splits.values()))).tolist() == [*range(1000)]


@pytest.mark.parametrize(("name", "split"), [("train", "train"), ("Val", "validation"), (" dev ", "validation"),
                                             ("TEST", "test"), ("cats", None), ("", None)])
def test_the_usual_names_of_splits_are_known(name: str, split: str | None) -> None:
    assert split_named(name) == split


def test_classes_are_numbered_by_value_or_by_name() -> None:
    assert labels_of(["10", "9", "1", "9"])[0] == ("1", "9", "10")
    assert labels_of(["b", "a", "²", "10", "9" * 5000])[0][:1] == ("10",)
    assert labels_of(["b", "a"])[1] == {"a": 0, "b": 1}


@pytest.mark.parametrize("url", ["s3://me:hunter2@bucket/x", "https://me:hunter2@host/x.zip", "zip://*::ftp://a:hunter2@h/x"])
def test_a_url_with_a_password_is_refused_and_not_repeated(url: str) -> None:
    raw = {"name": "x", "data": {"source": "image_zip", "url": url}, "model": {"recipe": "dcgan"}}
    with pytest.raises(ConfigError, match=r"data\.url: the URL holds a password") as refused:
        experiment_from(raw)
    assert "hunter2" not in str(refused.value)


def test_shares_that_leave_nothing_are_refused() -> None:
    data = {"source": "image_zip", "url": "x.zip", "deal": {"test": 0.95}}
    raw = {"name": "x", "data": data, "model": {"recipe": "dcgan"}}
    with pytest.raises(ConfigError, match=r"data.deal: .*leave nothing to train on"):
        experiment_from(raw)
