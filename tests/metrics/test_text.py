"""Metrics of texts against values worked out by hand, and at their limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from gan_core.metrics.text import copied, distinct, lengths, ngram_divergence, ngrams, whole
from gan_core.metrics.text_classifier import text_classifier

A, B, C = 1, 2, 3


def rows(*texts: list[int], length: int = 5) -> NDArray[np.int32]:
    """Texts with what follows their end."""
    return np.array([text + [0] * (length - len(text)) for text in texts], np.int32)


def kinds(texts: NDArray[np.int32], n: int) -> list[int]:
    """How many of each n-gram there are, in no order."""
    codes = ngrams(texts, n)
    return sorted(np.unique(codes[codes >= 0], return_counts=True)[1].tolist())


def test_ngrams_go_to_the_end_and_no_further() -> None:
    texts = rows([A, B, A], [A])
    assert lengths(texts).tolist() == [3, 1]
    assert kinds(texts, 1) == [1, 2, 3]  # B, two ends, three A
    assert kinds(texts, 2) == [1, 1, 2]  # AB, BA, and A with the end after it, twice
    assert kinds(texts, 4) == [1]
    assert kinds(rows([A, B, C, A, B]), 5) == [1]  # a full row has no end
    assert kinds(rows([A, B]), 6) == []


def test_what_stands_after_the_end_counts_for_nothing() -> None:
    plain, further = rows([A, B]), np.array([[A, B, 0, C, C]], np.int32)
    for n in (1, 2, 3):
        assert np.array_equal(ngrams(plain, n), ngrams(further, n))
    assert np.array_equal(whole(plain), whole(further))


@pytest.mark.parametrize("symbols", [2, 120_000])
def test_unlike_ngrams_are_numbered_unlike_whatever_the_alphabet(symbols: int) -> None:
    texts = np.random.default_rng(0).integers(1, symbols, (200, 30)).astype(np.int32)
    for n in (1, 2, 7, 12):
        windows = np.lib.stride_tricks.sliding_window_view(texts, n, axis=1)
        assert len(np.unique(ngrams(texts, n))) == len(np.unique(windows.reshape(-1, n), axis=0))


def test_divergence_is_0_of_equal_sets_and_1_of_disjoint_ones() -> None:
    texts, others = rows([A, B, A, B, A], [B, A, B, B, B]), rows([C, C, C, C, C])
    for n in (1, 2, 3, 4):
        assert ngram_divergence(ngrams(texts, n), ngrams(np.concatenate([texts, texts]), n)) == 0
        assert ngram_divergence(ngrams(texts, n), ngrams(others, n)) == 1
    nothing = np.full((2, 1), -1)
    assert ngram_divergence(nothing, nothing) == 0
    assert ngram_divergence(nothing, ngrams(texts, 1)) == 1


def test_divergence_is_that_of_the_formula() -> None:
    real, generated = rows([A, A, A, B, B]), rows([A, B, B, B, C])  # 3/5 2/5 0 and 1/5 3/5 1/5; middle 4/10 5/10 1/10
    of_real = 0.6 * math.log2(0.6 / 0.4) + 0.4 * math.log2(0.4 / 0.5)
    of_generated = 0.2 * math.log2(0.2 / 0.4) + 0.6 * math.log2(0.6 / 0.5) + 0.2 * math.log2(0.2 / 0.1)
    found = ngram_divergence(ngrams(real, 1), ngrams(generated, 1))
    assert found == pytest.approx((of_real + of_generated) / 2)
    assert ngram_divergence(ngrams(generated, 1), ngrams(real, 1)) == pytest.approx(found)


def test_distinct_is_the_share_of_unlike_ones() -> None:
    texts = rows([A, B, A, B, A], [A, B, A, B, A], [A, A, A, A, A])
    assert distinct(ngrams(texts, 1)) == pytest.approx(2 / 15)
    assert distinct(ngrams(texts, 2)) == pytest.approx(3 / 12)
    assert distinct(whole(texts)) == pytest.approx(2 / 3)
    assert distinct(ngrams(texts, 6)) == 0


def test_copied_are_those_that_the_train_split_has() -> None:
    train, made = rows([A, B, C], [C, C, C, C, C]), rows([A, B, C], [A, B, A], [C, C], [B, C])
    assert copied(whole(train), whole(made)).tolist() == [True, False, False, False]
    assert copied(ngrams(train, 2), ngrams(made, 2)).mean() == pytest.approx(8 / 10)  # not BA and not A with its end


def test_a_class_is_read_off_the_symbols_and_the_ends_of_its_texts() -> None:
    draw = np.random.default_rng(0)
    short, long = (rows(*(draw.choice([A, B], n).tolist() for n in draw.integers(low, low + 2, 60)))
                   for low in (1, 4))
    labels = np.repeat([4, 7], 60)
    classify = text_classifier(np.concatenate([short, long]), labels)
    assert (classify(np.concatenate([short, long])) == labels).mean() > 0.95
    assert classify(rows([C, C, C])).tolist() in ([4], [7])
    assert classify(np.empty((0, 5), np.int32)).tolist() == []


def test_without_evidence_the_class_is_the_most_frequent_one() -> None:
    classify = text_classifier(rows([A], [A], [A]), np.array([2, 2, 5]))
    assert classify(rows([A], [C, C, C, C, C])).tolist() == [2, 2]
    alone = text_classifier(rows([A], [B]), np.array([3, 3]))
    assert alone(rows([C])).tolist() == [3]
