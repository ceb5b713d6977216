"""Troubles by name: none in a healthy run, each in a run that was provoked to it, and every rule's edges."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gan_core.config import Experiment
from gan_core.data.shards import Shards, Split, open_shards
from gan_core.store import Store
from gan_core.train import trouble
from gan_core.train.loop import fit
from gan_core.train.trouble import history, troubles
from tests.train.runs import Scripted, place

EVERY = 1280
HEALTHY = {
    "loss/generator": 0.71, "loss/discriminator": 1.38, "logits/real": 0.02, "logits/fake": -0.02,
    "accuracy/discriminator": 0.58, "gradient/generator": 0.2, "gradient/discriminator": 0.3,
}
HEALTHY_LOOK = {
    "diversity/raw_pairwise": 0.98, "diversity/raw_class": 0.7, "agreement/raw_class": 0.95, "agreement/real": 0.91,
    "logits/train": 0.01, "logits/validation": 0.0, "overfit/discriminator": 0.5,
}  # fmt: skip
Row = dict[str, float]
Change = Callable[[int], Mapping[str, float]]


def rows(n: int = 64, change: Change = lambda _: {}, start: int = 0) -> list[Row]:
    """n rows of a healthy run, with looks in every eighth.  change: what row i has instead."""
    made = []
    for i in range(start, start + n):
        look = HEALTHY_LOOK if i % 8 == 7 else {}
        changed = {name: value for name, value in change(i).items() if look or name not in HEALTHY_LOOK}
        made.append({"position": EVERY * (i + 1), **HEALTHY, **look, **changed})
    return made


def from_row(first: int, **values: float) -> Change:
    """These values from row `first` on; __ stands for /."""
    return lambda i: {name.replace("__", "/"): value for name, value in values.items()} if i >= first else {}


def names(found: list[trouble.Trouble]) -> list[str]:
    return [one.name for one in found]


WINNING = {"accuracy__discriminator": 1.0, "logits__real": 2.6, "logits__fake": -2.6}


def test_a_healthy_run_has_none() -> None:
    assert troubles(rows()) == []


@pytest.mark.parametrize(("change", "name"), [
    (from_row(56, **WINNING), trouble.WINS),
    (from_row(56, accuracy__discriminator=0.16), trouble.LOSES),
    (from_row(40, overfit__discriminator=0.9, logits__train=0.3), trouble.OVERFITS),
    (from_row(40, diversity__raw_pairwise=0.2), trouble.MODE_COLLAPSE),
    (from_row(40, diversity__raw_pairwise=0.48), trouble.MODE_COLLAPSE),
    (from_row(40, diversity__raw_class=0.05), trouble.MODE_COLLAPSE),
    (from_row(40, agreement__raw_class=0.1), trouble.IGNORES),
    (from_row(56, gradient__generator=0.0), trouble.VANISHES),
    (from_row(56, gradient__discriminator=0.005), trouble.VANISHES),
    (from_row(56, gradient__generator=11.0), trouble.EXPLODES),
    (lambda i: {"loss/discriminator": (0.3, 0.9, 0.5, 2.0)[i % 4]}, trouble.OSCILLATES),
])  # fmt: skip
def test_each_is_named_with_numbers_and_a_setting_to_change(change: Change, name: str) -> None:
    (found,) = troubles(rows(change=change))
    assert found.name == name
    assert any(character.isdigit() for character in found.what)
    assert "images" in found.what
    assert "model." in found.advice or "train." in found.advice or "learning rates" in found.advice


@pytest.mark.parametrize("change", [
    from_row(57, **WINNING),
    from_row(57, accuracy__discriminator=0.16),
    from_row(57, gradient__generator=0.0),
    from_row(57, gradient__generator=11.0),
    from_row(48, overfit__discriminator=0.9, logits__train=0.3),
    from_row(48, diversity__raw_pairwise=0.2),
    from_row(48, diversity__raw_class=0.05),
    from_row(48, agreement__raw_class=0.1),
    lambda i: {"loss/discriminator": 9.0} if i == 60 else {},
])  # fmt: skip
def test_none_is_named_before_it_has_lasted(change: Change) -> None:
    assert troubles(rows(change=change)) == []


@pytest.mark.parametrize("change", [
    from_row(0, **WINNING),
    from_row(0, accuracy__discriminator=0.16),
    from_row(0, overfit__discriminator=0.9, logits__train=0.3),
    from_row(0, diversity__raw_pairwise=0.02, diversity__raw_class=0.02),
    lambda i: {"loss/generator": (0.3, 0.9, 0.5, 2.0)[i % 4]},
])  # fmt: skip
def test_none_is_named_of_a_run_that_has_just_begun(change: Change) -> None:
    assert all(troubles(rows(n, change)) == [] for n in range(1, 16))


def test_few_rows_are_not_enough_however_many_images_they_span() -> None:
    far_apart = [row | {"position": 100.0 * row["position"]} for row in rows(16, from_row(0, **WINNING))]
    assert troubles(far_apart[:15]) == []
    assert names(troubles(far_apart)) == [trouble.WINS]


def test_a_generator_that_is_on_its_way_is_left_in_peace() -> None:
    growing = [0.05, 0.08, 0.12, 0.16, 0.2, 0.24]

    def change(i: int) -> Mapping[str, float]:
        step = growing[min(i // 8, 5)]
        return {"diversity/raw_pairwise": step, "diversity/raw_class": step, "agreement/raw_class": step}

    assert troubles(rows(48, change)) == []
    assert names(troubles(rows(64, change))) == [trouble.MODE_COLLAPSE]  # it has stopped


def test_a_wide_margin_needs_both_certainty_and_distance() -> None:
    assert troubles(rows(change=from_row(0, accuracy__discriminator=1.0))) == []
    assert troubles(rows(change=from_row(0, logits__real=2.6, logits__fake=-2.6))) == []


def test_a_generator_that_never_learned_because_the_discriminator_wins_has_not_collapsed() -> None:
    young = {"diversity__raw_pairwise": 0.2, "diversity__raw_class": 0.2, "agreement__raw_class": 0.1}
    assert names(troubles(rows(change=from_row(0, **WINNING, **young)))) == [trouble.WINS]
    assert names(troubles(rows(change=from_row(40, **WINNING, **young)))) == [trouble.MODE_COLLAPSE, trouble.WINS]


def test_class_means_that_tell_nothing_of_real_images_are_not_asked() -> None:
    blind = from_row(0, agreement__raw_class=0.1, agreement__real=0.3)
    assert troubles(rows(change=blind)) == []


def test_logits_apart_are_no_overfitting_where_pairs_are_not_told_apart() -> None:
    assert troubles(rows(change=from_row(0, logits__train=0.5))) == []
    assert troubles(rows(change=from_row(0, overfit__discriminator=0.9, logits__train=0.01, logits__real=0.5))) == []


def test_a_loss_that_changes_its_sign_is_not_judged_by_its_size() -> None:
    assert troubles(rows(change=lambda i: {"loss/generator": (-0.3, 0.9, -0.5, 2.0)[i % 4]})) == []


def test_rows_without_any_known_name_have_no_trouble() -> None:
    assert troubles([{"position": float(EVERY * i), "penalty/r1": 1.0} for i in range(1, 65)]) == []


def test_only_the_newest_rows_count() -> None:
    collapsed, since = rows(64, from_row(0, diversity__raw_class=0.05)), rows(64, start=64)
    assert names(troubles(collapsed)) == [trouble.MODE_COLLAPSE]
    assert troubles([*collapsed, *since]) == []
    steeper = rows(136, lambda i: {"gradient/generator": 100.0} if i < 72 else {})
    assert names(troubles(steeper[:-1])) == [] == names(troubles(steeper))


def test_a_runs_history_says_when_each_began_and_whether_it_lasts() -> None:
    def change(i: int) -> Mapping[str, float]:
        wins = from_row(0, **WINNING)(i) if 20 <= i < 30 or 40 <= i < 50 else {}
        return {**wins, **from_row(90, gradient__generator=0.0)(i)}

    won, vanished = history(rows(100, change))
    assert (won.trouble.name, won.first, won.last, won.times, won.lasting) == \
        (trouble.WINS, 28 * EVERY, 50 * EVERY, 2, False)
    assert (vanished.trouble.name, vanished.first, vanished.lasting) == (trouble.VANISHES, 98 * EVERY, True)


RATES = {"generator_optimizer": {"learning_rate": 5e-4}, "discriminator_optimizer": {"learning_rate": 5e-4}}


@pytest.mark.system
@pytest.mark.parametrize(("model", "examples", "expected"), [
    ({}, None, set()),
    ({"generator_optimizer": {"learning_rate": 1e-7}}, None, {trouble.WINS}),
    ({"generator_optimizer": {"learning_rate": 0.05}}, None, {trouble.MODE_COLLAPSE}),
    ({"generator_optimizer": {"learning_rate": 1e-3}, "discriminator_optimizer": {"learning_rate": 2e-3},
      "penalties": {"r1": None}}, 32, {trouble.OVERFITS}),
], ids=["healthy", "generator too slow", "generator too fast", "too few examples"])  # fmt: skip
def test_runs_of_digits_have_the_troubles_they_were_provoked_to(
    model: dict[str, Any], examples: int | None, expected: set[str], tmp_path: Path, digits_store: Store,
    experiment: Callable[..., Experiment],
) -> None:
    settings = experiment(
        model={**RATES, "width": 16, "latent": 64, "penalties": {"r1": {"gamma": 0.5}}, **model},
        train={"images": 20_480, "batch": 128, "report_every": 1280, "sample_every": 2560, "checkpoint_every": 20_480,
               "precision": "float32"},
    )
    heard = Scripted()
    assert fit(settings, cut(open_shards(digits_store, "shards/digits"), examples), place(Store(tmp_path)), heard,
               threads=1)
    assert {found.name for _, found in heard.troubles} == expected


def cut(shards: Shards, examples: int | None) -> Shards:
    """The set with only so many training examples."""
    train = shards.split("train")
    if examples is None or train.labels is None:
        return shards
    few = Split((train.images[:examples],), train.labels[:examples])
    return Shards({**shards.splits, "train": few}, shards.shape, shards.classes, shards.kind, shards.facts)
