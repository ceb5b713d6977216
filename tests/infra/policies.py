"""What a namespace's NetworkPolicies hold to: nothing but what is said, and nothing from the whole world."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

from tests.infra.findings import Finding
from tests.infra.kustomize import Built

METADATA = ip_address("169.254.169.254")  # where a cloud's node tells the keys of its role


def policy_findings(built: list[Built], file: str) -> Iterator[Finding]:
    """file: what to name where there is no policy at all."""
    policies = [one for one in built if one.kind == "NetworkPolicy"]
    if not any(_denies_all(one) for one in policies):
        yield Finding(file, "NetworkPolicy", "none denies all that the others do not name")
    for one in policies:
        yield from _ingress(one)
        yield from _egress(one)


def _denies_all(one: Built) -> bool:
    spec = one.body["spec"]
    return spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def _ingress(one: Built) -> Iterator[Finding]:
    for n, rule in enumerate(one.body["spec"].get("ingress", [])):
        sources = rule.get("from", [])
        if not sources or any(source in ({}, {"podSelector": {}}) or "ipBlock" in source for source in sources):
            yield one.finding(("spec", "ingress", n), "an open port: lets in what it does not name")
        own = all(set(source) == {"podSelector"} for source in sources)
        if not own and not rule.get("ports"):
            yield one.finding(("spec", "ingress", n), "an open port: lets another namespace reach all of them")


def _egress(one: Built) -> Iterator[Finding]:
    for n, rule in enumerate(one.body["spec"].get("egress", [])):
        if not rule.get("to"):
            yield one.finding(("spec", "egress", n), "lets everything out")
        for m, target in enumerate(rule.get("to", [])):
            if "ipBlock" in target and not rule.get("ports"):
                yield one.finding(("spec", "egress", n, "to", m), "reaches all ports")
            if "ipBlock" in target and _holds(target["ipBlock"]):
                yield one.finding(("spec", "egress", n, "to", m), f"reaches {METADATA}, the keys of the node")


def _holds(block: dict[str, Any]) -> bool:
    excepted = any(METADATA in ip_network(str(one)) for one in block.get("except", []))
    return not excepted and METADATA in ip_network(str(block["cidr"]))
