from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from gan_core.addresses import Alias, alias_moves, current_alias
from gan_core.errors import ConfigError, DamagedFile, GanError, StoreError
from gan_core.manifest import artefact
from gan_core.published import version_prefix
from gan_core.store import Store
from pipelines.cli_models import models
from pipelines.models import set_alias
from pipelines.promote import history, promote, roll_back, standing
from tests.artefacts import flip_a_byte
from tests.s3_server import s3_server

FOLDER = "models/digits/aliases/champion"


def add(store: Store, version: str, name: str = "digits") -> None:
    with artefact(store, version_prefix(name, version), kind="version", key=version, exclusive=True) as draft:
        (draft.path / "README.md").write_text(version)


def with_versions(store: Store, count: int = 5) -> Store:
    for number in range(1, count + 1):
        add(store, f"{number:04d}")
    return store


@pytest.fixture(params=["disk", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "store") if request.param == "disk" else Store("memory://promote")
    yield with_versions(made)
    made.delete("")


@pytest.fixture
def disk(tmp_path: Path) -> Store:
    return with_versions(Store(tmp_path / "store"))


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    with s3_server("promote", "a-secret"):
        yield with_versions(Store("s3://promote/x"), 8)


def on(store: Store) -> str | None:
    current = current_alias(store, "digits", "champion")
    return current.version if current else None


def put(store: Store, *versions: str) -> None:
    for version in versions:
        promote(store, f"digits@{version}", "champion", f"because {version}")


def back(store: Store, to: str | None = None) -> str:
    return roll_back(store, "digits", "champion", "it is grey", to).move.version


# --- promote ------------------------------------------------------------------------------------------------


def test_a_promotion_is_one_more_file_that_says_from_where_by_whom_and_why(store: Store) -> None:
    first = promote(store, "digits@0001", "champion", "the first one")
    before = store.read(f"{FOLDER}/000001.json")
    second = promote(store, "digits@2", "champion", "  sharper\nin class 3 ")
    assert (first.moved, second.moved, on(store)) == (True, True, "0002")
    assert (first.move.previous, second.move.previous, second.move.why) == (None, "0001", "sharper in class 3")
    assert "@" in second.move.who
    assert store.names(FOLDER) == ["000001.json", "000002.json"]
    assert store.read(f"{FOLDER}/000001.json") == before
    assert history(store, "digits", "champion") == [first.move, second.move]


def test_a_version_by_its_alias_or_url_is_promoted_by_its_number(store: Store, tmp_path: Path) -> None:
    set_alias(store, "digits", "latest", "0003", why="published")
    assert promote(store, "digits@latest", "champion", "newest").move.version == "0003"
    elsewhere = Store(tmp_path / "other")
    done = promote(elsewhere, store.uri("models/digits/versions/0004"), "champion", "by its URL")
    assert (done.store.url, on(store)) == (store.url, "0004")
    assert promote(elsewhere, store.uri("models/digits@2"), "mine", "by its URL").move.version == "0002"
    assert on(store) == "0004"


def test_promoting_what_stands_there_writes_nothing_and_says_so(store: Store) -> None:
    put(store, "0001")
    again = promote(store, "digits@0001", "champion", "again")
    assert (again.moved, again.move.why) == (False, "because 0001")
    assert store.names(FOLDER) == ["000001.json"]


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
def test_no_alias_moves_without_a_reason(disk: Store, reason: str) -> None:
    put(disk, "0001", "0002")
    for act in (lambda: promote(disk, "digits@0003", "champion", reason),
                lambda: roll_back(disk, "digits", "champion", reason)):
        with pytest.raises(ConfigError, match=r"--reason: is empty, .*--reason '.*' works"):
            act()
    assert on(disk) == "0002"


@pytest.mark.parametrize(("address", "message"), [
    ("digits", "digits: names no version to promote; digits@0003 works"),
    ("digits@0009", r"digits@0009: no such version in .*versions: 0001, 0002"),
    ("digit@0001", "unknown model 'digit' in .*did you mean 'digits'"),
    ("digits@champion", "digits@champion: no such version"),
])
def test_an_address_that_cannot_be_promoted_says_what_can(disk: Store, address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        promote(disk, address, "champion", "why not")
    assert on(disk) is None


def test_a_version_that_was_copied_out_of_a_store_has_no_aliases_to_move(disk: Store, tmp_path: Path) -> None:
    (tmp_path / "versions").mkdir()
    disk.local_path("models/digits/versions/0001").rename(tmp_path / "versions" / "copy")
    with pytest.raises(ConfigError, match="versions/copy: lies outside the models of a store"):
        promote(disk, f"{tmp_path}/versions/copy", "champion", "why not")


def damaged(store: Store, how: str) -> None:
    prefix = "models/digits/versions/0002"
    if how == "a flipped byte":
        flip_a_byte(store, f"{prefix}/README.md")
    else:
        store.delete(f"{prefix}/{'MANIFEST.json' if how == 'no manifest' else 'README.md'}")


@pytest.mark.parametrize("how", ["a flipped byte", "a missing file"])
def test_a_version_with_a_wrong_byte_is_never_promoted_or_rolled_back_to(store: Store, how: str) -> None:
    put(store, "0001", "0002", "0003")
    damaged(store, how)
    with pytest.raises(DamagedFile, match=r"0002/README\.md: is .*choose a whole version"):
        put(store, "0002")
    with pytest.raises(DamagedFile, match=r"0002/README\.md: is "):
        back(store)
    assert on(store) == "0003"
    assert back(store, "0001") == "0001"


def test_a_version_without_a_manifest_is_not_there(disk: Store) -> None:
    put(disk, "0001", "0002", "0003")
    damaged(disk, "no manifest")
    with pytest.raises(ConfigError, match="digits@0002: no such version"):
        put(disk, "0002")
    with pytest.raises(DamagedFile, match=r"0002/MANIFEST\.json: is missing"):
        back(disk)


# --- rollback -----------------------------------------------------------------------------------------------


def test_a_rollback_is_one_more_file_and_again_goes_further_back(store: Store) -> None:
    put(store, "0001", "0002", "0003")
    assert (back(store), back(store), on(store)) == ("0002", "0001", "0001")
    told = [(m.previous, m.version, m.rollback, m.why) for m in history(store, "digits", "champion")][3:]
    assert told == [("0003", "0002", True, "it is grey"), ("0002", "0001", True, "it is grey")]
    with pytest.raises(ConfigError, match=r"digits@champion: has stood on 0001 alone, there is nothing to roll back"):
        back(store)
    assert len(store.names(FOLDER)) == 5


def test_what_was_rolled_back_from_does_not_return_by_a_rollback(store: Store) -> None:
    put(store, "0001", "0002", "0003")
    back(store)
    put(store, "0004")
    assert (back(store), back(store)) == ("0002", "0001")


def test_a_rollback_to_an_earlier_version_takes_back_all_above_it(store: Store) -> None:
    put(store, "0001", "0002", "0003", "0004")
    assert back(store, "2") == "0002"
    with pytest.raises(ConfigError, match=r"--to 0004: digits@champion stands on 0002, and before on 0001; "
                                          r"`gan models promote digits@0004 --alias champion --reason"):
        back(store, "0004")
    with pytest.raises(ConfigError, match="'newest' is not a version's number"):
        back(store, "newest")
    assert back(store) == "0001"


def test_a_version_that_was_promoted_twice_is_reached_twice(store: Store) -> None:
    put(store, "0001", "0002", "0001", "0003")
    assert [back(store) for _ in range(3)] == ["0001", "0002", "0001"]


def test_an_alias_rolls_back_by_itself(store: Store) -> None:
    put(store, "0001", "0002")
    for version in ("0003", "0004"):
        promote(store, f"digits@{version}", "reviewed", "seen")
    assert roll_back(store, "digits", "reviewed", "unseen").move.version == "0003"
    assert on(store) == "0002"


def test_a_model_or_an_alias_that_is_not_there_says_what_is(disk: Store) -> None:
    put(disk, "0001")
    with pytest.raises(ConfigError, match=r"unknown model 'digit' in .*did you mean 'digits'"):
        roll_back(disk, "digit", "champion", "why not")
    with pytest.raises(ConfigError, match=r"digits@champoin: no such alias in .*; known: champion"):
        roll_back(disk, "digits", "champoin", "why not")


def move(version: str, rollback: bool = False) -> Alias:
    return Alias(version=version, when="", who="", why="", previous=None, rollback=rollback)


def test_the_pile_that_moves_leave() -> None:
    assert standing([]) == []
    assert standing([move("1"), move("1"), move("2")]) == ["1", "2"]
    assert standing([move("1"), move("2"), move("3"), move("1", rollback=True), move("4")]) == ["1", "4"]
    assert standing([move("2", rollback=True)]) == ["2"]  # of a history that lost its beginning


def test_moves_that_were_written_before_there_were_rollbacks_are_read(disk: Store) -> None:
    old = {"version": "0001", "when": "2026-11-20T10:00:00+00:00", "who": "a@b", "why": "passed", "previous": None}
    disk.write(f"{FOLDER}/000001.json", json.dumps(old).encode())
    put(disk, "0002")
    assert back(disk) == "0001"


# --- races --------------------------------------------------------------------------------------------------


def at_once(*acts: Callable[[], Any]) -> list[BaseException]:
    start, failures = threading.Barrier(len(acts)), []

    def one(act: Callable[[], Any]) -> None:
        start.wait()
        try:
            act()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


@pytest.mark.parametrize("kind", ["disk", "s3"])
def test_of_promoters_at_once_each_is_in_the_history_after_the_one_before(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    shared = request.getfixturevalue("s3") if kind == "s3" else with_versions(Store(tmp_path / "store"), 8)
    acts = [lambda v=f"000{n}": promote(Store(shared.url), f"digits@{v}", "champion", f"because {v}")
            for n in range(1, 9)]
    assert at_once(*acts) == []
    moves = alias_moves(shared, "digits", "champion")
    assert sorted(m.version for m in moves) == [f"000{n}" for n in range(1, 9)]
    assert [m.previous for m in moves] == [None, *(m.version for m in moves[:-1])]
    assert {(m.version, m.why) for m in moves} == {(f"000{n}", f"because 000{n}") for n in range(1, 9)}


def test_of_rollbacks_at_once_one_takes_effect_and_the_others_say_who_was_first(
    disk: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(disk, "0001", "0002", "0003")
    create = Store.create

    def another_is_faster(self: Store, path: str, data: bytes) -> None:
        monkeypatch.setattr(Store, "create", create)
        roll_back(disk, "digits", "champion", "I was first")
        create(self, path, data)

    monkeypatch.setattr(Store, "create", another_is_faster)
    with pytest.raises(StoreError, match=r"was moved to 0002 by .*@.* at the same time \(I was first\)"):
        back(disk)
    assert (on(disk), len(disk.names(FOLDER))) == ("0002", 4)


# --- the commands -------------------------------------------------------------------------------------------


def gan(store: Store, *arguments: str) -> Result:
    result = CliRunner().invoke(models, [*arguments, "--store", store.url], env={"COLUMNS": "160"})
    if isinstance(result.exception, GanError):
        raise result.exception
    return result


def as_json(store: Store, *arguments: str) -> Any:
    result = gan(store, *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_promote_and_rollback_print_where_the_alias_stands(disk: Store) -> None:
    assert gan(disk, "promote", "digits@0001", "--reason", "a").stdout == "digits@champion: nothing → 0001\n"
    assert gan(disk, "promote", "digits@0002", "--reason", "b").stdout == "digits@champion: 0001 → 0002\n"
    again = gan(disk, "promote", "digits@0002", "--reason", "c")
    assert (again.exit_code, again.stdout.partition(", since")[0]) == (0, "digits@champion: stands on 0002 already")
    assert gan(disk, "rollback", "digits", "--reason", "d").stdout == "digits@champion: 0002 → 0001\n"


def test_promote_and_rollback_tell_machines_the_move(disk: Store) -> None:
    told = as_json(disk, "promote", "digits@0001", "--reason", "a", "--alias", "mine")
    assert list(told) == ["name", "alias", "moved", "when", "who", "from", "to", "why", "rollback"]
    assert (told["name"], told["alias"], told["moved"], told["to"]) == ("digits", "mine", True, "0001")
    assert as_json(disk, "promote", "digits@0001", "--reason", "b", "--alias", "mine")["moved"] is False
    as_json(disk, "promote", "digits@0003", "--reason", "b", "--alias", "mine")
    told = as_json(disk, "rollback", "digits", "--reason", "c", "--alias", "mine", "--to", "0001")
    assert (told["from"], told["to"], told["rollback"]) == ("0003", "0001", True)


def test_history_prints_when_who_from_to_and_why_newest_first(disk: Store) -> None:
    put(disk, "0001", "0002")
    back(disk)
    promote(disk, "digits@0003", "mine", "for me")
    table = gan(disk, "history", "digits").stdout
    lines = [line.split() for line in table.splitlines()]
    assert lines[0] == ["alias", "when", "who", "from", "→", "to", "why"]
    assert [(line[0], *line[3:]) for line in lines[1:]] == [
        ("champion", "0002", "→", "0001", "rolled", "back:", "it", "is", "grey"),
        ("champion", "0001", "→", "0002", "because", "0002"),
        ("champion", "nothing", "→", "0001", "because", "0001"),
        ("mine", "nothing", "→", "0003", "for", "me"),
    ]


def test_history_tells_machines_every_move(disk: Store) -> None:
    put(disk, "0001", "0002")
    told = as_json(disk, "history", "digits", "--alias", "champion")
    assert [list(one) for one in told] == [["alias", "number", "when", "who", "from", "to", "why", "rollback"]] * 2
    assert [(one["number"], one["from"], one["to"]) for one in told] == [(2, "0001", "0002"), (1, None, "0001")]
    assert as_json(disk, "history", "digits") == told
    with pytest.raises(ConfigError, match=r"digits@latest: no such alias in .*known: champion"):
        gan(disk, "history", "digits", "--alias", "latest")
    with pytest.raises(ConfigError, match="unknown model 'faces'"):
        gan(disk, "history", "faces")


def test_a_command_without_a_reason_is_wrong_usage(disk: Store) -> None:
    for command in (["promote", "digits@0001"], ["rollback", "digits"]):
        result = gan(disk, *command)
        assert result.exit_code == 2
        assert "--reason" in result.stderr


@pytest.mark.parametrize("command", ["promote", "rollback", "history"])
def test_help_has_an_example_on_a_line_of_its_own(command: str) -> None:
    result = CliRunner().invoke(models, [command, "--help"], env={"COLUMNS": "100"})
    assert result.exit_code == 0
    assert any(line.strip().startswith(f"Example: gan models {command} ") for line in result.stdout.splitlines())
