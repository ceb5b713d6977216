"""`gan doctor` on a real S3 store."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator

import pytest

from gan_core.exclusive import VERDICT, Verdict
from gan_core.store import Store
from tests.pipeline import GAN
from tests.system.ceph import SECRET, own_bucket

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def bucket(ceph: dict[str, str]) -> Iterator[str]:
    with own_bucket(ceph) as url:
        yield url


def test_ceph_can_be_trusted_and_only_the_verdict_is_left(bucket: str) -> None:
    done = subprocess.run([*GAN, "doctor", "--store", f"{bucket}/team", "--json"],
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["exclusive create"]["found"] == "8 writers, 50 rounds: 50 won, 350 lost"
    assert re.fullmatch(r"8 writers, 10 rounds: 10 won, 70 lost(, the ETag without its quotes)?",  # which is Ceph's way
                        found["compare and set"]["found"])
    assert found["large file"]["verdict"] == found["delete many"]["verdict"] == "good"
    assert SECRET not in done.stdout + done.stderr
    store = Store(f"{bucket}/team")
    assert set(store.sizes("")) == {VERDICT}
    verdict = Verdict.model_validate_json(store.read(VERDICT))
    assert (verdict.protocol, verdict.rounds) == ("exclusive-create", 50)
