"""What Prefect is shown of a run: the champion beside the new numbers, a picture that its database can hold."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image

from gan_core.pictures import png
from gan_core.store import Store
from pipelines import artifacts_prefect
from pipelines.artifacts_prefect import PNG_BYTES, fitting, headline, key, never_fails, summary
from pipelines.compared_version import read_version
from pipelines.execute import Run
from pipelines.handles import Published, Trained
from tests.artefacts import an_experiment, finish_scores, finish_shards, publish_as
from tests.compared import a_run, measured

GATE = {"fd_domain": {"at_most_champion": 1.02}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def published(store: Store, name: str, fd: float, data: bytes = b"arrow", **terms: Any) -> dict[str, dict[str, Any]]:
    """The headline rows of a version with that fd, by metric."""
    run = a_run(store, f"r-{name}", finish_shards(store, f"s-{data.decode()}", data), [])
    metrics = {"fd_domain": measured(fd, **terms), "coverage_pixels": measured(0.9, "pixels", **terms)}
    experiment = an_experiment(GATE)
    made = publish_as(store, name, run, finish_scores(store, run, f"e-{name}", metrics=metrics), experiment,
                      lambda champion: {"fd_domain": {"value": 11.5}})
    version = read_version(store, f"models/digits/versions/{made.version}", made.version)
    return {row["metric"]: row for row in headline(Run.of(experiment.as_json(), store.url, {}), version)}


def test_the_first_version_has_no_champion_beside_it(store: Store) -> None:
    assert published(store, "a", 10)["fd_domain"] == {
        "metric": "fd_domain", "value": 10, "network": "domain", "n": 360, "champion": "—"}


def test_the_champion_before_stands_beside_a_version_also_where_that_is_champion_now(store: Store) -> None:
    published(store, "a", 10)
    rows = published(store, "b", 9)
    assert [rows[metric]["champion"] for metric in ("fd_domain", "coverage_pixels")] == ["10 (0001)", "0.9 (0001)"]


def test_what_was_measured_anew_says_so_and_what_was_not_says_why(store: Store) -> None:
    published(store, "a", 10)
    rows = published(store, "b", 9, seed=1)
    assert rows["fd_domain"]["champion"] == "11.5 (0001, measured anew)"
    assert rows["coverage_pixels"]["champion"] == "— (0001: seed 0 against 1)"


def test_a_picture_that_is_too_large_is_shrunk_until_it_fits_and_others_stay_as_they_are() -> None:
    noise = png(Image.frombytes("RGB", (512, 512), Random(0).randbytes(3 * 512**2)))
    small = fitting(noise)
    assert len(noise) > PNG_BYTES >= len(small)
    assert Image.open(BytesIO(small)).size == (256, 256)
    assert fitting(small) is small


def test_the_commands_of_the_summary_name_the_version_and_the_curves(store: Store, tmp_path: Path) -> None:
    uri = store.uri("models/digits/versions/0003")
    told = summary(store, "digits", Trained("", "runs/abc", ""), Published(uri, "0003", False, ("fd_domain 11 is …",)))
    assert f"`gan models show digits@0003 --store {store.url}`" in told
    assert f"`tensorboard --logdir {tmp_path}/store/runs/abc/tensorboard`" in told
    assert "refused by the gate: fd_domain 11 is …" in told


def test_keys_are_what_prefect_takes(store: Store) -> None:
    experiment = an_experiment().as_json() | {"name": "my_digits-2"}
    assert key(Run.of(experiment, store.url, {}), "metrics") == "my-digits-2-metrics"


def test_what_cannot_be_shown_ends_no_stage(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(artifacts_prefect, "get_run_logger", lambda: logging.getLogger("run"))

    @never_fails
    def show() -> None:
        raise ConnectionError("no server")

    show()
    assert "show: cannot be shown: no server" in caplog.text
