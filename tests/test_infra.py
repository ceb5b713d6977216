"""The files of infra/ say what the code says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_core.config import experiment_from, read_yaml
from pipelines.deploy import ENTRYPOINT, FLOW
from pipelines.heartbeats import HEARTBEATS

INFRA = Path(__file__).parents[1] / "infra"
COMPOSE = INFRA / "compose" / "compose.yaml"
SECRETS = {"POSTGRES_PASSWORD", "AWS_SECRET_ACCESS_KEY"}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


@pytest.fixture(scope="module")
def deployment() -> dict[str, Any]:
    (found,) = yaml.safe_load((INFRA / "prefect" / "prefect.yaml").read_text())["deployments"]
    return dict(found)


def test_compose_takes_its_secrets_from_an_environment_that_the_example_leaves_empty() -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", (COMPOSE.parent / ".env.example").read_text(), re.MULTILINE))
    assert {name for name, value in example.items() if not value} == SECRETS
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    assert set(example) <= asked
    assert not re.search(r"(PASSWORD|SECRET\w*): (?!\$\{)", COMPOSE.read_text())


def test_every_service_that_another_waits_for_says_when_it_is_healthy(services: dict[str, Any]) -> None:
    waited_for = {name: how["condition"] for service in services.values()
                  for name, how in service.get("depends_on", {}).items()}
    assert waited_for == {"postgres": "service_healthy", "prefect": "service_healthy", "s3": "service_healthy",
                          "bucket": "service_completed_successfully"}
    assert {name for name, service in services.items() if "healthcheck" in service} == {"postgres", "prefect", "s3"}


def test_what_listens_listens_on_loopback(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(re.match(r"(\$\{\w+:-)?127\.0\.0\.1:", port) for port in ports)


def test_prefect_yaml_has_the_digits_of_their_own_file(deployment: dict[str, Any]) -> None:
    assert experiment_from(deployment["parameters"]["experiment"]) == experiment_from(read_yaml("configs/digits.yaml"))


def test_prefect_yaml_runs_what_gan_deploy_registers(deployment: dict[str, Any]) -> None:
    assert deployment["entrypoint"] == ENTRYPOINT
    assert deployment["work_pool"]["job_variables"]["env"] == HEARTBEATS
    assert FLOW in deployment["tags"]
