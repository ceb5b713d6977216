"""What is wrong with infra/prefect: values of the charts, manifests beside them, prefect.yaml and the automations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from prefect.cli.deploy._models import ConcurrencyLimitSpec, DeploymentConfig, PrefectYamlModel, WorkPoolConfig
from pydantic import BaseModel

from pipelines.automations import automations
from tests.infra.fields import field_findings
from tests.infra.findings import Finding, is_pinned, pinned_versions
from tests.infra.kustomize import Built
from tests.infra.pods import clear, locked, pod_findings, secret_findings, service_findings, user
from tests.infra.policies import policy_findings

SERVER, WORKER = "prefect/server-values.yaml", "prefect/worker-values.yaml"
MANIFESTS = ("prefect/namespace.yaml", "prefect/postgres.yaml")
DEPLOYMENTS, AUTOMATIONS = "prefect/prefect.yaml", "prefect/automations.yaml"
SCHEMA = Path(__file__).with_name("prefect_values.schema.yaml")
PORTS = {5432}
Faults = Iterator[tuple[str, str]]


def check(files: Mapping[str, str]) -> list[Finding]:
    """files: of infra/prefect, by their path below infra/."""
    read = {file: yaml.safe_load(files[file]) for file in (SERVER, WORKER, DEPLOYMENTS, AUTOMATIONS)}
    said: dict[str, Faults] = {
        SERVER: _values("server", read[SERVER], _server),
        WORKER: _values("worker", read[WORKER], _worker),
        DEPLOYMENTS: _deployments(read[DEPLOYMENTS]),
        AUTOMATIONS: _automations(read[AUTOMATIONS]),
    }
    found = [Finding(file, where, problem) for file, faults in said.items() for where, problem in faults]
    return found + list(_manifests(files))


def said_of(automation: BaseModel) -> Any:
    """What a file says of an automation: that which is no default, with sets in order."""
    return _ordered(automation.model_dump(mode="json", exclude_unset=True))


def _values(chart: str, values: dict[str, Any], rules: Any) -> Faults:
    faults = [(".".join(map(str, fault.absolute_path)) or chart, fault.message.splitlines()[0])
              for fault in _schema(chart).iter_errors(values)]
    yield from faults
    if not faults:  # the rules read fields as the schema has them
        yield from rules(values)


def _server(values: dict[str, Any]) -> Faults:
    server = values["server"]
    yield from _pod("server", server, values["global"]["prefect"]["image"], server.get("env", []))
    yield from _login("server.basicAuth", server.get("basicAuth", {}))
    if values.get("secret", {}).get("create") is not False or "password" in values["secret"]:
        yield "secret", "the chart would make one of what stands here in clear; create: false and a name"
    for database in ("postgresql", "sqlite"):
        if values.get(database, {}).get("enabled") is not False:
            yield f"{database}.enabled", "is not false"
    if values.get("service", {}).get("type") != "ClusterIP" or values.get("ingress", {}).get("enabled") is not False:
        yield "service", "an open port: is reached from outside the cluster"


def _worker(values: dict[str, Any]) -> Faults:
    worker = values["worker"]
    yield from _pod("worker", worker, worker["image"], worker.get("extraEnvVars", []))
    yield from _login("worker.selfHostedServerApiConfig.basicAuth", worker["selfHostedServerApiConfig"]["basicAuth"])
    if {"name": "RAY_AUTH_MODE", "value": "token"} not in worker.get("extraEnvVars", []):
        yield "worker.extraEnvVars", "RAY_AUTH_MODE=token is missing"


def _pod(where: str, said: dict[str, Any], image: dict[str, str], variables: list[dict[str, Any]]) -> Faults:
    named = f"{image.get('repository')}:{image.get('prefectTag')}"
    if not is_pinned(named):
        yield f"{where}.image", f"{named}: neither an exact version nor a digest"
    container = {"securityContext": said.get("containerSecurityContext", {}), "env": variables}
    for path, problem in (*user({"securityContext": said.get("podSecurityContext", {})}), *locked(container)):
        yield ".".join(map(str, (where, *path))), problem
    yield from ((f"{where}.env", problem) for _, problem in clear(container))


def _login(where: str, said: dict[str, Any]) -> Faults:
    if said.get("enabled") is not True or not said.get("existingSecret"):
        yield where, "asks for no password, or has none by reference"
    if "authString" in said:
        yield f"{where}.authString", "a secret in clear; existingSecret names one"


def _deployments(said: dict[str, Any]) -> Faults:
    if said.get("prefect-version") != (wanted := pinned_versions()["prefect"]):
        yield "prefect-version", f"{said.get('prefect-version')}: infra/constraints.txt has {wanted}"
    yield from _unknown(PrefectYamlModel, said, "")
    for n, deployment in enumerate(said.get("deployments", [])):
        yield from _unknown(DeploymentConfig, deployment, f"deployments.{n}.")
        yield from _unknown(WorkPoolConfig, deployment.get("work_pool", {}), f"deployments.{n}.work_pool.")
        yield from _unknown(ConcurrencyLimitSpec, deployment.get("concurrency_limit", {}),
                            f"deployments.{n}.concurrency_limit.")


def _unknown(model: type[BaseModel], said: dict[str, Any], where: str) -> Faults:
    """Prefect itself lets through what it does not know."""
    known = {name for field, info in model.model_fields.items() for name in (field, info.alias)}
    yield from ((f"{where}{field}", "Prefect has no such field") for field in said if field not in known)


def _automations(said: dict[str, Any]) -> Faults:
    wanted = {automation.name: said_of(automation) for automation in automations()}
    held = {one.get("name", f"automation {n}"): _ordered(one) for n, one in enumerate(said.get("automations", []))}
    for name in sorted(set(wanted) | set(held)):
        if wanted.get(name) != held.get(name):
            yield name, "is not as pipelines/automations.py has it"


def _manifests(files: Mapping[str, str]) -> Iterator[Finding]:
    built = [Built(body, {(): file}) for file in MANIFESTS for body in yaml.safe_load_all(files[file])]
    faults = [finding for one in built for finding in field_findings(one)]
    yield from faults
    if not faults:
        yield from (finding for one in built for finding in _resource(one))
        yield from policy_findings(built, MANIFESTS[0])


def _resource(one: Built) -> Iterator[Finding]:
    yield from secret_findings(one)
    yield from service_findings(one)
    yield from pod_findings(one, PORTS)


def _ordered(said: Any) -> Any:
    if isinstance(said, dict):
        return {key: _ordered(value) for key, value in said.items()}
    if isinstance(said, list):
        return sorted(said) if all(isinstance(one, str) for one in said) else [_ordered(one) for one in said]
    return said


@cache
def _schema(chart: str) -> Draft202012Validator:
    every = yaml.safe_load(SCHEMA.read_text())
    return Draft202012Validator({**every, "$ref": f"#/$defs/{chart}"})
