"""What is measured of texts when they are evaluated, from the shards of two made-up languages."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from gan_core.config import EvaluateConfig
from gan_core.data.shards import Shards, open_shards
from gan_core.errors import ConfigError, DataError
from gan_core.metrics.agreement import class_agreement
from gan_core.metrics.also import also_measured
from gan_core.metrics.evidence import Evidence
from gan_core.metrics.figure import Figure
from gan_core.metrics.text import ended, ngram_divergence, ngrams
from gan_core.store import Store
from tests.texts import PREFIX, of_texts, write_words, written

ALSO = ("ngrams", "distinct", "copied")
Tokens = NDArray[np.int32]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    folder = tmp_path_factory.mktemp("texts")
    experiment = of_texts(write_words(folder / "words", each=600), "text_gumbel")
    return open_shards(written(experiment, folder / "store"), PREFIX)


def evidence(shards: Shards, generated: Tokens, also: tuple[Any, ...] = ALSO) -> Evidence:
    """Nothing here is seen by a network."""
    test, unseen = shards.split("test"), pytest.fail
    config: Any = EvaluateConfig(also=also)
    nothing: Any = None
    return Evidence(shards, config, nothing, test.images, generated, np.asarray(test.labels), unseen, unseen, unseen)


def figures(shards: Shards, generated: Tokens, also: tuple[Any, ...] = ALSO) -> dict[str, Figure]:
    return {name: figure for name, (figure, _) in also_measured(evidence(shards, generated, also)).items()}


def test_real_texts_are_unlike_others_in_nothing_and_none_is_copied(shards: Shards) -> None:
    test = shards.split("test").images
    found = figures(shards, test)
    assert [found[f"ngram_js_{n}"].value for n in (1, 2, 3, 4)] == [0, 0, 0, 0]
    assert found["distinct_texts"].value == found["distinct_real_texts"].value
    assert found["copied_texts"].value == found["copied_real_texts"].value == 0  # equal lines are in one split
    assert 0 < found["ngram_js_real_1"].value < 0.05 < found["ngram_js_real_4"].value


def test_training_texts_are_copies_and_nothing_else_is_wrong_with_them(shards: Shards) -> None:
    train = shards.split("train").images
    found = figures(shards, train[np.arange(len(shards.split("test"))) * 7 % len(train)])
    assert found["copied_texts"].value == 1
    assert found["ngram_js_1"].value < 0.05
    assert "copied_12grams" not in found  # no word is so long


def test_one_text_over_and_over_is_found(shards: Shards) -> None:
    train = shards.split("train").images
    found = figures(shards, train[np.zeros(len(shards.split("test")), np.int64)])
    n = len(shards.split("test"))
    assert found["distinct_texts"].value == pytest.approx(1 / n)
    assert found["distinct_2"].value < 0.2 * found["distinct_real_2"].value
    assert found["ngram_js_2"].value > 0.5


def test_figures_lie_in_their_intervals_and_are_those_of_their_own_files(shards: Shards) -> None:
    test, others = shards.split("test").images, shards.split("validation").images
    made, symbols = others[np.arange(len(test)) % len(others)], shards.form.symbols
    found = also_measured(evidence(shards, made))
    for name, (figure, _) in found.items():
        assert figure.low is not None, name
        assert figure.high is not None, name
        assert 0 <= figure.low <= figure.value <= figure.high <= 1, name
    want = ngram_divergence(ngrams(ended(test, symbols), 3), ngrams(ended(made, symbols), 3))
    assert found["ngram_js_3"][0].value == want
    assert tuple(found) == tuple(name for name in EvaluateConfig(also=ALSO).also_names if "12grams" not in name)


def test_an_alphabet_without_an_end_has_no_end() -> None:
    tokens = np.array([[0, 1, 0], [1, 1, 0]], np.int32)
    assert ended(tokens, ("a", "b")).tolist() == [[1, 2, 1], [2, 2, 1]]
    assert ended(tokens, ("a", "<pad>")).tolist() == [[1, 0, 1], [0, 0, 1]]


def test_classes_are_read_by_ngrams(shards: Shards) -> None:
    test = shards.split("test")
    seen = evidence(shards, test.images)
    assert seen.reader.name == "naive_bayes"
    assert class_agreement(seen.read, np.asarray(test.labels)) == 1
    exchanged = test.images[np.argsort(-np.asarray(test.labels), kind="stable")]
    (real, how), = also_measured(evidence(shards, exchanged, ("agreement_real",))).values()
    assert (real.value, how["n_fake"]) == (1, 0)  # whatever is generated


def test_images_have_no_ngrams(digits_store: Store) -> None:
    config = EvaluateConfig(also=("class_kl", "copied"))
    with pytest.raises(ConfigError, match=r'"copied"\] is not measured of an image generator; .*\["class_kl"\] works'):
        config.refuse_for_kind("image")
    config.refuse_for_kind("tokens")
    digits = open_shards(digits_store, "shards/digits")
    for asked in ALSO:
        with pytest.raises(DataError, match=rf"^evaluate\.also={asked} counts the symbols of texts.*image; leave it"):
            figures(digits, digits.split("test").images, (asked,))
