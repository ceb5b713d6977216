"""The fields of prometheus.yml: those of Prometheus 3 that it uses, written down, as no package has their schema."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from jsonschema import Draft202012Validator

PROMETHEUS = "compose/prometheus.yml"
DURATION = {"type": "string", "pattern": r"^\d+(ms|s|m|h|d|w|y)$"}


def _only(required: tuple[str, ...], **fields: object) -> dict[str, object]:
    return {"type": "object", "additionalProperties": False, "required": list(required), "properties": fields}


AUTHORIZATION = _only(("credentials_file",), type={"const": "Bearer"},
                      credentials_file={"type": "string", "pattern": "^/run/secrets/"})
DISCOVERY = _only(("url", "authorization"), url={"type": "string"}, refresh_interval=DURATION,
                  authorization=AUTHORIZATION)
TARGETS = _only(("targets",), targets={"type": "array", "items": {"type": "string", "pattern": r"^[\w.-]+:\d+$"}},
                labels={"type": "object"})
JOB = _only(("job_name",), job_name={"type": "string"}, scrape_interval=DURATION, metrics_path={"type": "string"},
            http_sd_configs={"type": "array", "items": DISCOVERY}, static_configs={"type": "array", "items": TARGETS})
SCHEMA = Draft202012Validator(_only(
    ("scrape_configs",),
    **{"global": _only((), scrape_interval=DURATION, scrape_timeout=DURATION, evaluation_interval=DURATION)},
    rule_files={"type": "array", "items": {"type": "string", "pattern": "^/etc/prometheus/"}},
    scrape_configs={"type": "array", "items": JOB, "minItems": 1},
))


def prometheus_findings(text: str) -> Iterator[tuple[str, str]]:
    """Where the file is not what Prometheus reads, or gives a credential in clear, and why."""
    for error in SCHEMA.iter_errors(yaml.safe_load(text)):
        yield ".".join(map(str, error.absolute_path)) or "top", error.message
