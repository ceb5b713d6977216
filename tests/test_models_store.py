from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gan_core.addresses import aliases_of, current_alias, current_aliases, resolve
from gan_core.config import Bound
from gan_core.errors import ConfigError, DamagedFile, StoreError
from gan_core.manifest import artefact
from gan_core.published import is_whole, model_names, name_and_version, version_prefix, versions
from gan_core.store import Store
from pipelines.gate import judge
from pipelines.models import (
    Verdict,
    find_version,
    gate_path,
    lineage,
    next_version,
    read_verdict,
    set_alias,
)
from tests.artefacts import a_parent, finish_run, finish_scores, in_fresh_process


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store") if request.param == "disk" else Store("memory://models-store")
    yield made
    made.delete("")


def add(store: Store, key: str, name: str = "digits") -> str:
    version = next_version(store, name)
    with artefact(store, version_prefix(name, version), kind="version", key=key, exclusive=True) as draft:
        (draft.path / "README.md").write_text(key)
    return version


def test_versions_are_numbered_from_one_and_listed_oldest_first(store: Store) -> None:
    assert versions(store, "digits") == ()
    assert [add(store, key) for key in ("a", "b", "c")] == ["0001", "0002", "0003"]
    assert versions(store, "digits") == ("0001", "0002", "0003")
    assert model_names(store) == ("digits",)


def test_the_version_after_9999_is_the_newest(store: Store) -> None:
    for number in ("9999", "10000"):
        with artefact(store, version_prefix("digits", number), kind="version", key="same") as draft:
            (draft.path / "README.md").write_text(number)
    assert versions(store, "digits") == ("9999", "10000")
    assert find_version(store, "digits", "same") == "10000"
    assert next_version(store, "digits") == "10001"


def test_a_version_with_a_missing_or_short_file_or_no_manifest_is_not_whole(store: Store) -> None:
    for key in ("whole", "no file", "short", "no manifest", "garbled"):
        add(store, key)
    store.delete("models/digits/versions/0002/README.md")
    store.write("models/digits/versions/0003/README.md", b"s")
    store.delete("models/digits/versions/0004/MANIFEST.json")
    store.write("models/digits/versions/0005/MANIFEST.json", b"{")
    assert versions(store, "digits") == ("0001",)
    assert [is_whole(store, "digits", f"000{n}") for n in range(1, 6)] == [True, False, False, False, False]
    assert find_version(store, "digits", "short") is None
    assert next_version(store, "digits") == "0006"


def test_a_claimed_number_is_not_given_out_again(store: Store) -> None:
    store.create("models/digits/versions/0001/CLAIM.json", b"{}")
    assert next_version(store, "digits") == "0002"
    assert versions(store, "digits") == ()


def test_the_newest_version_of_a_key_is_found(store: Store) -> None:
    for key in ("a", "b", "a", "c"):
        add(store, key)
    assert find_version(store, "digits", "a") == "0003"
    assert find_version(store, "digits", "d") is None
    assert find_version(store, "faces", "a") is None


def test_versions_that_are_known_to_have_other_keys_are_not_read_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: set[str] = set()
    add(store, "a"), add(store, "b")
    store.create("models/digits/versions/0003/CLAIM.json", b"{}")
    assert find_version(store, "digits", "c", others) is None
    assert others == {"0001", "0002"}
    read, real = list[str](), Store.read
    monkeypatch.setattr(Store, "read", lambda self, path: read.append(path) or real(self, path))
    assert find_version(store, "digits", "c", others) is None
    assert read == ["models/digits/versions/0003/MANIFEST.json"]  # may be whole by now


def test_an_alias_moves_and_remembers_where_from_by_whom_and_why(store: Store) -> None:
    add(store, "a"), add(store, "b")
    assert current_alias(store, "digits", "latest") is None
    set_alias(store, "digits", "latest", "0001", why="published")
    moved = set_alias(store, "digits", "latest", "0002", why="rolled forward")
    assert current_alias(store, "digits", "latest") == moved
    assert (moved.version, moved.previous, moved.why) == ("0002", "0001", "rolled forward")
    assert "@" in moved.who
    assert moved.when.endswith("+00:00")
    assert store.names("models/digits/aliases/latest") == ["000001.json", "000002.json"]


def test_aliases_of_a_version_are_those_that_stand_on_it_now(store: Store) -> None:
    add(store, "a"), add(store, "b")
    for alias, version in (("latest", "0001"), ("champion", "0001"), ("latest", "0002")):
        set_alias(store, "digits", alias, version, why="test")
    assert aliases_of(store, "digits", "0001") == ("champion",)
    assert aliases_of(store, "digits", "0002") == ("latest",)
    assert sorted(current_aliases(store, "digits")) == ["champion", "latest"]


def test_an_alias_stays_where_unless_says_so(store: Store) -> None:
    add(store, "a"), add(store, "b")
    stays = set_alias(store, "digits", "latest", "0002", why="test")
    kept = set_alias(store, "digits", "latest", "0001", why="late", unless=lambda c: c.version > "0001")
    assert kept == stays
    assert store.names("models/digits/aliases/latest") == ["000001.json"]


def test_unless_is_asked_again_after_a_lost_race(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    add(store, "a"), add(store, "b")
    create = Store.create

    def another_is_faster(self: Store, path: str, data: bytes) -> None:
        monkeypatch.setattr(Store, "create", create)
        set_alias(store, "digits", "latest", "0002", why="faster")
        create(self, path, data)

    monkeypatch.setattr(Store, "create", another_is_faster)
    kept = set_alias(store, "digits", "latest", "0001", why="slower", unless=lambda c: c.version > "0001")
    assert (kept.version, kept.why) == ("0002", "faster")


def test_an_alias_of_a_version_that_is_not_whole_is_refused(store: Store) -> None:
    add(store, "a")
    with pytest.raises(ConfigError, match=r"digits@7: no such version.*versions: 0001"):
        set_alias(store, "digits", "champion", "7", why="test")


def test_a_store_that_never_gives_a_number_is_an_error_not_a_loop(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, "a")

    def taken(self: Store, path: str, data: bytes) -> None:
        raise FileExistsError(path)

    monkeypatch.setattr(Store, "create", taken)
    with pytest.raises(StoreError, match="lost 100 races"):
        set_alias(store, "digits", "latest", "0001", why="test")


def test_a_damaged_alias_names_its_file(store: Store) -> None:
    store.write("models/digits/aliases/latest/000001.json", b"{}")
    with pytest.raises(DamagedFile, match=r"aliases/latest/000001\.json: cannot be understood"):
        current_alias(store, "digits", "latest")


RACE = """
import os, sys
from gan_core.store import Store
from pipelines.models import set_alias
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        for _ in range(25):
            set_alias(Store(sys.argv[1]), "digits", "latest", "0001", why="race")
        os._exit(0)
    children.append(child)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""


def test_processes_that_race_for_an_alias_get_one_number_each(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    add(store, "a")
    in_fresh_process(RACE, store.url)
    assert store.names("models/digits/aliases/latest") == [f"{n:06d}.json" for n in range(1, 101)]


@pytest.fixture
def published(store: Store) -> Store:
    add(store, "a"), add(store, "b"), add(store, "c", name="faces")
    set_alias(store, "digits", "latest", "0002", why="test")
    set_alias(store, "digits", "champion", "0001", why="test")
    return store


@pytest.mark.parametrize(
    ("address", "version"),
    [("digits", "0002"), ("digits@latest", "0002"), ("digits@champion", "0001"), ("digits@0001", "0001"),
     ("digits@1", "0001")],
)
def test_an_address_by_name_is_found_in_the_store(published: Store, address: str, version: str) -> None:
    assert resolve(address, published) == (published, f"models/digits/versions/{version}")


@pytest.mark.parametrize(
    ("ending", "version"),
    [("digits", "0002"), ("digits/", "0002"), ("digits@latest", "0002"), ("digits@champion", "0001"),
     ("digits@0001", "0001"), ("digits/versions/0001", "0001"), ("digits/versions/0001/", "0001")],
)
def test_a_whole_url_brings_its_own_store(
    published: Store, ending: str, version: str, tmp_path: Path
) -> None:
    places = [f"{published.url}/models/{ending}"]
    if published.is_local:
        places.append(f"{published.local_path('')}/models/{ending}")
    for place in places:
        found, prefix = resolve(place, Store(tmp_path / "other"))
        assert (found.url, prefix) == (published.url, f"models/digits/versions/{version}")


def test_a_path_relative_to_here_brings_its_own_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "store")
    set_alias(store, "digits", "latest", add(store, "a"), why="test")
    monkeypatch.chdir(tmp_path)
    assert resolve("store/models/digits@latest", Store())[1] == "models/digits/versions/0001"
    monkeypatch.chdir(tmp_path / "store")
    found, prefix = resolve("models/digits@latest", Store())
    assert found.uri(prefix) == store.uri("models/digits/versions/0001")


def test_a_version_that_was_copied_elsewhere_is_found_by_its_path(published: Store) -> None:
    for path in published.sizes("models/digits/versions/0001"):
        published.write(f"copies/models/kept/{path}", published.read(f"models/digits/versions/0001/{path}"))
    found, prefix = resolve(published.uri("copies/models/kept"), published)
    assert found.uri(prefix) == published.uri("copies/models/kept")
    assert name_and_version(prefix) is None


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("digit", r"unknown model 'digit' in .*did you mean 'digits'\? known: digits, faces"),
        ("digits@newest", r"digits@newest: no such version in .*aliases: digits@champion, digits@latest; "
                          "versions: 0001, 0002"),
        ("digits@0009", r"digits@0009: no such version in .*versions: 0001, 0002"),
        ("faces", r"faces@latest: no such version in .*aliases: none; versions: 0001"),
        ("digits@", "'' is not an alias.*'latest' works"),
        ("Digits", "'Digits' is not a model's name"),
        ("..", r"'\.\.' is not a model's name"),
        ("digits@../../secret", "no published version there"),
        ("../digits@latest", "no published version there"),
        ("", "'' is not a model's name"),
    ],
)
def test_an_address_that_leads_nowhere_says_what_there_is(
    published: Store, address: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(address, published)


def test_an_unknown_model_in_a_url_says_what_its_store_has(published: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown model 'digitz' in .*known: digits, faces"):
        resolve(published.uri("models/digitz@latest"), Store(tmp_path / "other"))
    with pytest.raises(ConfigError, match=r"unknown model 'digits' in .*none is published there yet"):
        resolve("digits", Store(tmp_path / "other"))


@pytest.mark.parametrize("name", ["../digits", "a/b", "..", "", "Digits", "a\\b", "x" * 64])
def test_names_that_could_leave_the_models_are_refused(store: Store, name: str) -> None:
    for use in (
        lambda: versions(store, name),
        lambda: find_version(store, name, "key"),
        lambda: current_alias(store, name, "latest"),
        lambda: set_alias(store, name, "latest", "0001", why="test"),
        lambda: version_prefix(name, "0001"),
        lambda: read_verdict(store, name, "0001", {}),
    ):
        with pytest.raises(ConfigError, match="is not a model's name"):
            use()
    for bad in ("..", "../0001", "", "1/2"):
        with pytest.raises(ConfigError, match="is not an alias"):
            current_alias(store, "digits", bad)
        with pytest.raises(ConfigError, match="is not a version's number"):
            version_prefix("digits", bad)


METRICS: dict[str, dict[str, Any]] = {
    "coverage_pixels": {"value": 0.871, "n_real": 360},
    "fd_domain": {"value": 12.5},
    "kid_domain": {"value": float("nan")},
    "recall_pixels": {"value": None},
}


@pytest.mark.parametrize(
    ("metric", "bound", "message"),
    [
        ("coverage_pixels", {"at_least": 0.9}, "coverage_pixels 0.871 is 0.029 below at_least 0.9"),
        ("fd_domain", {"at_most": 10}, "fd_domain 12.5 is 2.5 above at_most 10"),
        ("kid_domain", {"at_most": 1}, "kid_domain was not measured; the gate asks for at_most 1"),
        ("recall_pixels", {"at_least": 0}, "recall_pixels was not measured; the gate asks for at_least 0"),
        ("fd_pixels", {"at_most": 10}, "fd_pixels was not measured; the gate asks for at_most 10"),
    ],
)
def test_a_refusal_says_which_number_failed_by_how_much(
    metric: str, bound: dict[str, float], message: str
) -> None:
    assert [str(r) for r in judge(METRICS, {metric: Bound(**bound)})] == [message]


def test_a_bound_holds_at_its_own_value_and_each_bound_is_judged() -> None:
    assert judge(METRICS, {"coverage_pixels": Bound(at_least=0.871, at_most=0.871)}) == []
    assert judge(METRICS, {}) == []
    both = judge(METRICS, {"coverage_pixels": Bound(at_least=0.9), "fd_domain": Bound(at_most=12.4999)})
    assert [(r.metric, r.rule.name) for r in both] == [("coverage_pixels", "at_least"), ("fd_domain", "at_most")]


def test_a_verdict_belongs_to_its_rules_in_any_order() -> None:
    a, b = Bound(at_least=0.9), Bound(at_most=10)
    assert gate_path("digits", "0001", {"x": a, "y": b}) == gate_path("digits", "0001", {"y": b, "x": a})
    assert gate_path("digits", "0001", {"x": a}) != gate_path("digits", "0001", {"x": b})
    assert gate_path("digits", "1", {}).startswith("models/digits/gates/0001-")


def test_a_verdict_that_was_kept_before_there_were_relative_rules_is_found() -> None:
    rules = {"coverage_pixels": Bound(at_least=0.9), "fd_domain": Bound(at_most=10)}
    assert gate_path("digits", "0001", rules) == "models/digits/gates/0001-da926dd408b4.json"
    old = {"version": "0001", "gate": {"fd_domain": {"at_least": None, "at_most": 10.0}}, "passed": True,
           "refusals": [], "when": "2026-11-20T10:00:00+00:00", "who": "a@b"}
    assert Verdict.model_validate(old).champion is None


def test_lineage_goes_back_to_the_data_and_stops_where_an_artefact_is_gone(store: Store) -> None:
    run = finish_run(store)
    parents = (a_parent(store, run), a_parent(store, finish_scores(store, run)))
    assert [p.kind for p in lineage(store, parents)] == ["shards", "run", "scores"]
    store.delete("runs")
    assert [p.kind for p in lineage(store, parents)] == ["run", "scores"]


def test_lineage_is_found_in_a_store_that_was_moved(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    parents = (a_parent(store, finish_run(store)),)
    store.local_path("").rename(tmp_path / "moved")
    assert [p.kind for p in lineage(Store(tmp_path / "moved"), parents)] == ["shards", "run"]


def test_planning_imports_no_torch() -> None:
    script = ("import sys, pipelines.stages.publish, pipelines.cli_models; "
              "print(bool({'torch', 'onnx', 'onnxruntime'} & {*sys.modules}))")
    assert in_fresh_process(script).strip() == "False"
