"""What is wrong with infra/kuberay: each overlay is built as kustomize does, and looked at as the cluster gets it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from tests.infra.fields import field_findings, templates
from tests.infra.findings import Finding, pinned_versions
from tests.infra.kustomize import Built, NotBuiltError, build
from tests.infra.pods import pod_findings, secret_findings, service_findings
from tests.infra.policies import policy_findings

PORTS = {6379, 8265, 8080}  # of Ray's control store, its Jobs API and its metrics
FOLDER, BASE = "kuberay", "kuberay/base"
HEALTH = re.compile(r"^RAY_health_check_\w+$")


def check(files: Mapping[str, str]) -> list[Finding]:
    """files: of infra/kuberay, by their path below infra/."""
    return list(dict.fromkeys(finding for overlay in overlays(files) for finding in _overlay(files, overlay)))


def overlays(files: Mapping[str, str]) -> list[str]:
    """The folders that somebody applies."""
    ends = f"{FOLDER}/overlays/", "/kustomization.yaml"
    return sorted(name.removesuffix(ends[1]) for name in files if name.startswith(ends[0]) and name.endswith(ends[1]))


def health_settings(one: Built) -> dict[str, str]:
    """What the head is told of when a host is dead."""
    (head,) = one.body["spec"]["headGroupSpec"]["template"]["spec"]["containers"]
    return {variable["name"]: variable["value"] for variable in head["env"] if HEALTH.match(variable["name"])}


def _overlay(files: Mapping[str, str], overlay: str) -> Iterator[Finding]:
    try:
        built, base = build(files, overlay), build(files, BASE)
    except NotBuiltError as fault:
        yield fault.finding
        return
    for one in built:
        faults = list(field_findings(one))
        yield from faults
        if not faults:  # the rules below read fields as their kinds have them
            yield from _resource(one)
    yield from _accounts(built, {one.name for one in base if one.kind == "ServiceAccount"})
    if any(one.kind == "RayCluster" for one in built):
        yield from policy_findings(built, f"{overlay}/kustomization.yaml")


def _resource(one: Built) -> Iterator[Finding]:
    yield from secret_findings(one)
    yield from service_findings(one)
    yield from pod_findings(one, PORTS)
    if one.kind == "ServiceAccount" and one.body.get("automountServiceAccountToken") is not False:
        yield one.finding(("automountServiceAccountToken",), "is not false")
    if one.kind == "RayCluster":
        yield from _cluster(one)


def _cluster(one: Built) -> Iterator[Finding]:
    spec = one.body["spec"]
    if spec.get("authOptions", {}).get("mode") != "token" or not spec["authOptions"].get("secretName"):
        yield one.finding(("spec", "authOptions"), "mode: token and the name of a secret are missing")
    if spec.get("rayVersion") != (wanted := pinned_versions()["ray"]):
        yield one.finding(("spec", "rayVersion"), f"{spec.get('rayVersion')}: infra/constraints.txt has {wanted}")
    if spec["headGroupSpec"]["rayStartParams"].get("num-cpus") != "0":
        yield one.finding(("spec", "headGroupSpec", "rayStartParams", "num-cpus"), "is not 0: the head would train")


def _accounts(built: list[Built], known: set[str]) -> Iterator[Finding]:
    """Every account that a pod names is one of the base's."""
    for one in built:
        for path, template in templates(one.body):
            account = template["spec"].get("serviceAccountName")
            if account not in known:
                problem = f"{account}: is none of {', '.join(sorted(known))}"
                yield one.finding((*path, "spec", "serviceAccountName"), problem)
