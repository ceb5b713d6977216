"""When an experiment runs by itself, and what becomes of a run that meets another or comes late.

    schedule: {cron: "0 2 * * *", timezone: Europe/Berlin, overlapping: skip}
    schedule: {interval: 6h, late: skip, late_after: 30m}
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from re import fullmatch
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field, model_validator

from gan_core.block import Config

DURATION = r"^[1-9][0-9]{0,5}[smhd]$"
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
CRON_FIELDS = 5
SHORTEST = timedelta(seconds=10)


def duration(text: str) -> timedelta:
    """30s, 90m, 6h or 1d as a span of time.  ValueError for anything else."""
    if not fullmatch(DURATION, text):
        raise ValueError(f"'{text}' is no span of time; 30s, 90m, 6h and 1d are")
    return timedelta(**{UNITS[text[-1]]: int(text[:-1])})


def _is_duration(text: str) -> str:
    duration(text)
    return text


def _is_cron(text: str) -> str:
    """Five fields: Prefect reads a sixth as seconds at the end, others read it as seconds at the beginning."""
    example = "'0 2 * * *' is every night at two, '*/15 * * * *' every quarter of an hour"
    if len(text.split()) != CRON_FIELDS:
        raise ValueError(f"'{text}' has not the {CRON_FIELDS} fields minute, hour, day, month and weekday; {example}")
    try:
        CronSim(text, datetime.now(UTC))
    except CronSimError as error:
        raise ValueError(f"'{text}': {str(error).lower()}; {example}") from None
    return text


def _is_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # none of that name, a folder, or no name of one
        near = get_close_matches(name, sorted(available_timezones()), n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ValueError(f"'{name}' is no time zone; {hint}UTC and Europe/Berlin are two of them") from None
    return name


Duration = Annotated[str, AfterValidator(_is_duration), Field(json_schema_extra={"pattern": DURATION})]


class ScheduleConfig(Config):
    """When `gan deploy` has the experiment run.  Without cron and interval it runs when it is asked to."""

    cron: Annotated[str, AfterValidator(_is_cron)] | None = Field(
        None, description="minute, hour, day, month, weekday", examples=["0 2 * * *"])
    interval: Duration | None = Field(None, description="time between runs, instead of cron", examples=["6h"])
    timezone: Annotated[str, AfterValidator(_is_zone)] = Field(
        "UTC", description="IANA name of the time zone that cron is in", examples=["Europe/Berlin"])
    overlapping: Literal["queue", "skip"] = Field(
        "queue", description="a run whose time comes while another is at work waits for its end, or ends as skipped")
    late: Literal["run", "skip"] = Field(
        "run", description="a run that starts `late_after` or more after its time runs all the same, or is skipped")
    late_after: Duration = Field("1h", description="how long after its time a run is late", examples=["30m"])

    @property
    def every(self) -> timedelta | None:
        """The interval as a span of time."""
        return None if self.interval is None else duration(self.interval)

    @property
    def is_late_after(self) -> timedelta:
        """`late_after` as a span of time."""
        return duration(self.late_after)

    @model_validator(mode="after")
    def _is_one_schedule(self) -> Self:
        if self.cron is not None and self.interval is not None:
            raise ValueError(f"schedule.cron='{self.cron}' and schedule.interval={self.interval} are two schedules; "
                             "leave one out")
        if self.every is not None and self.every < SHORTEST:
            raise ValueError(f"schedule.interval={self.interval}: a run takes seconds to find that there is nothing "
                             f"new; schedule.interval={SHORTEST.seconds}s works")
        return self

    def __str__(self) -> str:
        if self.cron is not None:
            return f"{self.cron} ({self.timezone})"
        return f"every {self.interval}" if self.interval is not None else "none"
