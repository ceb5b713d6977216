"""Ending early: each rule, what it remembers, and that a resume decides as the run that was never stopped."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from gan_core.config import Experiment, StopRule
from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError
from gan_core.store import Store
from gan_core.train.loop import fit
from gan_core.train.report import Trouble
from gan_core.train.stop_rules import Memory, ended_by, judge
from gan_core.train.trouble import MODE_COLLAPSE, WINS
from gan_core.train.watch import ALWAYS
from tests.train.runs import Scripted, finished, place

LOSS = "loss/generator"
Row = dict[str, float]


def no_progress(patience: int, metric: str = LOSS, goal: str = "min") -> StopRule:
    return StopRule.model_validate({"rule": "no_progress", "metric": metric, "patience": patience, "goal": goal})


def target(value: float, goal: str = "min") -> StopRule:
    return StopRule.model_validate({"rule": "target", "metric": LOSS, "value": value, "goal": goal})


def rows(*losses: float | None) -> list[Row]:
    """A row each 100 images, without a loss where it is None."""
    return [{"position": 100.0 * (i + 1), ALWAYS: 0.0, **({} if loss is None else {LOSS: loss})}
            for i, loss in enumerate(losses)]


def ends_at(rules: Sequence[StopRule], seen: Sequence[Row], reload: Callable[[Memory], Memory] = dict) -> int | None:
    """The position at which the rules end the run; `reload` is what a checkpoint does to the memory."""
    memory: Memory = {}
    for row in seen:
        memory, reason = judge(rules, reload(memory), row, [])
        if reason:
            return int(row["position"])
    return None


def through_json(memory: Memory) -> Memory:
    return json.loads(json.dumps(memory))  # type: ignore[no-any-return]


def through_a_checkpoint(memory: Memory) -> Memory:
    file = io.BytesIO()
    torch.save(memory, file)
    file.seek(0)
    return torch.load(file, weights_only=True)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("rule", "losses", "end"), [
    (no_progress(300), (3, 2, 1, 1, 1, 1, 1), 600),
    (no_progress(300), (3, 2, 1, 1, 1, 0.9, 1, 1), None),
    (no_progress(300), (1, 2, 3), None),
    (no_progress(300, goal="max"), (3, 2, 1, 1, 1), 400),
    (no_progress(300), (1, float("nan"), float("nan"), float("nan")), 400),
    (no_progress(300), (float("nan"), 5, 5, 5, 4, 4, 4), None),
    (no_progress(300), (1, 2, None, None, None, 2), 600),
    (no_progress(300), (1, 2, None, None, None, 0.5, 2), None),
    (target(1.5), (3, 2, 1, 1), 300),
    (target(1.0), (3, 2, 1.0), 300),
    (target(0.5), (3, 2, 1, 1), None),
    (target(2.5, goal="max"), (1, 2, 3), 300),
    (target(0.5), (None, None, float("nan")), None),
])  # fmt: skip
def test_a_metric_ends_a_run_where_its_rule_says(rule: StopRule, losses: tuple[float, ...], end: int | None) -> None:
    assert ends_at([rule], rows(*losses)) == end


def test_patience_outlasts_the_rows_that_are_remembered() -> None:
    long = rows(0.5, *[1.0] * 200)
    assert ends_at([no_progress(15_000)], long) == 15_100
    assert "0.5 after 100 images" in str(ended_by((no_progress(15_000),), long))


@pytest.mark.parametrize("reload", [through_json, through_a_checkpoint])
def test_a_run_that_resumes_at_every_row_ends_where_the_uninterrupted_does(reload: Callable[[Memory], Memory]) -> None:
    generator = torch.Generator().manual_seed(0)
    losses = (3 * torch.rand(200, generator=generator, dtype=torch.float64)).tolist()
    for rules in ([no_progress(patience)] for patience in (500, 1500, 3000, 6000)):
        assert ends_at(rules, rows(*losses), reload) == ends_at(rules, rows(*losses))
    assert ends_at([no_progress(1500)], rows(*losses)) is not None


def test_the_memory_that_was_handed_over_stays_as_it_was() -> None:
    rules = [no_progress(300)]
    first, _ = judge(rules, {}, rows(3)[0], [])
    kept = through_json(first)
    judge(rules, first, rows(3, 1)[1], [])
    assert first == kept


def test_collapse_ends_a_run_with_what_was_seen_and_other_troubles_do_not() -> None:
    rule = StopRule(rule="collapse")
    others = [Trouble(WINS, "it wins", "…")]
    assert judge([rule], {}, rows(1)[0], others)[1] is None
    reason = judge([rule], {}, rows(1)[0], [*others, Trouble(MODE_COLLAPSE, "all alike", "…")])[1]
    assert reason == "mode collapse: all alike"


def test_the_reason_is_the_first_rules_in_one_line_with_its_numbers() -> None:
    rules = (target(0.1), no_progress(300), target(9.0))
    assert ended_by(rules, rows(1)) == "target: loss/generator is 1, at most 9"
    assert ended_by(rules[:2], rows(1, 2, 2, 2)) == \
        "no progress: loss/generator was 1 after 100 images, and nothing in the 300 since was lower"
    assert ended_by(rules[:2], rows(1, 2, 2)) is None
    assert ended_by((), rows(1)) is None


def test_a_metric_that_is_not_in_the_curves_is_refused_with_its_neighbours() -> None:
    rule = no_progress(300, metric="loss/generatr")
    with pytest.raises(ConfigError, match=r"^train\.stop_when\.1\.metric: the curves have no 'loss/generatr'; "
                                          r"did you mean loss/generator.*they have .*logits/train"):
        ends_at([target(0), rule], rows(1, 1, 1, 1))


def test_a_misspelt_measurement_is_refused_before_any_was_taken() -> None:
    unwatched = [{"position": 100.0 * (i + 1), LOSS: 1.0} for i in range(5)]
    with pytest.raises(ConfigError, match="did you mean diversity/"):
        ends_at([no_progress(300, metric="diversty/pairwise")], unwatched)


def test_a_measurement_is_waited_for_until_others_like_it_were_taken() -> None:
    unwatched: list[Row] = [{"position": 100.0 * (i + 1), LOSS: 1.0} for i in range(20)]
    rule = no_progress(300, metric="diversity/pairwise")
    assert ends_at([rule], unwatched) is None
    watched = {"position": 2100.0, LOSS: 1.0, ALWAYS: 0.0}
    assert ends_at([rule], [*unwatched, watched | {"diversity/pairwise": 0.5}]) is None
    with pytest.raises(ConfigError, match="no 'diversity/pairwise'"):
        ends_at([rule], [*unwatched, watched])


def test_a_penalty_that_is_not_taken_at_every_step_is_waited_for() -> None:
    late = rows(1, 1, 1)
    late[2]["penalty/r1"] = 1.0
    assert ends_at([no_progress(300, metric="penalty/r1")], [*late, *rows(1, 1, 1, 1, 1)[3:]]) is None


@pytest.mark.slow
def test_a_run_that_is_killed_in_its_patience_ends_where_the_uninterrupted_one_does(
    tmp_path: Path, digits_store: Store, experiment: Callable[..., Experiment]
) -> None:
    rule = no_progress(320, metric="loss/discriminator", goal="max")  # it only falls at first
    settings = experiment(train={"images": 1024, "stop_when": [rule.model_dump()]})
    shards = open_shards(digits_store, "shards/digits")
    ends = []
    for name, dies_at in (("whole", -1), ("killed", 320)):
        run, heard = place(Store(tmp_path / name)), Scripted(dies_at=dies_at)
        if dies_at > 0:
            with pytest.raises(KeyboardInterrupt):
                fit(settings, shards, run, heard, threads=1)
            heard = Scripted()
        assert fit(settings, shards, run, heard, threads=1)
        assert any("no progress: loss/discriminator was" in note for note in heard.notes)
        ends.append(finished(run.store).facts["position"])
    assert ends == [384, 384]  # 320 after the first row
