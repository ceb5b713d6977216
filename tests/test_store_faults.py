"""A store whose server or network is bad for a while, or for good: on moto, and on Ceph among the system tests."""

from __future__ import annotations

import gc
import os
import pickle
import re
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from gan_core import claims, exclusive
from gan_core.claims import Timing
from gan_core.errors import ConfigError, StoreError
from gan_core.manifest import artefact, missing_files, read_manifest
from gan_core.store import Store
from gan_core.train.checkpoint import RunPlace
from gan_core.train.patience import PatientStore
from tests.s3_proxy import Broken, Fault, S3Proxy, s3_proxy
from tests.s3_server import s3_server
from tests.system.ceph import own_bucket

SECRET = "a-secret-that-must-not-travel"
STORM: Fault = (503, "SlowDown")
BUSY: Fault = (503, "ServiceUnavailable")  # s3fs sleeps after the other
BYTES = bytes(range(256)) * 8
Operation = Callable[[Store, Path], object]


def put(store: Store, folder: Path) -> None:
    (folder / "from").write_bytes(BYTES)
    store.put(folder / "from", "new")


def get(store: Store, folder: Path) -> bytes:
    store.get("old", folder / "to")
    return (folder / "to").read_bytes()


OPERATIONS: dict[str, tuple[Operation, object, set[str]]] = {  # what they return, and which objects there are then
    "read": (lambda store, folder: store.read("old"), BYTES, {"old"}),
    "write": (lambda store, folder: store.write("new", BYTES), None, {"old", "new"}),
    "create": (lambda store, folder: store.create("new", BYTES), None, {"old", "new"}),
    "put": (put, None, {"old", "new"}),
    "get": (get, BYTES, {"old"}),
    "sizes": (lambda store, folder: store.sizes(""), {"old": len(BYTES)}, {"old"}),
    "names": (lambda store, folder: store.names(""), ["old"], {"old"}),
    "exists": (lambda store, folder: store.exists("old"), True, {"old"}),
    "delete": (lambda store, folder: store.delete("old"), None, set()),
}
FAULTS: dict[str, list[Fault]] = {
    "storm": [STORM, BUSY, BUSY],
    "500": [(500, "InternalError")] * 2,
    "reset": [Broken.RESET] * 2,
    "short": [Broken.SHORT] * 2,
    "lost": [Broken.LOST] * 2,
}


@pytest.fixture(scope="module", params=["moto", pytest.param("ceph", marks=pytest.mark.system)])
def bucket(request: pytest.FixtureRequest) -> Iterator[tuple[S3Proxy, str]]:
    """A bucket's URL, and the proxy through which the environment leads to it."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "moto":
            with s3_server("lab", SECRET) as server, s3_proxy(server.url) as proxy:
                patch.setenv("AWS_ENDPOINT_URL", proxy.url)
                yield proxy, "s3://lab"
            return
        ceph = request.getfixturevalue("ceph")
        with own_bucket(ceph) as url, s3_proxy(os.environ["AWS_ENDPOINT_URL"]) as proxy:
            patch.setenv("AWS_ENDPOINT_URL", proxy.url)
            yield proxy, url


@pytest.fixture
def proxy(bucket: tuple[S3Proxy, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Proxy]:
    monkeypatch.setenv("GAN_STORE_PATIENCE_S", "20")
    for name, seconds in {"patience.FIRST_WAIT": 0.01, "patience.LONGEST_WAIT": 0.02, "store.ANSWER": 0.5}.items():
        monkeypatch.setattr(f"gan_core.{name}_S", seconds)
    yield bucket[0]
    bucket[0].mend()


@pytest.fixture
def place(bucket: tuple[S3Proxy, str]) -> str:
    return f"{bucket[1]}/{uuid.uuid4().hex}"


@pytest.fixture
def store(proxy: S3Proxy, place: str) -> Store:
    """With one object, `old`."""
    made = Store(place)
    exclusive.assume(made._fs, made._root, exclusive.Verdict(protocol="exclusive-create"))
    made.write("old", BYTES)
    proxy.mend()
    return made


def impatient(store: Store, monkeypatch: pytest.MonkeyPatch, seconds: str) -> Store:
    monkeypatch.setenv("GAN_STORE_PATIENCE_S", seconds)
    return Store(store.url)


# What passes


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_what_passes_by_itself_changes_nothing(
    faults: list[Fault], proxy: S3Proxy, store: Store, tmp_path: Path
) -> None:
    for name, (act, returned, left) in OPERATIONS.items():
        proxy.asked.clear()
        proxy.fail(*faults)
        assert act(store, tmp_path) == returned, name
        assert len(proxy.asked) > len(faults), name
        proxy.mend()
        assert store.sizes("") == dict.fromkeys(left, len(BYTES)), name
        if "new" in left:
            assert store.read("new") == BYTES, name
            store.delete("new")


def test_a_server_that_freezes_for_a_moment_is_asked_again(proxy: S3Proxy, store: Store) -> None:
    proxy.fail(Broken.SILENT)
    assert store.read("old") == BYTES
    assert len(proxy.asked) == 2


def test_claims_are_made_through_an_outage(
    proxy: S3Proxy, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gan_core.claims.TIMING", Timing(settle=0.3, lease=30, poll=0.05))
    exclusive.assume(store._fs, store._root, exclusive.Verdict(protocol="claims"))
    for number, faults in enumerate(FAULTS.values()):
        proxy.fail(*faults)
        store.create(f"new/{number}", BYTES)
        proxy.mend()
        assert store.read(f"new/{number}") == BYTES
        with pytest.raises(FileExistsError):
            store.create(f"new/{number}", b"other")
    assert len(store.sizes("new")) == len(FAULTS)
    assert store.sizes(claims.FOLDER) == {}


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[str] = []

    def answer(environ: dict[str, str], start: Callable[..., object]) -> list[bytes]:
        asked.append(environ["PATH_INFO"])
        start("200 OK", [])
        return [b"from a stranger"]

    server = make_server("127.0.0.1", 0, answer, threaded=True, ssl_context="adhoc")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for name, value in {"ENDPOINT_URL": f"https://127.0.0.1:{server.server_port}", "DEFAULT_REGION": "us-east-1",
                        "ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "SECRET_ACCESS_KEY": SECRET}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    with pytest.raises(StoreError, match=r"CERTIFICATE_VERIFY_FAILED.*look at AWS_ENDPOINT_URL.*AWS_CA_BUNDLE"):
        Store("s3://lab/place").read("object")
    server.shutdown()
    server.server_close()
    assert asked == []
    assert caplog.records == []  # nothing was tried again


def test_an_outage_is_told_once_while_it_is_waited_out(
    proxy: S3Proxy, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.fail(*[STORM] * 3)
    store.read("old")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "gan_core.store"]
    assert line == f"access to {store.uri('old')} fails: SlowDown: as the test wants it; trying again for up to 20 s"


@pytest.mark.parametrize("broken", [Broken.SHORT, Broken.RESET])
def test_a_file_in_ranges_is_whole_or_absent(
    broken: Broken, proxy: S3Proxy, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gan_core.store.PART", 1000)  # beyond which s3fs fetches ranges beside each other
    proxy.fail(None, broken)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # s3fs leaves the connection of a range that broke off
        store.get("old", tmp_path / "to")
        gc.collect()
    assert (tmp_path / "to").read_bytes() == BYTES
    assert len(proxy.asked) == 2 * (1 + 3), "one for the size, and three ranges"


@pytest.mark.parametrize("seconds", ["0", "0.1"])
def test_of_a_file_that_never_arrives_whole_nothing_is_left(
    seconds: str, proxy: S3Proxy, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.fault = lambda method, path: Broken.SHORT
    with pytest.raises(StoreError, match="run the same command again"):
        impatient(store, monkeypatch, seconds).get("old", tmp_path / "here" / "to")
    assert list((tmp_path / "here").iterdir()) == []


# What does not


def test_after_its_time_an_outage_is_one_error_that_says_what_to_do(
    proxy: S3Proxy, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = impatient(store, monkeypatch, "0.05")
    proxy.fault = lambda method, path: BUSY
    for act, _, _ in OPERATIONS.values():
        with pytest.raises(StoreError) as raised:
            act(hasty, tmp_path)
        said = str(raised.value)
        assert said.startswith(f"access to {store.url}")
        assert re.search(r" failed for [\d.]+ s: (ServiceUnavailable: as the test wants it|503: \S+ \S+); ", said)
        assert said.endswith("is lost: when the store answers again, run the same command again")
        assert SECRET not in said


@pytest.mark.parametrize("fault", [STORM, (500, "InternalError"), Broken.RESET, Broken.LOST, Broken.SILENT])
def test_with_no_patience_there_is_one_request_whatever_the_libraries_think(
    fault: Fault, proxy: S3Proxy, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasty = impatient(store, monkeypatch, "0")
    proxy.fail(fault, fault, fault, fault)
    for one in (hasty, pickle.loads(pickle.dumps(hasty))):
        proxy.asked.clear()
        with pytest.raises(StoreError, match=r"old failed: .*, run the same command again"):
            one.read("old")
        # aiohttp repeats by itself what was not answered on a connection that it had kept
        assert len(proxy.asked) <= (2 if fault is Broken.LOST else 1)


def test_a_frozen_server_is_left_after_a_try_more_than_the_patience_holds(
    proxy: S3Proxy, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy.fault = lambda method, path: Broken.SILENT
    with pytest.raises(StoreError, match=r"old failed for [\d.]+ s: Read timeout on .*run the same"):
        impatient(store, monkeypatch, "0.2").read("old")
    assert len(proxy.asked) == 2


@pytest.mark.parametrize(("status", "code", "check"), [
    (400, "ExpiredToken", "renew the credentials"),
    (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID that this store knows"),
    (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY that belongs to the key"),
    (403, "RequestTimeTooSkewed", "set this machine's clock"),
    (403, "AccessDenied", "allowed to list, read, write and delete"),
    (404, "NoSuchBucket", "name an existing bucket"),
    (403, "QuotaExceeded", "make room in the bucket"),
    (400, "AuthorizationHeaderMalformed", "AWS_DEFAULT_REGION"),
    (400, "SomethingNew", "look at the credentials"),
])
def test_a_refusal_is_told_at_once_with_what_to_check(
    status: int, code: str, check: str, proxy: S3Proxy, store: Store
) -> None:
    proxy.fault = lambda method, path: (status, code)
    for act in (lambda: store.read("old"), lambda: store.write("new", b""), lambda: store.create("new", b""),
                lambda: store.names(""), lambda: store.sizes("")):
        proxy.asked.clear()
        with pytest.raises(StoreError, match=rf"^access to {store.url}.* failed: .*{code}.*; .*{check}.*run the same"):
            act()
        assert len(proxy.asked) == 1
    with pytest.raises(ConfigError, match=rf"^--store {store.url}: cannot be written: .*{code}.*; .*{check}"):
        store.check_writable()


def test_looking_for_one_object_is_refused_as_well_though_such_an_answer_has_no_words(
    proxy: S3Proxy, store: Store
) -> None:
    proxy.fault = lambda method, path: (403, "AccessDenied")
    with pytest.raises(StoreError, match=r"old failed: 403: Forbidden; .*look at the credentials"):
        store.exists("old")


def test_a_bucket_that_is_not_there_is_no_empty_store(proxy: S3Proxy) -> None:
    nowhere = Store("s3://no-such-bucket/x")
    for act in (lambda: nowhere.read("a"), lambda: nowhere.names("a"), lambda: nowhere.sizes("a"),
                lambda: nowhere.exists("a"), lambda: nowhere.write("a", b"")):
        with pytest.raises(StoreError, match=r"NoSuchBucket.*name an existing bucket"):
            act()


def test_what_is_not_there_is_asked_for_once(proxy: S3Proxy, store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.read("nothing")
    assert len(proxy.asked) == 1
    assert not store.exists("nothing")


# Who made it


def test_an_object_whose_creation_was_not_answered_is_ours_and_nobody_else_s(proxy: S3Proxy, store: Store) -> None:
    proxy.fail(Broken.LOST, Broken.LOST, of="PUT")
    store.create("new", b"the same")
    assert [method for method, _ in proxy.asked].count("PUT") == 3
    for faults in ([], [STORM], [Broken.LOST]):
        proxy.fail(*faults, of="PUT")
        with pytest.raises(FileExistsError):
            store.create("new", b"the same")
        with pytest.raises(FileExistsError):
            store.create("new", b"another")
    assert store.read("new") == b"the same"


def test_a_patience_of_training_s_own_knows_its_objects_too_and_is_not_multiplied(proxy: S3Proxy, store: Store) -> None:
    patient = PatientStore(store, seconds=0.1)
    proxy.fail(Broken.LOST, of="PUT")
    patient.create("new", BYTES)
    proxy.fault = lambda method, path: STORM
    with pytest.raises(StoreError, match=rf"^access to {store.url} failed for [\d.]+ s: "):
        patient.read("new")


# Listings that lag behind


def test_a_finished_artefact_is_whole_before_listings_have_it(proxy: S3Proxy, store: Store) -> None:
    with artefact(store, "made", kind="x", key="k") as draft:
        for name in ("a", "b", "c"):
            (draft.path / name).write_bytes(BYTES)
    key = store.uri("made").split("/", 3)[3]  # what follows the bucket
    proxy.hidden = {f"{key}/{name}" for name in ("MANIFEST.json", "a", "b")}
    assert set(store.sizes("made")) == {"c"}
    manifest = read_manifest(store, "made")
    assert manifest is not None
    assert missing_files(store, "made", manifest) == []
    store.write("made/c", b"short")
    assert missing_files(store, "made", manifest) == ["c"]
    store.delete("made/b")
    assert "b" in missing_files(store, "made", manifest)
    store.delete("made/a")
    assert not store.exists("made/a")


def test_a_start_whose_number_is_taken_but_not_listed_takes_the_next(proxy: S3Proxy, store: Store) -> None:
    run = RunPlace(store, "runs/1", "k")
    assert run.claim_attempt() == 1
    proxy.hidden = {f"{store.uri('runs/1').split('/', 3)[3]}/attempts/0001.json"}
    assert run.newest_attempt() == 0
    assert run.claim_attempt() == 2


# Settings, and disks


def test_a_patience_that_is_no_number_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("soon", "-1", "."):
        monkeypatch.setenv("GAN_STORE_PATIENCE_S", text)
        with pytest.raises(ConfigError, match=rf"^GAN_STORE_PATIENCE_S={text}: not a number of seconds; .*=60 tries"):
            Store(tmp_path)


def test_a_local_disk_is_asked_once_and_says_it_in_its_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def nowhere(path: str) -> bytes:
        asked.append(path)
        raise ConnectionError("the disk is on a network")

    store = Store(tmp_path)
    monkeypatch.setattr(store._fs, "cat_file", nowhere)
    with pytest.raises(ConnectionError):
        store.read("a")
    assert len(asked) == 1
