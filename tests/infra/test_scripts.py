"""Shell scripts: shellcheck finds nothing in them, and what is planted it does."""

from __future__ import annotations

import pytest

from tests.infra.findings import planted
from tests.infra.scripts import check, scripts

FILE = "infra/local/prefect.sh"


def test_all_scripts_are_in_order() -> None:
    assert {".ci/run", "infra/local/hosts.sh", FILE, "infra/local/s3.sh"} <= set(scripts())
    assert list(map(str, check(scripts()))) == []


@pytest.mark.parametrize(("right", "wrong", "told"), [
    ('cat "$home/port"', "cat $home/port", "SC2086"),
    ('sudo="env"', 'sdo="env"', "SC2034: sdo appears unused"),
    ("set -euo pipefail", "set -o pipefail", "goes on after a command that failed"),
    ("#!/usr/bin/env bash", "# a script", "names no shell"),
    ("    ;;\n", "", "SC1"),
])
def test_a_planted_fault_is_named(right: str, wrong: str, told: str) -> None:
    found = list(map(str, check(planted({FILE: scripts()[FILE]}, FILE, right, wrong))))
    assert any(told in one for one in found), found
    assert all(one.startswith(FILE) for one in found)
