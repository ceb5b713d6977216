"""What the check says of labels."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gan_core.data.source import Example
from tests.data.checked import kinds, noise, only, report_of, sound


def relabelled(labels: dict[int, int]) -> dict[str, list[Example]]:
    """A sound set with other labels; those that are not given stay."""
    return {split: [replace(e, label=labels.get(e.label, e.label)) for e in examples]
            for split, examples in sound().items()}


@pytest.mark.parametrize(("conditional", "severity"), [(True, "refuse"), (None, "warn"), (False, "warn")])
def test_one_label_for_all_is_refused_where_the_model_learns_by_label(conditional: bool | None, severity: str) -> None:
    finding = only(report_of(relabelled({1: 0, 2: 0, 3: 0}), conditional=conditional), "one_class")
    assert finding.severity == severity
    assert "folder" in finding.advice


def test_no_labels_are_refused_only_where_the_model_learns_by_label() -> None:
    items = sound(classes=0)
    assert only(report_of(items, conditional=True), "no_labels").severity == "refuse"
    assert report_of(items).verdict == "pass"


def test_examples_without_a_label_among_others_are_refused_by_name() -> None:
    items = sound()
    items["train"][5] = replace(items["train"][5], label=None)
    finding = only(report_of(items), "missing_labels")
    assert (finding.severity, finding.where) == ("refuse", "train/5.png")
    assert finding.what == "1 of 220 examples have no label, the others have one"
    assert only(report_of(items, bad_allowed=0.01), "missing_labels").severity == "warn"


def test_a_label_without_a_name_is_refused() -> None:
    report = report_of(sound(), {"class_names": ["a", "b", "c"]})
    finding, _ = report.findings  # in train and in test
    assert kinds(report) == {"label_out_of_range"}
    assert finding.severity == "refuse"
    assert finding.what == "30 examples labelled 3, and there are 3 class names: 0 … 2"


def test_classes_that_have_names_and_no_examples_are_named() -> None:
    finding = only(report_of(sound(), {"class_names": ["a", "b", "c", "d", "e"]}), "empty_classes")
    assert (finding.severity, finding.what) == ("warn", "1 of 5 classes have no examples: e (4)")


def test_a_gap_in_the_labels_is_warned_of() -> None:
    finding = only(report_of(relabelled({3: 4})), "empty_classes")
    assert (finding.severity, finding.what) == ("warn", "1 of 5 classes have no examples: 3")


def test_labels_that_are_mostly_gaps_are_refused_without_listing_all() -> None:
    finding = only(report_of(relabelled({3: 10**12})), "empty_classes")
    assert finding.severity == "refuse"
    assert finding.what.endswith("have no examples: 3, 4, 5, 6, 7, 8, 9, 10, …")


def test_labels_that_start_from_one_are_warned_of() -> None:
    assert only(report_of(relabelled({0: 4})), "labels_from_one").advice == "subtract 1 in the source"


@pytest.mark.parametrize(("conditional", "severity"), [(True, "refuse"), (None, "warn")])
def test_a_label_for_each_example_looks_like_its_number(conditional: bool | None, severity: str) -> None:
    items = sound()
    items["train"] = [replace(e, label=i) for i, e in enumerate(items["train"])]
    assert only(report_of(items, conditional=conditional), "labels_are_ids").severity == severity


def test_imbalance_is_warned_of_from_ten_times_on() -> None:
    items = sound()
    many, few = items["train"][:100], items["train"][100:111]
    items["train"] = [replace(e, label=0) for e in many] + [replace(e, label=1) for e in few]
    items["test"] = [replace(e, label=0) for e in items["test"]]
    assert report_of(items).verdict == "pass"
    items["train"].pop()
    items["train"].pop()
    finding = only(report_of(items, {"class_names": ["cat", "dog"]}), "imbalanced")
    assert finding.what == "cat (0) has 100 examples, dog (1) 9: 11 times as many"
    assert finding.advice == "set train.sampling=balanced"


def test_classes_of_another_split_that_train_lacks_are_warned_of() -> None:
    items = sound()
    items["test"] = [replace(e, label=9) if e.label == 3 else e for e in items["test"]]
    finding = only(report_of(items), "unseen_classes")
    assert (finding.where, finding.what) == ("test", "25 examples of classes that train lacks: 9")


UNPAIRED = {"domains": "unpaired", "class_names": ["horses", "zebras"]}


def test_two_domains_are_not_judged_as_classes() -> None:
    items = sound(classes=2)
    items["train"] = [replace(e, label=int(i < 50)) for i, e in enumerate(items["train"])]
    assert report_of(items, UNPAIRED, conditional=True).verdict == "pass"


def test_a_domain_without_training_examples_is_refused() -> None:
    items = sound(classes=2)
    items["train"] = [replace(e, label=0) for e in items["train"]]
    assert only(report_of(items, UNPAIRED), "empty_domain").what == "domain A has 120 examples, domain B 0"


def test_domains_of_very_different_sizes_are_warned_of() -> None:
    items = sound(classes=2)
    items["train"] = [replace(e, label=int(i < 5)) for i, e in enumerate(items["train"])]
    assert only(report_of(items, UNPAIRED), "uneven_domains").severity == "warn"


def test_the_same_images_in_both_domains_are_found() -> None:
    items = sound(classes=2)
    items["train"] += [replace(e, label=1 - e.label) for e in items["train"][:3]]
    assert "same_in_both_domains" in kinds(report_of(items, UNPAIRED))
    all_twice = {split: examples + [replace(e, label=1 - e.label, where="again") for e in examples]
                 for split, examples in sound(classes=2).items()}
    report = report_of(all_twice, UNPAIRED)
    assert {f.severity for f in report.findings if f.kind == "same_in_both_domains"} == {"refuse"}


def test_names_that_are_no_list_do_no_harm() -> None:
    assert report_of({"train": [Example(noise(32, 32, seed=i), i % 4) for i in range(120)],
                      "test": [Example(noise(32, 32, seed=i), i % 4) for i in range(120, 240)]},
                     {"class_names": 7}).verdict == "pass"


def test_a_copy_without_a_label_is_a_missing_label_and_no_conflict() -> None:
    items = sound()
    items["train"].append(replace(items["train"][3], label=None, where="copy"))
    only(report_of(items), "missing_labels")


def test_of_a_part_of_a_set_it_is_not_refused_that_labels_look_like_numbers() -> None:
    items = sound(train=1200)
    items["train"] = [replace(e, label=i % 600) for i, e in enumerate(items["train"])]
    assert only(report_of(items, conditional=True, limit=300), "labels_are_ids").severity == "warn"
