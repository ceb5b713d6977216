"""The faults that every change must survive, on hosts of their own; `make chaos` tries all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.faults import CORE, Fault
from tests.chaos.lab import Lab
from tests.system.hosts import hosts_with_store

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with hosts_with_store(4) as hosts, Lab.on(hosts, tmp_path_factory.mktemp("lab")) as lab:
        yield lab


def test_two_hosts_train_what_two_workers_of_one_do(lab: Lab) -> None:
    with lab.training() as training:
        lab.ended_well(training)


@pytest.mark.parametrize("fault", CORE.values(), ids=CORE.keys())
def test_a_fault_is_survived_with_the_bits_of_a_run_that_nothing_happened_to(lab: Lab, fault: Fault) -> None:
    outcome = fault(lab)
    print(f"{outcome.seconds:.1f} s, {outcome.lost} images trained again")
