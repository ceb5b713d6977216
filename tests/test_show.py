"""What stands below the tables at the end of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from gan_core.store import Store
from pipelines.outcome import Outcome
from pipelines.show import result_table
from tests.artefacts import an_experiment, finish_run, finish_scores, publish_as


def test_a_figure_that_few_examples_bend_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path)
    warned = {"value": 12.5, "n_real": 60, "n_fake": 60, "split": "test", "seed": 0, "network": "domain", "low": 10.0,
              "high": 15.0, "level": 0.95,
              "warning": "60 images are few for 64 features; evaluate.samples=320 would do"}
    run = finish_run(store)
    published = publish_as(store, "p1", run, finish_scores(store, run, metrics={"fd_domain": warned}))
    result_table(store, an_experiment(), Outcome((), published.uri, None))
    said = capsys.readouterr().err
    assert "12.5000 (10.0000 to 15.0000)" in said
    assert "fd_domain: 60 images are few for 64 features; evaluate.samples=320 would do" in said
