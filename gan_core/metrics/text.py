"""Metrics of texts: which n-grams they are made of, how varied they are, and how much of them was learnt by heart.

A text is a row of numbers [T] up to its first end, 0; rows that are full have none.  The end counts as a symbol, so
that a text that stops too early has other n-grams, and what follows it does not.  `ended` makes such rows of tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gan_core.modalities.tokens import PAD

END = 0  # the number that follows a text that is shorter than its row
NONE = -1  # where there is no n-gram
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, its bits without a pattern
LOW_BITS = np.uint64(2**63 - 1)

Tokens = NDArray[np.int32]
Codes = NDArray[np.int64]


def ended(tokens: Tokens, symbols: Sequence[str]) -> Tokens:
    """Tokens [N, T] as numbers of which 0 is the end, PAD among the symbols, and no other symbol is."""
    return np.where(tokens == symbols.index(PAD), END, tokens + 1) if PAD in symbols else tokens + 1


def ngrams(tokens: Tokens, n: int) -> Codes:
    """The n-grams of each text, [N, T] to [N, max(T − n + 1, 1)], as one number each; −1 where there is none.

    Equal n-grams have equal numbers, and others are unlike: two of them share one with a chance of about 2⁻⁶³.
    """
    rows, length = tokens.shape
    if length < n:
        return np.full((rows, 1), NONE, np.int64)
    places = length - n + 1
    codes = np.zeros((rows, places), np.uint64)
    for k in range(n):
        codes = codes * FACTOR + tokens[:, k : k + places].astype(np.uint64)  # modulo 2⁶⁴
    there = np.arange(places) + n <= lengths(tokens, with_end=True)[:, None]
    return np.where(there, (codes & LOW_BITS).astype(np.int64), NONE)


def lengths(tokens: Tokens, *, with_end: bool = False) -> NDArray[np.int64]:
    """[N]: the symbols of each text before its end; with_end: and the end, where there is one."""
    is_end = tokens == END
    first = np.where(is_end.any(axis=1), is_end.argmax(axis=1), tokens.shape[1])
    return np.asarray(np.minimum(first + with_end, tokens.shape[1]), np.int64)


def ngram_divergence(real: Codes, generated: Codes) -> float:
    """Jensen–Shannon divergence of two sets of n-grams, in bits: 0 of equal distributions, 1 of disjoint ones.

    Codes of any shape, those below 0 left out; 1 where one set alone has none.  Lin 1991, "Divergence measures based on
    the Shannon entropy", eq. 3.5; of n-grams as Gulrajani et al. 2017 (arXiv:1704.00028), section 5.  The fewer texts
    there are, the higher it is, also between texts of one source.
    """
    real, generated = real[real >= 0], generated[generated >= 0]
    if not len(real) or not len(generated):
        return float(len(real) != len(generated))
    kinds, codes = np.unique(np.concatenate([real, generated]), return_inverse=True)
    p, q = (np.bincount(part, minlength=len(kinds)) / len(part) for part in (codes[: len(real)], codes[len(real) :]))
    middle = (p + q) / 2
    return float(np.clip((_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2, 0, 1))


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Σ p log₂(p / q), nothing where p is 0."""
    some = p > 0
    return float((p[some] * np.log2(p[some] / q[some])).sum())


def distinct(codes: Codes) -> float:
    """Unlike n-grams as a share of all there are; 0 where there are none.

    Li et al. 2016 (arXiv:1510.03055), section 5.2: distinct-1, distinct-2.  The more texts there are, the lower it is.
    """
    there = codes[codes >= 0]
    return float(len(np.unique(there)) / len(there)) if len(there) else 0.0


def whole(tokens: Tokens) -> Codes:
    """Each text as one number, [N, 1], whatever follows its end."""
    ended = np.where(np.arange(tokens.shape[1]) < lengths(tokens)[:, None], tokens, END)
    return ngrams(np.concatenate([ended + 1, np.zeros_like(ended[:, :1])], axis=1), tokens.shape[1] + 1)


def copied(train: Codes, codes: Codes) -> NDArray[np.bool_]:
    """Of the n-grams that there are, in order, which are among those of the train split: [those ≥ 0]."""
    return np.isin(codes[codes >= 0], train)
