"""Sequences of tokens: padding, and tokens that no vocabulary has."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.report import Finding, Named, plural, share

PAD = 0
PADDED = 0.9  # share of padding from which on there is little else to learn
TOO_MANY = 0.5


class Tokens:
    """Counts of padding, of empty examples, and of tokens beyond the vocabulary."""

    def __init__(self, vocabulary: object) -> None:
        self._symbols = len(vocabulary) if isinstance(vocabulary, list | tuple) else 0
        self._examples = self._tokens = self._padding = self._longest = 0
        self._empty, self._beyond = Named(), Named()

    def add(self, seen: Seen) -> None:
        tokens = seen.raw.tokens
        if tokens is None:
            return
        self._examples += 1
        filled = np.flatnonzero(tokens != PAD)
        used = int(filled[-1]) + 1 if len(filled) else 0
        self._tokens += len(tokens)
        self._padding += len(tokens) - used
        self._longest = max(self._longest, used)
        if not used:
            self._empty.add(seen.name)
        if tokens.min() < 0 or (self._symbols and tokens.max() >= self._symbols):
            self._beyond.add(seen.name)

    def findings(self, terms: Terms) -> Iterator[Finding]:
        if self._beyond.count:
            yield Finding("refuse", "unknown_tokens", str(self._beyond),
                          f"{plural(self._beyond.count, 'example')} with tokens below 0"
                          + (f" or from {self._symbols} on, the size of the vocabulary" if self._symbols else ""),
                          "number tokens by the vocabulary, from 0")
        if self._empty.count:
            yield Finding("refuse" if self._empty.count > TOO_MANY * self._examples else "warn", "empty_texts",
                          str(self._empty), f"{plural(self._empty.count, 'example')} of {self._examples:,} are nothing "
                          "but padding", "take them out")
        elif self._padding > PADDED * self._tokens:
            yield Finding("warn", "mostly_padding", "", f"{share(self._padding, self._tokens)} of all tokens are "
                          f"padding, and the longest example has {self._longest:,}",
                          f"set the source's length, such as length={max(1, self._longest)}, or less with long=cut")
