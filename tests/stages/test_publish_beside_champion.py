"""Rules of the gate that are relative to the champion: what they are judged beside, and what is kept of that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gan_core.addresses import alias_moves, current_alias
from gan_core.config import Bound
from gan_core.options.gate import TIMES
from gan_core.store import Store
from pipelines.champion import CannotScore, Score, as_published, standard
from pipelines.gate import judge
from pipelines.handles import Published
from pipelines.models import Standard, Verdict, read_verdict, set_alias
from pipelines.promote import promote
from pipelines.stages import publish as publish_stage
from tests.artefacts import an_experiment, finish_scores, finish_shards, publish_as
from tests.compared import a_run, measured

GATE = {"fd_domain": {"at_most_champion": 1.02}}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def challenge(
    store: Store, key: str, fd: float, gate: dict[str, Any] | None = None, *, data: bytes = b"arrow",
    score: Score = as_published, coverage: float = 0.9, **terms: Any,
) -> Published:
    """Publishes a version with that fd.  terms: of its measurement, as seed=1."""
    run = a_run(store, f"r-{key}", finish_shards(store, f"s-{data.decode()}", data), [])
    metrics = {"fd_domain": measured(fd, **terms), "coverage_pixels": measured(coverage, "pixels", **terms),
               "kid_domain": measured(fd / 1e4, **terms)}
    scores = finish_scores(store, run, f"e-{key}", metrics=metrics)
    return publish_as(store, key, run, scores, an_experiment(GATE if gate is None else gate), score)


def champion(store: Store) -> str | None:
    current = current_alias(store, "digits", "champion")
    return current.version if current else None


def verdict(store: Store, version: str, gate: dict[str, Any] | None = None) -> Verdict:
    found = read_verdict(store, "digits", version, an_experiment(GATE if gate is None else gate).publish.gate)
    assert found is not None
    return found


class Scored:
    """Measures any champion anew as these values, and counts."""

    def __init__(self, **values: float) -> None:
        self.values, self.asked = values, list[str]()

    def __call__(self, prefix: str) -> Mapping[str, Mapping[str, Any]]:
        self.asked.append(prefix)
        return {name: {"value": value} for name, value in self.values.items()}


def test_without_a_champion_relative_rules_pass_and_the_verdict_says_so(store: Store) -> None:
    assert challenge(store, "a", 10).promoted
    kept = verdict(store, "0001")
    assert (kept.passed, kept.champion) == (True, None)
    assert kept.notes == ("no champion yet: what fd_domain must be beside it passes",)


def test_a_version_is_judged_by_the_champions_published_number_where_that_is_on_the_same_terms(store: Store) -> None:
    challenge(store, "a", 10)
    assert challenge(store, "b", 10.2).promoted
    refused = challenge(store, "c", 11)
    assert refused.refusals == (
        f"fd_domain 11 is 0.596 above at_most 1.02 {TIMES} champion, which is 10.404: champion 0002 has 10.2",)
    assert champion(store) == "0002"
    kept = verdict(store, "0003")
    assert kept.champion == Standard(version="0002", values={"fd_domain": 10.2})
    assert (kept.passed, kept.refusals) == (False, refused.refusals)


def test_each_promotion_says_beside_whom(store: Store) -> None:
    challenge(store, "a", 10)
    challenge(store, "b", 10)
    assert [move.why for move in alias_moves(store, "digits", "champion")] == [
        "passed the gate: fd_domain", "passed the gate: fd_domain, beside champion 0001"]


@pytest.mark.parametrize("other", [{"seed": 1}, {"split": "validation"}, {"k": 3}, {"n_real": 99}, {"data": b"other"}])
def test_a_champion_on_other_terms_is_measured_anew(store: Store, other: dict[str, Any]) -> None:
    challenge(store, "a", 1)
    score = Scored(fd_domain=20.0, coverage_pixels=0.1)
    assert challenge(store, "b", 20.1, score=score, **other).promoted
    assert score.asked == ["models/digits/versions/0001"]
    assert verdict(store, "0002").champion == Standard(version="0001", values={"fd_domain": 20.0}, anew=("fd_domain",))


def test_what_is_on_the_same_terms_is_not_measured_anew(store: Store) -> None:
    challenge(store, "a", 10)
    score = Scored(fd_domain=1.0)
    assert challenge(store, "b", 10, score=score).promoted
    assert score.asked == []


def test_a_gate_without_relative_rules_asks_nothing_of_the_champion(store: Store) -> None:
    gate = {"fd_domain": {"at_most": 20}}
    challenge(store, "a", 10, gate)
    score = Scored()
    assert challenge(store, "b", 19, gate, data=b"other", score=score).promoted
    assert score.asked == []
    assert verdict(store, "0002", gate).notes == ()


def fails(prefix: str) -> Mapping[str, Mapping[str, Any]]:
    raise CannotScore("makes images of 1x8x8, and this data set has 3x32x32")


def test_a_champion_that_cannot_be_measured_there_is_a_refusal_that_says_why_and_what_to_do(store: Store) -> None:
    challenge(store, "a", 10)
    refused = challenge(store, "b", 1, data=b"other", score=fails)
    (line,) = refused.refusals
    assert line == (
        f"fd_domain cannot be judged by at_most 1.02 {TIMES} champion: champion 0001 makes images of 1x8x8, and this "
        "data set has 3x32x32; where 0002 is the better one, `gan models promote digits@0002 --reason …` makes it "
        "champion, or leave the rule out")
    assert champion(store) == "0001"
    promote(store, "digits@0002", "champion", "another data set")
    assert challenge(store, "c", 1, data=b"other").promoted


def test_a_champion_that_lost_a_file_is_a_refusal_too(store: Store) -> None:
    challenge(store, "a", 10)
    store.delete("models/digits/versions/0001/metrics.json")
    (line,) = challenge(store, "b", 1).refusals
    assert "champion 0001 is not whole any more; where 0002 is the better one" in line


def test_a_champion_without_that_metric_is_a_refusal_too(store: Store) -> None:
    gate = {"coverage_pixels": {"at_least_champion": 0.98}}
    challenge(store, "a", 10, gate)
    (line,) = challenge(store, "b", 10, gate, seed=1, score=Scored(fd_domain=3.0)).refusals
    assert line.startswith(f"coverage_pixels cannot be judged by at_least 0.98 {TIMES} champion: champion 0001 is no ")


def test_an_outage_while_the_champion_is_measured_leaves_no_verdict(store: Store) -> None:
    challenge(store, "a", 10)

    def down(prefix: str) -> Mapping[str, Mapping[str, Any]]:
        raise ConnectionError("the line went down")

    with pytest.raises(ConnectionError):
        challenge(store, "b", 10, seed=1, score=down)
    assert champion(store) == "0001"
    assert challenge(store, "b", 10, seed=1, score=Scored(fd_domain=10.0)).promoted
    assert champion(store) == "0002"


def test_a_verdict_is_given_once_whoever_is_champion_later(store: Store) -> None:
    challenge(store, "a", 10)
    assert not challenge(store, "b", 11).promoted
    challenge(store, "c", 5, {"fd_domain": {"at_most": 100}})
    promote(store, "digits@0002", "champion", "by hand")
    promote(store, "digits@0003", "champion", "by hand")
    again = challenge(store, "b", 11)
    assert (again.version, again.promoted, again.refusals) == ("0002", False, ())
    assert verdict(store, "0002").champion == Standard(version="0001", values={"fd_domain": 10.0})


def test_a_kill_after_the_promotion_is_judged_beside_the_same_champion_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    challenge(store, "a", 10)
    with monkeypatch.context() as patch:
        patch.setattr(publish_stage, "gate_path", lambda *told: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            challenge(store, "b", 10.1)
    assert champion(store) == "0002"
    assert challenge(store, "b", 10.1).promoted
    assert verdict(store, "0002").champion == Standard(version="0001", values={"fd_domain": 10.0})
    assert len(alias_moves(store, "digits", "champion")) == 2


@pytest.mark.parametrize(("faster", "promoted"), [(10.1, True), (5.0, False)])
def test_a_version_replaces_no_champion_but_the_one_that_it_was_judged_beside(
    store: Store, monkeypatch: pytest.MonkeyPatch, faster: float, promoted: bool
) -> None:
    """Two challengers of 0001: the other becomes champion while this one is judged."""
    challenge(store, "a", 10)
    challenge(store, "other", faster, {"fd_domain": {"at_most": 0}})
    real = publish_stage.judge

    def slowly(*told: Any) -> Any:
        found = real(*told)
        monkeypatch.setattr(publish_stage, "judge", real)
        set_alias(store, "digits", "champion", "0002", why="was faster")
        return found

    monkeypatch.setattr(publish_stage, "judge", slowly)
    assert challenge(store, "b", 10.1).promoted is promoted
    assert champion(store) == ("0003" if promoted else "0002")
    assert verdict(store, "0003").champion == Standard(version="0002", values={"fd_domain": faster})


def test_a_run_names_the_champion_in_its_table(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    from pipelines.outcome import Outcome
    from pipelines.show import result_table

    gate = GATE | {"kid_domain": {"at_most_champion_plus": 0.001}, "coverage_pixels": {"at_least": 0.95}}
    for key, fd in (("a", 10.0), ("b", 11.0)):
        done = challenge(store, key, fd, gate, coverage=0.96)
        result_table(store, an_experiment(gate), Outcome((), done.uri, None))
    first, second = capsys.readouterr().err.split("metric")[1:]
    assert f"at most 1.02 {TIMES} champion (none yet) ✓" in first
    assert f"at most 1.02 {TIMES} champion 0001 (10.0000) ✗" in second
    assert "at most champion 0001 (0.0010) + 0.001 ✓" in second
    assert "at least 0.95 ✓" in second


# --- rules by themselves ------------------------------------------------------------------------------------


def refusals(value: float | None, champion: float | None, **bound: float) -> list[str]:
    beside = Standard(version="0001", values={} if champion is None else {"m": champion})
    return [str(refusal) for refusal in judge({"m": {"value": value}}, {"m": Bound(**bound)}, beside)]


@pytest.mark.parametrize(("bound", "keeps", "breaks"), [
    ({"at_most_champion": 1.5}, 15.0, 15.1), ({"at_least_champion": 0.5}, 5.0, 4.9),
    ({"at_most_champion_plus": 1}, 11.0, 11.1), ({"at_least_champion_minus": 1}, 9.0, 8.9),
    ({"at_most_champion": 0.5}, 5.0, 5.1),
])
def test_each_rule_holds_at_its_own_value(bound: dict[str, float], keeps: float, breaks: float) -> None:
    assert refusals(keeps, 10.0, **bound) == []
    (line,) = refusals(breaks, 10.0, **bound)
    assert "champion 0001 has 10" in line


def test_absolute_and_relative_rules_are_judged_each(store: Store) -> None:
    lines = refusals(21.0, 10.0, at_most=20, at_most_champion=1.02, at_most_champion_plus=20)
    assert lines == ["m 21 is 1 above at_most 20",
                     f"m 21 is 10.8 above at_most 1.02 {TIMES} champion, which is 10.2: champion 0001 has 10"]


def test_what_was_not_measured_is_refused_once_and_a_champion_without_it_too() -> None:
    assert refusals(None, 10.0, at_most_champion=1) == [
        f"m was not measured; the gate asks for at_most 1 {TIMES} champion"]
    assert refusals(1.0, None, at_most_champion=1) == [
        f"m cannot be judged by at_most 1 {TIMES} champion: champion 0001 has no m"]


def test_a_factor_of_a_negative_number_says_nothing_and_a_difference_does() -> None:
    (line,) = refusals(-2.0, -1.0, at_most_champion=1.02)
    assert line.endswith("champion 0001 has -1, of which a factor says nothing; at_most_champion_plus works")
    assert refusals(-0.5, -1.0, at_most_champion_plus=0.5) == []
    assert refusals(0.0, 0.0, at_most_champion=1.02) == []


def test_a_metric_that_the_challenger_lacks_is_not_asked_of_the_champion(store: Store) -> None:
    challenge(store, "a", 10)
    challenge(store, "b", 11)
    found = standard(store, "digits", "0001", "0002", ("fd_domain", "recall_pixels"), as_published)
    assert found == Standard(version="0001", values={"fd_domain": 10.0})
