"""progress.json: the newest word on a run, which never waits and is never waited for."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.report import Trouble
from gan_core.train.uploads import Writer
from tests.s3_server import S3Server
from tests.train.saves import KEEP, Heard, place_in, row, save


class Slow:
    """Holds each write of progress, to any store, until it is let go, and remembers them."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.writing, self.go_on, self.told = threading.Semaphore(0), threading.Semaphore(0), list[Any]()
        write = Store.write

        def held(store: Store, path: str, data: bytes) -> None:
            if path.endswith("progress.json"):
                self.writing.release()
                assert self.go_on.acquire(timeout=60)
                self.told.append(json.loads(data))
            write(store, path, data)

        patch.setattr(Store, "write", held)


def test_of_what_is_told_the_newest_is_written_and_nobody_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, place = Slow(monkeypatch), place_in(Store(tmp_path))
    writer = Writer(place, 1, KEEP, Heard())
    writer.tell(row(64), [Trouble("mode collapse", "samples are alike", "lower the learning rate")],
                {"fd_domain": 3.0})
    assert slow.writing.acquire(timeout=60)  # the first is under way
    for position in range(128, 640, 64):
        writer.tell({"position": position, "loss/generator": float("nan")}, [])
    save(writer, 640)  # is not held up either
    writer.wait()
    slow.go_on.release(9)
    writer.close()
    assert slow.told == [
        {"row": row(64), "troubles": [{"name": "mode collapse", "what": "samples are alike",
                                       "advice": "lower the learning rate"}],
         "compared": {"fd_domain": 3.0}},
        {"row": {"position": 576, "loss/generator": None}, "troubles": [], "compared": {}},
    ]
    assert json.loads(place.store.read(f"{place.prefix}/progress.json")) == slow.told[-1]


def test_telling_goes_on_after_an_outage_and_is_silent_about_it(server: S3Server, place: RunPlace) -> None:
    heard = Heard()
    writer = Writer(place, 1, KEEP, heard)
    server.stop()
    writer.tell(row(64), [])
    writer.close()
    server.start()
    assert place.store.names(place.prefix) == []
    again = Writer(place, 1, KEEP, heard)
    again.tell(row(128), [])
    again.close()
    assert json.loads(place.store.read(f"{place.prefix}/progress.json"))["row"] == row(128)
    assert heard.notes == []


def test_an_overtaken_attempt_tells_nothing(tmp_path: Path) -> None:
    place = place_in(Store(tmp_path))
    writer = Writer(place, place.claim_attempt(), KEEP, Heard())
    place.claim_attempt()
    writer.tell(row(64), [])
    writer.close()
    assert not place.store.exists(f"{place.prefix}/progress.json")
