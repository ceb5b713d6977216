"""infra/prefect says what the code says; the other folders are looked at in tests/infra."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_core.config import experiment_from, read_yaml
from pipelines.deploy import ENTRYPOINT, FLOW
from pipelines.heartbeats import HEARTBEATS

INFRA = Path(__file__).parents[1] / "infra"


@pytest.fixture(scope="module")
def deployment() -> dict[str, Any]:
    (found,) = yaml.safe_load((INFRA / "prefect" / "prefect.yaml").read_text())["deployments"]
    return dict(found)


def test_prefect_yaml_has_the_digits_of_their_own_file(deployment: dict[str, Any]) -> None:
    assert experiment_from(deployment["parameters"]["experiment"]) == experiment_from(read_yaml("configs/digits.yaml"))


def test_prefect_yaml_runs_what_gan_deploy_registers(deployment: dict[str, Any]) -> None:
    assert deployment["entrypoint"] == ENTRYPOINT
    assert deployment["work_pool"]["job_variables"]["env"] == HEARTBEATS
    assert FLOW in deployment["tags"]
