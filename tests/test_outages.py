"""Errors that pass by themselves, and errors that wait for a person: as the store's libraries really raise them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan_core.disk import no_room
from gan_core.errors import DamagedFile, StoreError, Superseded
from gan_core.outages import reason, transient
from gan_core.store import Store
from tests.s3_server import S3Server, no_fault, s3_server

SECRET = "a-secret-that-must-not-travel"


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with s3_server("outages", SECRET) as server:
        yield server


@pytest.fixture
def server(running: S3Server) -> Iterator[S3Server]:
    yield running
    running.fault = no_fault
    running.start()


@pytest.fixture(scope="module")
def store(running: S3Server) -> Store:
    return Store("s3://outages/x").once()


def error_of(act: object) -> Exception:
    with pytest.raises(Exception) as raised:  # noqa: PT011 - each library has its own; what they are is the question
        act()  # type: ignore[operator]
    return raised.value


@pytest.mark.parametrize(("status", "code", "passes"), [
    (503, "SlowDown", True), (503, "ServiceUnavailable", True), (503, "", True), (500, "InternalError", True),
    (502, "", True), (504, "", True), (429, "TooManyRequests", True), (400, "RequestTimeout", True),
    (409, "OperationAborted", True),
    (403, "AccessDenied", False), (403, "SignatureDoesNotMatch", False), (403, "InvalidAccessKeyId", False),
    (403, "QuotaExceeded", False), (400, "InvalidRequest", False), (501, "NotImplemented", False),
    (404, "NoSuchBucket", False), (412, "PreconditionFailed", False),
])
def test_what_a_server_answers_tells_whether_trying_again_helps(
    status: int, code: str, passes: bool, server: S3Server, store: Store
) -> None:
    server.fault = lambda method, path: (status, code)
    error = error_of(lambda: store.write("a", b"x"))
    assert transient(error) is passes
    assert reason(error)


def test_looking_fails_as_writing_does(server: S3Server, store: Store) -> None:
    for status in (503, 403):
        server.fault = lambda method, path, status=status: (status, "")  # type: ignore[misc]
        for act in (lambda: store.exists("a"), lambda: store.names("a"), lambda: store.sizes("a")):
            assert transient(error_of(act)) is (status == 503)


def test_a_server_that_is_not_there_may_come_back(server: S3Server, store: Store) -> None:
    server.stop()
    for act in (lambda: store.write("a", b"x"), lambda: store.read("a"), lambda: store.delete("a"),
                lambda: store.sizes("a")):
        error = error_of(act)
        assert transient(error)
        assert reason(error).startswith('EndpointConnectionError: Could not connect to the endpoint URL: "http://127.')


def test_a_connection_that_breaks_off_may_hold_next_time(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{rude.getsockname()[1]}")

        def hang_up() -> None:
            while True:
                try:
                    rude.accept()[0].close()
                except OSError:
                    return

        thread = threading.Thread(target=hang_up)
        thread.start()
        error = error_of(lambda: Store("s3://outages/x").once().write("a", b"x"))
        rude.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert transient(error)


def test_a_name_that_cannot_be_looked_up_now_may_be_later(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://no-such-host.invalid")
    assert transient(error_of(lambda: Store("s3://outages/x").once().write("a", b"x")))
    assert transient(error_of(lambda: socket.create_connection(("no-such-host.invalid", 80))))


def test_credentials_that_are_missing_do_not_come_by_themselves(
    server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    error = error_of(lambda: Store("s3://outages/x").once().write("a", b"x"))
    assert not transient(error)
    assert "credentials" in reason(error)


def test_a_deletion_that_the_store_refuses_is_an_error_though_s3_answers_that_all_is_well(
    server: S3Server, store: Store
) -> None:
    store.write("kept/a", b"x")
    refused = "<DeleteResult><Error><Key>k</Key><Code>AccessDenied</Code><Message>no</Message></Error></DeleteResult>"
    server.fault = lambda method, path: {"POST": (200, refused), "DELETE": (403, "AccessDenied")}.get(method)
    with pytest.raises(PermissionError):
        store.delete("kept")
    server.fault = lambda method, path: (200, refused) if method == "POST" else None
    store.delete("kept")  # what cannot be deleted with others may go alone
    assert store.sizes("kept") == {}


def full_disk() -> None:
    with no_room("file:///x", Path("/dev")), Path("/dev/full").open("wb", buffering=0) as disk:
        disk.write(b"x")


def test_a_full_disk_and_what_a_person_must_see_are_not_waited_out(tmp_path: Path) -> None:
    assert not transient(error_of(full_disk))
    assert not transient(error_of(lambda: Path("/dev/full").write_bytes(b"x")))
    assert not transient(error_of(lambda: Store(tmp_path).read("a")))
    (tmp_path / "file").write_bytes(b"")
    assert not transient(error_of(lambda: Store(tmp_path / "file").write("a", b"x")))
    for error in (DamagedFile("x"), Superseded("x"), StoreError("x")):
        error.__cause__ = ConnectionRefusedError()  # whoever made it of that has waited already
        assert not transient(error)


def test_an_answer_that_s3fs_has_no_name_for_is_not_taken_for_a_full_disk(server: S3Server, store: Store) -> None:
    server.fault = lambda method, path: (502, "")
    with pytest.raises(OSError, match="502") as raised, no_room("s3://outages/x", Path()):
        store.write("a", b"x")
    assert not isinstance(raised.value, StoreError)


def test_a_reason_is_one_line_without_credentials(server: S3Server) -> None:
    error = OSError(f"cannot reach\nhttp://me:{SECRET}@host/x as AKIATESTTESTTESTTEST with {SECRET}")
    assert reason(error) == "cannot reach http://host/x as *** with ***"
    assert reason(TimeoutError()) == "TimeoutError"
