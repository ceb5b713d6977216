"""What every pod holds to: no root, no rights, writing only where it is said, no secret in clear, no open port."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Any

from tests.infra.fields import Steps, templates
from tests.infra.findings import Finding, is_pinned
from tests.infra.kustomize import Built

SECRET = re.compile(r"TOKEN|PASSWORD|SECRET|CREDENTIAL|(^|_)KEY|CONNECTION_URL|AUTH_STRING")
LOCKED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
FROM_OUTSIDE = {"NodePort", "LoadBalancer", "ExternalName"}
Wrong = Iterator[tuple[Steps, str]]


def pod_findings(one: Built, ports: Collection[int]) -> Iterator[Finding]:
    """ports: those that a container may name."""
    for path, template in templates(one.body):
        for inside, problem in pod_faults(template["spec"], ports):
            yield one.finding((*path, "spec", *inside), problem)
    options = one.body.get("spec", {}).get("autoscalerOptions")
    if options is not None:
        for inside, problem in (*locked(options), *clear(options)):
            yield one.finding(("spec", "autoscalerOptions", *inside), problem)


def pod_faults(pod: dict[str, Any], ports: Collection[int]) -> Wrong:
    """What is wrong with a pod's spec, by the path inside it."""
    yield from user(pod)
    if pod.get("automountServiceAccountToken") is not False:
        yield ("automountServiceAccountToken",), "is not false: what runs here would get a token of Kubernetes' API"
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield (field,), "is on"
    for n, volume in enumerate(pod.get("volumes", [])):
        if "hostPath" in volume:
            yield ("volumes", n), "mounts a path of the host"
    for kind in ("initContainers", "containers"):
        for n, container in enumerate(pod.get(kind, [])):
            for inside, problem in _container(container, ports):
                yield (kind, n, *inside), problem


def secret_findings(one: Built) -> Iterator[Finding]:
    """A Secret with its data is one in clear: base64 is no cipher."""
    for field in {"data", "stringData"} & set(one.body):
        if one.kind == "Secret":
            yield one.finding((field,), "a secret in clear; make it with kubectl create secret, and name it here")


def service_findings(one: Built) -> Iterator[Finding]:
    """A service, or a head's, that the world reaches."""
    spec = one.body.get("spec", {})
    if one.kind == "Service" and spec.get("type") in FROM_OUTSIDE:
        yield one.finding(("spec", "type"), f"{spec['type']}: is reached from outside the cluster")
    head = spec.get("headGroupSpec", {})
    if head.get("serviceType", "ClusterIP") in FROM_OUTSIDE:
        yield one.finding(("spec", "headGroupSpec", "serviceType"), "is reached from outside the cluster")
    if head.get("enableIngress"):
        yield one.finding(("spec", "headGroupSpec", "enableIngress"), "is reached from outside the cluster")
    if one.kind in ("Ingress", "HTTPRoute"):
        yield one.finding(("kind",), "is reached from outside the cluster")


def user(pod: dict[str, Any]) -> Wrong:
    """A pod that runs as root, or may make any system call."""
    said = pod.get("securityContext", {})
    if said.get("runAsNonRoot") is not True or not said.get("runAsUser"):
        yield ("securityContext",), "runs as root: runAsNonRoot: true and a runAsUser above 0 are missing"
    if said.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield ("securityContext", "seccompProfile"), "is not RuntimeDefault"


def _container(container: dict[str, Any], ports: Collection[int]) -> Wrong:
    if not is_pinned(container["image"]):
        yield ("image",), f"{container['image']}: neither an exact version nor a digest"
    yield from locked(container)
    yield from clear(container)
    for n, port in enumerate(container.get("ports", [])):
        if "hostPort" in port or port.get("containerPort") not in ports:
            number = port.get("hostPort", port.get("containerPort"))
            yield ("ports", n), f"{number}: an open port that nothing here asks for"
    if "limits" not in container.get("resources", {}):
        yield ("resources",), "has no limits"


def locked(container: dict[str, Any]) -> Wrong:
    """A container that could gain rights, or write to its own image."""
    said = container.get("securityContext", {})
    for field, wanted in LOCKED.items():
        if said.get(field) != wanted:
            yield ("securityContext", field), f"is not {wanted}"
    if said.get("privileged") or said.get("runAsUser") == 0 or said.get("runAsNonRoot") is False:
        yield ("securityContext",), "runs as root"


def clear(container: dict[str, Any]) -> Wrong:
    """A secret among the variables of a container."""
    for n, variable in enumerate(container.get("env", [])):
        if SECRET.search(variable.get("name", "")) and "value" in variable:
            yield ("env", n), f"{variable['name']}: a secret in clear; valueFrom.secretKeyRef names one"
