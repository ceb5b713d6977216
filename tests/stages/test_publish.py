from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from gan_core.addresses import current_alias
from gan_core.bundle import load_generator
from gan_core.config import experiment_from
from gan_core.errors import DamagedFile, StoreError
from gan_core.manifest import damaged_files, read_manifest
from gan_core.published import version_prefix, versions
from gan_core.store import Store
from pipelines.champion import as_published, standard
from pipelines.models import read_verdict, set_alias
from pipelines.stages.publish import is_published, publish
from tests.artefacts import (
    a_parent,
    an_experiment,
    finish_run,
    finish_scores,
    flip_a_byte,
    publish_as,
    publish_one,
)

STRICT = {"coverage_pixels": {"at_least": 0.99}, "fd_domain": {"at_most": 10}}
FILES = {"generator.json", "generator.safetensors", "generator.onnx", "networks.safetensors", "config.json",
         "metrics.json", "samples.png", "report.html", "report.json", "README.md"}


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
    for file in ("generator.safetensors", "networks.safetensors"):
        assert store.read(f"models/digits/versions/0001/{file}") == store.read(f"runs/r1/{file}")
    ours, theirs = (json.loads(store.read(f"{at}/generator.json")) for at in ("models/digits/versions/0001", "runs/r1"))
    assert ours == theirs | {"onnx": ours["onnx"]}
    for file in ("metrics.json", "samples.png"):
        assert store.read(f"models/digits/versions/0001/{file}") == store.read(f"scores/e1/{file}")
    before, after = load_generator(store.uri("runs/r1")), load_generator(published.uri)
    assert (before.sample(10) == after.sample(10)).all()


def test_the_report_is_the_scores_with_how_it_stands_and_nothing_else(store: Store) -> None:
    run = finish_run(store)
    page = "<p>verdict</p>\n<!-- against other versions -->\n<p>metrics</p>"
    publish_as(store, "p1", run, finish_scores(store, run, page=page))
    published = store.read("models/digits/versions/0001/report.html").decode()
    before, after = published[: published.index("<section")], published[published.index("</section>") :]
    assert (before, after) == ("<p>verdict</p>\n", "</section>\n\n<p>metrics</p>")
    facts = json.loads(store.read("models/digits/versions/0001/report.json"))
    assert facts.pop("against")["version"] == "0001"
    assert facts == json.loads(store.read("scores/e1/report.json"))
    assert store.read("scores/e1/report.html").decode() == page


def test_a_report_of_older_scores_is_published_as_it_is(store: Store) -> None:
    publish_one(store)
    assert store.read("models/digits/versions/0001/report.html") == store.read("scores/e1/report.html")


def test_the_config_reads_back_as_the_experiment(store: Store) -> None:
    experiment = an_experiment(STRICT, licence="cc0-1.0")
    publish_one(store, experiment=experiment)
    raw = json.loads(store.read("models/digits/versions/0001/config.json"))
    assert experiment_from(raw).as_json() == experiment.as_json()


def test_publishing_again_finds_the_version_and_changes_nothing(store: Store) -> None:
    first = publish_one(store)
    before = store.sizes("models")
    again = publish_as(store, "p1", "runs/r1", "scores/e1")
    assert (again, store.sizes("models")) == (replace(first, judged=False), before)


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


def test_the_same_run_gives_the_same_bytes_in_any_store_at_any_time_but_for_how_it_stands(
    store: Store, memory: Store
) -> None:
    publish_one(memory, "earlier", "r0", seed=1)
    found = []
    for place in (store, memory):
        published = publish_one(place)
        prefix = version_prefix("digits", published.version)
        manifest = read_manifest(place, prefix)
        assert manifest is not None
        facts = json.loads(place.read(f"{prefix}/report.json"))
        assert facts.pop("against")["version"] == published.version
        found.append(({file.path: file.sha256 for file in manifest.files if file.path != "report.json"}, facts))
    assert found[0] == found[1]


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
    code = re.findall(r"```python\n(.*?)```", body, re.DOTALL)[0]
    assert len(code.splitlines()) == 3
    scope: dict[str, Any] = {}
    exec(code.replace("HERE", store.uri("models/digits/versions/0001")), scope)
    assert scope["images"].shape == (64, 1, 8, 8)
