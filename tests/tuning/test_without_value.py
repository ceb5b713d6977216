"""A search without one number to compare by ends with what to change."""

from __future__ import annotations

import pytest

from gan_core.errors import ConfigError
from pipelines.tuning.search import refuse_without_value
from tests.tuning.searches import search, trial


def test_one_number_is_enough() -> None:
    refuse_without_value(search([trial(0), trial(1, 2.0)]))
    with pytest.raises(ConfigError):
        refuse_without_value(search([trial(0)]))


def test_too_little_time_is_told_from_values_that_are_not_finite() -> None:
    with pytest.raises(ConfigError, match=r"^tune.time_budget=30s: not one trial came to a look"):
        refuse_without_value(search([trial(0, status="stopped", images=0)], time_budget="30s"))
    with pytest.raises(ConfigError, match=r"^tune.objective: fd_domain was finite at the last look of no trial"):
        refuse_without_value(search([trial(0)]))
