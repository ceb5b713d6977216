from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_core.bundle import load_generator
from gan_core.config import experiment_from
from gan_core.errors import DamagedFile, StoreError
from gan_core.manifest import damaged_files, read_manifest
from gan_core.store import Store
from pipelines.champion import as_published, standard
from pipelines.models import current_alias, read_verdict, set_alias, version_prefix, versions
from pipelines.stages.publish import is_published, publish
from tests.artefacts import (
    a_parent,
    an_experiment,
    finish_run,
    finish_scores,
    flip_a_byte,
    in_fresh_process,
    publish_as,
    publish_one,
)

STRICT = {"coverage_pixels": {"at_least": 0.99}, "fd_domain": {"at_most": 10}}
FILES = {"generator.json", "generator.safetensors", "networks.safetensors", "config.json", "metrics.json",
         "samples.png", "report.html", "report.json", "README.md"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def memory() -> Iterator[Store]:
    made = Store("memory://publish")
    yield made
    made.delete("")


def on(store: Store, alias: str, name: str = "digits") -> str | None:
    current = current_alias(store, name, alias)
    return current.version if current else None


def moves(store: Store, alias: str) -> list[str]:
    return store.names(f"models/digits/aliases/{alias}")


def assert_all_whole(store: Store) -> None:
    for version in versions(store, "digits"):
        prefix = version_prefix("digits", version)
        manifest = read_manifest(store, prefix)
        assert manifest is not None
        assert {f.path for f in manifest.files} == FILES
        assert damaged_files(store, prefix, manifest) == []


def test_a_version_that_passes_is_latest_and_champion(store: Store) -> None:
    published = publish_one(store)
    assert (published.version, published.promoted, published.refusals) == ("0001", True, ())
    assert published.uri == store.uri("models/digits/versions/0001")
    assert_all_whole(store)
    assert (on(store, "latest"), on(store, "champion")) == ("0001", "0001")
    assert is_published(store, an_experiment(), "p1") == ("0001", True)


def test_a_version_that_is_refused_is_latest_and_says_which_numbers_failed(store: Store) -> None:
    publish_one(store, "p1", "r1")
    refused = publish_one(store, "p2", "r2", experiment=an_experiment(STRICT))
    assert (refused.version, refused.promoted) == ("0002", False)
    assert refused.refusals == ("coverage_pixels 0.953 is 0.037 below at_least 0.99",
                                "fd_domain 12.5 is 2.5 above at_most 10")
    assert (on(store, "latest"), on(store, "champion")) == ("0002", "0001")


def test_the_bundle_is_the_runs_own_files_and_its_generator_loads(store: Store) -> None:
    published = publish_one(store)
    for file in ("generator.json", "generator.safetensors", "networks.safetensors"):
        assert store.read(f"models/digits/versions/0001/{file}") == store.read(f"runs/r1/{file}")
    for file in ("metrics.json", "samples.png", "report.html", "report.json"):
        assert store.read(f"models/digits/versions/0001/{file}") == store.read(f"scores/e1/{file}")
    before, after = load_generator(store.uri("runs/r1")), load_generator(published.uri)
    assert (before.sample(10) == after.sample(10)).all()


def test_the_config_reads_back_as_the_experiment(store: Store) -> None:
    experiment = an_experiment(STRICT, licence="cc0-1.0")
    publish_one(store, experiment=experiment)
    raw = json.loads(store.read("models/digits/versions/0001/config.json"))
    assert experiment_from(raw).as_json() == experiment.as_json()


def test_publishing_again_finds_the_version_and_changes_nothing(store: Store) -> None:
    first = publish_one(store)
    before = store.sizes("models")
    again = publish_as(store, "p1", "runs/r1", "scores/e1")
    assert (again, store.sizes("models")) == (first, before)


def test_only_the_run_that_judged_reports_refusals(store: Store) -> None:
    publish_one(store, experiment=an_experiment(STRICT))
    again = publish_as(store, "p1", "runs/r1", "scores/e1", an_experiment(STRICT))
    assert (again.promoted, again.refusals) == (False, ())


def test_a_changed_gate_judges_the_same_version_again(store: Store) -> None:
    publish_one(store, experiment=an_experiment(STRICT))
    assert is_published(store, an_experiment(), "p1") == ("0001", False)
    again = publish_as(store, "p1", "runs/r1", "scores/e1", an_experiment())
    assert (again.version, again.promoted) == ("0001", True)
    assert on(store, "champion") == "0001"
    verdicts = [read_verdict(store, "digits", "0001", e.publish.gate) for e in
                (an_experiment(), an_experiment(STRICT))]
    assert [v.passed for v in verdicts if v] == [True, False]


def test_a_rollback_outlives_publishing_again(store: Store) -> None:
    publish_one(store, "p1", "r1")
    publish_one(store, "p2", "r2")
    set_alias(store, "digits", "champion", "0001", why="rolled back")
    publish_as(store, "p2", "runs/r2", "scores/e1")
    assert on(store, "champion") == "0001"


def test_latest_never_goes_back_to_an_older_version(store: Store) -> None:
    publish_one(store, "p1", "r1", experiment=an_experiment(STRICT))
    publish_one(store, "p2", "r2")
    publish_as(store, "p1", "runs/r1", "scores/e1", an_experiment())
    assert on(store, "latest") == "0002"


def test_latest_leaves_a_newer_version_that_is_not_whole(store: Store) -> None:
    publish_one(store, "p1", "r1", experiment=an_experiment(STRICT))
    publish_one(store, "p2", "r2")
    store.delete("models/digits/versions/0002/README.md")
    publish_as(store, "p1", "runs/r1", "scores/e1", an_experiment())
    assert on(store, "latest") == "0001"


def test_a_version_that_lost_a_file_is_published_anew_under_the_next_number(store: Store) -> None:
    publish_one(store)
    store.delete("models/digits/versions/0001/generator.safetensors")
    assert is_published(store, an_experiment(), "p1") == (None, False)
    assert publish_as(store, "p1", "runs/r1", "scores/e1").version == "0002"
    assert (versions(store, "digits"), on(store, "latest")) == (("0002",), "0002")


def test_a_version_with_a_flipped_byte_is_published_anew_when_asked(store: Store) -> None:
    publish_one(store)
    flip_a_byte(store, "models/digits/versions/0001/generator.safetensors")
    assert is_published(store, an_experiment(), "p1") == ("0001", True)  # sizes alone do not tell
    assert publish_as(store, "p1", "runs/r1", "scores/e1").version == "0002"
    assert (on(store, "latest"), on(store, "champion")) == ("0002", "0002")


@pytest.mark.parametrize(
    "path", ["runs/r1/generator.safetensors", "runs/r1/networks.safetensors", "scores/e1/metrics.json"]
)
def test_a_damaged_input_is_named_and_never_published(store: Store, path: str) -> None:
    scores = finish_scores(store, finish_run(store))
    flip_a_byte(store, path)
    with pytest.raises(DamagedFile, match=rf"{path}: is damaged: sha256"):
        publish_as(store, "p1", "runs/r1", scores)
    assert store.names("models") == []


def test_a_run_that_is_not_finished_is_not_published(store: Store) -> None:
    run = finish_run(store)
    scores = finish_scores(store, run)
    parents = (a_parent(store, scores),)
    store.delete("runs/r1/MANIFEST.json")
    with pytest.raises(StoreError, match="runs/r1: is not finished"):
        publish(store, an_experiment(), key="p1", run_prefix=run, scores_prefix=scores, parents=parents,
                beside=partial(standard, store, "digits", score=as_published))


def test_the_same_run_gives_the_same_bytes_in_any_store_at_any_time(store: Store, memory: Store) -> None:
    digests = []
    publish_one(memory, "earlier", "r0", seed=1)
    for place in (store, memory):
        published = publish_one(place)
        manifest = read_manifest(place, version_prefix("digits", published.version))
        assert manifest is not None
        digests.append(manifest.digest)
    assert digests[0] == digests[1]


# --- the model card -----------------------------------------------------------------------------------------


def card_of(store: Store, **options: Any) -> tuple[dict[str, Any], str]:
    published = publish_one(store, experiment=an_experiment(**options))
    text = store.read(f"models/digits/versions/{published.version}/README.md").decode()
    _, front, body = text.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_model_card_has_hugging_faces_front_matter(store: Store) -> None:
    front, _ = card_of(store, licence="cc-by-4.0")
    assert front["license"] == "cc-by-4.0"
    assert front["pipeline_tag"] == "unconditional-image-generation"
    assert {"gan", "dcgan", "digits"} <= set(front["tags"])


def test_a_licence_with_yaml_in_it_stays_one_value(store: Store) -> None:
    front, _ = card_of(store, licence="mine: [all]\ntags: no")
    assert front["license"] == "mine: [all]\ntags: no"


def test_a_licence_that_is_not_stated_is_unknown(store: Store) -> None:
    assert card_of(store)[0]["license"] == "unknown"


def test_the_model_card_shows_numbers_with_provenance_and_lineage(store: Store) -> None:
    _, body = card_of(store)
    assert "| coverage_pixels | 0.953 | 360 | 360 | test | pixels | k=5, seed=0 |" in body
    rows = re.findall(r"\| (shards|run|scores) \| `(\S+)` \| `[0-9a-f]{12}` \|", body)
    assert rows == [("shards", "shards/s1"), ("run", "runs/r1"), ("scores", "scores/e1")]


def test_the_model_cards_python_runs_and_is_three_lines(store: Store) -> None:
    _, body = card_of(store)
    (code,) = re.findall(r"```python\n(.*?)```", body, re.DOTALL)
    assert len(code.splitlines()) == 3
    scope: dict[str, Any] = {}
    exec(code.replace("HERE", store.uri("models/digits/versions/0001")), scope)
    assert scope["images"].shape == (64, 1, 8, 8)


# --- kills and races ----------------------------------------------------------------------------------------

KILLS = """
import json, os, pathlib, shutil, signal, sys
from gan_core.manifest import damaged_files, read_manifest
from gan_core.store import Store
from pipelines.models import current_alias, find_version, version_prefix, versions
from pipelines.stages.publish import is_published
from tests.artefacts import an_experiment, publish_as

base, work = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
OPERATIONS = [(os, n) for n in ("rename", "replace", "link", "unlink", "mkdir", "fsync", "rmdir")]
OPERATIONS += [(pathlib.Path, "write_bytes"), (Store, "staging"), (Store, "create")]

def die_at(last):
    count = 0
    def wrapped(target, name):
        real = getattr(target, name)
        def operation(*arguments, **options):
            nonlocal count
            count += 1
            if count == last:
                if name == "write_bytes":
                    real(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)
        setattr(target, name, operation)
    for target, name in OPERATIONS:
        wrapped(target, name)

def state(store):
    problems = []
    for version in versions(store, "digits"):
        prefix = version_prefix("digits", version)
        problems += damaged_files(store, prefix, read_manifest(store, prefix))
    aliases = {a: current_alias(store, "digits", a) for a in ("latest", "champion")}
    return {"versions": versions(store, "digits"), "problems": problems,
            "found": find_version(store, "digits", "p2"),
            "published": is_published(store, an_experiment(), "p2"),
            "moves": {a: store.names(f"models/digits/aliases/{a}") for a in aliases},
            "aliases": {a: c and c.version for a, c in aliases.items()}}

outcomes, killed, last = [], True, 0
while killed:
    last += 1
    place = work / str(last)
    shutil.copytree(base, place)
    store = Store(place)
    child = os.fork()
    if child == 0:
        die_at(last)
        publish_as(store, "p2", "runs/r2", "scores/e2")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert killed or status == 0, status
    after = state(store)
    again = publish_as(store, "p2", "runs/r2", "scores/e2")
    told = [again.version, again.promoted, again.refusals]
    outcomes.append({"after": after, "again": told, "end": state(store)})
    shutil.rmtree(place)
print(json.dumps(outcomes))
"""


def test_a_kill_at_any_operation_leaves_whole_versions_and_the_next_start_completes_it(
    store: Store, tmp_path: Path
) -> None:
    publish_one(store, "p1", "r1")
    finish_scores(store, finish_run(store, "r2", seed=2), "e2")
    (tmp_path / "work").mkdir()
    outcomes = json.loads(in_fresh_process(KILLS, str(store.local_path("")), str(tmp_path / "work")))
    assert len(outcomes) > 30
    for outcome in outcomes:
        after, end = outcome["after"], outcome["end"]
        assert after["problems"] == end["problems"] == []
        assert after["versions"] in (["0001"], ["0001", "0002"])
        assert not after["published"][1] or after["aliases"] == {"latest": "0002", "champion": "0002"}
        assert outcome["again"] == ["0002", True, []]
        assert end["versions"] == ["0001", "0002"]
        assert (end["found"], end["published"]) == ("0002", ["0002", True])
        assert end["aliases"] == {"latest": "0002", "champion": "0002"}
        assert set(map(tuple, end["moves"].values())) == {("000001.json", "000002.json")}
    stages = {(len(o["after"]["versions"]), *o["after"]["aliases"].values(), o["after"]["published"][1])
              for o in outcomes}
    assert stages == {(1, "0001", "0001", False), (2, "0001", "0001", False), (2, "0002", "0001", False),
                      (2, "0002", "0002", False), (2, "0002", "0002", True)}


class Killed(BaseException):
    """Ends a publisher in the middle, as a kill would."""


def die_at(last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    count = 0

    def wrapped(real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == last:
                raise Killed
            return real(*arguments, **options)

        return operation

    for name in ("create", "write", "put", "delete", "read", "names", "sizes"):
        monkeypatch.setattr(Store, name, wrapped(getattr(Store, name)))


def test_an_object_store_holds_whole_versions_after_a_kill_at_any_operation(
    store: Store, memory: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish_scores(store, finish_run(store))
    objects = {path: store.read(path) for path in store.sizes("")}
    killed, last = True, 0
    while killed:
        last += 1
        memory.delete("")
        for path, data in objects.items():
            memory.write(path, data)
        with monkeypatch.context() as patch:
            die_at(last, patch)
            try:
                publish_as(memory, "p1", "runs/r1", "scores/e1")
                killed = False
            except Killed:
                pass
        assert_all_whole(memory)
        published = publish_as(memory, "p1", "runs/r1", "scores/e1")
        assert_all_whole(memory)
        assert versions(memory, "digits") == (published.version,)
        assert (on(memory, "latest"), on(memory, "champion")) == (published.version, published.version)
        assert (moves(memory, "latest"), moves(memory, "champion")) == (["000001.json"], ["000001.json"])
    assert last > 40


RACE = """
import os, sys
from gan_core.store import Store
from tests.artefacts import publish_as
ready, start = os.pipe()
children = []
for key in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        os.close(start)
        os.read(ready, 1)  # ends for all at once, when the parent closes its end
        publish_as(Store(sys.argv[1]), key, "runs/r1", "scores/e1")
        os._exit(0)
    children.append(child)
os.close(start)
assert all(os.waitpid(child, 0)[1] == 0 for child in children)
"""


def test_publishers_of_different_keys_that_race_get_a_version_each(store: Store) -> None:
    finish_scores(store, finish_run(store))
    keys = [f"p{n}" for n in range(6)]
    in_fresh_process(RACE, store.url, *keys)
    assert_all_whole(store)
    assert versions(store, "digits") == tuple(f"{n:04d}" for n in range(1, 7))
    assert {is_published(store, an_experiment(), key) for key in keys} == {
        (v, True) for v in versions(store, "digits")
    }
    assert on(store, "latest") == "0006"
    for alias in ("latest", "champion"):
        assert moves(store, alias) == [f"{n:06d}.json" for n in range(1, len(moves(store, alias)) + 1)]
    assert len(moves(store, "champion")) == 6


def test_publishers_of_one_key_that_race_make_one_version(store: Store) -> None:
    finish_scores(store, finish_run(store))
    in_fresh_process(RACE, store.url, *["same"] * 6)
    assert_all_whole(store)
    assert versions(store, "digits") == ("0001",)
    assert (moves(store, "latest"), moves(store, "champion")) == (["000001.json"], ["000001.json"])
