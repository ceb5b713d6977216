"""Whether AWS would let a request through, by the documents of its policies: the few conditions that ours have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]
TODAY = {"aws:SecureTransport": "true", "s3:TlsVersion": "1.3"}


@dataclass(frozen=True)
class Asked:
    """action: 's3:GetObject'.  resource: an ARN.  context: what conditions can see of the request."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)


TESTS: Mapping[str, Callable[[str | None, str], bool]] = {
    "Bool": lambda told, wanted: told == wanted,
    "Null": lambda told, wanted: (told is None) == (wanted == "true"),
    "NumericLessThan": lambda told, wanted: told is not None and float(told) < float(wanted),
}


def allowed(asked: Asked, role: Document, bucket: Document) -> bool:
    """Whether the role's policy allows it and nothing denies it."""
    statements = [*role["Statement"], *bucket["Statement"]]
    effects = {one["Effect"] for one in statements if _speaks_of(one, asked)}
    return effects == {"Allow"}


def _speaks_of(statement: Mapping[str, Any], asked: Asked) -> bool:
    context = {**TODAY, **asked.context}
    return (
        _any_matches(statement["Action"], asked.action)
        and _any_matches(statement["Resource"], asked.resource)
        and all(any(TESTS[test](context.get(key), value) for value in values)
                for test, keys in statement.get("Condition", {}).items() for key, values in keys.items())
    )


def _any_matches(patterns: Iterable[str], value: str) -> bool:
    """* is any text, / included, and ? one character, as AWS reads them."""
    return any(re.fullmatch(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), value)
               for pattern in patterns)
