"""The order of a search's trials, and the leaderboard as a table and as JSON."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from statistics import stdev

import pytest
from rich.console import Console

from pipelines.tuning.leaderboard import leaderboard
from pipelines.tuning.records import Change
from pipelines.tuning.show import as_json, leaderboard_table
from pipelines.tuning.words import setting, short_names
from tests.tuning.searches import GAMMA, IMAGES, LEARNING_RATE, VALUES, WIDTH, search, trial


def order(*args, **options) -> list[int]:
    return [row.number for row in leaderboard(search(*args, **options))]


def shown(rows, width: int = 200) -> str:
    out = io.StringIO()
    Console(width=width, file=out).print(leaderboard_table(rows, width))
    return out.getvalue()


def test_finished_trials_lead_by_value_then_the_stopped_by_how_far_they_came_the_running_and_the_failed():
    trials = [
        trial(0, 3.0), trial(1, 2.0), trial(2, 9.0, "stopped", images=500), trial(3, 1.0, "stopped", images=300),
        trial(4, 8.0, "stopped", images=500), trial(5, 0.5, None, images=200), trial(6, 0.1, "failed", images=200),
        trial(7, None),
    ]
    rows = leaderboard(search(trials))
    assert [row.number for row in rows] == [1, 0, 7, 4, 2, 3, 5, 6]
    assert [row.rank for row in rows] == list(range(1, 9))
    assert [row.status for row in rows][-2:] == ["running", "failed"]


def test_the_largest_value_leads_where_the_objective_is_maximised():
    objective = {"metric": "recall_domain", "goal": "max"}
    stopped = [trial(2, 0.1, "stopped", images=500), trial(3, 0.9, "stopped", images=500)]
    assert order([trial(0, 0.2), trial(1, 0.7), *stopped], objective=objective) == [1, 0, 3, 2]


def test_repeated_trials_lead_by_their_mean_over_seeds():
    trials = [trial(0, 1.0), trial(1, 1.5), trial(2, 1.2)]
    repeats = [trial(0, 4.0, seed=1), trial(0, 4.0, seed=2), trial(1, 1.7, seed=1), trial(1, 1.6, seed=2)]
    first, second, third = leaderboard(search(trials, repeats))
    assert [first.number, second.number, third.number] == [1, 0, 2]
    assert (first.mean, first.seeds) == (pytest.approx(1.6), 3)
    assert first.spread == pytest.approx(stdev([1.5, 1.7, 1.6]))
    assert (third.mean, third.spread, third.seeds) == (None, None, 1)


def test_a_repeat_that_has_not_finished_counts_for_nothing():
    repeats = [trial(0, 9.0, None, seed=1), trial(0, 9.0, "failed", seed=2)]
    row, = leaderboard(search([trial(0, 1.0)], repeats))
    assert (row.mean, row.spread) == (None, None)
    assert [(one.seed, one.value, one.status) for one in row.repeats] == [(1, None, "running"), (2, None, "failed")]


def test_a_trial_that_took_over_another_has_the_values_it_ended_with():
    changed = {**VALUES, LEARNING_RATE: 3e-4}
    row, = leaderboard(search([trial(0, 1.0, changes=[Change(position=500, donor=1, params=changed)])]))
    assert row.params == changed


def test_settings_are_told_apart_by_their_digest():
    other = {**VALUES, WIDTH: 64}
    rows = leaderboard(search([trial(0, 1.0), trial(1, 2.0), trial(2, 3.0, params=other), trial(3, 4.0, seed=1)]))
    same, again, width, seed = (row.settings for row in rows)
    assert same == again
    assert len({same, width, seed}) == 3


def test_a_search_without_trials_has_no_rows():
    assert leaderboard(search([])) == ()


def test_the_table_has_a_column_for_each_setting_and_says_where_there_is_none():
    narrow = {LEARNING_RATE: 2.1300000000000003e-4, WIDTH: 16}
    rows = leaderboard(search([trial(0, 1.25), trial(1, 2.0, params=narrow)]))
    head, first, second = shown(rows).splitlines()
    assert [*head.split()] == ["rank", "trial", "value", "images", "time", "status", "learning_rate", "width", "gamma"]
    assert first.split() == ["1", "0", "1.2500", "1,000", "20", "s", "finished", "0.0002", "32", "0.5"]
    assert second.split()[-3:] == ["0.000213", "16", "—"]


@pytest.mark.parametrize("width", [80, 90, 120, 200])
def test_nothing_is_lost_where_the_table_is_narrow(width):
    params = {LEARNING_RATE: 1.234e-5, "model.discriminator_optimizer.learning_rate": 5.678e-5, WIDTH: 48}
    rows = leaderboard(search([trial(0, 1.0, params=params)], [trial(0, 2.0, seed=1)]))
    text = shown(rows, width)
    assert "1.5000 ± 0.7071" in text
    assert max(map(len, text.splitlines())) <= width
    joined = "".join(text.split())
    assert all(value in joined for value in ("0.00001234", "0.00005678", "48"))


def test_the_table_of_many_settings_has_them_in_one_column():
    params = {f"model.block{n}.value{n}": n for n in range(20)}
    space = {name: {"randint": [0, 30]} for name in params}
    text = shown(leaderboard(search([trial(0, 1.0, params=params)], space=space)), width=100)
    assert "settings" in text.splitlines()[0]
    assert "value19=19" in "".join(text.split())


def test_brackets_in_values_are_no_markup():
    rows = leaderboard(search([trial(0, 1.0, params={**VALUES, WIDTH: "[bold]32[/bold]"})]))
    assert "[bold]32[/bold]" in shown(rows)


def test_json_has_every_row_and_what_was_sought():
    found = search([trial(0, 2.0), trial(1, None, "failed", images=0, problem="out of memory"), trial(2, 1.0)],
                   [trial(2, 1.2, seed=1)])
    rows = leaderboard(found)
    told = json.loads(json.dumps(as_json(found, rows), allow_nan=False))
    assert told["trials"] == {"failed": 1, "finished": 2}
    assert told["objective"]["metric"] == "fd_domain"
    assert told["images"] == 3 * IMAGES
    assert [row["number"] for row in told["rows"]] == [2, 0, 1]
    assert told["rows"] == json.loads(json.dumps([asdict(row) for row in rows]))
    assert told["rows"][2]["problem"] == "out of memory"


@pytest.mark.parametrize(("value", "text"), [
    (2.1300000000000003e-4, "0.000213"), (1e-5, "0.00001"), (0.5, "0.5"), (2.0, "2"), (64, "64"), (0, "0"),
    (-0.25, "-0.25"), (0.0, "0"), (99.99, "99.99"), (123456.7, "123500"), (1e-12, "1e-12"), (1e30, "1e+30"),
    (True, "true"), (None, "null"), ("hinge", "hinge"), ([0, 0.99], "[0, 0.99]"),
])
def test_values_are_written_as_people_read_them(value, text):
    assert setting(value) == text


def test_names_are_as_short_as_tells_them_apart():
    names = [LEARNING_RATE, "model.discriminator_optimizer.learning_rate", GAMMA, "train.images", "gamma_of.images"]
    assert list(short_names(names).values()) == [
        "generator_optimizer.learning_rate", "discriminator_optimizer.learning_rate", "gamma", "train.images",
        "gamma_of.images",
    ]
    assert short_names(["a.b", "b"]) == {"a.b": "a.b", "b": "b"}
