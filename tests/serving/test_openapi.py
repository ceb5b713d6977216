"""openapi.json says what the server does: requests are made of it, right and wrong ones, and answers held to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import schemathesis
from hypothesis import given, settings
from schemathesis import GenerationMode

from gan_core.bundle import Generator
from gan_core.store import Store
from pipelines.serving.reload import Source
from tests.serving.process import listening
from tests.serving.served import FACES, Faces, of

EXAMPLES = settings(max_examples=25, derandomize=True, deadline=None, database=None)


@contextmanager
def operations(store: Store, generator: Generator) -> Iterator[dict[str, Any]]:
    """What a server of that generator says it does, by 'GET /sample'."""
    with listening(store, generator) as url:
        schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
        yield {found.ok().label: found.ok() for found in schema.get_all_operations()}


def check(operation: Any, mode: GenerationMode) -> set[int]:
    """The statuses of requests that are right, or that are wrong, each held against what is said of it."""
    seen = set()

    @given(case=operation.as_strategy(generation_mode=mode))
    @EXAMPLES
    def holds(case: Any) -> None:
        seen.add(case.call_and_validate().status_code)

    holds()
    return seen


@pytest.fixture(scope="module")
def of_classes(published: Store) -> Iterator[dict[str, Any]]:
    with operations(published, Source("digits", published).load()) as found:
        yield found


def test_all_that_there_is_to_ask_is_described(of_classes: dict[str, Any]) -> None:
    assert sorted(of_classes) == ["GET /", "GET /health", "GET /metrics", "GET /ready", "GET /sample", "POST /sample"]


@pytest.mark.parametrize("name", ["GET /", "GET /health", "GET /metrics", "GET /ready", "GET /sample", "POST /sample"])
def test_what_is_right_is_answered_as_described(of_classes: dict[str, Any], name: str) -> None:
    assert check(of_classes[name], GenerationMode.POSITIVE) == {200}


@pytest.mark.parametrize("name", ["GET /sample", "POST /sample"])
def test_what_is_wrong_is_refused_as_described(of_classes: dict[str, Any], name: str) -> None:
    assert 422 in check(of_classes[name], GenerationMode.NEGATIVE)


def test_attributes_are_described_as_they_are_taken(published: Store) -> None:
    with operations(published, of(FACES, Faces())) as found:
        assert check(found["POST /sample"], GenerationMode.POSITIVE) == {200}
        assert 422 in check(found["POST /sample"], GenerationMode.NEGATIVE)
