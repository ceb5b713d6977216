"""The leaderboard of a search on terminals of any width."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from pipelines.tuning.leaderboard import Row
from pipelines.tuning.show import leaderboard_table

PARAMS = {
    "model.generator_optimizer.learning_rate": 0.00006261, "model.discriminator_optimizer.learning_rate": 0.0003112,
    "model.width": 24, "model.penalties.r1.gamma": 0.3903, "train.ema_half_life": 139.5,
}


def row(number: int, params: dict[str, Any]) -> Row:
    return Row(rank=number + 1, number=number, params=params, value=12.34 + number, mean=12.5, spread=0.25, repeats=(),
               images=1_024_000, seconds=9_000, status="finished", seed=0, settings="", problem="")


def lines(width: int, params: dict[str, Any]) -> list[str]:
    out, rows = io.StringIO(), [row(0, params), row(17, params)]
    Console(file=out, width=width).print(leaderboard_table(rows, width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_on_a_wide_terminal_each_trial_is_one_line_under_whole_names():
    head, *rows = lines(200, PARAMS)
    assert head.split()[-5:] == ["generator_optimizer.learning_rate", "discriminator_optimizer.learning_rate", "width",
                                 "gamma", "ema_half_life"]
    assert [line.split()[-5:] for line in rows] == [["0.00006261", "0.0003112", "24", "0.3903", "139.5"]] * 2


@pytest.mark.parametrize("width", [72, 80, 100])
def test_on_a_narrow_one_settings_stand_below_a_line_a_trial(width):
    told = lines(width, PARAMS)
    assert max(map(len, told)) <= width
    facts, settings = told[1:3], told[-2:]
    assert [line.split()[1] for line in facts] == ["0", "17"]
    assert all(line.endswith("finished") for line in facts)
    assert [line.split() for line in settings] == [
        [number, "0.00006261", "0.0003112", "24", "0.3903", "139.5"] for number in ("0", "17")]


def test_many_settings_are_listed_by_name_and_broken_between_them():
    told = lines(80, {**PARAMS, **{f"model.block{n}.depth": n for n in range(4)}})
    assert max(map(len, told)) <= 80
    words = " ".join(told).split()
    assert words.count("discriminator_optimizer.learning_rate=0.0003112,") == 2
    assert words.count("block3.depth=3") == 2
