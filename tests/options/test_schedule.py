"""When an experiment runs by itself: what is taken, and what is refused with a value that works."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from gan_core.config import Experiment, experiment_from
from gan_core.errors import ConfigError
from gan_core.options.schedule import ScheduleConfig, duration
from pipelines.keys import STAGES, settings

Make = Callable[..., Experiment]


@pytest.mark.parametrize(("text", "span"), [
    ("30s", timedelta(seconds=30)), ("90m", timedelta(minutes=90)), ("6h", timedelta(hours=6)),
    ("1d", timedelta(days=1)),
])
def test_a_span_of_time_is_a_number_and_a_unit(text: str, span: timedelta) -> None:
    assert duration(text) == span


def test_without_times_an_experiment_runs_when_it_is_asked_to(experiment: Make) -> None:
    schedule = experiment().schedule
    assert (schedule.cron, schedule.every, str(schedule)) == (None, None, "none")
    assert (schedule.overlapping, schedule.late, schedule.is_late_after) == ("queue", "run", timedelta(hours=1))


@pytest.mark.parametrize(("field", "value", "words"), [
    ("cron", "0 25 * * *", ["schedule.cron", "'0 25 * * *'", "bad hour", "'0 2 * * *' is every night at two"]),
    ("cron", "0 2 * *", ["schedule.cron", "5 fields", "'0 2 * * *'"]),
    ("cron", "0 0 2 * * *", ["schedule.cron", "5 fields"]),
    ("interval", "6 hours", ["schedule.interval", "'6 hours'", "6h"]),
    ("interval", "0h", ["schedule.interval", "'0h'", "6h"]),
    ("interval", "3s", ["schedule.interval=3s", "schedule.interval=10s works"]),
    ("late_after", "soon", ["schedule.late_after", "'soon'", "30s"]),
    ("timezone", "Europe/Berln", ["schedule.timezone", "'Europe/Berln'", "did you mean Europe/Berlin?"]),
    ("timezone", "/etc/passwd", ["schedule.timezone", "UTC"]),
    ("overlapping", "both", ["schedule.overlapping", "'both'", "queue"]),
])
def test_what_cannot_work_is_refused_with_what_does(experiment: Make, field: str, value: str, words: list[str]) -> None:
    with pytest.raises(ConfigError) as refused:
        experiment(schedule={field: value})
    assert all(word in str(refused.value) for word in words), refused.value
    assert len(str(refused.value).splitlines()) == 1


def test_two_schedules_are_refused(experiment: Make) -> None:
    with pytest.raises(ConfigError, match=r"schedule\.cron='0 2 \* \* \*' and schedule\.interval=6h are two schedules"):
        experiment(schedule={"cron": "0 2 * * *", "interval": "6h"})


def test_when_an_experiment_runs_changes_no_result(experiment: Make) -> None:
    nightly = experiment(schedule={"cron": "0 2 * * *", "timezone": "Europe/Berlin", "overlapping": "skip"})
    assert [settings(nightly, stage) for stage in STAGES] == [settings(experiment(), stage) for stage in STAGES]


def test_a_schedule_survives_plain_values(experiment: Make) -> None:
    nightly = experiment(schedule={"cron": "0 2 * * *", "timezone": "Europe/Berlin"})
    assert experiment_from(nightly.as_json()).schedule == nightly.schedule == ScheduleConfig(
        cron="0 2 * * *", timezone="Europe/Berlin")
