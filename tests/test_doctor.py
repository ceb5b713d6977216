"""`gan doctor`: what it finds on disks, in memory and on S3, good and bad; and what is left of it."""

from __future__ import annotations

import json
import re
import shutil
import sys
import uuid
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest

from gan_core import claims, exclusive
from gan_core.claims import Timing
from gan_core.exclusive import VERDICT, Verdict
from gan_core.manifest import artefact, read_manifest
from gan_core.probes import link
from gan_core.probes.finding import Finding
from gan_core.probes.objects import deleted_together
from gan_core.probes.place import S3, Answer, s3_of, scratch
from gan_core.probes.store import probe_store
from gan_core.store import Store
from pipelines import doctor_machine, doctor_services
from pipelines.cli import main
from pipelines.profile import Profile, RayConfig
from pipelines.show_doctor import show
from tests.artefacts import an_experiment, publish_one
from tests.pipeline import free_port
from tests.plug_ins import forgotten
from tests.s3_server import S3Server, no_fault, s3_server

SECRET = "a-secret-that-is-never-printed"
EVERYWHERE = ["write, read, replace", "list after write", "large file", "delete many", "exclusive create"]
WITHOUT = ("If-None-Match",)


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    with s3_server("doctor", SECRET) as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
        yield server


@pytest.fixture
def s3(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A store that nothing is known of, at a server that is well."""
    monkeypatch.setattr(claims, "TIMING", Timing(settle=0.6, lease=5, poll=0.05))
    server.fault, server.ignored = no_fault, ()
    yield Store(f"s3://doctor/{uuid.uuid4().hex}")
    server.fault, server.ignored = no_fault, ()


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(tmp_path / "a store" if request.param == "disk" else f"memory://{uuid.uuid4().hex}")


def probe(store: Store, rounds: int = 2) -> dict[str, Finding]:
    return {found.name: found for found in probe_store(store, lambda _: None, rounds=rounds, compare_rounds=1)}


def recorded(store: Store) -> Verdict:
    return Verdict.model_validate_json(store.read(VERDICT))


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """As another process, which has asked no store yet."""
    monkeypatch.setattr(exclusive, "_known", {})


def assert_good(store: Store, found: dict[str, Finding]) -> None:
    assert {name: one for name, one in found.items() if one.verdict != "good"} == {}
    assert [name for name in found if name in EVERYWHERE] == EVERYWHERE
    assert found["exclusive create"].found == "8 writers, 2 rounds: 2 won, 14 lost"
    assert set(store.sizes("")) == {VERDICT}
    assert (recorded(store).protocol, recorded(store).rounds) == ("exclusive-create", 2)


def test_a_good_store_has_only_good_findings_and_keeps_the_verdict_alone(store: Store) -> None:
    assert_good(store, probe(store))


def test_on_s3_the_way_there_is_looked_at_too(s3: Store, server: S3Server) -> None:
    found = probe(s3)
    assert_good(s3, found)
    assert found["endpoint"].found == f"{server.url}, path style, no TLS on loopback"
    assert found["credentials"].found == "found: environment"
    assert "clock" in found
    assert "in parts of 8 MiB" in found["large file"].found
    assert SECRET not in json.dumps([one.as_json() for one in found.values()])


def test_a_server_that_ignores_the_condition_is_published_to_by_claims(s3: Store, server: S3Server) -> None:
    server.ignored = WITHOUT
    found = probe(s3)
    assert (found["exclusive create"].verdict, found["exclusive create"].found) == (
        "warning", "the second of two creations is not refused")
    assert found["publishing by claims"].verdict == "good", found["publishing by claims"]
    assert recorded(s3).protocol == "claims"
    assert set(s3.sizes("")) == {VERDICT}


def test_a_store_that_fails_only_in_a_race_is_published_to_by_claims(
    s3: Store, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(what: str) -> None:
        server.ignored = WITHOUT if "round" in what else ()

    found = {one.name: one for one in probe_store(s3, say, rounds=2, compare_rounds=1)}
    assert found["exclusive create"].verdict == "warning"
    assert "2 rounds broken" in found["exclusive create"].found
    server.ignored = ()
    forget(monkeypatch)
    assert s3.protocol().protocol == "claims"  # two creations, one after the other, would say otherwise


@pytest.mark.parametrize(("ignored", "protocol"), [((), "exclusive-create"), (WITHOUT, "claims")])
def test_without_a_doctor_the_first_creation_finds_out_and_one_of_two_wins(
    s3: Store, server: S3Server, ignored: tuple[str, ...], protocol: str
) -> None:
    server.ignored = ignored
    s3.create("P", b"first")
    with pytest.raises(FileExistsError):
        Store(s3.url).create("P", b"second")
    assert (s3.protocol().protocol, s3.read("P"), set(s3.sizes(""))) == (protocol, b"first", {"P"})


def test_two_versions_never_share_a_number_where_only_plain_writes_exist(s3: Store, server: S3Server) -> None:
    server.ignored = WITHOUT
    with artefact(s3, "models/x/versions/0001", kind="version", key="a", exclusive=True) as draft:
        (draft.path / "file").write_bytes(b"first")
    with pytest.raises(FileExistsError), artefact(
        s3, "models/x/versions/0001", kind="version", key="b", exclusive=True
    ) as draft:
        (draft.path / "file").write_bytes(b"second")
    assert s3.read("models/x/versions/0001/file") == b"first"


def test_a_store_that_refuses_the_condition_itself_goes_by_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    plain = MemoryFileSystem.pipe_file

    def refusing(self: Any, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if mode == "create":
            raise OSError(38, "Function not implemented")
        plain(self, path, value, **kwargs)

    monkeypatch.setattr(MemoryFileSystem, "pipe_file", refusing)
    assert Store(f"memory://{uuid.uuid4().hex}").protocol().protocol == "claims"


def test_the_verdict_of_another_server_is_not_believed(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = Verdict(protocol="claims", probed="2026-01-01T00:00:00+00:00", endpoint="elsewhere:9000")
    s3.write(VERDICT, copied.model_dump_json().encode())
    assert s3.protocol().protocol == "exclusive-create"
    forget(monkeypatch)
    s3.write(VERDICT, copied.model_copy(update={"endpoint": exclusive.endpoint()}).model_dump_json().encode())
    assert s3.protocol().protocol == "claims"


def test_a_version_says_by_which_protocol_it_was_created() -> None:
    memory = Store(f"memory://{uuid.uuid4().hex}")
    assert publish_one(memory, experiment=an_experiment()).version == "0001"
    manifest = read_manifest(memory, "models/digits/versions/0001")
    assert manifest is not None
    assert manifest.facts["create"] == memory.protocol().facts
    assert manifest.facts["create"]["protocol"] == "exclusive-create"
    assert datetime.fromisoformat(manifest.facts["create"]["probed"]) <= datetime.now(UTC)


def test_where_many_cannot_be_deleted_at_once_they_are_deleted_one_by_one(s3: Store, server: S3Server) -> None:
    server.fault = lambda method, path: (400, "InvalidRequest") if method == "POST" and "." not in path else None
    with scratch(s3) as place:
        found = deleted_together(place)
    assert (found.verdict, "one by one" in found.means) == ("warning", True)
    assert s3.sizes("") == {}


@pytest.mark.parametrize("trouble", ["no bucket", "no credentials", "no server"])
def test_a_store_that_cannot_be_written_has_one_failure_and_nothing_after_it(
    s3: Store, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    url = "s3://missing" if trouble == "no bucket" else s3.url
    if trouble == "no server":
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    if trouble == "no credentials":
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    found = list(probe(Store(url)).values())
    failed = {"no bucket": "write, read, replace", "no credentials": "credentials", "no server": "endpoint"}[trouble]
    assert [one.name for one in found if one.verdict == "bad"] == [failed]
    assert found[-1].name == failed
    assert "nothing else of this store was probed" in found[-1].means


def test_a_store_that_gives_back_something_else_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "read", lambda self, path: b"first")
    found = probe(Store(tmp_path))["write, read, replace"]
    assert (found.verdict, found.found) == ("bad", "wrote b'second, and longer', read b'first'")


def test_new_keys_that_are_not_listed_are_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "names", lambda self, prefix: [])
    found = probe(Store(tmp_path))["list after write"]
    assert (found.verdict, found.found) == ("bad", "10 of 10 new keys were not listed at once")


@pytest.mark.parametrize(("seconds", "verdict"), [(0.9, "good"), (-40, "good"), (61, "warning"), (-899, "warning"),
                                                  (901, "bad"), (-7200, "bad")])
def test_a_clock_is_judged_by_when_signatures_are_refused(seconds: float, verdict: str) -> None:
    at = datetime(2026, 11, 28, 12, tzinfo=UTC)
    answer = Answer("http://x", {"date": "Sat, 28 Nov 2026 12:00:00 GMT"}, at + timedelta(seconds=seconds))
    assert link.clock(answer).verdict == verdict


@pytest.mark.parametrize(("url", "verdict", "found"), [
    ("https://gans.s3.eu-west-1.amazonaws.com/", "good", "https://s3.eu-west-1.amazonaws.com, virtual-host style, TLS"),
    ("https://minio.lab:9000/gans", "good", "https://minio.lab:9000, path style, TLS"),
    ("http://[::1]:9000/gans", "good", "http://[::1]:9000, path style, no TLS on loopback"),
    ("http://minio.lab:9000/gans", "warning", "http://minio.lab:9000, path style, no TLS"),
    ("http://user:word@10.0.0.2:9000/gans", "warning", "http://10.0.0.2:9000, path style, no TLS"),
])
def test_an_endpoint_is_good_where_nobody_can_read_along(url: str, verdict: str, found: str) -> None:
    place = S3(SimpleNamespace(client_kwargs={}), "gans/team")
    told = link.endpoint(place, Answer(url, {"date": ""}, datetime.now(UTC)))
    assert (told.verdict, told.found) == (verdict, found)


def test_certificates_that_are_not_verified_are_bad(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    import fsspec.config

    monkeypatch.setitem(fsspec.config.conf, "s3", {"client_kwargs": {"verify": False}})  # what FSSPEC_S3 sets
    client = s3_of(s3)
    assert client is not None
    found = link.endpoint(client, client.ask())
    assert (found.verdict, "not verified" in found.found) == ("bad", True)


def test_versions_other_than_the_pinned_ones_are_named_with_those(tmp_path: Path) -> None:
    pins = tmp_path / "constraints.txt"
    pins.write_text("torch==0.1\nprefect==0.2\nother==1\n")
    found = doctor_machine.packages(pins)
    assert (found.verdict, "torch 0.1, prefect 0.2;" in found.means) == ("warning", True)
    assert doctor_machine.packages(tmp_path / "none").verdict == "good"


def test_a_machine_without_torch_may_ask_a_cluster_for_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = doctor_machine._version
    monkeypatch.setattr(doctor_machine, "_version", lambda name: None if name == "torch" else installed(name))
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "gan_core.train.memory", raising=False)
    versions = doctor_machine.packages()
    assert (versions.verdict, "ray-jobs" in versions.means) == ("warning", True)
    assert [doctor_machine.processors().verdict, doctor_machine.gpus().verdict] == ["good", "good"]


def test_little_room_is_a_warning_with_what_to_set(s3: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 4 * 10**9, 4 * 10**9))
    found = {one.name: one for one in doctor_machine.disks(s3)}
    assert {name: one.verdict for name, one in found.items()} == {"room: shards": "warning", "room: TMPDIR": "warning"}
    assert "XDG_CACHE_HOME" in found["room: shards"].means
    monkeypatch.setenv("GAN_CACHE_BYTES", "much")
    assert next(iter(doctor_machine.disks(s3))).verdict == "bad"


def test_a_plug_in_that_cannot_be_loaded_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sound.py").write_text("")
    (tmp_path / "broken.py").write_text("import nothing_of_this_name\n")
    with forgotten():
        monkeypatch.setenv("GAN_PLUGINS", str(tmp_path / "sound.py"))
        assert doctor_machine.plug_ins().found == "loaded: sound.py"
        monkeypatch.setenv("GAN_PLUGINS", f"{tmp_path / 'sound.py'}:{tmp_path / 'broken.py'}")
        assert doctor_machine.plug_ins().verdict == "bad"


class Prefect(BaseHTTPRequestHandler):
    """/api/health, and /api/admin/version of another version."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"true" if self.path == "/api/health" else b'"2.20.1"')

    def log_message(self, *_: object) -> None:
        """Nothing to standard error."""


def test_a_prefect_server_is_asked_for_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    server = HTTPServer(("127.0.0.1", 0), Prefect)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    found = doctor_services.prefect()
    server.shutdown()
    server.server_close()
    assert (found.verdict, "version 2.20.1, here 3." in found.found) == ("warning", True)
    assert doctor_services.prefect().verdict == "bad"  # nobody answers now


def test_a_cluster_that_does_not_answer_is_bad() -> None:
    address = f"127.0.0.1:{free_port()}"
    found = doctor_services.ray(Profile(ray=RayConfig(address=address)), start=False)
    assert (found.verdict, found.found) == ("bad", f"no Ray cluster answers at {address}: Connection refused")


def gan(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["doctor", *map(str, words)])
    return int(ended.value.code or 0)


def test_the_command_prints_a_line_for_each_finding(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    assert gan("--store", tmp_path, "--rounds", "1") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "✓ exclusive create: 8 writers, 1 rounds: 1 won, 7 lost → two runs never publish the same version" in lines
    assert lines[-1].startswith(f"{len(lines) - 3} probed: 0 failed, ")


def test_a_failure_is_exit_code_1_and_json_has_it(
    capsys: pytest.CaptureFixture[str], s3: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gan("--store", "s3://missing", "--json") == 1
    printed = capsys.readouterr()
    found = json.loads(printed.out)
    assert all(set(one) == {"name", "verdict", "found", "means"} for one in found)
    assert [one["name"] for one in found if one["verdict"] == "bad"] == ["write, read, replace"]
    assert SECRET not in printed.out + printed.err


@pytest.mark.parametrize("words", [("--store", "gopher://x"), ("--profile", "none-of-that-name"), ("--rounds", "0")])
def test_wrong_usage_is_exit_code_2(words: tuple[str, ...]) -> None:
    assert gan(*words) == 2


def test_a_terminal_has_a_table_that_fits_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"FORCE_COLOR": "1", "TERM": "xterm", "COLUMNS": "80", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    show("this machine", [Finding("room: store", "bad", "a long finding " * 6, "what to do " * 9)])
    lines = re.sub(r"\x1b\[\d*m", "", capsys.readouterr().out).splitlines()
    assert max(map(len, lines)) <= 80
    assert "✗  room: store" in lines[1]
    assert len(lines) > 3
