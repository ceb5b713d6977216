"""`gan score` as a user runs it: the rows, thresholds, pictures, what is refused, and what a report shows of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
import yaml
from PIL import Image
from typer.testing import CliRunner

from gan_core.anomalies import by_encoder
from gan_core.bundle import load_generator
from gan_core.config import ANOMALY_METRICS, experiment_from
from gan_core.data.write import write_experiment
from gan_core.detecting import spread_over
from gan_core.errors import GanError
from gan_core.metrics.detection import roc_auc
from gan_core.store import Store
from pipelines.cli_score import score
from pipelines.plan import Planner
from pipelines.score_run import COLUMNS
from tests.anomalies import NORMAL, PREFIX, SCORES, data_in, one_digit, published
from tests.artefacts import publish_one
from tests.train.runs import RUN

app = typer.Typer()
app.command()(score)
QUICK = ("--method", "search", "--steps", "3", "--n", "20")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with a published f-AnoGAN of one digit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gan_core.metrics.maps.ITERATIONS", 250)
        yield published(one_digit(), tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with a published generator of noise alone, whose version has no discriminator, and digits prepared."""
    store = Store(tmp_path_factory.mktemp("plain"))
    publish_one(store, classes=0)
    return store


def gan(store: Store, *arguments: object) -> dict[str, Any]:
    """What is told as JSON."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--store", store.url, "--json"])
    if isinstance(result.exception, GanError):
        raise result.exception
    assert result.exit_code == 0, result.output
    told: dict[str, Any] = json.loads(result.stdout)
    return told


def rows_in(folder: Path) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = pq.read_table(folder / "scores.parquet").to_pydict()
    return columns


def shards(store: Store) -> str:
    return store.uri(PREFIX)


def test_each_image_of_a_split_has_a_row_of_its_score_and_what_is_known_of_it(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "scores"
    told, rows, test = gan(store, "normal", "--data", shards(store), "--out", out), rows_in(out), data_in(store)
    assert pq.read_schema(out / "scores.parquet").equals(COLUMNS)
    labels = np.asarray(test.split("test").labels)
    assert rows["label"] == labels.tolist()
    assert rows["index"] == [*range(len(labels))]
    assert rows["known_abnormal"] == (labels != NORMAL).tolist()
    assert {*rows["split"], *rows["file"]} == {"test", None}
    found = by_encoder(load_generator(store.uri(RUN)), test.split("test").gather(np.arange(len(labels))))
    assert np.allclose(rows["score"], found.score, rtol=1e-4)
    assert np.allclose(np.add(rows["residual"], rows["features"]), rows["score"])  # κ = 1
    score_of, abnormal = np.array(rows["score"]), labels != NORMAL
    assert told["metrics"]["anomaly_auc"]["value"] == roc_auc(score_of[abnormal], score_of[~abnormal]) > 0.8
    assert (told["status"], told["method"], told["discriminator"]) == ("RUN", "encoder", True)


def test_the_threshold_is_a_quantile_of_normal_validation_images(store: Store, tmp_path: Path) -> None:
    told = gan(store, "normal", "--data", shards(store), "--out", tmp_path / "a", "--quantile", "0.5")
    gan(store, "normal", "--data", shards(store), "--split", "validation", "--out", tmp_path / "b")
    held_out = rows_in(tmp_path / "b")["score"]
    assert told["threshold"] == np.quantile(held_out, 0.5, method="higher")
    assert told["threshold_of"] == f"the 0.5 quantile of {len(held_out)} normal images of the validation split"
    rows = rows_in(tmp_path / "a")
    assert rows["abnormal"] == [score > told["threshold"] for score in rows["score"]]
    assert told["above"] == sum(rows["abnormal"])


def test_evaluate_measures_the_same_and_publishes_the_threshold(store: Store, tmp_path: Path) -> None:
    measured = json.loads(store.read(f"{SCORES}/metrics.json"))
    assert {*ANOMALY_METRICS} <= {*measured}
    told = gan(store, "normal", "--data", shards(store), "--out", tmp_path / "a")
    for name, value in told["metrics"].items():
        assert measured[name]["value"] == value["value"], name
    assert measured["anomaly_auc"]["low"] < measured["anomaly_auc"]["value"]
    assert measured["anomaly_threshold"]["value"] == told["threshold"]
    assert measured["anomaly_threshold"]["split"] == "validation"
    test, labels = data_in(store).split("test"), np.asarray(data_in(store).split("test").labels)
    assert measured["anomaly_found"]["n_real"] == int((labels != NORMAL).sum())
    assert measured["fd_domain"]["n_real"] == len(test) - measured["anomaly_found"]["n_real"]


def test_the_report_shows_where_images_differ_and_how_scores_are_spread(store: Store) -> None:
    page = store.read(f"{SCORES}/report.html").decode()
    part = page[page.index("<h2>Anomalies</h2>") :].partition("</section>")[0]
    normal = int((np.asarray(data_in(store).split("test").labels) == NORMAL).sum())
    assert f"Histogram of the anomaly scores of {normal} normal and {360 - normal} abnormal images" in part
    assert part.count("data:image/") == 1


def test_images_in_files_are_named_and_judged_by_the_version_s_own_threshold(store: Store, tmp_path: Path) -> None:
    folder, test = tmp_path / "images", data_in(store).split("test")
    folder.mkdir()
    for number in range(5):
        Image.fromarray(test.images[number][0]).save(folder / f"{number}.png")
    told, rows = gan(store, "normal", "--data", folder, "--out", tmp_path / "s"), rows_in(tmp_path / "s")
    assert rows["file"] == [f"{number}.png" for number in range(5)]
    assert {*rows["split"], *rows["label"], *rows["known_abnormal"]} == {None}
    own = json.loads(store.read(f"{SCORES}/metrics.json"))["anomaly_threshold"]
    assert told["threshold"] == own["value"]
    assert told["threshold_of"].startswith("the version's own, the 0.95 quantile of")
    gan(store, "normal", "--data", shards(store), "--out", tmp_path / "t")
    assert np.allclose(rows["score"], rows_in(tmp_path / "t")["score"][:5], rtol=1e-4)


def test_the_picture_has_three_tables_of_images_as_rebuilt_and_their_difference(store: Store, tmp_path: Path) -> None:
    gan(store, "normal", "--data", shards(store), "--out", tmp_path / "a", "--n", 30)
    picture = np.asarray(Image.open(tmp_path / "a" / "heat.png"))
    assert picture.shape[0] > 3 * 3 * 64
    red = (picture[..., 0] > 200) & (picture[..., 2] < 60)
    assert 100 < red.sum() < red.size / 4


def test_scores_that_are_there_are_kept_and_others_are_not_written_over(store: Store, tmp_path: Path) -> None:
    ask = ("normal", "--data", shards(store), "--out", tmp_path / "a", "--n", 30)
    gan(store, *ask)
    before = (tmp_path / "a" / "MANIFEST.json").read_bytes()
    assert gan(store, *ask)["status"] == "REUSED"
    with pytest.raises(GanError, match=r"holds something else; --out .*a-2 works"):
        gan(store, *ask[:-1], 31)
    assert (tmp_path / "a" / "MANIFEST.json").read_bytes() == before


def test_a_search_scores_with_the_discriminator_beside_it(store: Store, tmp_path: Path) -> None:
    told = gan(store, "normal", "--data", shards(store), "--out", tmp_path / "a", *QUICK)
    rows = rows_in(tmp_path / "a")
    assert rows["index"] == spread_over(360, 20).tolist()
    assert (told["method"], told["discriminator"], told["search"]["steps"]) == ("search", True, 3)
    assert np.allclose(0.9 * np.array(rows["residual"]) + 0.1 * np.array(rows["features"]), rows["score"])
    again = gan(store, "normal", "--data", shards(store), "--out", tmp_path / "b", *QUICK)
    assert rows_in(tmp_path / "b") == rows
    assert again["threshold"] == told["threshold"]


def test_without_a_discriminator_it_goes_by_the_residual_alone_and_says_so(
    store: Store, plain: Store, tmp_path: Path
) -> None:
    told = gan(plain, "digits", "--data", shards(store), "--out", tmp_path / "a", *QUICK)
    rows = rows_in(tmp_path / "a")
    assert told["discriminator"] is False
    assert told["without_discriminator"]
    assert rows["score"] == rows["residual"]
    assert {*rows["features"]} == {None}


def test_a_published_wgan_is_searched_with_its_own_discriminator(store: Store, tmp_path: Path) -> None:
    from tests.anomalies import trained
    from tests.artefacts import finish_scores, publish_as

    experiment = experiment_from({**one_digit().as_json(), "name": "plain",
                                  "model": {"recipe": "wgan_gp", "width": 4, "latent": 4},
                                  "train": {"images": 64, "batch": 64}})
    place = Store(tmp_path / "store")
    assert trained(experiment, store, place)
    publish_as(place, "p", RUN, finish_scores(place, RUN), experiment)
    told = gan(place, "plain", "--data", shards(store), "--out", tmp_path / "a", *QUICK)
    assert told["discriminator"] is True, told["without_discriminator"]
    assert None not in rows_in(tmp_path / "a")["features"]


def test_an_experiment_names_its_prepared_set(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "normal.yaml"
    file.write_text(yaml.safe_dump(one_digit().as_json()))
    with pytest.raises(GanError, match=r"normal is not prepared yet; `gan dataset prepare` does it"):
        gan(store, "normal", "--data", file, "--out", tmp_path / "a")
    experiment = one_digit(prepare={"normal": [3]})
    step = Planner(store, experiment).step("prepare", {})
    write_experiment(experiment, store, step.prefix, key=step.key)
    gan(store, "normal", "--data", file, "--set", "prepare.normal=[3]", "--out", tmp_path / "a")
    rows = rows_in(tmp_path / "a")
    assert rows["known_abnormal"] == [label != 3 for label in rows["label"]]


@pytest.mark.parametrize(("arguments", "said"), [
    (("--quantile", "1.5"), r"--quantile 1\.5: is not between 0 and 1; --quantile 0\.95 works"),
    (("--quantile", "0.9", "--threshold", "1"), r"--threshold 1: --quantile 0\.9 says where it is, too"),
    (("--n", "0"), r"--n 0: there is nothing to score"),
    (("--learning-rate", "-1"), r"learning_rate: -1\.0: .* 0\.02 works"),
    (("--normal", "eleven"), r"--normal eleven: 'eleven' is no class; the classes are 0, 1, 2"),
    (("--data", "nowhere"), r"--data nowhere: no file or folder is there, and no prepared set has that name"),
    (("--out", "/"), r"--out /: names no folder of its own"),
])
def test_what_cannot_be_asked_is_refused_with_what_works(
    store: Store, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    with pytest.raises(GanError, match=said):
        gan(store, "normal", "--data", shards(store), "--out", tmp_path / "a", *arguments)
    assert not (tmp_path / "a").exists()


def test_what_the_version_or_the_data_has_not_is_refused(store: Store, plain: Store, tmp_path: Path) -> None:
    with pytest.raises(GanError, match=r"--method encoder: .* has no encoder; --method search works"):
        gan(plain, "digits", "--data", shards(store), "--out", tmp_path / "a", "--method", "encoder")
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "a.png")
    with pytest.raises(GanError, match=r"--quantile 0\.9: .* has no validation images .* --threshold 0\.1 works"):
        gan(store, "normal", "--data", folder, "--out", tmp_path / "a", "--quantile", "0.9")
    with pytest.raises(GanError, match=r"--normal 2: images in files have no classes; leave it out"):
        gan(store, "normal", "--data", folder, "--out", tmp_path / "a", "--normal", "2")
    told = Store(tmp_path / "told")
    publish_one(told)
    with pytest.raises(GanError, match=r"asked for more than noise"):
        gan(told, "digits", "--data", folder, "--out", tmp_path / "a")
    (folder / "b.png").write_bytes(b"no image")
    with pytest.raises(GanError, match=r"b\.png: "):
        gan(store, "normal", "--data", folder, "--out", tmp_path / "a")


def test_a_person_is_told_in_lines(store: Store, tmp_path: Path) -> None:
    ask = ["normal", "--data", shards(store), "--out", str(tmp_path / "a"), "--store", store.url]
    done = CliRunner().invoke(app, ask)
    assert done.exit_code == 0
    assert done.stdout == ""
    for words in ("360 images by", "threshold  ", "anomaly_auc  0.", "scores.parquet", "heat.png"):
        assert words in done.stderr


