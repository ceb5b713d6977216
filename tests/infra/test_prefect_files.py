"""infra/prefect: what the charts, the server and `prefect deploy` are told, and that a fault in it is found."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore

from pipelines.automations import automations
from pipelines.heartbeats import HEARTBEATS
from tests.infra.findings import files_of, planted
from tests.infra.prefect_check import AUTOMATIONS, DEPLOYMENTS, MANIFESTS, SERVER, WORKER, check

NAMESPACE, POSTGRES = MANIFESTS

# file, what stands there, what is planted instead, and what the finding names
FAULTS = {
    "a value of the server's chart": (SERVER, "existingSecret:", "existingSecrets:", "server.basicAuth"),
    "a value at its top": (SERVER, "ingress:", "ingres:", "ingres"),
    "a value of the worker's chart": (WORKER, "workPool:", "pool:", "worker.config"),
    "a number in quotes": (WORKER, "replicaCount: 1", 'replicaCount: "1"', "replicaCount"),
    "a field of a policy": (NAMESPACE, "podSelector:", "podSelectors:", "NetworkPolicy/nothing"),
    "a field of a pod": (POSTGRES, "serviceName:", "serviceNames:", "StatefulSet/postgres"),
    "a field of prefect.yaml": (DEPLOYMENTS, "entrypoint:", "entry_point:", "deployments.0.entry_point"),
    "a field of its pool": (DEPLOYMENTS, "job_variables:", "job_variable:", "deployments.0.work_pool.job_variable"),
    "a field of an automation": (AUTOMATIONS, "posture:", "postures:", "gan-pipelines: process gone"),
    "another window": (AUTOMATIONS, "within: 180.0", "within: 60.0", "gan-pipelines: process gone"),
    "another Prefect": (DEPLOYMENTS, "prefect-version: 3.8.8", "prefect-version: 3.9.1", "prefect-version"),
    "a floating tag": (SERVER, "prefectTag: 0.1.0", "prefectTag: 3-latest", "server.image"),
    "a floating tag of the worker": (WORKER, "prefectTag: 0.1.0", "prefectTag: latest", "worker.image"),
    "a floating PostgreSQL": (POSTGRES, "postgres:15.14", "postgres:15", "postgres:15"),
    "a password in clear": (SERVER, "existingSecret: prefect-auth", 'authString: "admin:pass"', "authString"),
    "a database's password in clear": (SERVER, "secret: {create: false,", "secret: {create: true,", "secret"),
    "the chart's PostgreSQL": (SERVER, "postgresql: {enabled: false}", "postgresql: {enabled: true}", "postgresql"),
    "the token in clear": (WORKER, "{name: RAY_AUTH_MODE, value: token}",
                           "{name: RAY_AUTH_MODE, value: token}\n    - {name: RAY_AUTH_TOKEN, value: a}", "in clear"),
    "a variable in clear": (POSTGRES, "{name: PGDATA, value: /data/pgdata}", "{name: POSTGRES_PASSWORD, value: a}",
                            "POSTGRES_PASSWORD"),
    "no token": (WORKER, "RAY_AUTH_MODE, value: token}", "RAY_AUTH_MODE, value: disabled}", "RAY_AUTH_MODE"),
    "root": (SERVER, "runAsUser: 1000", "runAsUser: 0", "server.securityContext"),
    "root in the worker": (WORKER, "runAsNonRoot: true", "runAsNonRoot: false", "worker.securityContext"),
    "root in PostgreSQL": (POSTGRES, "runAsUser: 999", "runAsUser: 0", "securityContext"),
    "rights": (WORKER, "drop: [ALL]", "drop: []", "capabilities"),
    "no login": (SERVER, "basicAuth: {enabled: true", "basicAuth: {enabled: false", "server.basicAuth"),
    "a load balancer": (SERVER, "service: {type: ClusterIP", "service: {type: LoadBalancer", "service"),
    "an ingress": (SERVER, "ingress: {enabled: false}", "ingress: {enabled: true}", "service"),
    "PostgreSQL for all": (NAMESPACE, "from: [{podSelector: {matchLabels: {app.kubernetes.io/name: prefect-server}}}]",
                           "from: [{podSelector: {}}]", "NetworkPolicy/postgres"),
    "a port of the node": (POSTGRES, "containerPort: 5432", "containerPort: 5432, hostPort: 5432", "ports"),
    "no denial": (NAMESPACE, "policyTypes: [Ingress, Egress]", "policyTypes: [Ingress]", "NetworkPolicy"),
}


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    return files_of("prefect")


def test_the_files_are_without_a_finding(files: dict[str, str]) -> None:
    assert check(files) == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found_in_its_file_and_field(files: dict[str, str], fault: str) -> None:
    file, right, wrong, named = FAULTS[fault]
    found = check(planted(files, file, right, wrong))
    assert any(finding.file == file and named in str(finding) for finding in found), found


def test_the_automations_are_those_that_gan_deploy_registers(files: dict[str, str]) -> None:
    said = yaml.safe_load(files[AUTOMATIONS])["automations"]
    assert [AutomationCore.model_validate(one) for one in said] == automations()


def test_the_worker_sends_heartbeats_as_often_as_the_automations_count_on(files: dict[str, str]) -> None:
    variables = yaml.safe_load(files[WORKER])["worker"]["extraEnvVars"]
    assert HEARTBEATS.items() <= {one["name"]: one.get("value") for one in variables}.items()


def test_the_worker_starts_with_what_follows_the_charts_own_start(files: dict[str, str], tmp_path: Path) -> None:
    (start,) = (one for one in yaml.safe_load_all(files[NAMESPACE]) if one["kind"] == "ConfigMap")
    tini = tmp_path / "tini"
    tini.write_text(start["data"]["tini"])
    charts = ["-g", "--", "/opt/prefect/entrypoint.sh", "echo", "worker", "a b"]
    made = subprocess.run(["sh", tini, *charts], capture_output=True, text=True, check=True)
    assert made.stdout == "worker a b\n"


def test_the_readme_makes_each_secret_that_is_named(files: dict[str, str]) -> None:
    text = "\n".join(files.values())
    named = set(re.findall(r"(?:existingSecret: |secretKeyRef: \{name: |create: false, name: )([\w-]+)", text))
    named |= set(yaml.safe_load(files[WORKER])["worker"]["extraEnvVarsSecrets"])
    assert named == {"prefect-auth", "prefect-database", "gan-ray-token", "gan-store"}
    for secret in named:
        assert f"create secret generic {secret} " in files["prefect/README.md"]
