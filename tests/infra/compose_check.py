"""What infra/compose must hold to: the Compose specification, and who runs, listens and reads secrets, and how well."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import yaml
from jsonschema import Draft202012Validator

from tests.infra.findings import Finding, is_pinned
from tests.infra.prometheus_check import PROMETHEUS, prometheus_findings

COMPOSE = "compose/compose.yaml"
GPU = "compose/compose.gpu.yaml"
EXAMPLE = "compose/.env.example"
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|CREDENTIAL|ACCESS_KEY|CONNECTION_URL")
LOOPBACK = re.compile(r"127\.0\.0\.1:\d+:\d+")
CLUSTER_SETTINGS = {  # docs/operations.md: a silent node is given up after some 8 s
    "RAY_AUTH_MODE": "token",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
GUARDS = {  # of SeaweedFS, whose other servers ask for no key
    "-ip.bind=127.0.0.1": "its master, volume server and filer listen beyond the container",
    "-s3.port.iceberg=0": "its Iceberg server listens beyond the container",
    "-s3.port.lance=0": "its Lance server listens beyond the container",
    "WEED_JWT_FILER_SIGNING_KEY=$$(": "whoever reaches its gRPC port makes keys",
    "-s3.config=/run/secrets/": "it knows no keys, and lets everyone in",
    "-s3.autoCreateBucket=false": "a misspelt bucket is made instead of refused",
}
Problems = Iterator[tuple[str, str]]


def check(files: Mapping[str, str]) -> list[Finding]:
    """What is wrong in the folder: each file's fields, and the services' images, users, ports, secrets and health."""
    compose, gpu = (yaml.safe_load(files[file]) for file in (COMPOSE, GPU))
    found = [*_fields(COMPOSE, compose), *_fields(GPU, gpu)]
    for name, service in compose.get("services", {}).items():
        problems = (*_image(service), *_rights(service), *_reach(service, compose), *_secrets(service, compose),
                    *_mounts(service, files), *_health(service, compose["services"]), *_ray(service), *_store(service))
        found += [Finding(COMPOSE, f"{name}.{where}", problem) for where, problem in problems]
    for name, service in gpu["services"].items():
        found += [Finding(GPU, f"{name}.{where}", problem) for where, problem in _image(service)]
    for name, secret in compose["secrets"].items():
        if not str(secret.get("file", "")).startswith("secrets/"):
            found.append(Finding(COMPOSE, f"secrets.{name}", "is not a file of secrets/, which git does not see"))
    found += [Finding(EXAMPLE, name, "belongs into secrets/") for name in _example(files) if SECRET.search(name)]
    return found + [Finding(PROMETHEUS, where, problem) for where, problem in prometheus_findings(files[PROMETHEUS])]


def resolved(value: str) -> str:
    """A value with what ${NAME:-default} is where NAME is not set."""
    return re.sub(r"\$\{\w+(?::?-([^}]*))?\}", lambda match: match[1] or "", value)


def _example(files: Mapping[str, str]) -> list[str]:
    return re.findall(r"^(\w+)=", files[EXAMPLE], re.MULTILINE)


@cache
def _specification() -> Draft202012Validator:
    vendor = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    return Draft202012Validator(json.loads((vendor / "compose-spec.json").read_text()))


def _fields(file: str, content: Any) -> Iterator[Finding]:
    for error in _specification().iter_errors(content):
        yield Finding(file, ".".join(map(str, error.absolute_path)) or "top", error.message)


def _image(service: Mapping[str, Any]) -> Problems:
    image = resolved(service.get("image", ""))
    if not is_pinned(image):
        yield "image", f"{image!r} may become another image; an exact version or a digest does not"


def _rights(service: Mapping[str, Any]) -> Problems:
    if not re.fullmatch(r"[1-9]\d*:[1-9]\d*", str(service.get("user"))):
        yield "user", f"{service.get('user')} is not the number of a user and a group other than root's"
    if service.get("privileged"):
        yield "privileged", "gives the host away"
    wanted = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}
    for field, value in wanted.items():
        if service.get(field) != value:
            yield field, f"is {service.get(field)}; {value} works, with what is written below /tmp or in a volume"


def _reach(service: Mapping[str, Any], compose: Mapping[str, Any]) -> Problems:
    for port in service.get("ports", []):
        if not LOOPBACK.fullmatch(resolved(str(port))):
            yield "ports", f"{port} listens beyond loopback, and asks for no password or has no https"
    if service.get("network_mode"):
        yield "network_mode", "leaves the networks that part the services"
    networks = set(service.get("networks", []))
    if not networks or not networks <= set(compose["networks"]):
        yield "networks", f"{sorted(networks)} must be of {sorted(compose['networks'])}"
    if "postgres" in resolved(service.get("image", "")) and networks != {"database"}:
        yield "networks", "the database is reached by the network `database` alone"


def _secrets(service: Mapping[str, Any], compose: Mapping[str, Any]) -> Problems:
    for name, value in (service.get("environment") or {}).items():
        if SECRET.search(name) and not str(value).startswith("/run/secrets/"):
            yield f"environment.{name}", "is in clear for `docker inspect`; a file of /run/secrets is not"
    mounted = set(service.get("secrets", []))
    read = set(re.findall(r"/run/secrets/(\w+)", json.dumps([service.get("environment"), service.get("command")])))
    if missing := read - mounted:
        yield "secrets", f"{sorted(missing)} is read and not mounted"
    if unknown := mounted - set(compose["secrets"]):
        yield "secrets", f"{sorted(unknown)} is not among the file's secrets"


def _mounts(service: Mapping[str, Any], files: Mapping[str, str]) -> Problems:
    for mount in service.get("volumes", []):
        source, _, target = mount.partition(":")
        if source.startswith("./") and f"compose/{source.removeprefix('./')}" not in files:
            yield "volumes", f"there is no file {source}, so that Docker would make a folder of that name"
        if source.startswith(("/", "..")) and target:
            yield "volumes", f"{source} is the host's own"
        if source.startswith("./") and not target.endswith(":ro"):
            yield "volumes", f"{source} can be written; :ro keeps it as it is"


def _health(service: Mapping[str, Any], services: Mapping[str, Any]) -> Problems:
    check = service.get("healthcheck") or {}
    ends = service.get("restart") == "on-failure"
    if not ends and ("test" not in check or check.get("disable")):
        yield "healthcheck", "without one a process that hangs looks well"
    for name, how in service.get("depends_on", {}).items():
        if name not in services:
            yield "depends_on", f"there is no service {name}"
        elif how["condition"] == "service_started":
            yield f"depends_on.{name}", "waits for a process, not for one that answers; service_healthy does"
        elif not (set(services[name]["profiles"]) >= set(service["profiles"]) or how.get("required") is False):
            yield f"depends_on.{name}", "is of another profile; required: false lets this one start without it"


def _ray(service: Mapping[str, Any]) -> Problems:
    if (service.get("build") or {}).get("target") != "ray":
        return
    environment = service.get("environment") or {}
    for name, value in CLUSTER_SETTINGS.items():
        if environment.get(name) != value:
            yield f"environment.{name}", f"is {environment.get(name)!r}; {value} is what is measured and asked for"


def _store(service: Mapping[str, Any]) -> Problems:
    if "seaweedfs" in service.get("image", ""):
        said = " ".join(service["command"])
        yield from (("command", f"without {guard} {why}") for guard, why in GUARDS.items() if guard not in said)
