"""Logs for machines: whole lines of JSON, that say what they are about, and that people still can read."""

from __future__ import annotations

import json
import logging
import sys
import threading
from io import StringIO
from typing import Any

import pytest

from gan_core.errors import ConfigError
from gan_core.store import Store
from gan_core.train.report import Began, Held, Trouble, Uploaded, Waiting
from pipelines import stage_job
from pipelines.json_log import JsonLog, as_plain, handed_on, is_wanted
from pipelines.on_ray_jobs import environment
from pipelines.profile import Profile
from pipelines.ray_reporter import RayReporter
from pipelines.records import StageRecord
from pipelines.stage_order import ENDED, Order
from tests.conftest import TINY

ABOUT = {"experiment": "digits", "stage": "train", "stage_key": "0123456789abcdef", "attempt": 2, "rank": 1,
         "host": "gpu-7"}


@pytest.fixture
def log() -> JsonLog:
    return JsonLog("digits", "train", "0123456789abcdef", attempt=2, rank=1, out=StringIO(), host="gpu-7")


def told(log: JsonLog) -> list[dict[str, Any]]:
    assert isinstance(log.out, StringIO)
    return [json.loads(line) for line in log.out.getvalue().splitlines()]


def test_a_line_says_when_what_and_of_what(log: JsonLog) -> None:
    log.say("uploaded", "on its way", position=64, seconds=1.5, loss=float("nan"))
    (line,) = told(log)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "event": "uploaded", "text": "on its way", **ABOUT, "position": 64, "seconds": 1.5,
                    "loss": None}


def test_what_is_printed_logged_and_raised_meanwhile_become_events(log: JsonLog) -> None:
    def work() -> None:
        with log.telling():
            print("gan: first\nsecond", file=sys.stderr, end=" half")
            logging.getLogger("gan_core.store").warning("access to %s fails", "s3://lab/x")
            raise ValueError("by chance")

    before = sys.stderr
    with pytest.raises(ValueError, match="by chance"):
        work()
    assert sys.stderr is before
    assert [(line["event"], line["level"], line["text"]) for line in told(log)] == [
        ("started", "info", ""), ("said", "info", "first"), ("log", "warning", "access to s3://lab/x fails"),
        ("failed", "error", "ended: ValueError: by chance"), ("said", "info", "second half")]
    assert "by chance" in told(log)[3]["traceback"]


def test_no_password_of_a_url_is_logged(log: JsonLog) -> None:
    with pytest.raises(ValueError, match="x"), log.telling():
        raise ValueError("https://user:hunter2@host/x")
    assert isinstance(log.out, StringIO)
    assert "hunter2" not in log.out.getvalue()


def test_lines_of_many_threads_stay_whole(log: JsonLog) -> None:
    with log.hearing():
        threads = [threading.Thread(target=lambda: [print("x" * 200, file=sys.stderr) for _ in range(50)])
                   for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [line["text"] for line in told(log)] == ["x" * 200] * 200


def test_people_read_the_text_of_a_line_and_other_lines_as_they_are(log: JsonLog) -> None:
    log.say("note", "an upload is tried again")
    assert isinstance(log.out, StringIO)
    assert as_plain(log.out.getvalue().rstrip()) == "gan: an upload is tried again"
    for line in ("plain", '{"time": broken', '{"time": 1}', '{"other": 1}'):
        assert as_plain(line) == line
    log.failed(ConfigError("no such recipe"))
    assert as_plain(log.out.getvalue().splitlines()[-1]).startswith(ENDED)


def test_the_form_is_asked_for_by_name_and_handed_to_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAN_LOG", raising=False)
    assert not is_wanted()
    assert handed_on() == {}
    monkeypatch.setenv("GAN_LOG", "json")
    assert environment(Profile())["GAN_LOG"] == "json"
    monkeypatch.setenv("GAN_LOG", "jsno")
    with pytest.raises(ConfigError, match="GAN_LOG=jsno: is no form of a log; GAN_LOG=json works"):
        is_wanted()


def test_a_worker_logs_what_happens_with_its_numbers(log: JsonLog) -> None:
    log.attempt = None
    reporter = RayReporter(None, log=log)
    reporter.event(Began(2, 640, 4))
    for position in (704, 768):
        reporter.scalars(position, {"loss/g": 1.0})
    reporter.note("uploads are slow")
    reporter.trouble(768, Trouble("mode collapse", "all alike", "more noise"))
    for event in (Held(768, 0.5), Uploaded(768, 2.0), Waiting(768, (3,))):
        reporter.event(event)
    lines = told(log)
    assert [(line["event"], line["level"]) for line in lines] == [
        ("began", "info"), ("progress", "info"), ("note", "info"), ("trouble", "warning"), ("checkpoint", "info"),
        ("uploaded", "info"), ("waiting", "info")]
    assert {line["attempt"] for line in lines} == {2}
    assert lines[0]["workers"] == 4
    assert (lines[1]["position"], lines[1]["loss/g"]) == (704, 1.0)
    assert (lines[4]["seconds"], lines[5]["seconds"], lines[6]["ranks"]) == (0.5, 2.0, [3])


@pytest.fixture
def ordered(tmp_path: Any) -> tuple[str, str]:
    """A store, and an order that another Python gave."""
    store = Store(tmp_path)
    record = StageRecord(key="0123456789abcdef99", config={}, inputs={}, code={})
    order = Order(stage="prepare", profile=Profile(), experiment=TINY, record=record, python="2.7")
    store.write("jobs/gan-tiny-prepare-x/4/order.json", order.model_dump_json().encode())
    return store.url, "jobs/gan-tiny-prepare-x/4"


@pytest.mark.parametrize("form", ["json", "plain"])
def test_a_job_says_how_it_ended_in_the_form_that_is_asked_for(
    form: str, ordered: tuple[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GAN_LOG", form)
    assert stage_job.main(["--store", *ordered]) == 2
    said = capsys.readouterr().err.splitlines()
    assert as_plain(said[-1]).startswith(f"{ENDED}ConfigError: where the command ran it is Python 2.7")
    if form == "json":
        about = {name: json.loads(said[-1])[name] for name in ("experiment", "stage", "stage_key", "attempt", "rank")}
        assert about == {"experiment": "tiny", "stage": "prepare", "stage_key": "0123456789abcdef", "attempt": 4,
                         "rank": None}
    else:
        assert said[-1].startswith(ENDED)
