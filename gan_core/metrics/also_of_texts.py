"""The measures of texts that `evaluate.also` asks for: `ngrams`, `distinct` and `copied`.

    ngram_js_1 … 4          Jensen–Shannon divergence of the n-grams of real and of generated texts, in bits
    ngram_js_real_1 … 4     the same between real and as many training texts: what a perfect generator would reach
    distinct_1, _2          unlike n-grams as a share of all n-grams of generated texts; distinct_real_1, … of real
    distinct_texts          unlike texts as a share of the generated ones; distinct_real_texts of the real ones
    copied_texts            share of generated texts that are in the train split, whole; copied_real_texts of real
    copied_12grams          share of their stretches of 12 symbols that are; copied_real_12grams of the real texts

Where no text has 12 symbols there is no copied_12grams.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError
from gan_core.metrics.evidence import Evidence
from gan_core.metrics.figure import Figure, Found, jackknifed
from gan_core.metrics.jackknife import jackknife_interval
from gan_core.metrics.maps import evenly
from gan_core.metrics.text import Codes, Tokens, copied, distinct, ended, ngram_divergence, ngrams, whole

COUNTED = (1, 2, 3, 4)  # lengths of the n-grams that are compared
VARIED = (1, 2)
STRETCH = 12  # symbols that texts do not share by chance

OF_GENERATED: Mapping[str, Any] = {"network": "symbols", "n_real": 0}
OF_REAL: Mapping[str, Any] = {"network": "symbols", "n_fake": 0}
OF_BOTH: Mapping[str, Any] = {"network": "symbols"}


def measures_of_texts(evidence: Evidence) -> Mapping[str, Callable[[], Found]]:
    """By their names in the settings.  Each is a DataError for a data set that holds no tokens."""
    of = _OfTexts(evidence)
    return {"ngrams": of.ngrams, "distinct": of.distinct, "copied": of.copied}


@dataclass(frozen=True)
class _OfTexts:
    evidence: Evidence

    def ngrams(self) -> Found:
        real, generated = self._texts("ngrams")
        train = self.evidence.shards.split("train")
        known = self._ended(train.gather(evenly(len(train), len(real))))
        found: Found = {}
        for kind, others, how in (("", generated, OF_BOTH), ("real_", known, OF_REAL)):
            for n in COUNTED:
                found[f"ngram_js_{kind}{n}"] = self._figure(ngram_divergence, ngrams(real, n), ngrams(others, n)), how
        return found

    def distinct(self) -> Found:
        real, generated = self._texts("distinct")
        found: Found = {}
        for kind, texts, how in (("", generated, OF_GENERATED), ("real_", real, OF_REAL)):
            for n in VARIED:
                found[f"distinct_{kind}{n}"] = self._figure(distinct, ngrams(texts, n)), how
            found[f"distinct_{kind}texts"] = self._figure(distinct, whole(texts)), how
        return found

    def copied(self) -> Found:
        real, generated = self._texts("copied")
        train = self._ended(self.evidence.shards.split("train").images)
        known, stretches = whole(train), np.unique(ngrams(train, STRETCH))
        found: Found = {}
        for kind, texts, how in (("", generated, OF_GENERATED), ("real_", real, OF_REAL)):
            found[f"copied_{kind}texts"] = self._copied(known, whole(texts)), how
            if (codes := ngrams(texts, STRETCH)).max() >= 0:
                found[f"copied_{kind}{STRETCH}grams"] = self._copied(stretches, codes), how
        return found

    def _copied(self, known: Codes, codes: Codes) -> Figure:
        """How large a share of the n-grams is known; the examples that they are of are what may be others."""
        return self._figure(lambda some: float(copied(known, some).mean()), codes)

    def _figure(self, statistic: Callable[..., float], *columns: NDArray[Any]) -> Figure:
        value = statistic(*columns)
        interval = jackknife_interval(value, statistic, *columns, seed=self.evidence.config.seed)
        return jackknifed(value, interval, lowest=0.0, highest=1.0)

    def _texts(self, asked: str) -> tuple[Tokens, Tokens]:
        """Real and generated, [n, T] each."""
        if self.evidence.shards.kind != "tokens":
            raise DataError(f"evaluate.also={asked} counts the symbols of texts, and this data set holds "
                            f"{self.evidence.shards.kind}; leave it out")
        return self._ended(self.evidence.real), self._ended(self.evidence.generated)

    def _ended(self, tokens: NDArray[Any]) -> Tokens:
        return ended(tokens, self.evidence.shards.form.symbols)
