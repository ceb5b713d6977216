"""The promises of a data set, as tests to inherit.  Needs pytest.

    class TestMySet(SourceContract):
        source = MySet(root="tests/my_set")

`source` is an instance of the plug-in's class, the class itself where it needs no options, or a pytest fixture that
returns one; or define a method `make(self)` instead.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations, islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from gan_core.config import Experiment
from gan_core.data.layout import channels_first, layout_of
from gan_core.data.plugin import plugged_in
from gan_core.data.shards import open_shards
from gan_core.data.source import SPLITS, Bad, Example, Source
from gan_core.data.write import write_shards
from gan_core.errors import DataError
from gan_core.store import Store
from gan_core.systems.dcgan import Dcgan

SLICES = 5  # of each split, that are read from where they begin
ELSEWHERE = """
import pickle, sys
from gan_core.testing import digest
print(digest(pickle.load(sys.stdin.buffer), int(sys.argv[1])))
"""


class SourceContract:
    """What every source promises; one test a promise.

    limit: examples of each split that are read.  same_shape: all examples have one shape before any transform.
    disjoint: no split holds an example of another.  gapless: every label from 0 to the highest occurs.
    """

    limit: ClassVar[int] = 1000
    same_shape: ClassVar[bool] = True
    disjoint: ClassVar[bool] = True
    gapless: ClassVar[bool] = True

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Source:
        """The source under test."""
        if hasattr(self, "make"):
            return plugged_in(self.make())
        given = getattr(self, "source", None)
        if not hasattr(given, "splits") and not hasattr(given, "examples"):  # a fixture of that name
            given = request.getfixturevalue("source")
        return plugged_in(given() if isinstance(given, type) else given)

    def test_it_yields_examples_and_bad_items_and_nothing_else(self, subject: Source) -> None:
        for split in SPLITS:
            for item in islice(subject.examples(split), self.limit):
                assert isinstance(item, Example | Bad), f"{split}: {type(item).__name__}"

    def test_there_is_something_to_train_on(self, subject: Source) -> None:
        assert any(isinstance(item, Example) for item in subject.examples("train")), "train holds no usable example"

    def test_examples_are_what_can_be_stored(self, subject: Source) -> None:
        for split, number, example in self._examples(subject):
            try:
                layout_of(example)
            except DataError as error:
                pytest.fail(f"{split} item {number}: {error}")

    def test_all_examples_have_one_shape(self, subject: Source) -> None:
        """Or `same_shape = False`, and transforms in the experiment that bring them to one."""
        if self.same_shape:
            shapes = {str({name: value.shape for name, value in example.tensors().items()})
                      for _, _, example in self._examples(subject)}
            assert len(shapes) <= 1, f"{len(shapes)} shapes: {sorted(shapes)[:3]}"

    def test_all_have_labels_or_none_has(self, subject: Source) -> None:
        labels = [example.label for _, _, example in self._examples(subject)]
        assert None not in labels or set(labels) == {None}, "some have labels and some have none"

    def test_labels_are_whole_numbers_from_0(self, subject: Source) -> None:
        for split, number, example in self._examples(subject):
            label: Any = example.label
            whole = isinstance(label, int | np.integer) and not isinstance(label, bool)
            assert label is None or (whole and label >= 0), f"{split} item {number} has the label {label!r}"

    def test_labels_have_no_gaps(self, subject: Source) -> None:
        """Every label from 0 to the highest occurs, where all of the set is read; or `gapless = False`."""
        labels = [example.label for _, _, example in self._examples(subject)]
        names = subject.facts().get("class_names")
        if labels and labels[0] is not None:
            missing = sorted(set(range(max(filter(None, labels), default=0) + 1)) - set(labels))
            assert not (missing and self.gapless and self._reads_all(subject)), f"no example has the label {missing[0]}"
            assert names is None or max(filter(None, labels), default=0) < len(names), "a label has no class name"

    def test_splits_share_no_example(self, subject: Source) -> None:
        """Or `disjoint = False`, for a set that is published that way."""
        held: dict[str, set[str]] = {split: set() for split in SPLITS}
        for split, _, example in self._examples(subject):
            held[split].add(_digest_of(example.tensors()))
        for one, other in combinations(SPLITS, 2):
            shared = len(held[one] & held[other]) if self.disjoint else 0
            assert not shared, f"{one} and {other} share {shared} examples"

    def test_reading_it_again_gives_the_same(self, subject: Source) -> None:
        assert digest(subject, self.limit) == digest(subject, self.limit), "a second reading differs from the first"

    def test_another_process_reads_the_same(self, subject: Source) -> None:
        """It is pickled to a process with other hashes: workers must agree on what there is, and in which order."""
        here = digest(subject, self.limit)
        assert _digest_elsewhere(subject, self.limit) == here, \
            "another process reads it in another order; sort what sets, dicts and folders are iterated over"

    def test_pickling_leaves_it_as_it_is(self, subject: Source) -> None:
        assert pickle.loads(pickle.dumps(subject)) == subject

    def test_its_options_survive_an_experiments_file(self, subject: Source) -> None:
        experiment = Experiment(name="contract", data=subject, model=Dcgan())
        assert type(subject).model_validate(experiment.as_json()["data"]) == subject

    def test_its_fingerprint_is_a_digest_and_stays_the_same(self, subject: Source) -> None:
        first, second = subject.fingerprint(), pickle.loads(pickle.dumps(subject)).fingerprint()
        assert first == second, "two calls give two fingerprints"
        assert re.fullmatch(r"[0-9a-fA-F]{8,}", first), f"{first!r} is not a digest in hexadecimal"

    def test_a_split_that_there_is_not_holds_nothing(self, subject: Source) -> None:
        try:
            found = next(iter(subject.examples("nonsense")), None)
        except DataError:
            return
        assert found is None, "the split 'nonsense' holds examples"

    def test_counts_are_those_of_the_examples(self, subject: Source) -> None:
        for split, count in subject.splits().items():
            found = sum(1 for _ in islice(subject.examples(split), self.limit))
            assert found == min(count, self.limit), f"splits() says {count} for {split}, examples() yields {found}"
            assert not list(subject.part(split, count, count + 2)), f"part() goes on after the end of {split}"

    def test_a_part_is_what_stands_there_among_the_examples(self, subject: Source) -> None:
        random = np.random.default_rng(0)
        for split in subject.splits():
            everything = list(islice(subject.examples(split), self.limit))
            ends = [(0, 1), *np.sort(random.integers(0, len(everything) + 1, (SLICES, 2))).tolist()]
            for start, stop in ends:
                found = list(subject.part(split, start, stop))
                assert _digests(found) == _digests(everything[start:stop]), f"part('{split}', {start}, {stop}) differs"

    def test_shards_hold_what_it_yields(self, subject: Source, tmp_path: Path) -> None:
        """Images in the order of the examples; needs examples of one shape."""
        if self.same_shape and self._reads_all(subject):
            store = Store(tmp_path)
            write_shards(subject, store, "shards/contract", shard_examples=16, key="contract", max_bad_fraction=0.99)
            open_shards(store, "shards/contract")  # checks every file
            for split in SPLITS:
                examples = [example for at, _, example in self._examples(subject) if at == split]
                _assert_stored(examples, sorted((tmp_path / "shards/contract").glob(f"{split}-*.arrow")))

    def _examples(self, subject: Source) -> Iterator[tuple[str, int, Example]]:
        """(split, number, example) of all that is read."""
        for split in SPLITS:
            for number, item in enumerate(islice(subject.examples(split), self.limit)):
                if isinstance(item, Example):
                    yield split, number, item

    def _reads_all(self, subject: Source) -> bool:
        return all(next(islice(subject.examples(split), self.limit, None), None) is None for split in SPLITS)


def digest(source: Source, limit: int) -> str:
    """sha256 over the first `limit` items of each split, in order."""
    items = [item for split in SPLITS for item in _digests(islice(source.examples(split), limit))]
    return hashlib.sha256("".join(items).encode()).hexdigest()


def _digests(items: Any) -> list[str]:
    return [str(item) if isinstance(item, Bad) else
            f"{_digest_of(item.tensors())} {item.label} {item.weight} {sorted(item.attributes.items())}"
            for item in items]


def _digest_of(tensors: dict[str, NDArray[Any]]) -> str:
    found = hashlib.sha256()
    for name, value in tensors.items():
        found.update(f"{name} {value.dtype} {value.shape}".encode() + np.ascontiguousarray(value).tobytes())
    return found.hexdigest()


def _digest_elsewhere(source: Source, limit: int) -> str:
    """`digest` in a process of its own, where strings have other hashes."""
    hashes = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    environment = {**os.environ, "PYTHONHASHSEED": hashes, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", ELSEWHERE, str(limit)], input=pickle.dumps(source), env=environment,
                          capture_output=True, check=False)
    assert done.returncode == 0, f"another process cannot read it: {done.stderr.decode().strip().splitlines()[-1]}"
    return done.stdout.decode().strip()


def _assert_stored(examples: list[Example], files: list[Path]) -> None:
    """Fails where shards differ from the examples that they were written from."""
    tables = []
    for file in files:
        with pa.memory_map(str(file)) as mapped:
            tables.append(pa.ipc.open_file(mapped).read_all())
    assert sum(len(table) for table in tables) == len(examples)
    for name in examples[0].tensors() if examples else ():
        stored = np.concatenate([chunk.to_numpy_ndarray() for table in tables for chunk in table[name].chunks])
        assert np.array_equal(stored, np.stack([channels_first(name, e.tensors()[name]) for e in examples])), name
    if examples and examples[0].label is not None:
        assert [label for table in tables for label in table["label"].to_pylist()] == [e.label for e in examples]
