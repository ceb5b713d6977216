"""The Compose files: nothing is wrong with them, and a fault that is planted is found."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_core.config import read_yaml
from tests.infra.compose_check import CLUSTER_SETTINGS, COMPOSE, EXAMPLE, GPU, check, resolved
from tests.infra.findings import INFRA, files_of, planted
from tests.infra.prometheus_check import PROMETHEUS

OPERATIONS = (INFRA.parent / "docs" / "operations.md").read_text()
FAULTS = {
    "a misspelt field": (COMPOSE, "stop_grace_period: 60s", "stop_grace_perid: 60s", "services.ray-head"),
    "a misspelt field of a check": (COMPOSE, "start_period: 60s", "start_perid: 60s", "services.prefect.healthcheck"),
    "a misspelt condition": (COMPOSE, "service_healthy}", "healthy}", "services.prefect.depends_on"),
    "a floating tag": (COMPOSE, "postgres:15.19-trixie", "postgres:15", "postgres.image"),
    "latest": (COMPOSE, "seaweedfs:4.47", "seaweedfs:latest", "store.image"),
    "a floating default": (COMPOSE, "gan-ray:0.1.0-cpu", "gan-ray", "ray-worker.image"),
    "a floating tag of the GPU's image": (GPU, "gan-ray:0.1.0-cuda", "gan-ray:cuda", "ray-worker.image"),
    "root": (COMPOSE, 'user: "999:999"', 'user: "0:0"', "postgres.user"),
    "no user": (COMPOSE, '    user: "65534:65534"\n', "", "prometheus.user"),
    "privileges": (COMPOSE, "    networks: [database]", "    privileged: true\n    networks: [database]",
                   "postgres.privileged"),
    "a root file system to write": (COMPOSE, "read_only: true", "read_only: false", "worker.read_only"),
    "capabilities": (COMPOSE, "  cap_drop: [ALL]\n", "", "ray-head.cap_drop"),
    "a password in clear": (COMPOSE, "POSTGRES_PASSWORD_FILE: /run/secrets/postgres_password",
                            "POSTGRES_PASSWORD: geheim", "postgres.environment.POSTGRES_PASSWORD"),
    "a token in the environment": (COMPOSE, "RAY_AUTH_TOKEN_PATH: /run/secrets/ray_token",
                                   "RAY_AUTH_TOKEN: ${TOKEN}", "ray-head.environment.RAY_AUTH_TOKEN"),
    "a secret of the example": (EXAMPLE, "RAY_WORKERS=2", "AWS_SECRET_ACCESS_KEY=abc", "AWS_SECRET_ACCESS_KEY"),
    "a secret in git": (COMPOSE, "file: secrets/ray_token", "file: ray_token", "secrets.ray_token"),
    "a secret that is not mounted": (COMPOSE, "secrets: [store_identities]", "secrets: []", "store.secrets"),
    "an open port": (COMPOSE, '"127.0.0.1:8265:8265"', '"8265:8265"', "ray-head.ports"),
    "a port for all": (COMPOSE, '"127.0.0.1:8333:8333"', '"0.0.0.0:8333:8333"', "store.ports"),
    "an open default": (COMPOSE, '"${PREFECT_ADDRESS:-127.0.0.1:4200}:4200"',
                        '"${PREFECT_ADDRESS:-0.0.0.0:4200}:4200"', "prefect.ports"),
    "the host's socket": (COMPOSE, "volumes: [/tmp]", 'volumes: ["/var/run/docker.sock:/var/run/docker.sock"]',
                          "ray-head.volumes"),
    "a mount of nothing": (COMPOSE, "./alerts.yml:", "./alarms.yml:", "prometheus.volumes"),
    "no network": (COMPOSE, "    networks: [flow, cluster]\n", "", "worker.networks"),
    "the database for all": (COMPOSE, "networks: [database]", "networks: [database, cluster]", "postgres.networks"),
    "the host's network": (COMPOSE, "networks: [flow, cluster]", "network_mode: host", "worker.network_mode"),
    "no token": (COMPOSE, "RAY_AUTH_MODE: token", "RAY_AUTH_MODE: disabled", "ray-worker.environment.RAY_AUTH_MODE"),
    "other health settings": (COMPOSE, 'failure_threshold: "3"', 'failure_threshold: "30"',
                              "ray-head.environment.RAY_health_check_failure_threshold"),
    "a misspelt health setting": (COMPOSE, "RAY_health_check_period_ms", "RAY_healthcheck_period_ms",
                                  "ray-head.environment.RAY_health_check_period_ms"),
    "a store whose filer is open": (COMPOSE, "-ip.bind=127.0.0.1", "-ip.bind=0.0.0.0", "store.command"),
    "a store that makes keys for anyone": (COMPOSE, "WEED_JWT_FILER_SIGNING_KEY", "WEED_JWT_SIGNING_KEY",
                                           "store.command"),
    "a store that lets everyone in": (COMPOSE, " -s3.config=/run/secrets/store_identities", "", "store.command"),
    "no health check": (COMPOSE, 'test: [CMD, healthy, "http://127.0.0.1:8080/health"]', "disable: true",
                        "worker.healthcheck"),
    "a wait for nobody": (COMPOSE, "postgres: {condition", "postgresql: {condition", "prefect.depends_on"),
    "a wait for a process": (COMPOSE, "{postgres: {condition: service_healthy}}",
                             "{postgres: {condition: service_started}}", "prefect.depends_on.postgres"),
    "a wait for another profile": (COMPOSE, "ray-head: {condition: service_healthy, required: false}",
                                   "ray-head: {condition: service_healthy}", "worker.depends_on.ray-head"),
    "a misspelt field of Prometheus": (PROMETHEUS, "refresh_interval", "refresh_intervall",
                                       "scrape_configs.0.http_sd_configs.0"),
    "a token in clear for Prometheus": (PROMETHEUS, "credentials_file: /run/secrets/ray_token", "credentials: abc",
                                        "scrape_configs.0.http_sd_configs.0.authorization"),
    "a time without a unit": (PROMETHEUS, "scrape_interval: 15s", "scrape_interval: 15", "global.scrape_interval"),
}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return {name: text for name, text in files_of("compose").items() if "/secrets/" not in name}


@pytest.fixture(scope="module")
def services(files: dict[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(files[COMPOSE])["services"]
    return found


def _made(script: Path) -> dict[str, str]:
    """The secrets beside the script when it has run."""
    subprocess.run(["sh", script], check=True, capture_output=True)
    return {path.name: path.read_text() for path in (script.parent / "secrets").iterdir()}


def test_nothing_is_wrong_with_the_compose_files(files: dict[str, str]) -> None:
    assert check(files) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_compose_files_is_found_where_it_is(files: dict[str, str], fault: str) -> None:
    file, right, wrong, where = FAULTS[fault]
    found = check(planted(files, file, right, wrong))
    assert (file, where) in [(finding.file, finding.where) for finding in found], found


def test_each_setting_of_the_example_is_one_that_is_asked_for(files: dict[str, str]) -> None:
    example = dict(re.findall(r"^(\w+)=(.*)$", files[EXAMPLE], re.MULTILINE))
    services = yaml.safe_load(files[COMPOSE])["services"].values()
    profiles = example.pop("COMPOSE_PROFILES").split(",")
    assert set(profiles) == {profile for service in services for profile in service["profiles"]}
    asked = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", files[COMPOSE]))
    assert {name: asked[name] for name in example} == example


def test_what_listens_is_what_the_readme_says(files: dict[str, str], services: dict[str, Any]) -> None:
    ports = {resolved(port).rpartition(":")[0] for service in services.values() for port in service.get("ports", [])}
    assert ports == set(re.findall(r"^\| `(127\.0\.0\.1:\d+)` \|", files["compose/README.md"], re.MULTILINE))


@pytest.mark.parametrize("folder", ["compose", "docker"])
def test_the_links_of_the_readme_lead_to_files(folder: str) -> None:
    targets = re.findall(r"\]\(([^)#:]+)", (INFRA / folder / "README.md").read_text())
    assert targets
    assert [target for target in targets if not (INFRA / folder / target).exists()] == []


def test_the_health_settings_are_those_of_the_page_on_operations() -> None:
    assert all(f"{name}={value}" in OPERATIONS for name, value in CLUSTER_SETTINGS.items())


def test_the_images_are_of_this_version_and_the_worker_asks_the_cluster(services: dict[str, Any]) -> None:
    version = re.search(r'^version = "(.+)"', (INFRA.parent / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    ours = {resolved(service["image"]) for service in services.values() if "build" in service}
    assert ours == {f"gan-ray:{version[1]}-cpu", f"gan-flow:{version[1]}"}
    assert read_yaml(str(INFRA.parent / "configs" / "profiles" / "cluster.yaml"))["backend"] == "ray-jobs"
    assert resolved(services["worker"]["environment"]["GAN_RAY_ADDRESS"]) == "http://ray-head:8265"


def test_secrets_are_made_once_for_their_owner_and_are_not_in_git(tmp_path: Path, files: dict[str, str]) -> None:
    script = tmp_path / "secrets.sh"
    script.write_text(files["compose/secrets.sh"])
    made, again = (_made(script), _made(script))
    assert again == made
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    wanted = {secret["file"].removeprefix("secrets/") for secret in yaml.safe_load(files[COMPOSE])["secrets"].values()}
    assert set(made) == wanted
    assert len({made["postgres_password"], made["ray_token"]}) == 2
    assert all(re.fullmatch(r"[0-9a-f]{48}", made[name]) for name in ("postgres_password", "ray_token"))
    (identity,) = json.loads(made["store_identities.json"])["identities"]
    assert f"aws_secret_access_key = {identity['credentials'][0]['secretKey']}\n" in made["aws_credentials"]
    assert "/infra/compose/secrets/" in (INFRA.parent / ".gitignore").read_text().splitlines()
