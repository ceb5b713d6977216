"""The page of a search."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

import pytest

from pipelines.tuning.axes import axes_of
from pipelines.tuning.findings import best_so_far, merit, saved, take_overs
from pipelines.tuning.importance import importance
from pipelines.tuning.leaderboard import leaderboard, tune_block
from pipelines.tuning.records import Change, Search, Trial
from pipelines.tuning.report import search_report
from tests.test_report import Page, png
from tests.tuning.searches import GAMMA, IMAGES, LEARNING_RATE, SPACE, VALUES, WIDTH, search, trial


def html(found: Search, samples=None) -> str:
    return search_report(found, leaderboard(found), {each.number: each.looks for each in found.trials}, samples or {})


def words(page: str) -> str:
    """The page's text, whose elements close in order; its style is not read."""
    return " ".join(Page(re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)).text.split())


def params(n: int) -> dict[str, object]:
    """Of trial n: the learning rate decides, and a third of the trials have no gamma."""
    width = (16, 32, 64)[n % 3]
    given = {LEARNING_RATE: 10 ** (-5 + 3 * n / 12), WIDTH: width}
    return given if width == 16 else {**given, GAMMA: (n * 7 % 12) / 3}


def many(**tune) -> Search:
    """Finished ones, the best in the middle of the learning rates, stopped and failed ones, and two repeats."""
    trials = [trial(n, 1.0 + abs(n - 5), params=params(n)) for n in range(9)]
    trials += [trial(n, 30.0, "stopped", images=400, params=params(n)) for n in (9, 10)]
    trials += [trial(11, None, "failed", images=0, params=params(11), problem="loss/generator is <nan> & worse")]
    repeats = [trial(number, value, seed=1, params=params(number)) for number, value in ((5, 1.2), (4, 2.2))]
    return search(trials, repeats, **{"scheduler": "asha", **tune})


one = partial(trial, params={WIDTH: 32})


def small(trials: Sequence[Trial], **tune) -> Search:
    """Over one setting."""
    return search(trials, space={WIDTH: SPACE[WIDTH]}, **tune)


@pytest.fixture(scope="module")
def page() -> str:
    return html(many(), {5: png(1), 4: png(2)})


def test_it_has_a_figure_of_each_kind_and_one_for_each_setting(page):
    labels = [label for label in Page(page).values("aria-label") if "trials" in label]
    assert [label.partition(" of ")[0] for label in labels[:2]] == ["fd_domain", "fd_domain over images seen,"]
    assert [name for name in (LEARNING_RATE, WIDTH, GAMMA) if any(f"by {name}" in label for label in labels)] == [
        LEARNING_RATE, WIDTH, GAMMA]
    assert any("a line each" in label for label in labels)


def test_it_needs_nothing_from_elsewhere(page):
    found = Page(page)
    assert "script" not in found.tags
    assert all(source.startswith("data:") for source in found.values("src"))
    assert not re.search(r"https?://(?!www\.w3\.org)", page)


def test_the_same_records_give_the_same_bytes(page):
    assert html(many(), {5: png(1), 4: png(2)}) == page


def test_it_says_on_what_the_objective_was_measured_and_how_trials_ended(page):
    told = words(page)
    assert "n_real = n_fake = 180, validation split" in told
    assert "9 finished, 2 stopped early, 1 failed, of 12" in told


def test_what_comes_from_the_training_curves_is_not_said_to_be_of_the_validation_split():
    curves = {"metric": "diversity/pairwise", "goal": "max"}
    told = words(html(small([], objective=curves)))
    assert "diversity/pairwise, maximised; diversity/pairwise from the training curves" in told
    assert "validation split" not in told


def test_samples_stand_side_by_side_best_first(page):
    alts = [alt for alt in Page(page).values("alt") if "samples" in alt]
    assert [re.findall(r"Trial (\d+)", alt) for alt in alts] == [["5"], ["4"]]


def test_what_failed_is_listed_with_its_problem_as_text(page):
    assert "loss/generator is &lt;nan&gt; &amp; worse" in page


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "</svg><img src=x>", "$\\frac{1}{2}$ & \"quoted\""])
def test_names_and_values_are_text_wherever_they_stand(hostile):
    name = f"model.{hostile}"
    space = {name: {"choice": [hostile, "b"]}, WIDTH: {"choice": [16, 32]}}
    trials = [trial(n, 1.0 + n, params={name: hostile, WIDTH: 16}) for n in range(2)]
    found = search(trials, space=space)
    text = html(found, {0: png()})
    assert hostile not in text
    assert not {"script", "x"} & {*Page(text).tags, *Page(text).values("src")}


@pytest.mark.parametrize("found", [
    small([]),
    small([one(0, 1.0)]),
    small([one(0, None, None, images=0)]),
    small([one(n, None, "failed", images=0, problem="x") for n in range(3)]),
    small([one(n, None) for n in range(6)]),
    small([one(n, 2.0) for n in range(6)]),
    small([one(n, 1.0 + n, "stopped", images=300) for n in range(6)], scheduler="hyperband"),
    small([one(n, 0.1 * n) for n in range(6)], objective={"metric": "recall_domain", "goal": "max"}),
    small([one(n, -50.0 * n) for n in range(6)], objective={"weighted": {"fd_domain": 1.0, "recall_domain": -9.0}}),
], ids=["none", "one", "just begun", "all failed", "never finite", "all alike", "all stopped", "maximised", "negative"])
def test_a_page_is_made_of_any_search(found):
    told = importance(found, leaderboard(found), tune_block(found))
    text = words(html(found))
    assert "Leaderboard" in text
    assert ("PED-ANOVA" if not isinstance(told, str) else told) in text


def test_two_hundred_trials_of_many_settings_with_long_names_make_a_page_of_a_megabyte():
    space = {f"model.{'a_long_block_name.' * 4}setting_{n}": {"uniform": [0.0, 1.0]} if n % 2 else
             {"choice": ["a rather long text", None, [1, 2]]} for n in range(8)}
    given = [{name: n * 0.618 % 1 if "uniform" in drawn else drawn["choice"][n % 3] for name, drawn in space.items()}
             for n in range(200)]
    found = search([trial(n, 1.0 + n, params=given[n]) for n in range(200)], space=space)
    text = html(found, {n: png(n) for n in range(8)})
    assert len(text) < 1_500_000
    assert "180 more are in" in text


def test_the_setting_that_decides_has_the_largest_share():
    found = many()
    told = importance(found, leaderboard(found), tune_block(found))
    assert not isinstance(told, str)
    assert next(iter(told.shares)) == LEARNING_RATE
    assert sum(told.shares.values()) == pytest.approx(1)
    assert set(told.shares) == {LEARNING_RATE, WIDTH, GAMMA}


@pytest.mark.parametrize(("trials", "why"), [
    ([trial(n, 1.0 + n) for n in range(4)], "from 4 finished trials"),
    ([trial(n, 2.0) for n in range(9)], "the same value"),
    ([trial(n, 1.0 + n, changes=[Change(position=500, donor=0, params=VALUES)]) for n in range(9)], "changed"),
])
def test_importance_that_cannot_be_told_is_a_sentence(trials, why):
    found = search(trials)
    told = importance(found, leaderboard(found), tune_block(found))
    assert isinstance(told, str)
    assert why in told


def test_what_early_stopping_saved_is_counted_over_trials_that_ended_well():
    rows = leaderboard(many())
    spared = saved(rows, IMAGES)
    assert spared is not None
    assert (spared.stopped, spared.whole, spared.taken) == (2, 11 * IMAGES, 9 * IMAGES + 2 * 400)
    assert spared.share == pytest.approx(1_200 / 11_000)
    assert spared.seconds == pytest.approx(24.0)  # of 20 s for each thousand images
    assert saved(leaderboard(search([trial(0, 1.0)])), IMAGES) is None


def test_merit_is_told_from_luck_by_the_spread_over_seeds():
    trials = [trial(0, 1.0), trial(1, 2.0)]
    clear = merit(leaderboard(search(trials, [trial(0, 1.1, seed=1), trial(1, 2.1, seed=1)])))
    close = merit(leaderboard(search(trials, [trial(0, 2.4, seed=1), trial(1, 2.1, seed=1)])))
    assert "is ahead of trial 1 by 1.0000, which is more than the spread" in clear
    assert "no more than the spread" in close
    assert "equally good" in close
    assert "No trial was repeated" in merit(leaderboard(search(trials)))
    assert "none to compare" in merit(leaderboard(search(trials, [trial(0, 1.1, seed=1)])))


def test_the_best_so_far_passes_over_trials_that_did_not_finish():
    rows = leaderboard(search([trial(0, 3.0), trial(1, 0.5, "stopped", images=300), trial(2, 4.0), trial(3, 1.0)]))
    assert best_so_far(rows, "min") == [(0, 3.0), (2, 3.0), (3, 1.0)]
    assert best_so_far(rows, "max") == [(0, 3.0), (2, 4.0), (3, 4.0)]


def test_who_took_over_whom_is_told_in_order_with_what_changed():
    first, then = {**VALUES, LEARNING_RATE: 3e-4}, {**VALUES, LEARNING_RATE: 3.6e-4, WIDTH: 64}
    trials = [trial(0, 1.0), trial(1, 2.0, changes=[Change(position=600, donor=0, params=first),
                                                   Change(position=800, donor=2, params=then)]),
              trial(2, 3.0, changes=[Change(position=400, donor=0, params=first)])]
    found = search(trials)
    told = take_overs(found)
    who = [(step.number, step.change.donor, step.change.position) for step in told]
    assert who == [(2, 0, 400), (1, 0, 600), (1, 2, 800)]
    assert told[2].changed == ((LEARNING_RATE, "0.0003 → 0.00036"), (WIDTH, "32 → 64"))
    assert "0.0003 → 0.00036" in words(html(found))


def test_an_axis_reaches_over_what_was_asked_for_and_what_any_trial_had():
    rate, width, gamma = axes_of(tune_block(search([])), [{LEARNING_RATE: 1e-1, WIDTH: 48, GAMMA: 2.0}])
    assert (rate.low, rate.high) == (1e-5, 1e-1)
    assert rate.place(1e-3) == pytest.approx(0.5)
    assert width.place(48) == pytest.approx(7 / 8)
    assert gamma.place(1.0) == pytest.approx(0.25)
