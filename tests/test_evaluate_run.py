"""`gan evaluate`: the first three stages, whose figures are shown; nothing is judged or published."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from gan_core.config import load_experiment
from gan_core.errors import GanError, Outage
from gan_core.store import Store
from pipelines import evaluate_run, first_stages
from pipelines.evaluate_run import evaluate_experiment, evaluate_opened
from pipelines.execute import Run
from pipelines.plan import Planner
from pipelines.profile import Profile
from pipelines.records import StageResult
from pipelines.run import Opened
from pipelines.runs import list_runs
from pipelines.train_run import train_opened
from tests.artefacts import finish_run, finish_scores
from tests.pipeline import EXPERIMENT

METRICS = {"fd_domain": {"value": 12.5, "n_real": 60, "n_fake": 60, "split": "test", "seed": 0, "network": "domain"}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def opened(store: Store) -> Opened:
    experiment = load_experiment(EXPERIMENT, ["publish.gate.fd_domain.at_most=1"])
    return Opened(experiment, Profile(retries=0), store, Planner(store, experiment))


def results(store: Store, **prefixes: str) -> tuple[StageResult, ...]:
    return tuple(StageResult(name=stage, status="RUN", seconds=1, uri=store.uri(at)) for stage, at in prefixes.items())


def test_the_figures_are_shown_and_printed_without_the_gates_word_on_them(
    store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = finish_run(store)
    scores = finish_scores(store, run, metrics=METRICS)
    ended = results(store, prepare="shards/s1", train=run, evaluate=scores)
    monkeypatch.setattr(evaluate_run, "do_stages", lambda opened, last, by: (ended, None))
    outcome = evaluate_opened(opened)
    said = capsys.readouterr().err
    assert "12.5000" in said
    assert "gate" not in said
    assert f"{scores}/report.html" in said
    printed = outcome.as_json()
    assert (printed["run"], printed["scores"], printed["metrics"]) == (store.uri(run), store.uri(scores), METRICS)


def test_training_that_failed_has_no_figures(
    store: Store, opened: Opened, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error, ended = GanError("no luck"), results(store, prepare="shards/s1")
    monkeypatch.setattr(evaluate_run, "do_stages", lambda opened, last, by: (ended, error))
    outcome = evaluate_opened(opened)
    assert outcome.error is error
    assert (outcome.as_json()["scores"], outcome.as_json()["metrics"]) == (None, {})
    assert "metric" not in capsys.readouterr().err


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, tuple[Any, ...]]]:
    """The stages that ran, and on what; none does anything.  Ray does not start."""
    ran: list[tuple[str, tuple[Any, ...]]] = []

    def stage(name: str) -> Any:
        def work(run: Run, *handles: Any) -> str:
            ran.append((name, handles))
            return f"of {name}"

        return work

    for name in ("prepare", "train", "evaluate", "publish"):
        monkeypatch.setattr(Run, name, stage(name))
    monkeypatch.setattr(first_stages, "ray_beside", lambda opened, trains: nullcontext())
    return ran


def test_evaluate_does_three_stages_and_train_two_and_both_are_recorded(
    store: Store, opened: Opened, done: list[tuple[str, tuple[Any, ...]]]
) -> None:
    assert evaluate_opened(opened).error is None
    assert done == [("prepare", ()), ("train", ("of prepare",)), ("evaluate", ("of prepare", "of train"))]
    done.clear()
    assert train_opened(opened).error is None
    assert [name for name, _ in done] == ["prepare", "train"]
    assert sorted(run.record.by for run in list_runs(store)) == ["gan evaluate", "gan train"]


def test_a_stage_that_fails_for_want_of_a_store_is_tried_again(
    store: Store, opened: Opened, done: list[tuple[str, tuple[Any, ...]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = [Outage("away")]

    def evaluate(run: Run, *handles: Any) -> None:
        if failures:
            raise failures.pop()
        done.append(("evaluate", handles))

    monkeypatch.setattr(Run, "evaluate", evaluate)
    patient = Opened(opened.experiment, Profile(retries=1, retry_wait_s=0.001), store, opened.planner)
    assert evaluate_opened(patient).error is None
    assert done[-1][0] == "evaluate"


def test_publishing_anew_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GanError, match=r"--remake publish: no such stage; known: prepare, train, evaluate$"):
        evaluate_experiment(EXPERIMENT, str(tmp_path), [], Profile(), ["publish"])
