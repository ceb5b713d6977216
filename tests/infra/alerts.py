"""What is wrong with rules for Prometheus: their fields, and the metrics and labels that they ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import promql_parser
import yaml

from pipelines.training_metrics import GAUGES, LABELS
from tests.infra.findings import Finding

PREFIX = "ray_"
RULE = {"required": {"alert", "expr", "labels", "annotations"}, "optional": {"for", "keep_firing_for"}}
GROUP = {"required": {"name", "rules"}, "optional": {"interval", "limit"}}
DURATION = re.compile(r"(\d+(ms|[smhdwy]))+")
SEVERITIES = {"info", "warning", "critical"}
RAYS_OWN = {"instance", "job", "NodeAddress", "SessionName"}
TEMPLATE = re.compile(r"\{\{\s*(.*?)\s*\}\}")
KNOWN_TEMPLATE = re.compile(r"\$value( \| humanize\w*)?|\$labels\.(?P<label>\w+)")


def check(files: Mapping[str, str]) -> list[Finding]:
    """All that is wrong with rule files."""
    return [finding for file, text in files.items() for finding in _of_file(file, yaml.safe_load(text))]


def _of_file(file: str, told: Any) -> Iterator[Finding]:
    if set(told) != {"groups"}:
        yield Finding(file, ", ".join(set(told) - {"groups"}), "is no field of a file of rules")
        return
    for group in told["groups"]:
        yield from _fields(file, str(group.get("name")), group, GROUP)
        names = [rule.get("alert") for rule in group.get("rules", [])]
        for name in {name for name in names if names.count(name) > 1}:
            yield Finding(file, str(name), "is there twice")
        for rule in group.get("rules", []):
            yield from _of_rule(file, str(rule.get("alert")), rule)


def _fields(file: str, where: str, told: Mapping[str, Any], known: Mapping[str, set[str]]) -> Iterator[Finding]:
    for name in known["required"] - set(told):
        yield Finding(file, f"{where}.{name}", "is missing")
    for name in set(told) - known["required"] - known["optional"]:
        yield Finding(file, f"{where}.{name}", "is no field of it")


def _of_rule(file: str, where: str, rule: Mapping[str, Any]) -> Iterator[Finding]:
    yield from _fields(file, where, rule, RULE)
    for name in ("for", "keep_firing_for"):
        if name in rule and not DURATION.fullmatch(str(rule[name])):
            yield Finding(file, f"{where}.{name}", f"is {rule[name]}, no duration; 5m works")
    if rule.get("labels", {}).get("severity") not in SEVERITIES:
        yield Finding(file, f"{where}.labels.severity", f"is none of {', '.join(sorted(SEVERITIES))}")
    try:
        expression = promql_parser.parse(str(rule.get("expr")))
    except ValueError as error:
        yield Finding(file, f"{where}.expr", str(error))
        return
    labels: set[str] = set(RAYS_OWN)
    for name, asked in _selected(expression):
        known = _labels_of(name)
        if known is None:
            yield Finding(file, f"{where}.expr", f"asks for {name}, which no run has")
            continue
        labels |= known
        for label in asked - known:
            yield Finding(file, f"{where}.expr", f"asks for the label {label}, which {name} does not have")
    for name, text in rule.get("annotations", {}).items():
        for found in TEMPLATE.findall(text):
            match = KNOWN_TEMPLATE.fullmatch(found)
            if match is None or (match["label"] or "experiment") not in labels:
                yield Finding(file, f"{where}.annotations.{name}", f"asks for {found}, which is not there")


def _selected(node: Any) -> Iterator[tuple[str, set[str]]]:
    """Every metric of an expression, and the labels that are asked of it."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node.name, {matcher.name for matcher in node.matchers.matchers}
    elif isinstance(node, promql_parser.AggregateExpr):
        by = set(node.modifier.labels) if node.modifier else set()
        yield from ((name, asked | by) for name, asked in _selected(node.expr))
    else:
        parts = [getattr(node, part, None) for part in ("lhs", "rhs", "expr", "vector_selector")]
        for part in (*parts, *getattr(node, "args", ())):
            if part is not None:
                yield from _selected(part)


def _labels_of(metric: str) -> set[str] | None:
    """The labels of a metric of ours; None for what is none."""
    gauge = GAUGES.get(metric.removeprefix(PREFIX))
    return {*LABELS, *gauge[1], *RAYS_OWN} if gauge and metric.startswith(PREFIX) else None
