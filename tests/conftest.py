"""What tests share: digits as shards, an experiment that trains in half a second, one real run of the pipeline."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gan_core.config import Experiment, experiment_from
from gan_core.data.sources.digits import Digits
from gan_core.data.write import write_shards
from gan_core.store import Store
from tests.pipeline import EXPERIMENT, GAN, Prefect, free_port, kill_tree, settings, wait_for_server
from tests.system.ceph import ceph

__all__ = ["ceph"]

TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"source": "digits"},
    "model": {"recipe": "dcgan", "width": 8, "latent": 8},
    "train": {"images": 512, "batch": 64, "checkpoint_every": 128, "report_every": 64},
}
# a command, and then its exit status, whole, as a file in the folder that comes before it
AND_ITS_STATUS = '"$@"; echo $? > "$0/status.new"; mv "$0/status.new" "$0/status"'


@pytest.fixture(scope="session")
def digits_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with digits as `shards/digits`.  Shared by all tests: read it, write elsewhere."""
    store = Store(tmp_path_factory.mktemp("digits"))
    write_shards(Digits(), store, "shards/digits", shard_examples=4096, key="digits")
    return store


@pytest.fixture(scope="session")
def experiment() -> Callable[..., Experiment]:
    """experiment(seed=1, train={"batch": 32}): the tiny experiment with these settings instead of its own."""

    def make(**overrides: Any) -> Experiment:
        blocks = {name: {**TINY.get(name, {}), **block} if isinstance(block, dict) else block
                  for name, block in overrides.items()}
        return experiment_from(TINY | blocks)

    return make


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Prefect:
    """No server configured, as on a laptop."""
    return Prefect(tmp_path_factory.mktemp("embedded"))


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    """A Prefect server that runs already."""
    home = tmp_path_factory.mktemp("served")
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env=Prefect(home).environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    prefect = Prefect(home, f"http://127.0.0.1:{port}/api")
    wait_for_server(prefect)
    yield prefect
    kill_tree(process)


@pytest.fixture(scope="session", autouse=True)
def small_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, embedded: Prefect
) -> Iterator[Path | None]:
    """Where the small run is, if a test asks for it.  Begun before the first test, so that others are not kept waiting.

    One for all of pytest's workers: the first of them begins it, and ends no sooner than it.
    """
    if not any("undisturbed" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    one_of_several = "PYTEST_XDIST_WORKER" in os.environ
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if one_of_several else own) / "undisturbed"
    try:
        folder.mkdir()
    except FileExistsError:  # another worker has begun it
        yield folder
        return
    command = [*GAN, "run", EXPERIMENT, "--store", str(folder / "store"), *settings(), "--json"]
    with (folder / "printed").open("w") as printed, (folder / "said").open("w") as said:
        process = subprocess.Popen(["sh", "-c", AND_ITS_STATUS, folder, *command], env=embedded.environment(),
                                   stdout=printed, stderr=said)
    yield folder
    if one_of_several:
        process.wait(timeout=400)
    kill_tree(process)


@pytest.fixture(scope="session")
def undisturbed(small_run: Path) -> tuple[Path, str, str]:
    """The finished small run: its store, what it printed as JSON, and what it said."""
    deadline = time.monotonic() + 400
    while not (small_run / "status").exists():
        assert time.monotonic() < deadline, "the small run did not end"
        time.sleep(0.2)
    said = (small_run / "said").read_text()
    assert int((small_run / "status").read_text()) == 0, said
    return small_run / "store", (small_run / "printed").read_text(), said


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real data sets as files, where GAN_TEST_DATA says they are."""
    if not (root := os.environ.get("GAN_TEST_DATA")):
        pytest.skip("GAN_TEST_DATA names no folder of real data sets")
    return Path(root)


def pytest_collection() -> None:
    """No garbage collection until all is collected."""
    gc.disable()


@pytest.hookimpl(trylast=True)  # after those that are not asked for have gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with the most slow tests come first, so that no worker is left with one when the others have ended."""
    slow = Counter(item.path for item in items if any(map(item.get_closest_marker, ("slow", "system"))))
    items.sort(key=lambda item: -slow[item.path])


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end; looking through it for garbage takes a second each time."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Where GAN_TEST_NO_SKIPS is set, as in CI, a skipped test has failed."""
    report = yield
    if report.skipped and os.environ.get("GAN_TEST_NO_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped: {report.longrepr}"
    return report
