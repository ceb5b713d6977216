"""Every promise of the source contract is kept by a good source, and caught where a bad one breaks it."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import model_serializer

from gan_core.data.plugin import plugged_in
from gan_core.data.source import SPLITS, Bad, Example, Source
from gan_core.data.sources.digits import Digits
from gan_core.testing import SourceContract

SIZES = {"train": 12, "validation": 4, "test": 5}
WORDS = tuple(f"word {i}" for i in range(12))


class Good(Source):
    """Keeps every promise: images of one shape, three classes, begins anywhere."""

    def splits(self) -> dict[str, int]:
        return SIZES

    def part(self, split: str, start: int, stop: int) -> Iterator[Any]:
        for number in range(start, min(stop, SIZES.get(split, 0))):
            yield self.item(split, number)

    def item(self, split: str, number: int) -> Any:
        return Example(self.image(split, number), self.label(number), where=f"{split}/{number}")

    def image(self, split: str, number: int) -> Any:
        return np.full((4, 6, 3), 50 * SPLITS.index(split) + number, np.uint8)

    def label(self, number: int) -> Any:
        return number % 3


class Stream(Source):
    """As Good, and can only be read from its start."""

    def examples(self, split: str) -> Iterator[Any]:
        return Good().examples(split)


class Texts(Good):
    def item(self, split: str, number: int) -> Any:
        return "text" if number == 2 else super().item(split, number)


class Empty(Good):
    def item(self, split: str, number: int) -> Any:
        return Bad(f"{number}", "is torn")


class Floats(Good):
    def image(self, split: str, number: int) -> Any:
        return super().image(split, number) / 255


class Flat(Good):
    def image(self, split: str, number: int) -> Any:
        return super().image(split, number).ravel()


class Sizes(Good):
    def image(self, split: str, number: int) -> Any:
        return super().image(split, number)[: 4 - number % 2]


class Unlabelled(Good):
    def label(self, number: int) -> Any:
        return None if number == 3 else number % 3


class Texted(Good):
    def label(self, number: int) -> Any:
        return str(number % 3)


class Negative(Good):
    def label(self, number: int) -> Any:
        return number % 3 - 1


class Gap(Good):
    def label(self, number: int) -> Any:
        return number % 3 * 2


class Unnamed(Good):
    def facts(self) -> dict[str, Any]:
        return {"class_names": ["a", "b"]}


class Leaking(Good):
    def image(self, split: str, number: int) -> Any:
        return super().image("train" if number == 2 else split, number)


_calls = itertools.count()


class Random(Good):
    def image(self, split: str, number: int) -> Any:
        return super().image(split, number) + np.uint8(next(_calls) % 8)


class Hashed(Good):
    """In the order of a set of strings, which differs from process to process."""

    def item(self, split: str, number: int) -> Any:
        return super().item(split, WORDS.index(list(set(WORDS[: SIZES[split]]))[number]))


def local() -> type[Source]:
    class Local(Good):
        """Its class cannot be found by another process."""

    return Local


Local = local()


class OneWay(Good):
    """Is written in a way that it cannot be read in."""

    side: int = 4

    @model_serializer
    def written(self) -> dict[str, Any]:
        return {"source": "one_way", "length": self.side}


class Moving(Good):
    def fingerprint(self) -> str:
        return f"{next(_calls):064x}"


class Wordy(Good):
    def fingerprint(self) -> str:
        return "version 1"


class Anything(Good):
    def examples(self, split: str) -> Iterator[Any]:
        return super().examples(split if split in SPLITS else "train")


class Short(Good):
    def splits(self) -> dict[str, int]:
        return {**SIZES, "test": 4}

    def examples(self, split: str) -> Iterator[Any]:
        return self.part(split, 0, SIZES.get(split, 0))


class Endless(Good):
    def examples(self, split: str) -> Iterator[Any]:
        return self.part(split, 0, SIZES.get(split, 0))

    def part(self, split: str, start: int, stop: int) -> Iterator[Any]:
        return (self.item(split, number) for number in range(start, stop))


class Shifted(Good):
    def part(self, split: str, start: int, stop: int) -> Iterator[Any]:
        for number in range(start, min(stop, SIZES.get(split, 0))):
            yield self.item(split, number if start == 0 else SIZES[split] - 1 - number)


class Attributed(Good):
    """Some examples cannot stand in one table with the others; none of them is reported."""

    def item(self, split: str, number: int) -> Any:
        attributes = {"age": 1.0} if number == 1 else {}
        return Example(self.image(split, number), number % 3, attributes=attributes)


PROMISES = [name for name in dir(SourceContract) if name.startswith("test_")]
BROKEN = [
    (Texts, "test_it_yields_examples_and_bad_items_and_nothing_else"),
    (Empty, "test_there_is_something_to_train_on"),
    (Floats, "test_examples_are_what_can_be_stored"),
    (Flat, "test_examples_are_what_can_be_stored"),
    (Sizes, "test_all_examples_have_one_shape"),
    (Unlabelled, "test_all_have_labels_or_none_has"),
    (Texted, "test_labels_are_whole_numbers_from_0"),
    (Negative, "test_labels_are_whole_numbers_from_0"),
    (Gap, "test_labels_have_no_gaps"),
    (Unnamed, "test_labels_have_no_gaps"),
    (Leaking, "test_splits_share_no_example"),
    (Random, "test_reading_it_again_gives_the_same"),
    (Hashed, "test_another_process_reads_the_same"),
    (Local, "test_pickling_leaves_it_as_it_is"),
    (OneWay, "test_pickling_leaves_it_as_it_is"),
    (OneWay, "test_its_options_survive_an_experiments_file"),
    (Moving, "test_its_fingerprint_is_a_digest_and_stays_the_same"),
    (Wordy, "test_its_fingerprint_is_a_digest_and_stays_the_same"),
    (Anything, "test_a_split_that_there_is_not_holds_nothing"),
    (Short, "test_counts_are_those_of_the_examples"),
    (Endless, "test_counts_are_those_of_the_examples"),
    (Shifted, "test_a_part_is_what_stands_there_among_the_examples"),
    (Attributed, "test_shards_hold_what_it_yields"),
]


def keeps(contract: SourceContract, promise: str, source: Source, folder: Path) -> bool:
    """Whether a source passes one test of the contract."""
    test = getattr(contract, promise)
    try:
        test(source, folder) if promise == "test_shards_hold_what_it_yields" else test(source)
    except (Exception, pytest.fail.Exception):
        return False
    return True


class TestDigits(SourceContract):
    source = Digits()
    disjoint = False  # one 8×8 image occurs twice among 1,797


class TestStream(SourceContract):
    source = Stream()


class TestClass(SourceContract):
    source = Good


class TestGood(SourceContract):
    def make(self) -> Good:
        return Good()


class TestByFixture(SourceContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> Good:
        return Good()


def test_each_promise_is_broken_by_a_source_of_its_own() -> None:
    assert {promise for _, promise in BROKEN} == set(PROMISES)


@pytest.mark.parametrize(("broken", "promise"), BROKEN, ids=[f"{b.__name__}-{p[5:]}" for b, p in BROKEN])
def test_the_contract_catches_a_broken_promise(broken: type[Source], promise: str, tmp_path: Path) -> None:
    assert not keeps(SourceContract(), promise, made(broken), tmp_path)


@pytest.mark.parametrize("promise", PROMISES)
def test_a_good_source_keeps_every_promise(promise: str, tmp_path: Path) -> None:
    assert keeps(SourceContract(), promise, plugged_in(Good()), tmp_path)


@pytest.mark.parametrize(
    ("broken", "waived", "promise"),
    [
        (Sizes, "same_shape", "test_all_examples_have_one_shape"),
        (Sizes, "same_shape", "test_shards_hold_what_it_yields"),
        (Leaking, "disjoint", "test_splits_share_no_example"),
        (Gap, "gapless", "test_labels_have_no_gaps"),
    ],
)
def test_a_promise_can_be_waived(broken: type[Source], waived: str, promise: str, tmp_path: Path) -> None:
    waiving = type("Waiving", (SourceContract,), {waived: False})()
    assert keeps(waiving, promise, made(broken), tmp_path)


def test_a_large_set_is_read_as_far_as_the_limit() -> None:
    class Large(Good):
        def splits(self) -> dict[str, int]:
            return {"train": 10**9}

        def part(self, split: str, start: int, stop: int) -> Iterator[Any]:
            assert stop <= 10**9 + 2
            return (Example(np.full((2, 2), i % 251, np.uint8)) for i in range(start, min(stop, 10**9)))

    contract = type("Limited", (SourceContract,), {"limit": 50})()
    contract.test_counts_are_those_of_the_examples(plugged_in(Large()))
    contract.test_labels_have_no_gaps(plugged_in(Large()))


def test_a_contract_of_three_lines_runs_under_pytest(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(
        "from gan_core.testing import SourceContract\n"
        "from tests.test_testing import Good, Leaking\n"
        "class TestGood(SourceContract):\n    source = Good()\n    limit = 5\n"
        "class TestLeaking(SourceContract):\n    source = Leaking()\n"
    )
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)], text=True,
                          capture_output=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path.cwd())})
    assert f"1 failed, {2 * len(PROMISES) - 1} passed" in done.stdout, done.stdout
    assert "train and validation share 1 examples" in done.stdout


def made(broken: type[Source]) -> Source:
    return plugged_in(broken(side=6) if "side" in broken.model_fields else broken())
