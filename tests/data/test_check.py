"""The check as a whole: reading, verdict, contract, splits, limits; and what it says of real sets."""
# ruff: noqa: RUF001 - reports say 32×32

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gan_core.data.check import check
from gan_core.data.plugin import plugged_in
from gan_core.data.source import Bad, Example, Source
from gan_core.data.sources.digits import Digits
from gan_core.data.transforms import apply
from gan_core.errors import ConfigError, DataError
from gan_core.registry import SOURCES
from gan_core.transforms import Mode
from tests.data.checked import Counted, Given, kinds, noise, only, report_of, sound


def test_a_sound_set_passes() -> None:
    report = report_of(sound())
    assert report.as_json() == {"verdict": "pass", "findings": []}
    assert report.lines() == ["pass    120 train, 100 test; 32×32 RGB; 4 classes"]


def test_the_json_of_a_finding_has_exactly_its_five_fields() -> None:
    items = sound()
    items["test"] = []
    found = report_of(items).as_json()
    assert json.loads(json.dumps(found)) == found
    assert found["verdict"] == "refuse"
    assert [set(finding) for finding in found["findings"]] == [{"severity", "kind", "where", "what", "advice"}]


def test_findings_that_refuse_come_first() -> None:
    items = sound()
    items["train"] = [replace(example, label=0) for example in items["train"][:50]]
    items["test"] = []
    assert [finding.severity for finding in report_of(items).findings] == ["refuse", "warn", "warn"]


@pytest.mark.parametrize("error", [DataError("set.zip: is cut off; download it again"), ConfigError("no; yes")])
def test_a_set_that_cannot_be_opened_is_refused(error: Exception) -> None:
    class Closed(Source):
        def splits(self) -> dict[str, int]:
            raise error

    finding = only(check(Closed()), "unreadable_source")
    assert (finding.severity, f"{finding.what}; {finding.advice}") == ("refuse", str(error))


def test_a_set_that_fails_while_it_is_read_is_reported_once() -> None:
    class Closed(Source):
        def examples(self, split: str) -> Iterator[Example]:
            raise DataError("x.zip: is cut off; download it again")
            yield

    assert only(check(Closed()), "unreadable_source").what == "x.zip: is cut off"


def test_a_real_archive_that_is_cut_off_is_refused(real_data: Path, tmp_path: Path) -> None:
    whole = (real_data / "cifar10" / "cifar10_train_5000_jpg.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    source = SOURCES.get("image_zip")(url=str(tmp_path / "cut.zip"))
    assert only(check(source), "unreadable_source").severity == "refuse"


def test_an_error_of_a_plug_in_is_named_with_its_line() -> None:
    class Broken(Source):
        def examples(self, split: str) -> Iterator[Example]:
            for example in sound()["train"]:
                yield example
                if example.where.endswith("/7.png"):
                    {}["missing"]

    finding, = (finding for finding in check(Broken()).findings if finding.kind == "plug_in_error")
    assert (finding.severity, finding.kind, finding.what) == ("refuse", "plug_in_error", "KeyError: 'missing'")
    line = Path(__file__).read_text().splitlines().index('                    {}["missing"]') + 1
    assert finding.where == f"train item 8 (test_check.py:{line})"


def test_an_error_of_a_registered_plug_in_is_named_with_its_line() -> None:
    class Broken(Source):
        def examples(self, split: str) -> Iterator[Example]:
            yield Example(noise(32, 32), 10 // len(split[5:]))

    finding = only(check(plugged_in(Broken())), "plug_in_error")
    assert "ZeroDivisionError" in finding.what
    assert "test_check.py, line " in finding.what


@pytest.mark.parametrize("facts", [None, 7])
def test_facts_that_are_no_mapping_are_reported(facts: object) -> None:
    class Odd(Given):
        def facts(self):
            return facts

    assert only(check(Odd(items=sound())), "plug_in_error").where.startswith("facts()")


@pytest.mark.parametrize("splits", [{"train": -1}, {"train": "many"}, {"eval": 3}])
def test_sizes_that_cannot_be_meant_are_refused(splits: dict[str, object]) -> None:
    class Odd(Given):
        def splits(self):
            return splits

    assert "splits() " in only(check(Odd(items=sound())), "unreadable_source").what


def test_a_part_that_yields_fewer_items_than_promised_is_refused() -> None:
    train, test = (f for f in check(Counted(items=sound(), short=3)).findings if f.kind == "wrong_count")
    assert (train.severity, train.what) == ("refuse", "part() yields 117 items, splits() promises 120")
    assert test.where == "test"


def test_a_source_that_draws_at_random_is_refused() -> None:
    rng = np.random.default_rng()

    class Random(Given):
        def examples(self, split: str) -> Iterator[Example]:
            for example in self.items.get(split, ()):
                yield replace(example, image=rng.integers(0, 256, (32, 32, 3), np.uint8))

    assert only(check(Random(items=sound())), "not_repeatable").severity == "refuse"


def test_a_source_that_can_be_read_only_once_is_refused() -> None:
    class Once(Given):
        def examples(self, split: str) -> Iterator[Example]:
            while self.items[split]:
                yield self.items[split].pop(0)

    items = {**sound(), "validation": []}
    assert only(check(Once(items=items)), "not_repeatable").severity == "refuse"


def test_unreadable_items_are_named_and_grouped_by_reason() -> None:
    items = sound()
    items["train"] += [Bad(f"train/bad{i}.png", f"is truncated after {i} bytes") for i in range(5)]
    items["train"].append(Bad("train/notes.png", "is not an image"))
    first, second = report_of(items).findings
    assert (first.severity, first.kind) == ("refuse", "unreadable_items")
    assert first.where == "train/bad0.png, train/bad1.png, train/bad2.png, …"
    assert first.what == "5 items of 226 (2.2 %): is truncated after 0 bytes"
    assert first.advice.endswith("prepare.max_bad_fraction=0.05")
    assert second.where == "train/notes.png"


def test_unreadable_items_that_prepare_may_leave_out_only_warn() -> None:
    items = sound()
    items["train"].append(Bad("a.png", "is empty"))
    assert only(report_of(items, bad_allowed=0.01), "unreadable_items").severity == "warn"
    assert only(report_of(items, bad_allowed=0.001), "unreadable_items").severity == "refuse"


def test_unusable_items_are_listed_with_their_reasons() -> None:
    items = sound()
    items["train"] += [Bad("a.png", "is empty"), Example(np.zeros((8, 8), np.float32), where="b.png")]
    left = [(left.split, left.where, left.reason) for left in report_of(items).quarantined]
    assert left == [("train", "a.png", "is empty"),
                    ("train", "b.png", "image is float32 from 0 to 0; it must be uint8")]


def test_a_reason_is_one_reason_whatever_it_quotes() -> None:
    items = sound()
    items["train"] += [Bad(f"{c}.txt", f"has '{c}', which no training text has") for c in "abc"]
    assert only(report_of(items), "unreadable_items").what.startswith("3 items")


@pytest.mark.parametrize(("item", "kind", "what"), [
    (("x.png", 3), "not_an_example", "a tuple instead of an Example"),
    (Example(label=3), "no_data", "an Example without data"),
    (Example([[1, 2]]), "wrong_type", "image is a list"),  # type: ignore[arg-type]
    (Example(np.linspace(0, 1, 64).reshape(8, 8)), "wrong_type", "image is float64 from 0 to 1; it must be uint8"),
    (Example(np.array([[{}]])), "wrong_type", "image is object; it must be uint8"),
    (Example(noise(8, 8, 5)), "wrong_axes", "image has the shape [8, 8, 5]; it must be [H, W, C] with C = 1 … 4"),
    (Example(noise(3, 32, 32)), "wrong_axes", "image has the shape [3, 32, 32]"),
    (Example(noise(8)), "wrong_axes", "image has the shape [8]"),
    (Example(noise(0, 8)), "wrong_axes", "image has the shape [0, 8]"),
    (Example(tokens=np.zeros((3, 4), np.int32)), "wrong_axes", "tokens has the shape [3, 4]; it must be [T]"),
    (Example(noise(8, 8), "cat"), "wrong_label", "the label is 'cat' (str)"),  # type: ignore[arg-type]
    (Example(noise(8, 8), -1), "wrong_label", "the label is '-1' (int)"),
    (Example(noise(8, 8), True), "wrong_label", "the label is 'True' (bool)"),
    (Example(noise(8, 8), 2**70), "wrong_label", "the label is '1180591620717411303424' (int)"),
    (Example(noise(8, 8), weight=float("nan")), "wrong_weight", "the weight is nan"),
    (Example(noise(8, 8), weight=-1.0), "wrong_weight", "the weight is -1.0"),
    (Example(noise(8, 8), attributes={"age": None}), "wrong_weight", "the attribute age is None"),  # type: ignore[dict-item]
])
def test_an_item_that_breaks_the_contract_is_refused(item: object, kind: str, what: str) -> None:
    items = sound()
    items["train"].insert(60, item)  # type: ignore[arg-type]
    finding = only(report_of(items), kind)
    assert finding.severity == "refuse"
    assert finding.what.startswith(what)
    assert finding.where == "train: train item 60"


def test_a_set_of_floats_is_one_finding() -> None:
    floats = [replace(e, image=(e.image / 255).astype(np.float32)) for e in sound()["train"]]
    finding = only(report_of({"train": floats, "test": sound()["test"]}), "wrong_type")
    assert finding.what.startswith("120 items, the first: image is float32 from")


def test_some_examples_with_images_and_some_with_audio_are_refused() -> None:
    items = sound()
    items["train"].append(Example(audio=np.arange(9000, dtype=np.int16), label=0, where="a.wav"))
    assert only(report_of(items), "mixed_fields").what == \
        "examples do not all hold the same: 220 with image (train/0.png, train/1.png, train/2.png, …), " \
        "1 with audio (a.wav)"


def test_a_set_with_nothing_to_train_on_is_refused() -> None:
    assert only(report_of({}), "no_training_examples").severity == "refuse"


def test_an_empty_split_is_refused_where_evaluate_needs_it() -> None:
    items = sound()
    items["validation"], items["test"] = items["test"], []
    finding = only(report_of(items), "empty_split")
    assert (finding.where, finding.advice) == ("test", "set data.deal={validation: 0, test: 0.1} where the source "
                                                       "deals, or evaluate.split=validation")
    assert report_of(items, split_needed="validation").verdict == "pass"


def test_a_small_split_is_warned_of() -> None:
    finding = only(report_of(sound(test=99)), "small_split")
    assert (finding.severity, finding.where) == ("warn", "test")


def test_a_transform_that_does_not_fit_makes_an_item_unusable() -> None:
    items = sound(make=lambda i: noise(32, 32, 4, seed=i))
    found = only(report_of(items, transforms=lambda e: apply(e, [Mode(mode="rgb")])), "unreadable_items")
    assert "add {background: white}" in found.what


def test_a_transform_that_breaks_is_reported_not_raised() -> None:
    found = only(report_of(sound(), transforms=lambda e: 1 / 0), "unreadable_items")  # type: ignore[arg-type, return-value]
    assert "a transform failed: ZeroDivisionError" in found.what


def test_a_limited_look_is_spread_over_the_set_and_says_so() -> None:
    seen: list[str] = []

    class Watched(Counted):
        def part(self, split: str, start: int, stop: int) -> Iterator[Example]:
            for example in super().part(split, start, stop):
                seen.append(example.where)
                yield example

    items = sound(train=5000)
    items["train"].sort(key=lambda example: example.label)
    report = check(Watched(items=items), limit=100)
    assert report.verdict == "pass"
    assert report.splits["train"].read == 100
    assert set(report.splits["train"].histogram) == {0, 1, 2, 3}
    assert report.lines() == ["pass    5,000 train, 100 test; 32×32 RGB; 4 classes; 200 of 5,100 were read"]
    assert len(seen) < 250


def test_of_classes_that_a_limited_look_did_not_see_nothing_is_said() -> None:
    items = sound(train=5000)
    items["train"].sort(key=lambda example: example.label)
    report = check(Given(items=items), limit=110, conditional=True)
    assert report.lines() == ["pass    110 train, 100 test; 32×32 RGB; 4 classes; only the beginning was read"]


def test_progress_is_told_of_all_items() -> None:
    told: list[tuple[int, int | None]] = []
    check(Counted(items=sound(train=250)), progress=lambda done, total: told.append((done, total)))
    assert told == [(100, 350), (200, 350), (300, 350), (350, 350)]


def test_names_cannot_send_codes_to_a_terminal() -> None:
    items = sound()
    items["train"].append(Bad("\x1b[2Jx\udcff\n.png", "is \x07 bad"))
    report = report_of(items)
    assert "\\x1b[2Jx\\udcff\\n.png: 1 item of 221 (0.45 %): is \\x07 bad" in report.lines()[1]
    assert report.quarantined[0].where == "\\x1b[2Jx\\udcff\\n.png"
    "\n".join(report.lines()).encode()


def test_the_statistics_are_those_of_the_examples() -> None:
    items = sound()
    facts = report_of(items).splits["train"]
    pixels = np.stack([example.image for example in items["train"]]).astype(np.float64)
    assert facts.level_range == (0, 255)
    assert facts.mean_and_std == pytest.approx((pixels.mean(), pixels.std()))
    assert facts.size == pixels.size
    assert facts.histogram == {0: 30, 1: 30, 2: 30, 3: 30}
    assert facts.shapes == facts.stored == {"32×32 RGB": 120}


def test_the_digits_pass() -> None:
    assert check(Digits(), conditional=True).as_json() == {"verdict": "pass", "findings": []}


REAL = [
    ("idx", "fashion_mnist", {}, set()),
    ("image_zip", "cifar10/cifar10_train_5000_jpg.zip", {}, set()),
    ("hdf5", "usps/usps.h5", {}, set()),
    ("image_zip", "omniglot/images_background_small1.zip", {}, {"awkward_size"}),
    ("npz", "pneumoniamnist/pneumoniamnist_train_val.npz", {"split_needed": "validation"}, {"leakage"}),
]


@pytest.mark.parametrize(("source", "path", "settings", "found"), REAL, ids=[path for _, path, _, _ in REAL])
def test_a_published_set_is_not_refused(
    real_data: Path, source: str, path: str, settings: dict[str, str], found: set[str]
) -> None:
    report = check(SOURCES.get(source)(url=str(real_data / path)), conditional=True, **settings)
    assert kinds(report) == found, report.lines()
    assert report.verdict == ("warn" if found else "pass")


def test_pixel_art_of_mixed_modes_is_refused_and_its_own_advice_mends_it(real_data: Path) -> None:
    import yaml

    from gan_core.config import PrepareConfig

    source = SOURCES.get("image_zip")(url=str(real_data / "crawl_tiles" / "crawl_tiles_oct2010.zip"))
    refused = [finding for finding in check(source).findings if finding.severity == "refuse"]
    assert [finding.kind for finding in refused] == ["mixed_shapes"]
    steps = yaml.safe_load(refused[0].advice.removeprefix("add prepare.transforms: "))
    transforms = PrepareConfig.model_validate({"transforms": steps}).transforms
    report = check(source, lambda example: apply(example, transforms))
    assert report.verdict == "warn", report.lines()
    assert report.splits["train"].stored == {"32×32 RGB": 2431}
