"""A cluster on which nothing is done: others hold its CPUs.  Nobody waits for it without end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.store import Store
from tests.artefacts import finish_run, publish_one
from tests.test_looks import SHARDS, figures

pytestmark = pytest.mark.system
ALL_CPUS_HELD = """
import sys
from gan_core.errors import WorkersFailed
from gan_core.store import Store
from pipelines.cluster import connect, ray_for_a_while, start_ray
from pipelines.generate_order import Wish
from pipelines.generate_run import generate_set
from pipelines.on_ray_looks import on_ray_looks
from pipelines.profile import Profile
from tests.test_looks import figures
store, run = Store(sys.argv[1]), sys.argv[2]
profile = Profile(ray={"silent_s": 2})

def refused(act):
    try:
        act()
    except WorkersFailed as error:
        print(error)

class Holder:
    def there(self):
        return True

with ray_for_a_while():
    start_ray(profile, 1)
    connect(profile, 1)
    import ray
    cpus = ray.cluster_resources()["CPU"]
    holder = ray.remote(num_cpus=cpus)(Holder).remote()
    ray.get(holder.there.remote())
    refused(lambda: generate_set("digits", sys.argv[3], Wish(n=40, shard_images=20), store=store, profile=profile,
                                 workers=2))
    refused(lambda: figures((store, run), on_ray_looks(profile, worth=0), samples=None, split="train"))
"""


def test_generation_and_evaluation_say_that_nothing_is_done(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    write_shards(Digits(), store, SHARDS, shard_examples=200, key="digits")
    publish_one(store)
    run = finish_run(store)
    figures((store, run))  # the data set's own network is there
    command = [sys.executable, "-c", ALL_CPUS_HELD, store.url, run, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    of_generation, of_evaluation = done.stdout.splitlines()
    assert of_generation.startswith("no shard was made for 2 s; see whether the cluster has free CPUs")
    assert of_evaluation == ("no images were looked at for 2 s; see whether the cluster has free CPUs, by `ray status` "
                             "on the head; run the same command again")
