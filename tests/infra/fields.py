"""The fields that Kubernetes and KubeRay know, with their types.

Kubernetes' are the schemas that kubernetes-validate brings, strict: what they do not name is refused.  Read here once
each, where the package's own `validate` reads two megabytes for every resource.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, ValidationError
from referencing import Registry, Resource

from tests.infra.findings import Finding
from tests.infra.kustomize import Built

KUBERNETES = "1.33"  # the oldest that infra/kuberay promises
KUBERAY = Path(__file__).with_name("kuberay.schema.yaml")
OF_A_CONTAINER = {"env", "envFrom", "resources", "securityContext", "volumeMounts"}  # that the autoscaler's may say
Steps = tuple[str | int, ...]


def field_findings(one: Built) -> Iterator[Finding]:
    """Every field of a resource that its kind does not have, or that is of another type."""
    schema = kuberay() if one.body["apiVersion"] == "ray.io/v1" else kubernetes(one.kind, one.body["apiVersion"])
    yield from (one.finding(*_said(fault, ())) for fault in schema.iter_errors(one.body))
    for path, template in templates(one.body):
        pod = {"apiVersion": "v1", "kind": "Pod", **template}
        yield from (one.finding(*_said(fault, path)) for fault in kubernetes("Pod", "v1").iter_errors(pod))
    if options := one.body.get("spec", {}).get("autoscalerOptions"):
        container = {"name": "autoscaler", **{key: options[key] for key in OF_A_CONTAINER & set(options)}}
        pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [container]}}
        for fault in kubernetes("Pod", "v1").iter_errors(pod):
            inside = tuple(fault.absolute_path)[len(("spec", "containers", 0)):]
            yield one.finding(("spec", "autoscalerOptions", *inside), fault.message.splitlines()[0])


def templates(body: dict[str, Any]) -> Iterator[tuple[Steps, dict[str, Any]]]:
    """Every pod template of a resource of KubeRay's or of Kubernetes', with its path."""
    spec = body.get("spec", {})
    if "template" in spec:
        yield ("spec", "template"), spec["template"]
    if "submitterPodTemplate" in spec:
        yield ("spec", "submitterPodTemplate"), spec["submitterPodTemplate"]
    if "headGroupSpec" in spec:
        yield ("spec", "headGroupSpec", "template"), spec["headGroupSpec"]["template"]
    for n, group in enumerate(spec.get("workerGroupSpecs", [])):
        yield ("spec", "workerGroupSpecs", n, "template"), group["template"]


@cache
def kuberay() -> Draft202012Validator:
    return Draft202012Validator(yaml.safe_load(KUBERAY.read_text()))


@cache
def kubernetes(kind: str, api_version: str) -> Draft202012Validator:
    """The schema of a kind of Kubernetes' own, such as ("NetworkPolicy", "networking.k8s.io/v1")."""
    group, _, version = api_version.rpartition("/")
    name = "-".join(filter(None, (kind.lower(), group.partition(".")[0], version)))
    schema = _schema(f"{name}.json")
    registry: Registry[Any] = Resource.from_contents(schema) @ _definitions()
    return Draft202012Validator(schema, registry=registry)


@cache
def _definitions() -> Registry[Any]:
    return Resource.from_contents(_schema("_definitions.json")) @ Registry()


def _schema(name: str) -> dict[str, Any]:
    every = files("kubernetes_validate") / "kubernetes-json-schema"
    (folder,) = (one for one in every.iterdir() if one.name.startswith(f"v{KUBERNETES}") and "strict" in one.name)
    found: dict[str, Any] = json.loads((folder / name).read_text())
    return found


def _said(fault: ValidationError, below: Steps) -> tuple[Steps, str]:
    return (*below, *fault.absolute_path), fault.message.splitlines()[0]
