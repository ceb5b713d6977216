"""How a published version's report says that it stands against the champion and against the version before."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gan_core.addresses import current_alias
from gan_core.manifest import read_manifest
from gan_core.store import Store
from pipelines.models import set_alias
from pipelines.report_names import MARKER
from pipelines.stages import publish as stage
from pipelines.standing_page import FEW_SETTINGS
from tests.artefacts import flip_a_byte, publish_as
from tests.compared import a_version, measured, n_images
from tests.test_report import Page

PAGE = f"<main><h1>digits</h1>{MARKER}<h2>Metrics</h2></main>"
REFUSED = {"coverage_pixels": {"at_least": 0.999}}
WITHIN = "within its interval"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def scores(fd: float = 12.5, coverage: float = 0.9, **terms: Any) -> dict[str, Any]:
    """terms: of coverage."""
    return {"fd_domain": measured(fd), "coverage_pixels": measured(coverage, "pixels", **{"k": 5, **terms})}


def published(store: Store, metrics: dict[str, Any], **options: Any) -> str:
    """The version's number."""
    return a_version(store, "digits", metrics, page=PAGE, **options)[-4:]


def page_of(store: Store, number: str) -> Page:
    return Page(store.read(f"models/digits/versions/{number}/report.html").decode())


def words(store: Store, number: str) -> str:
    """The section's text; its style is not read."""
    text = page_of(store, number).text
    assert text.startswith("digits")
    assert text.endswith("Metrics")
    return " ".join(re.sub(r"\.standing.*\n\}\n", "", text, flags=re.DOTALL).split())


def against(store: Store, number: str) -> dict[str, Any]:
    facts = json.loads(store.read(f"models/digits/versions/{number}/report.json"))
    found: dict[str, Any] = facts["against"]
    return found


# --- which versions -----------------------------------------------------------------------------------------


def test_the_first_version_says_so_and_has_no_table(store: Store) -> None:
    number = published(store, scores())
    found, facts = page_of(store, number), against(store, number)
    manifest = read_manifest(store, "models/digits/versions/0001")
    assert manifest is not None
    assert f"Version 0001 of digits, published {manifest.created[:10]} The first version of this model." in words(
        store, number)
    assert "table" not in found.tags
    assert facts == {"name": "digits", "version": "0001", "published": manifest.created[:10], "champion": None,
                     "previous": None}


def test_where_champion_and_previous_are_one_version_there_is_one_column(store: Store) -> None:
    published(store, scores(fd=12.5, coverage=0.9))
    number = published(store, scores(fd=10.0, coverage=0.8))
    said = words(store, number)
    assert "Metric this version champion and previous 0001 fd_domain 10 12.5 ▼ \N{MINUS SIGN}2.5000 better" in said
    assert "coverage_pixels 0.8000 0.9000 ▼ \N{MINUS SIGN}0.1000 worse" in said
    assert "Against champion and previous 0001: 1 better, 1 worse." in said
    facts = against(store, number)
    assert facts["champion"] == facts["previous"]
    assert facts["champion"]["metrics"]["fd_domain"] == {"value": 12.5, "difference": -2.5, "better": True,
                                                         "within": False, "refused": []}


def test_the_champion_is_the_one_before_this_version_was_judged_and_digests_are_kept(store: Store) -> None:
    published(store, scores())
    published(store, scores(coverage=0.95), gate=REFUSED)
    number = published(store, scores(coverage=0.99))
    champion, previous = against(store, number)["champion"], against(store, number)["previous"]
    assert (champion["version"], previous["version"]) == ("0001", "0002")
    assert "Metric this version champion 0001 previous 0002" in words(store, number)
    for one in (champion, previous):
        manifest = read_manifest(store, f"models/digits/versions/{one['version']}")
        assert manifest is not None
        assert one["digest"] == manifest.digest
    move = current_alias(store, "digits", "champion")
    assert move is not None
    assert move.version == number


def test_without_a_champion_the_version_before_is_told_alone(store: Store) -> None:
    published(store, scores(), gate=REFUSED)
    number = published(store, scores(), gate=REFUSED)
    assert "No version of this model is champion yet. Against previous 0001: 2 equal." in words(store, number)
    assert against(store, number)["champion"] is None


def test_previous_is_the_newest_that_is_whole(store: Store) -> None:
    published(store, scores(), gate=REFUSED)
    published(store, scores(), gate=REFUSED)
    store.delete("models/digits/versions/0002/samples.png")
    assert against(store, published(store, scores(), gate=REFUSED))["previous"]["version"] == "0001"
    store.delete("models/digits/versions")
    store.write("models/digits/versions/0007/CLAIM.json", b"{}")
    assert "No earlier version of this model is whole." in words(store, published(store, scores()))


# --- what is said of numbers --------------------------------------------------------------------------------


def test_equal_numbers_are_equal_and_where_no_way_is_better_none_is_said(store: Store) -> None:
    seen = {"memorisation_domain": measured(-1.0), "density_pixels": measured(0.75, "pixels")}
    published(store, scores() | seen)
    moved = {"memorisation_domain": measured(0.5), "density_pixels": measured(1.25, "pixels")}
    said = words(store, published(store, scores() | moved))
    assert "fd_domain 12.5 12.5 = coverage" in said
    assert "memorisation_domain 0.5000 \N{MINUS SIGN}1.0000 ▲ +1.5000 density" in said
    assert "density_pixels 1.2500 0.7500 ▲ +0.5000 ▲ and" in said
    assert "2 neither, 2 equal" in said


@pytest.mark.parametrize(("mine", "theirs", "within"), [
    ({"low": 0.85, "high": 0.95}, {}, True),
    ({}, {"low": 0.85, "high": 0.95}, True),
    ({"low": 0.91, "high": 0.93}, {"low": 0.89, "high": 0.91}, False),
    ({}, {}, False),
])  # fmt: skip
def test_a_number_within_the_others_bounds_is_said_to_be(
    store: Store, mine: dict[str, float], theirs: dict[str, float], within: bool
) -> None:
    published(store, scores(coverage=0.9, **theirs))
    number = published(store, scores(coverage=0.92, **mine))
    said = words(store, number)
    assert (WITHIN in said) is within
    assert ("differences within an interval: 1." in said) is within
    assert against(store, number)["champion"]["metrics"]["coverage_pixels"]["within"] is within
    for bounds in filter(None, (mine, theirs)):
        assert f"{bounds['low']:.4f} to {bounds['high']:.4f}" in said


def test_bounds_are_no_terms_and_leave_equal_numbers_equal(store: Store) -> None:
    published(store, scores(low=0.8, high=0.95, level=0.95, interval="wilson"))
    said = words(store, published(store, scores(low=0.7, high=0.99, level=0.9, interval="bootstrap", warning="few")))
    assert "2 equal." in said
    assert WITHIN not in said


def test_a_number_measured_otherwise_is_refused_with_the_term(store: Store) -> None:
    published(store, scores(split="validation"))
    number = published(store, scores(fd=10.0))
    said = words(store, number)
    assert "coverage_pixels 0.9000 not compared: split test against validation" in said
    assert "1 better, 1 not compared." in said
    assert against(store, number)["champion"]["metrics"]["coverage_pixels"] == {
        "value": 0.9, "difference": None, "better": None, "within": False,
        "refused": ["split test against validation"]}


def test_where_no_number_is_compared_one_sentence_says_why_in_place_of_the_table(store: Store) -> None:
    published(store, scores())
    fewer = {name: one | n_images(300) for name, one in scores(k=3).items()}
    number = published(store, fewer)
    assert ("No number is compared with champion and previous 0001: n_real 300 against 360, n_fake 300 against 360; "
            "coverage_pixels: also k 3 against 5. gan compare digits@0001 digits@0002 says how") in words(store, number)
    assert "this version champion" not in words(store, number)


def test_a_metric_that_one_of_them_lacks_is_there_with_its_reason(store: Store) -> None:
    published(store, scores() | {"class_agreement": measured(0.9, "svc")})
    said = words(store, published(store, scores() | {"cycle_error_a": measured(0.1, "pixels")}))
    assert "class_agreement — it is asked for no class 0.9000" in said
    assert "cycle_error_a 0.1000 — it does not translate" in said


# --- settings -----------------------------------------------------------------------------------------------


def test_settings_that_differ_from_the_champion_are_told_many_of_them_folded(store: Store) -> None:
    published(store, scores())
    few = published(store, scores(), gate=REFUSED, seed=7)
    assert "Settings that differ from champion and previous 0001 Setting this version champion and previous 0001 " \
           "seed 7 0 publish.gate.coverage_pixels.at_least 0.999 0.5" in words(store, few)
    assert "details" not in page_of(store, few).tags
    assert against(store, few)["champion"]["settings"]["seed"] == {"this": 7, "other": 0}
    train = {"images": 2560, "batch": 32, "workers": 1, "checkpoint_every": 320, "report_every": 320, "fd_every": 640,
             "sample_every": 640, "keep_checkpoints": 2}
    many = published(store, scores(), gate=REFUSED, seed=7, licence="mit", train=train)
    settings = against(store, many)["champion"]["settings"]
    assert len(settings) > FEW_SETTINGS
    assert f"{len(settings)} settings differ from champion 0001 Setting" in words(store, many)
    assert "details" in page_of(store, many).tags


def test_where_no_setting_differs_that_is_said(store: Store) -> None:
    published(store, scores())
    assert "No setting differs from champion and previous 0001." in words(store, published(store, scores()))


# --- what cannot be read ------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["metrics.json", "config.json", "report.json"])
def test_a_damaged_version_is_told_and_does_not_stop_publishing(store: Store, damage: str) -> None:
    published(store, scores())
    flip_a_byte(store, f"models/digits/versions/0001/{damage}")
    number = published(store, scores())
    assert f"Version 0001, champion and previous, could not be read: models/digits/versions/0001/{damage}: is " \
           "damaged: sha256" in words(store, number)
    facts = against(store, number)["champion"]
    assert (facts["version"], facts["digest"]) == ("0001", None)
    assert facts["unread"].startswith(f"models/digits/versions/0001/{damage}: is damaged")


def test_a_champion_that_is_gone_leaves_the_version_before(store: Store) -> None:
    published(store, scores())
    published(store, scores(), gate=REFUSED)
    store.delete("models/digits/versions/0001/MANIFEST.json")
    said = words(store, published(store, scores(), gate=REFUSED))
    assert "Version 0001, champion, could not be read: models/digits/versions/0001/MANIFEST.json: is missing" in said
    assert "Against previous 0002: 2 equal." in said


def test_a_champion_alias_that_cannot_be_understood_is_told(store: Store) -> None:
    published(store, scores())
    store.write("models/digits/aliases/champion/000001.json", b"{}")
    number = published(store, scores(), gate=REFUSED)
    assert "Which version is champion could not be read: models/digits/aliases/champion/000001.json: cannot be " \
           "understood" in words(store, number)
    assert against(store, number)["previous"]["version"] == "0001"


def test_an_outage_while_the_champion_is_read_is_raised_and_leaves_no_version(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(store, scores())
    real = Store.read

    def read(self: Store, path: str) -> bytes:
        if path == "models/digits/versions/0001/config.json":
            raise ConnectionError("no answer")
        return real(self, path)

    monkeypatch.setattr(Store, "read", read)
    with pytest.raises(ConnectionError):
        published(store, scores())
    assert store.names("models/digits/versions") == ["0001"]


# --- what stays ---------------------------------------------------------------------------------------------


def test_what_is_told_stays_when_aliases_move_and_when_it_is_published_again(store: Store) -> None:
    published(store, scores())
    number = published(store, scores(fd=10.0))
    path = f"models/digits/versions/{number}/report.html"
    before = store.read(path)
    set_alias(store, "digits", "champion", "0001", why="rolled back")
    assert publish_as(store, "digits-1", "runs/r-digits-1", "scores/e-digits-1").version == number
    assert store.read(path) == before
    assert store.names("models/digits/versions") == ["0001", "0002"]


def test_a_number_lost_to_another_publisher_is_not_the_one_told(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(store, scores())
    numbers = iter(("0001", "0002"))
    monkeypatch.setattr(stage, "next_version", lambda *_: next(numbers))
    number = published(store, scores())
    assert number == "0002"
    assert "Version 0002 of digits" in words(store, number)
    assert against(store, number)["previous"]["version"] == "0001"


def test_what_others_wrote_is_shown_as_text(store: Store) -> None:
    evil = "<script>alert(1)</script>"
    metrics = scores() | {evil: measured(1.0)}
    published(store, metrics, licence=evil)
    page = page_of(store, published(store, metrics, licence=f"{evil}{MARKER}"))
    assert "script" not in page.tags
    assert page.text.count(evil) == 3


def test_a_plan_imports_no_templates_and_no_pictures() -> None:
    code = ("import sys, pipelines.plan; sys.exit(any(name in sys.modules for name in "
            "('jinja2', 'PIL', 'matplotlib', 'torch', 'pipelines.standing')))")
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
