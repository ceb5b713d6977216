"""Which class a text is of, by its n-grams: multinomial naive Bayes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from gan_core.metrics.text import Codes, Tokens, ngrams

LONGEST = 4  # n-grams of 1 to 4 characters
SMOOTHING = 0.1  # added to each count (Lidstone)
AT_ONCE = 1000
BEGINNING = 2**30  # a token that no vocabulary has, so that n-grams of unlike length are unlike too

Classify = Callable[[Tokens], NDArray[np.int64]]


def text_classifier(tokens: Tokens, labels: NDArray[np.int64]) -> Classify:
    """Puts texts into the classes [N] of these real ones [N, T], by the n-grams of 1 to 4 characters, ends included.

    McCallum & Nigam 1998, "A comparison of event models for naive Bayes text classification", the multinomial model:
    argmax log p(c) + Σ log p(n-gram | c), p(c) the class's share of the real texts.  n-grams that none of these has
    say nothing.
    """
    classes, which = np.unique(labels, return_inverse=True)
    grams = _grams(tokens)
    there = grams >= 0
    kinds, found = np.unique(grams[there], return_inverse=True)
    of = np.broadcast_to(which[:, None], grams.shape)[there]
    counts = np.bincount(of * len(kinds) + found, minlength=len(classes) * len(kinds))
    smooth = counts.reshape(len(classes), len(kinds)) + SMOOTHING
    says = np.log(smooth / smooth.sum(axis=1, keepdims=True)).T  # [kinds, classes]
    says = np.concatenate([says, np.zeros_like(says[:1])])  # what is not known
    prior = np.log(np.bincount(which) / len(which))

    def classify(others: Tokens) -> NDArray[np.int64]:
        parts = [np.empty(0, np.int64)]
        for start in range(0, len(others), AT_ONCE):
            asked = _grams(others[start : start + AT_ONCE])
            place = np.minimum(np.searchsorted(kinds, asked), len(kinds) - 1)
            known = np.where(kinds[place] == asked, place, len(kinds))
            parts.append(classes[(prior + says[known].sum(axis=1)).argmax(axis=1)])
        return np.concatenate(parts).astype(np.int64)

    return classify


def _grams(tokens: Tokens) -> Codes:
    """All n-grams of each text [N, T], of one length after the other: [N, …].  The beginning counts as a symbol."""
    begun = np.concatenate([np.full_like(tokens[:, :1], BEGINNING), tokens], axis=1)
    return np.concatenate([ngrams(begun, n) for n in range(1, LONGEST + 1)], axis=1)
