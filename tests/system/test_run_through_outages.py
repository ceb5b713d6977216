"""A whole run, and a search, whose store stops answering in the middle: for a while, and for longer than it has
patience.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_core.store import Store
from tests.pipeline import EXPERIMENT, GAN, Prefect, settings
from tests.s3_proxy import S3Proxy, s3_proxy
from tests.s3_server import s3_server

pytestmark = pytest.mark.system

OUTAGE_S = 10.0  # s3fs itself gives up after two
SECRET = "a-secret-that-must-not-travel"
TUNE = {"space": {"model.generator_optimizer.learning_rate": "loguniform(1e-4, 1e-2)"}, "samples": 3,
        "look_every": 640, "repeats": {"top": 0}}


class Lab:
    """An S3 store behind a proxy, and `gan run` on it."""

    def __init__(self, proxy: S3Proxy, folder: Path) -> None:
        self.proxy = proxy
        self.prefect = Prefect(folder / "prefect")
        self.profile = folder / "profile.yaml"
        self.profile.write_text("retries: 1\nretry_wait_s: 0.5\n")

    def fail_from(self, request: str, seconds: float | None = None) -> threading.Event:
        """All requests are answered 503 from the first that matches on, for as long as stated; says when it begins."""
        begun = threading.Event()

        def fault(method: str, path: str) -> tuple[int, str] | None:
            if not begun.is_set() and re.search(request, f"{method} {path}"):
                begun.set()
                if seconds is not None:
                    threading.Timer(seconds, self.proxy.mend).start()
            return (503, "SlowDown") if begun.is_set() else None

        self.proxy.fault = fault
        return begun

    def run(self, *overrides: str, command: tuple[str, ...] = ("run", EXPERIMENT)) -> subprocess.CompletedProcess[str]:
        words = [*command, "--store", "s3://lab/team", *settings("train.images=2560", *overrides), "--json",
                 "--profile", str(self.profile)]
        environment = self.prefect.environment()
        return subprocess.run([*GAN, *words], env=environment, capture_output=True, text=True, timeout=200)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="s3-"))  # Ray's sockets have paths of a hundred characters at most
    with s3_server("lab", SECRET) as server, s3_proxy(server.url) as proxy, \
            pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        for name in ("TMPDIR", "RAY_TMPDIR", "XDG_CACHE_HOME"):
            (folder / name).mkdir()
            patch.setenv(name, str(folder / name))
        yield Lab(proxy, folder)
    shutil.rmtree(folder, ignore_errors=True)


def statuses(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [stage["status"] for stage in json.loads(done.stdout)["stages"]]


def test_a_run_lives_through_an_outage_in_the_middle(lab: Lab) -> None:
    begun = lab.fail_from(r"PUT .*/checkpoints/.*MANIFEST", OUTAGE_S)
    done = lab.run()
    assert begun.is_set()
    assert done.returncode == 0, done.stderr
    assert statuses(done) == ["RUN"] * 4
    assert "trying again for up to" in done.stderr
    assert Store("s3://lab/team").exists("models/digits/versions/0001/MANIFEST.json")


def test_an_outage_that_outlasts_patience_is_a_line_a_try_and_the_same_command_goes_on(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAN_STORE_PATIENCE_S", "2")
    begun = lab.fail_from("PUT .*/scores/")
    done = lab.run("evaluate.k=3")
    assert begun.is_set()
    assert done.returncode == 1
    told, line = (line for line in done.stderr.splitlines() if line.startswith("gan: "))
    assert re.match(r"gan: evaluate: access to s3://lab/team/\S+ failed for .*; tried again in 0.\d s \(1 of 1\)$",
                    told), told
    assert re.match(r"gan: access to s3://lab/team/\S+ failed for [\d.]+ s: .*: when the store answers again, run the "
                    "same command again$", line), line
    assert "Traceback" not in done.stderr
    lab.proxy.mend()
    again = lab.run("evaluate.k=3")
    assert again.returncode == 0, again.stderr
    assert statuses(again)[-2:] == ["RUN", "RUN"]


def test_a_search_lives_through_an_outage_and_leaves_no_secret_and_no_pickle_in_the_store(lab: Lab) -> None:
    begun = lab.fail_from("PUT .*/looks/000000001920", OUTAGE_S)
    done = lab.run(f"tune={json.dumps(TUNE)}", command=("tune", EXPERIMENT, "--no-publish"))
    assert begun.is_set()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["search"]
    assert found["trials"] == {"finished": 3}
    assert [row["images"] for row in found["rows"]] == [2560] * 3
    store = Store("s3://lab/team")
    files = {path: store.read(f"tune/{path}") for path in store.sizes("tune")}
    assert any(path.endswith("/MANIFEST.json") for path in files)
    assert not [path for path, data in files.items() if SECRET.encode() in data or path.endswith(".pkl")]
