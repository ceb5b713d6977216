from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from gan_core.options.optimizers import ALGORITHMS, Adam, AdamW, Fall, Optimizer, RmsProp, Sgd

ANY: TypeAdapter[Adam | AdamW | RmsProp | Sgd] = TypeAdapter(Optimizer)


@pytest.mark.parametrize(("algorithm", "kind", "rate"), [
    ("adam", Adam, 2e-4), ("adamw", AdamW, 2e-4), ("rmsprop", RmsProp, 5e-5), ("sgd", Sgd, 1e-2),
])
def test_each_algorithm_has_a_learning_rate_of_its_own(algorithm: str, kind: type, rate: float) -> None:
    found = ANY.validate_python({"algorithm": algorithm})
    assert type(found) is kind
    assert found.learning_rate == rate
    assert algorithm in ALGORITHMS


def test_adam_is_meant_where_nothing_is_said() -> None:
    assert ANY.validate_python({"learning_rate": 1e-3}) == Adam(learning_rate=1e-3)


@pytest.mark.parametrize("fall", [
    {"until": 0}, {"until": 100, "after": 100}, {"until": 100, "after": 200}, {"until": 100, "to": 2},
    {"until": 100, "shape": "step"}, {"after": 100},
])
def test_a_fall_that_is_none_is_refused(fall: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Fall.model_validate(fall)


@pytest.mark.parametrize("after", [0, 1, 100])
def test_what_is_offered_for_a_fall_that_ends_too_early_works(after: int) -> None:
    if after:
        with pytest.raises(ValidationError, match=f"until={after} is not after after={after}; until={2 * after} works"):
            Fall(after=after, until=after)
    Fall(after=after, until=max(1, 2 * after))
