"""The example rules ask for what training runs tell, and a misspelt one is found."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.infra.alerts import check
from tests.infra.findings import INFRA, planted

FILE = "compose/alerts.yml"


@pytest.fixture(scope="module")
def files() -> Mapping[str, str]:
    return {FILE: (INFRA / FILE).read_text()}


def test_the_rules_are_in_order(files: Mapping[str, str]) -> None:
    assert list(map(str, check(files))) == []


@pytest.mark.parametrize(("right", "wrong", "told"), [
    ("ray_gan_images_seen", "ray_gan_image_seen", "GanTrainingStandsStill.expr: asks for ray_gan_image_seen"),
    ("ray_gan_images_seen", "gan_images_seen", "asks for gan_images_seen, which no run has"),
    ("changes(", "change(", "GanTrainingStandsStill.expr: unknown function"),
    ("[15m]", "", "GanTrainingStandsStill.expr: expected type matrix"),
    ("by (experiment, stage_key, metric)", "by (experiment, stage_key, metrics)", "the label metrics"),
    ("        for: 5m", "        fro: 5m", "GanTrainingStandsStill.fro: is no field"),
    ("for: 5m", "for: 5 minutes", "GanTrainingStandsStill.for: is 5 minutes, no duration"),
    ("severity: warning", "severity: warn", "GanTrainingStandsStill.labels.severity"),
    ("$labels.experiment }} has", "$labels.experment }} has", "summary: asks for $labels.experment"),
    ("alert: GanUploadsAreSlow", "alert: GanDistanceGrew", "GanDistanceGrew: is there twice"),
    ("groups:", "rules:", "rules: is no field"),
])
def test_a_planted_fault_is_named(files: Mapping[str, str], right: str, wrong: str, told: str) -> None:
    found = list(map(str, check(planted(files, FILE, right, wrong))))
    assert any(told in one for one in found), found
    assert all(one.startswith(FILE) for one in found)
