"""Notifications: what is told of a run, where to, and that no address is ever printed."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gan_core.errors import ConfigError, DataError, Interrupted, Outage, Superseded
from gan_core.store import Store
from pipelines import notify
from pipelines.champion import Score, as_published
from pipelines.doctor_services import notifications
from pipelines.handles import Published
from pipelines.notify import Event, tell, tell_outcome, wanted
from pipelines.send import send, shown
from tests.artefacts import an_experiment, finish_scores, finish_shards, publish_as
from tests.compared import a_run, measured
from tests.sink import Sink, sink

pytestmark = pytest.mark.filterwarnings("ignore:'imghdr':DeprecationWarning")  # Apprise's e-mail imports it
SECRETS = ("hunter2", "s3cr3t", "t0ken")
GATE = {"fd_domain": {"at_most_champion": 1.02}}


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sink]:
    """The one address that is told."""
    with sink() as made:
        monkeypatch.setenv("GAN_NOTIFY", made.url)
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def challenge(
    store: Store, key: str, fd: float, gate: dict[str, Any] | None = None, *, data: bytes = b"arrow",
    score: Score = as_published, **terms: Any,
) -> Published:
    """Publishes a version with that fd, and tells of it.  terms: of its measurement, as seed=1."""
    experiment = an_experiment(GATE if gate is None else gate)
    run = a_run(store, f"r-{key}", finish_shards(store, f"s-{data.decode()}", data), [])
    metrics = {"fd_domain": measured(fd, **terms), "kid_domain": measured(fd / 1e4, **terms)}
    published = publish_as(store, key, run, finish_scores(store, run, f"e-{key}", metrics=metrics), experiment, score)
    tell_outcome(store, experiment, published)
    return published


def scored(**values: float) -> Score:
    return lambda prefix: {name: {"value": value} for name, value in values.items()}


def test_a_failure_is_told_with_its_paragraph(heard: Sink, store: Store) -> None:
    tell_outcome(store, an_experiment(), DataError("no\nimages"), "digits failed in prepare: no images.\nLook there.")
    (message,) = heard.taken
    assert (message["title"], message["type"]) == ("digits: failed", "failure")
    assert message["message"] == "digits failed in prepare: no images.\nLook there."


@pytest.mark.parametrize("stopped", [Interrupted("stopped"), KeyboardInterrupt(), Superseded("by another")])
def test_what_somebody_stopped_is_no_failure(heard: Sink, store: Store, stopped: BaseException) -> None:
    tell_outcome(store, an_experiment(), stopped)
    assert heard.taken == []


def test_a_promotion_and_a_refusal_are_told_once(heard: Sink, store: Store) -> None:
    challenge(store, "a", 10)
    challenge(store, "b", 11)
    challenge(store, "b", 11)  # published and judged already
    assert heard.titles() == ["digits: 0001 is champion", "digits: the gate refused 0002"]
    assert "fd_domain 11 is 0.8 above" in heard.taken[1]["message"]
    assert store.uri("models/digits/versions/0002") in heard.taken[1]["message"]


def test_a_champion_that_is_clearly_worse_on_newer_data_is_told_with_both_numbers(heard: Sink, store: Store) -> None:
    challenge(store, "a", 10)
    challenge(store, "b", 20, data=b"newer", score=scored(fd_domain=11.5), n_real=400)
    assert heard.titles()[1:] == ["digits: the gate refused 0002", "digits: champion 0001 is worse on the newest data"]
    assert heard.taken[-1]["message"].splitlines()[:2] == [
        "fd_domain 11.5 on the newest data (n = 400) is 15% worse than 10, with which it was published (n = 360)",
        "It is still champion."]


def test_that_the_champion_was_replaced_is_told_too(heard: Sink, store: Store) -> None:
    challenge(store, "a", 10)
    challenge(store, "b", 9, data=b"newer", score=scored(fd_domain=12))
    assert heard.titles()[1:] == ["digits: 0002 is champion", "digits: champion 0001 is worse on the newest data"]
    assert "0002 took its place." in heard.taken[-1]["message"]


@pytest.mark.parametrize(("gate", "before", "anew", "terms"), [
    (GATE, 10, {"fd_domain": 10.9}, {"data": b"newer"}),  # within a tenth
    (GATE, 10, {"fd_domain": 5}, {"data": b"newer"}),  # better
    (GATE, 10, {"fd_domain": 20}, {"seed": 1}),  # measured in another way
    ({"fd_domain": {"at_least_champion": 0.5}}, 10, {"fd_domain": 20}, {"data": b"newer"}),  # the gate wants more of it
    ({"kid_domain": {"at_most_champion_plus": 9}}, 10, {"kid_domain": 0.002}, {"data": b"newer"}),  # a share of about 0
])
def test_a_champion_that_holds_is_not_told_of(
    heard: Sink, store: Store, gate: dict[str, Any], before: float, anew: dict[str, float], terms: dict[str, Any]
) -> None:
    challenge(store, "a", before, gate)
    challenge(store, "b", 100, gate, score=scored(**anew), **terms)
    assert len(heard.taken) == 2
    assert not any("worse" in title for title in heard.titles())


def test_a_metric_of_which_more_is_better_regresses_downwards(heard: Sink, store: Store) -> None:
    gate = {"fd_domain": {"at_least_champion": 0.5}}
    challenge(store, "a", 10, gate)
    challenge(store, "b", 10, gate, data=b"newer", score=scored(fd_domain=8))
    assert "fd_domain 8 on the newest data" in heard.taken[-1]["message"]


def test_a_store_that_cannot_be_asked_about_the_champion_costs_a_line(
    heard: Sink, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent(*given: object) -> None:
        raise Outage("the store did not answer")

    monkeypatch.setattr(notify, "regression", silent)
    challenge(store, "a", 10)
    assert heard.titles() == ["digits: 0001 is champion"]
    assert capsys.readouterr().err == "gan: notification: the store did not answer\n"


def test_a_late_run_is_told(heard: Sink) -> None:
    tell(Event.LATE, "digits:\n late", "since 02:00")
    assert [(m["title"], m["message"], m["type"]) for m in heard.taken] == [("digits: late", "since 02:00", "warning")]


def test_only_events_that_are_wanted_are_told(heard: Sink, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GAN_NOTIFY_ON", "LATE, refused")
    assert wanted() == {Event.LATE, Event.REFUSED}
    challenge(store, "a", 10)
    challenge(store, "b", 11)
    assert heard.titles() == ["digits: the gate refused 0002"]


def test_a_wrong_name_of_an_event_is_named_and_all_are_told(
    heard: Sink, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GAN_NOTIFY_ON", "failure")
    with pytest.raises(ConfigError, match="'failure' is no event; GAN_NOTIFY_ON='failed refused promoted regressed la"):
        wanted()
    tell(Event.LATE, "digits: late", "")
    assert heard.titles() == ["digits: late"]
    assert "'failure' is no event" in capsys.readouterr().err


def test_without_addresses_nothing_is_sent_or_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GAN_NOTIFY", raising=False)
    tell(Event.LATE, "digits: late", "")
    assert capsys.readouterr().err == ""


def test_an_address_that_refuses_or_is_not_there_costs_a_line_each_and_the_others_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with sink() as gone:
        """Nobody listens there any more."""
    with sink(500) as refusing, sink() as good:
        slack = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#s3cr3t"
        slack_broken = "slack://hunter2/#t0ken"
        monkeypatch.setenv("GAN_NOTIFY", f"{refusing.url} {gone.url} {slack_broken} s3cr3t {good.url}")
        tell(Event.FAILED, "digits: failed", "why")
        assert good.titles() == ["digits: failed"]
    said = capsys.readouterr().err
    assert said.splitlines() == [
        f"gan: notification: json://127.0.0.1:{refusing.port} was not told that failed: it answered 500",
        f"gan: notification: json://127.0.0.1:{gone.port} was not told that failed: it cannot be reached",
        "gan: notification: slack://… was not told that failed: Apprise knows no such address",
        "gan: notification: an address was not told that failed: Apprise knows no such address",
    ]
    assert not any(secret in said + caplog.text for secret in SECRETS)
    assert shown(slack) == "slack://…"


def test_a_sink_that_hangs_does_not_hang_the_run(
    heard: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sink(None) as hanging:
        monkeypatch.setenv("GAN_NOTIFY", f"{hanging.url} {heard.url}")
        began = time.monotonic()
        answers = send("digits: late", "", "warning", give_up_s=0.5)
        assert hanging.taken
        assert time.monotonic() - began < 3  # Apprise itself would wait for 4
    assert [answer.failed for answer in answers] == ["no answer within 0.5 s", ""]
    assert heard.titles() == ["digits: late"]


@pytest.mark.parametrize(("address", "told"), [
    ("json://user:hunter2@host:8080/path", "json://host:8080"),
    ("mailtos://user:hunter2@gmail.com", "mailtos://gmail.com"),
    ("tgram://123:hunter2/chat", "tgram://…"),
    ("hunter2", "an address"),
    ("json://host:hunter2", "json://…"),
])
def test_an_address_is_shown_without_its_secrets(address: str, told: str) -> None:
    assert shown(address) == told


def test_doctor_sends_a_test_message_and_says_what_came_back(heard: Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    with sink(403) as refusing:
        monkeypatch.setenv("GAN_NOTIFY", f"{heard.url} {refusing.url}")
        monkeypatch.setenv("GAN_NOTIFY_ON", "failed")
        good, bad = notifications()
    assert (good.verdict, good.found) == ("good", f"json://127.0.0.1:{heard.port} took a test message")
    assert good.means == "told of there: failed"
    assert (bad.verdict, bad.found) == ("bad", f"json://127.0.0.1:{refusing.port}: it answered 403")
    assert heard.titles() == ["gan doctor: a test message"]


def test_doctor_says_where_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAN_NOTIFY", raising=False)
    (found,) = notifications()
    assert (found.verdict, found.found) == ("warning", "GAN_NOTIFY names no address")
