"""Which numbers may stand side by side, what is best, what differs, and what is said where nothing can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gan_core.config import read_yaml
from gan_core.errors import ConfigError, DamagedFile
from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines.compare import Comparison, Metric, as_json, compare
from pipelines.compare_words import advice, gaps, origin_rows, refusal, refusals, setting_rows
from pipelines.compared_version import MOST_VERSIONS, dotted, gather, read_version
from pipelines.records import RunRecord, StageRecord, record_path, write_record
from tests.artefacts import flip_a_byte
from tests.compared import a_version, measured, n_images

PLAIN = {"fd_domain": measured(12.5), "coverage_pixels": measured(0.9, "pixels", k=5)}
BETTER = {"fd_domain": measured(10.0), "coverage_pixels": measured(0.8, "pixels", k=5)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def memory() -> Iterator[Store]:
    made = Store("memory://compare")
    yield made
    made.delete("")


Compared = Callable[..., Comparison]


@pytest.fixture
def compared(store: Store) -> Compared:
    """compared({…}, {…}): the comparison of versions with these metrics; a pair adds what else it differs in."""

    def make(*given: Any) -> Comparison:
        versions = [one if isinstance(one, tuple) else (one, {}) for one in given]
        return compare(gather([a_version(store, "digits", metrics, **more) for metrics, more in versions], store))

    return make


def metric(comparison: Comparison, name: str) -> Metric:
    (found,) = (one for one in comparison.metrics if one.name == name)
    return found


def row(comparison: Comparison, name: str) -> tuple[str, ...]:
    (found,) = (one.values for one in origin_rows(comparison) if one.name == name)
    return found


# --- what is best -------------------------------------------------------------------------------------------


def test_numbers_measured_alike_are_compared_and_differences_are_from_the_first(compared: Compared) -> None:
    both = compared(PLAIN, BETTER)
    fd, coverage = metric(both, "fd_domain"), metric(both, "coverage_pixels")
    assert both.comparable
    assert (fd.compared, fd.better, coverage.better) == (True, "lower", "higher")
    assert [cell.difference for cell in fd.cells] == [None, -2.5]
    assert [(cell.better, cell.best) for cell in fd.cells] == [(None, False), (True, True)]
    assert [(cell.better, cell.best) for cell in coverage.cells] == [(None, True), (False, False)]


@pytest.mark.parametrize(("name", "network", "values", "best"), [
    ("kid_domain", "domain", (0.2, -0.1, 0.1), [1]),
    ("recall_pixels", "pixels", (0.2, 0.9, 0.9), [1, 2]),
    ("density_domain", "domain", (0.7, 1.2, 1.9), [1]),
    ("class_agreement", "svc", (0.7, 0.9, 0.8), [1]),
    ("cycle_error_a", "pixels", (0.2, 0.3, 0.1), [2]),
    ("agreement_real", "svc", (0.7, 0.9, 0.8), []),
    ("sliced_wasserstein_pixels", "pixels", (0.7, 0.9, 0.8), [0]),
    ("inception_score_domain", "domain", (7, 9, 8), [1]),
    ("class_kl", "svc", (0.7, 0.1, 0.8), [1]),
    ("memorisation_domain", "domain", (-5, 0, 5), []),
    ("fd_domain", "domain", (3.0, 3.0, 3.0), []),
])  # fmt: skip
def test_the_best_follows_the_metrics_direction_ties_share_it_and_equal_numbers_have_none(
    compared: Compared, name: str, network: str, values: tuple[float, ...], best: list[int]
) -> None:
    cells = metric(compared(*({name: measured(value, network)} for value in values)), name).cells
    assert [i for i, cell in enumerate(cells) if cell.best] == best


def test_only_the_metrics_asked_for_are_compared_and_an_unknown_one_is_refused(store: Store) -> None:
    versions = gather([a_version(store, "digits", PLAIN), a_version(store, "digits", BETTER)], store)
    assert [one.name for one in compare(versions, ["fd_domain"]).metrics] == ["fd_domain"]
    with pytest.raises(ConfigError, match=r"--metric fid: none .* has it; known: fd_domain, coverage_pixels$"):
        compare(versions, ["fid"])


@pytest.mark.parametrize(("first", "second", "within"), [
    ({"low": 9.0, "high": 14.0}, {}, True), ({}, {"low": 9.0, "high": 12.5}, True),
    ({"low": 11.0, "high": 14.0}, {"low": 9.0, "high": 11.5}, False), ({}, {}, False),
])  # fmt: skip
def test_bounds_are_told_and_whether_one_number_lies_within_those_of_the_other(
    compared: Compared, first: dict[str, float], second: dict[str, float], within: bool
) -> None:
    one, two = metric(compared({"fd_domain": measured(12.5, **first)}, {"fd_domain": measured(10.0, **second)}),
                      "fd_domain").cells
    assert [(cell.low, cell.high) for cell in (one, two)] == [(given.get("low"), given.get("high"))
                                                              for given in (first, second)]
    assert (one.within, two.within) == (False, within)
    assert two.difference == -2.5


def test_bounds_are_no_terms(compared: Compared) -> None:
    how = {"low": 9.0, "high": 14.0, "level": 0.95, "interval": "jackknife", "warning": "360 images are few."}
    both = compared({"fd_domain": measured(12.5, **how)}, {"fd_domain": measured(12.5)})
    assert metric(both, "fd_domain").compared
    assert not metric(both, "fd_domain").cells[1].within  # they do not differ


# --- what is refused ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("terms", "said"), [
    (n_images(10_000), "n_real 360 against 10,000 of digits@0002, n_fake 360 against 10,000 of digits@0002"),
    ({"split": "validation"}, "split test against validation of digits@0002"),
    ({"k": 3}, "k 5 against 3 of digits@0002"),
    ({"seed": 1}, "seed 0 against 1 of digits@0002"),
    ({"subsets": 100}, "subsets not known against 100 of digits@0002"),
    ({"subset_size": 50}, "subset_size not known against 50 of digits@0002"),
    ({"sha256": "c" * 64}, "sha256 not known against cccccccccccc of digits@0002"),
    ({"resizer": "pil-bicubic"}, "resizer not known against pil-bicubic of digits@0002"),
    ({"network": "inception"}, "network pixels against inception of digits@0002"),
])  # fmt: skip
def test_numbers_on_other_terms_are_not_compared_and_the_term_is_named(
    compared: Compared, terms: dict[str, Any], said: str
) -> None:
    other = {**BETTER, "coverage_pixels": {**BETTER["coverage_pixels"], **terms}}
    both = compared(PLAIN, other)
    assert refusals(both) == [f"coverage_pixels: {said}"]
    assert not metric(both, "coverage_pixels").compared
    assert not any(cell.best or cell.difference for cell in metric(both, "coverage_pixels").cells)
    assert metric(both, "fd_domain").compared
    assert both.comparable


def test_numbers_on_other_data_are_not_compared_whatever_else_is_equal(compared: Compared) -> None:
    both = compared(PLAIN, (BETTER, {"data": b"other"}))
    first, second = (version.data[:12] for version in both.versions)
    assert not both.comparable
    assert refusals(both) == [f"fd_domain, coverage_pixels: data {first} against {second} of digits@0002"]


def test_another_domain_network_refuses_its_own_metrics_alone(compared: Compared) -> None:
    both = compared((PLAIN, {"features": "a" * 64}), (BETTER, {"features": "b" * 64}))
    assert refusals(both) == [f"fd_domain: features {'a' * 12} against {'b' * 12} of digits@0002"]
    assert metric(both, "coverage_pixels").compared


def test_where_the_network_was_not_recorded_the_data_stands_for_it(compared: Compared) -> None:
    assert compared((PLAIN, {"features": "a" * 64}), BETTER).comparable


def test_one_version_that_differs_leaves_a_metric_without_a_best(compared: Compared) -> None:
    three = compared(PLAIN, BETTER, {**PLAIN, "fd_domain": {**measured(1.0), **n_images(100)}})
    assert [line.partition(":")[0] for line in refusals(three)] == ["fd_domain"]
    assert "of digits@0003" in refusals(three)[0]
    assert not any(cell.best for cell in metric(three, "fd_domain").cells)
    assert metric(three, "coverage_pixels").compared


def test_what_the_data_was_is_read_from_the_version_where_run_and_scores_are_gone(
    store: Store, compared: Compared
) -> None:
    compared(PLAIN, BETTER)
    for folder in ("runs", "scores", "shards"):
        store.delete(folder)
    both = compare(gather(["digits@0001", "digits@0002"], store))
    assert both.comparable
    assert row(both, "images seen") == ("128", "128")


def test_a_version_without_report_json_has_its_data_from_the_store_or_is_refused(store: Store) -> None:
    for metrics in (PLAIN, BETTER):
        without_report(store, a_version(store, "digits", metrics))
    assert compare(gather(["digits@0001", "digits@0002"], store)).comparable
    store.delete("runs")
    store.delete("scores")
    both = compare(gather(["digits@0001", "digits@0002"], store))
    assert refusals(both) == ["fd_domain, coverage_pixels: data not known against not known of digits@0002"]


def without_report(store: Store, address: str) -> None:
    """The version as it was published before there was report.json."""
    prefix = f"models/digits/versions/{address[-4:]}"
    manifest = read_manifest(store, prefix)
    assert manifest is not None
    files = tuple(file for file in manifest.files if file.path != "report.json")
    store.delete(f"{prefix}/report.json")
    store.write(f"{prefix}/MANIFEST.json", manifest.model_copy(update={"files": files}).model_dump_json().encode())


# --- what is missing ----------------------------------------------------------------------------------------


def test_a_metric_that_a_version_lacks_is_told_with_its_reason(compared: Compared) -> None:
    full = {**PLAIN, "class_agreement": measured(0.9, "svc"), "cycle_error_a": measured(0.1, "pixels")}
    pixels = {"coverage_pixels": measured(0.9, "pixels", k=5)}
    both = compared(full, (pixels, {"evaluate": {"networks": ["pixels"]}}))
    assert gaps(both) == [
        "digits@0002 has no fd_domain: evaluate.networks is [pixels]",
        "digits@0002 has no class_agreement: it is asked for no class",
        "digits@0002 has no cycle_error_a: it does not translate, or its data has no classes",
    ]
    assert not metric(both, "fd_domain").compared
    assert metric(both, "coverage_pixels").compared


def test_where_the_first_lacks_a_metric_the_others_are_ranked_without_differences(compared: Compared) -> None:
    three = compared({"coverage_pixels": measured(0.9, "pixels", k=5)}, PLAIN, BETTER)
    assert [cell.best for cell in metric(three, "fd_domain").cells] == [False, False, True]
    assert [cell.difference for cell in metric(three, "fd_domain").cells] == [None, None, None]


# --- advice -------------------------------------------------------------------------------------------------


def test_advice_brings_every_version_to_the_first_ones_terms_and_to_the_count_that_all_reach(
    store: Store, compared: Compared
) -> None:
    large = {name: {**one, **n_images(10_000)} for name, one in PLAIN.items()}
    both = compared(large, ({name: {**one, "seed": 3} for name, one in BETTER.items()}, {"evaluate": {"seed": 3}}))
    config = store.local_path("models/digits/versions")
    assert advice(both) == [
        f"`gan run {config}/{version}/config.json --store {store.url} --set {setting}` measures digits@{version} alike"
        for version, setting in (("0001", "evaluate.samples=360"), ("0002", "evaluate.seed=0"))
    ]
    assert read_yaml(config / "0001" / "config.json")["name"] == "digits"


def test_advice_on_other_data_names_the_settings_that_make_it_the_same(compared: Compared) -> None:
    both = compared(PLAIN, (BETTER, {"data": b"other", "prepare": {"shard_examples": 100}}))
    (line,) = advice(both)
    assert "--set 'prepare={" in line
    assert '"shard_examples": 4096' in line
    assert line.endswith("trains and measures digits@0002 anew, on the data of digits@0001")
    assert refusal(both).startswith("none of 2 metrics can be compared: fd_domain, coverage_pixels: data ")
    assert refusal(both).endswith(line)
    assert "\n" not in refusal(both)


def test_advice_where_the_same_settings_made_other_data_is_to_make_both_again(compared: Compared) -> None:
    (line,) = advice(compared(PLAIN, (BETTER, {"data": b"other"})))
    assert line.count("gan run ") == 2


def test_advice_says_which_version_to_leave_out(compared: Compared) -> None:
    three = compared(PLAIN, BETTER, (PLAIN, {"data": b"other"}))
    assert refusal(three).endswith("; without digits@0003 the others can be compared")
    assert "without" not in refusal(compared(PLAIN, (BETTER, {"data": b"other"})))


def test_advice_in_a_remote_store_names_the_experiment(memory: Store) -> None:
    names = [a_version(memory, "digits", PLAIN), a_version(memory, "digits", BETTER, data=b"other")]
    assert "gan run EXPERIMENT.yaml --store memory://compare" in advice(compare(gather(names, memory)))[0]


# --- settings and origin ------------------------------------------------------------------------------------


def test_only_settings_that_differ_are_told_and_blocks_by_what_is_in_them(compared: Compared) -> None:
    both = compared(PLAIN, (BETTER, {"train": {"images": 2560}, "gate": {}, "seed": 7}))
    rows = {one.name: one.values for one in setting_rows(both)}
    assert set(rows) == {"seed", "train.images", "publish.gate.coverage_pixels.at_least"}
    assert rows["seed"] == ("0", "7")
    assert rows["publish.gate.coverage_pixels.at_least"] == ("0.5", "not set")


def test_settings_have_dotted_names_and_an_empty_block_is_a_value() -> None:
    assert dict(dotted({"a": {"b": {"c": [1, 2]}, "d": {}}, "e": None})) == {"a.b.c": [1, 2], "a.d": {}, "e": None}


def test_a_gate_beside_the_champion_says_what_it_said_and_by_itself_nothing(compared: Compared) -> None:
    gate = {"fd_domain": {"at_most_champion": 0.5}}
    both = compared((PLAIN, {"gate": gate}), (PLAIN, {"gate": gate, "data": b"other"}))
    assert row(both, "gate") == ("passed", "refused: fd_domain")
    for version in both.versions:
        version.store.delete("models/digits/gates")
    again = [read_version(version.store, version.prefix, version.label) for version in both.versions]
    assert [version.passed for version in again] == [None, None]
    assert row(compare(again), "gate") == ("not known: relative to a champion",) * 2


def test_origin_says_gate_aliases_images_and_what_each_was_made_from(compared: Compared) -> None:
    both = compared((PLAIN, {"gate": {"fd_domain": {"at_most": 1}}}), BETTER)
    assert row(both, "gate") == ("refused: fd_domain", "passed")
    assert row(both, "aliases") == ("none", "champion, latest")
    assert row(both, "images seen") == ("128", "128")
    shards, runs = row(both, "shards"), row(both, "run")
    assert shards[0] == shards[1]
    assert shards[0].startswith("s-arrow (")
    assert [run.partition(" ")[0] for run in runs] == ["r-digits-0", "r-digits-1"]
    assert {one.name for one in origin_rows(both) if one.differs} >= {"gate", "aliases", "run", "scores"}
    assert not any(one.differs for one in origin_rows(both) if one.name in ("torch", "shards", "code of train"))


def test_code_is_told_from_the_record_of_the_run_that_published(store: Store, compared: Compared) -> None:
    compared(PLAIN, BETTER)
    for i, version in enumerate(("0001", "0002")):
        manifest = read_manifest(store, f"models/digits/versions/{version}")
        assert manifest is not None
        code = {"gan_core.losses": str(i)}
        stages = {"train": StageRecord(key="t", config={}, inputs={}, code=code),
                  "publish": StageRecord(key=manifest.key, config={}, inputs={}, code={})}
        started = datetime(2026, 1, 1 + i, tzinfo=UTC)
        record = RunRecord(started=started.isoformat(), experiment={}, stages=stages)
        write_record(store, record_path("digits", started), record)
    both = compare(gather(["digits@0001", "digits@0002"], store))
    assert [version.code for version in both.versions] == [{"train": {"gan_core.losses": "0"}},
                                                           {"train": {"gan_core.losses": "1"}}]
    assert len(set(row(both, "code of train"))) == 2
    assert row(both, "code of prepare") == ("not known", "not known")


# --- which versions -----------------------------------------------------------------------------------------


def test_versions_of_two_stores_are_told_apart_by_their_urls(store: Store, memory: Store) -> None:
    a_version(store, "digits", PLAIN)
    a_version(memory, "digits", BETTER)
    both = compare(gather(["digits", f"{memory.url}/models/digits@latest"], store))
    assert [version.label for version in both.versions] == [f"{place.url}/models/digits/versions/0001"
                                                            for place in (store, memory)]
    assert both.comparable  # data with the same digest is the same data, wherever it lies


def test_too_few_too_many_and_one_version_twice_are_refused(store: Store) -> None:
    a_version(store, "digits", PLAIN)
    with pytest.raises(ConfigError, match=r"gan compare digits: 1 versions; 2 to 8 .* gan compare digits@0001"):
        gather(["digits"], store)
    with pytest.raises(ConfigError, match=f"{MOST_VERSIONS + 1} versions; 2 to {MOST_VERSIONS}"):
        gather(["digits"] * (MOST_VERSIONS + 1), store)
    with pytest.raises(ConfigError, match=r"digits@champion and digits@latest are one version, .*/versions/0001; name"):
        gather(["digits@champion", "digits@latest"], store)


def test_a_damaged_number_is_never_compared(store: Store) -> None:
    for metrics in (PLAIN, BETTER):
        a_version(store, "digits", metrics)
    flip_a_byte(store, "models/digits/versions/0002/metrics.json")
    with pytest.raises(DamagedFile, match=r"versions/0002/metrics.json: is damaged"):
        gather(["digits@0001", "digits@0002"], store)


def test_the_facts_for_programs_say_all_of_it(compared: Compared) -> None:
    facts = json.loads(json.dumps(as_json(compared(PLAIN, (BETTER, {"seed": 7})))))
    assert set(facts) == {"versions", "comparable", "metrics", "settings"}
    assert set(facts["versions"][0]) == {"version", "uri", "created", "aliases", "gate", "images", "data", "features",
                                         "lineage", "tools", "code"}
    assert facts["versions"][1]["gate"] == {"passed": True, "refusals": []}
    assert set(facts["metrics"][0]) == {"name", "better", "compared", "refused", "values"}
    assert {name: facts["metrics"][0]["values"][1][name] for name in ("version", "value", "why", "difference", "better",
                                                                      "best", "low", "high", "within")} == {
        "version": "digits@0002", "value": 10.0, "why": None, "difference": -2.5, "better": True, "best": True,
        "low": None, "high": None, "within": False}
    assert facts["metrics"][0]["values"][1]["terms"]["n_real"] == 360
    assert facts["settings"] == [{"name": "seed", "values": [0, 7], "set": [True, True]}]
