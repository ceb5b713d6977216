"""The further parts of a report: what they say of known generators and data, and when they are left out.

Features are the pixels themselves, so that no network is trained.
"""

from __future__ import annotations

import dataclasses
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import nn

from gan_core.bundle import Generator, read_generator
from gan_core.config import Experiment, experiment_from
from gan_core.data.shards import RemoteSplit, Shards, open_shards
from gan_core.metrics import maps as maps_module
from gan_core.metrics.per_class import per_class
from gan_core.models.spec import GeneratorSpec
from gan_core.store import Store
from pipelines.parts import Made, OfClass, Parts
from pipelines.report import MOST_GRIDS, write_report
from pipelines.report_classes import MOST_CLASSES, WORST_SHOWN, cells, classes_of, shown
from pipelines.report_data import BARS, bars, data_set, shape_words
from pipelines.report_json import report_json
from pipelines.report_maps import mapped
from pipelines.report_parts import Compared, parts_of
from tests.artefacts import finish_run
from tests.test_report import LIMIT, Page, a_report

N = 120


@pytest.fixture(scope="module", autouse=True)
def _fewer_iterations() -> Iterator[None]:
    """Maps as quick as scikit-learn allows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(maps_module, "ITERATIONS", 250)
        yield


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> Generator:
    store = Store(tmp_path_factory.mktemp("parts"))
    return read_generator(store, finish_run(store))


@pytest.fixture(scope="module")
def data(digits_store: Store) -> Shards:
    return open_shards(digits_store, "shards/digits")


def flat(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def compared(data: Shards, images: np.ndarray, **changes: Any) -> Compared:
    """Those images as if they had been asked for as the test split's first examples are labelled."""
    test = data.split("test")
    labels = np.asarray(test.labels)[:N]
    real, fake, train = (flat(some) for some in (test.images[:N], images, data.split("train").images))
    return dataclasses.replace(Compared(images, real, fake, train, labels, labels, labels), **changes)


def experiment(**blocks: Any) -> Experiment:
    return experiment_from({"name": "digits", "data": {"source": "digits"}, "model": {"recipe": "dcgan"}} | blocks)


@pytest.fixture(scope="module")
def parts(generator: Generator, data: Shards) -> Parts:
    """Of a generator with fresh weights."""
    labels = np.asarray(data.split("test").labels)[:N]
    images = generator.sample(N, label=labels)
    return parts_of(generator, data, experiment(), compared(data, images), "d" * 64)


def page_of(parts: Parts, tmp_path: Path, **changes: Any) -> tuple[str, Page]:
    write_report(tmp_path / "report.html", a_report(parts=parts, **changes))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    return text, Page(text)


def words_of(text: str) -> str:
    """What a page says, without its elements."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_every_part_of_a_generator_of_classes_is_on_the_page(parts: Parts, tmp_path: Path) -> None:
    text, page = page_of(parts, tmp_path)
    assert not parts.left_out
    for title in ("Per class", "Nearest training examples", "Truncation", "Interpolation", "Principal components",
                  "t-SNE", "Data set", "generator.sample(64, seed=0, label=3)", "--seed 0 --label 3 --out grid.png"):
        assert title in page.text
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "://" not in words_of(text).replace("s3://bucket/shards/abc", "")
    assert "url(http" not in text
    assert all(words for tag, name, words in page.attributes if (tag, name) == ("img", "alt"))
    assert page.tags.count("img") == len(page.values("alt")) == 6
    assert len(text) < 600_000


def test_equal_inputs_give_equal_bytes(parts: Parts, generator: Generator, data: Shards, tmp_path: Path) -> None:
    images = generator.sample(N, label=np.asarray(data.split("test").labels)[:N])
    again = parts_of(generator, data, experiment(), compared(data, images), "d" * 64)
    assert page_of(again, tmp_path)[0] == page_of(parts, tmp_path)[0]


def test_programs_read_the_classes_the_distances_the_shares_and_the_data(parts: Parts) -> None:
    report = a_report(parts=parts, made={"run": Made("k" * 64, "2026-11-28T00:00:00+00:00"), "scores": Made("s" * 64)})
    facts = json.loads(report_json(report, {}))
    assert [each["name"] for each in facts["classes"]] == [str(label) for label in range(10)]
    assert facts["nearest"]["samples"][0]["relative"][0] == min(
        sample["relative"][0] for sample in facts["nearest"]["samples"])
    assert facts["maps"]["explained"] == list(parts.maps.explained) if parts.maps else False
    assert facts["data"]["splits"] == {"train": 1257, "validation": 180, "test": 360}
    assert facts["data"]["shape"] == [1, 8, 8]
    assert facts["left_out"] == {}
    assert facts["made"]["run"] == {"key": "k" * 64, "created": "2026-11-28T00:00:00+00:00"}


def test_how_the_artefacts_came_to_be_stands_beside_them(tmp_path: Path) -> None:
    made = {"shards": Made("k" * 64, "2026-11-28T00:00:00+00:00"), "scores": Made("s" * 64)}
    words = words_of(page_of(Parts(), tmp_path, made=made)[0])
    assert f"stage key {'k' * 64} , made 2026-11-28T00:00:00+00:00" in words
    assert f"scores beside this report stage key {'s' * 64}" in words


def test_a_class_has_its_own_figures_and_the_share_that_is_read_as_it() -> None:
    draw = np.random.default_rng(0)
    real, fake = draw.normal(size=(90, 4)), draw.normal(size=(90, 4)) + 1
    labels = np.arange(90) % 3
    labels[-1] = 4
    read = np.where(labels == 1, 0, labels)
    found = classes_of(real, labels, fake, labels, read, ["a", "b", "c"], k=5)
    assert [each.name for each in found] == ["a", "b", "c", "class 4"]
    known = per_class(real, labels, fake, labels, k=5)[0]
    assert known.near is not None
    assert found[0].figures == {"fd": known.fd, "precision": known.near.precision, "recall": known.near.recall,
                                "density": known.near.density, "coverage": known.near.coverage, "read as asked": 1.0}
    assert found[1].figures["read as asked"] == 0
    assert found[3].figures == {"read as asked": 1.0}
    assert "10 of each are needed" in found[3].reason


def of_class(name: str, **figures: float) -> OfClass:
    return OfClass(name, 20, 20, figures)


def test_the_worst_of_each_column_is_marked_and_none_where_all_are_alike(tmp_path: Path) -> None:
    classes = [of_class("a", fd=1.0, recall=0.5, coverage=1.0), of_class("b", fd=3.0, recall=0.9, coverage=1.0)]
    marks = {(each.name, cell.name): cell.worst for each, row in cells(classes, str) for cell in row}
    assert [place for place, worst in marks.items() if worst] == [("a", "recall"), ("b", "fd")]
    page = page_of(Parts(classes=[*classes, OfClass("c", 3, 20, reason="3 real and 20 <b>")]), tmp_path)[1]
    assert [name for tag, _, name in page.attributes if tag == "td" and "worst" in name] == ["number worst"] * 2
    assert "not measured: 3 real and 20 <b>" in page.text


def test_of_very_many_classes_the_worst_are_shown(tmp_path: Path) -> None:
    classes = [of_class(f"c{i:02}", fd=float(i)) for i in range(MOST_CLASSES + 10)]
    assert [each.name for each in shown(classes)] == [f"c{i:02}" for i in range(49, 49 - WORST_SHOWN, -1)]
    assert shown(classes[:MOST_CLASSES]) == classes[:MOST_CLASSES]
    words = words_of(page_of(Parts(classes=classes), tmp_path)[0])
    assert "The 20 of 50 classes with the highest fd" in words


def test_copies_of_training_images_are_found_and_shown(generator: Generator, data: Shards) -> None:
    test, train = data.split("test").images[:N], data.split("train").images
    images = test.copy()
    images[[7, 50]] = train[[300, 4]]
    near = parts_of(generator, data, experiment(), compared(data, images), "").near
    assert near is not None
    assert [(row.sample, row.training[0], row.distances[0]) for row in near.neighbours[:2]] == [(7, 300, 0), (50, 4, 0)]
    assert near.reading.endswith("look for copies.")
    assert len(near.neighbours) == 12
    assert len({row.sample for row in near.neighbours}) == 12


def test_fresh_examples_do_not_look_like_copies(generator: Generator, data: Shards) -> None:
    near = parts_of(generator, data, experiment(), compared(data, data.split("test").images[N : 2 * N]), "").near
    assert near is not None
    assert near.reading.endswith("none looks like a copy.")
    assert 0.5 < np.median([row.relative[0] for row in near.neighbours[6:]]) < 2


def test_real_examples_that_were_trained_on_give_no_usual_distance(generator: Generator, data: Shards) -> None:
    known = flat(data.split("train").images[:N])
    found = parts_of(generator, data, experiment(), compared(data, data.split("test").images[:N], real=known), "")
    assert found.near is None
    assert "a split that was not trained on" in found.left_out["near"]


@pytest.mark.parametrize(("remote", "says"), [
    (True, "larger than the cache"), (False, "no features of the training set"),
])  # fmt: skip
def test_a_training_set_that_was_not_gone_through_is_left_out(
    remote: bool, says: str, generator: Generator, data: Shards, tmp_path: Path
) -> None:
    train = RemoteSplit.__new__(RemoteSplit) if remote else data.split("train")
    train.counts = data.split("train").counts
    known = dataclasses.replace(data, splits={**data.splits, "train": train})
    changed = compared(data, data.split("test").images[:N], train=None)
    found = parts_of(generator, known, experiment(), changed, "")
    assert found.near is None
    assert says in words_of(page_of(found, tmp_path)[0])


def test_a_generator_that_translates_has_no_classes_and_no_latent_vectors(data: Shards, tmp_path: Path) -> None:
    inputs = {"x": {"shape": (1, 8, 8), "distribution": "image"},
              "label": {"shape": (), "distribution": "condition", "classes": 2}}
    spec = GeneratorSpec.model_validate({"family": "any", "options": {}, "inputs": inputs, "output": (1, 8, 8)})
    found = parts_of(Generator("file:///here", spec, nn.Identity()), data, experiment(),
                     compared(data, data.split("test").images[:N], requested=None), "")
    assert {*found.left_out} == {"classes", "explored"}
    assert found.near is not None
    words = words_of(page_of(found, tmp_path)[0])
    assert "Left out: the generator translates images and has no latent vectors to explore" in words
    assert "Left out: the images asked for are translations of others" in words
    assert "file:///here" not in words
    assert "generator.sample(len(photos), images=photos)" in words


def test_a_generator_without_classes_says_so_and_too_few_points_make_no_map(
    data: Shards, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("plain"))
    plain = read_generator(store, finish_run(store, classes=0))
    few = data.split("test").images[:9]
    found = parts_of(plain, data, experiment(), Compared(few, flat(few), flat(few)), "")
    assert found.left_out["classes"] == "the generator is not asked for classes"
    assert found.left_out["maps"] == "18 points make no map; 20 do"
    assert [each.title for each in found.explored] == ["Truncation", "Interpolation"]


def facts(classes: int = 3, **others: Any) -> dict[str, Any]:
    histogram = {str(label): 10 * (label + 1) for label in range(classes)}
    train = {"examples": sum(histogram.values()), "histogram": histogram}
    empty = {"examples": 0, "histogram": {}}
    return {"splits": {"train": train, "validation": empty, "test": train}, "shape": [3, 8, 16], "classes": classes,
            "quarantined": 0, **others}


def test_the_data_set_is_told_with_bars_of_its_classes(tmp_path: Path) -> None:
    found = data_set(facts(class_names=["cat", "<i>dog", "x"]), {"source": "image_folder", "url": "a&b"}, "d" * 64)
    assert bars(found) == [("cat", 10, pytest.approx(100 / 3)), ("<i>dog", 20, pytest.approx(200 / 3)), ("x", 30, 100)]
    words = words_of(page_of(Parts(data=found), tmp_path)[0])
    assert "Source image_folder Examples 60 train, 60 test Shape 8 x 16, 3 channels Left out nothing" in words
    assert "url: a&b" in words
    assert "<i>dog" in words
    assert "more." not in words


def test_of_many_classes_the_first_are_shown_and_unusable_items_counted(tmp_path: Path) -> None:
    seen = {"age": {"low": 1.5, "high": 90.0, "whole": False, "missing": 2},
            "nothing": {"low": None, "high": None, "whole": True, "missing": 0}}
    known = facts(BARS + 5, quarantined=7)
    known["splits"]["train"]["attributes"] = seen
    found = data_set(known, {"source": "csv"}, "d" * 64)
    words = words_of(page_of(Parts(data=found), tmp_path)[0])
    assert "… and 5 more." in words
    assert "7 items that could not be used, listed in quarantine.jsonl" in words
    assert "age 1.5 … 90, 2 missing nothing no number" in words
    assert "25 classes, training examples of each" in words


@pytest.mark.parametrize(("shape", "words"), [((1, 8, 8), "8 x 8, 1 channel"), ((3, 4, 5), "4 x 5, 3 channels"),
                                              ((16, 3, 8, 8), "16 x 3 x 8 x 8")])
def test_shapes_are_told_in_words(shape: tuple[int, ...], words: str) -> None:
    assert shape_words(shape) == words


def test_maps_of_as_many_points_as_there_may_be_stay_small() -> None:
    draw = np.random.default_rng(0)
    found = mapped(draw.normal(size=(1000, 8)), draw.normal(size=(1000, 8)), seed=0)
    assert (found.n_real, found.n_fake) == (400, 400)
    for each in found.scatters:
        assert len(each.svg) < 150_000
        assert each.svg.count("<use") >= 800
    assert "currentColor" in found.scatters[0].svg


def test_the_page_of_large_pictures_and_long_runs_stays_below_three_megabytes(parts: Parts, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    curves = [{"position": i, **{f"group{j % 8}/line{j}": value for j, value in enumerate(row)}}
              for i, row in enumerate(noise.normal(size=(1500, 24)).tolist())]
    large = large_png(800)
    heavy = dataclasses.replace(parts, explored=[dataclasses.replace(each, png=large) for each in parts.explored])
    pictures = {"samples_png": large, "real_png": large, "grids": [(i, large) for i in range(MOST_GRIDS)]}
    text, _ = page_of(heavy, tmp_path, curves=curves, **pictures)
    assert len(text.encode()) < LIMIT


def large_png(side: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()
