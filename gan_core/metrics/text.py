"""Metrics of texts: which n-grams they are made of, how varied they are, and how much of them was learnt by heart.

A text is a row of tokens [T] up to its first end, token 0.  Where rows end so, the end counts as a symbol: a text that
stops too early has other n-grams.  What follows the end does not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError

END = 0  # what follows a text that is shorter than its row

Tokens = NDArray[np.int32]


def ngrams(tokens: Tokens, n: int, symbols: int) -> NDArray[np.int64]:
    """The n-grams of each text [N, T] as one number each, [N, max(T − n + 1, 1)]; −1 where there is none.

    symbols: how many there are.  DataError where symbols ** n is beyond what 64 bits hold.
    """
    if symbols**n >= 2**63:
        raise DataError(f"{n}-grams of {symbols} symbols are too many to be numbered; a smaller n works")
    rows, length = tokens.shape
    if length < n:
        return np.full((rows, 1), -1, np.int64)
    places = length - n + 1
    codes = np.zeros((rows, places), np.int64)
    for k in range(n):
        codes = codes * symbols + tokens[:, k : k + places]
    return np.where(np.arange(places) + n <= lengths(tokens, ends=True)[:, None], codes, -1)


def lengths(tokens: Tokens, *, ends: bool = False) -> NDArray[np.int64]:
    """[N]: the symbols of each text before its end.  ends: and the end, where there is one."""
    length = tokens.shape[1]
    is_end = tokens == END
    first = np.where(is_end.any(axis=1), is_end.argmax(axis=1), length)
    return np.minimum(first + ends, length)


def ngram_divergence(real: Tokens, generated: Tokens, n: int) -> float:
    """Jensen–Shannon divergence of the n-grams of two sets of texts [N, T], in bits: 0 of the same, 1 of disjoint ones.

    Lin 1991, "Divergence measures based on the Shannon entropy", eq. 4.2; of n-grams as in Gulrajani et al. 2017
    (arXiv:1704.00028), section 5.  It is the higher the fewer texts there are, also between two halves of one set.
    """
    symbols = 1 + int(max(real.max(initial=0), generated.max(initial=0)))
    return divergence(ngrams(real, n, symbols), ngrams(generated, n, symbols))


def divergence(real: NDArray[np.int64], generated: NDArray[np.int64]) -> float:
    """The same of codes of any shape, those below 0 left out; 1 where one set has none and the other has some."""
    both = np.concatenate([real[real >= 0], generated[generated >= 0]])
    if not len(both):
        return 0.0
    kinds, codes = np.unique(both, return_inverse=True)
    of_real = int((real >= 0).sum())
    p, q = (np.bincount(part, minlength=len(kinds)) for part in (codes[:of_real], codes[of_real:]))
    if not p.any() or not q.any():
        return 1.0
    p, q = p / p.sum(), q / q.sum()
    middle = (p + q) / 2
    return float(min(1.0, max(0.0, (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2)))


def _relative_entropy(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    """Σ p log₂(p / q), in bits; nothing where p is 0."""
    some = p > 0
    return float((p[some] * np.log2(p[some] / q[some])).sum())
