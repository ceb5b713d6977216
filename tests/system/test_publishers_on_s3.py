"""Many processes that publish to one model on Ceph at once: nothing is lost, half or overwritten."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gan_core.addresses import current_alias
from gan_core.published import versions
from gan_core.store import Store
from tests.artefacts import finish_run, finish_scores, in_fresh_process
from tests.stages.test_publish_kills import ONE_THREAD, RACE, assert_all_whole, etags, keys_of, moves
from tests.system.ceph import own_bucket

pytestmark = pytest.mark.system

PROCESSES, ROUNDS = 8, 3


@pytest.fixture(scope="module")
def store(ceph: dict[str, str]) -> Iterator[Store]:
    with own_bucket(ceph) as bucket:
        made = Store(f"{bucket}/racing")
        finish_scores(made, finish_run(made))
        yield made


def test_processes_that_publish_at_once_get_a_whole_version_each_and_change_nothing(store: Store) -> None:
    keys: list[str] = []
    for number in range(ROUNDS):
        before = etags(store)
        new = [f"p{number}-{process}" for process in range(PROCESSES)]
        in_fresh_process(RACE, store.url, *new, **ONE_THREAD)
        keys += new
        assert etags(store).items() >= before.items(), "overwritten or lost"
        assert sorted(keys_of(store)) == sorted(keys), "lost, half or twice"
    assert_all_whole(store)
    latest = current_alias(store, "digits", "latest")
    assert latest is not None
    assert latest.version == versions(store, "digits")[-1]
    assert len(moves(store, "champion")) == PROCESSES * ROUNDS


def test_processes_that_publish_one_key_at_once_make_one_version(store: Store) -> None:
    there = keys_of(store)
    for number in range(2):
        in_fresh_process(RACE, store.url, *[f"one{number}"] * PROCESSES, **ONE_THREAD)
        there.append(f"one{number}")
        assert keys_of(store) == there
    assert_all_whole(store)
