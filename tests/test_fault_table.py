"""The table of what `make chaos` found."""

from __future__ import annotations

from typing import Any

from tests.chaos.table import BEGIN, END, newest, with_table


def tried(fault: str, seconds: float, survived: bool = True, lost: int = 0) -> dict[str, Any]:
    return {"fault": fault, "survived": survived, "seconds": seconds, "lost": lost}


def test_of_each_fault_the_last_day_counts() -> None:
    days = [[tried("cable-5s", 9), tried("host-off", 40)], [tried("cable-5s", 7), tried("cable-5s", 8, lost=1280)]]
    assert newest(days) == [*days[1], days[0][1]]


def test_the_table_says_how_often_a_fault_was_survived_and_at_what_cost() -> None:
    document = f"before\n{BEGIN}\nold\n{END}\nafter"
    rows = [tried("cable-5s", 7.2), tried("cable-5s", 8.9, lost=1280), {"fault": "host-off", "survived": False}]
    made = with_table(document, rows).splitlines()
    assert made[4:6] == ["| a host's power cut, another is free | 1 | 0 | — | — |",
                         "| a network cable pulled for 5 s | 2 | 2 | 1,280 | 8 (to 9) |"]
    assert (made[0], made[-1]) == ("before", "after")
