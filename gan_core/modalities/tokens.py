"""Text and other sequences of symbols: int32 [T], looked at as one-hot pictures: a row a symbol, a column a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from gan_core.modalities.modality import FileKind, Layout, Medium, Modality, Program, Stored, Views, npy

PAD = "<pad>"  # the symbol that ends a text that is shorter than the others

ENDS = """\
tokens = made.argmax(axis=1)  # [n, T], of scores [n, symbols, T]

symbols = spec["symbols"]
with open("texts.txt", "w", encoding="utf-8") as file:
    for row in tokens:
        text = [symbols[token] for token in row]
        text = text[: text.index("<pad>")] if "<pad>" in text else text
        file.write((" " if max(map(len, set(symbols) - {"<pad>"}), default=0) > 1 else "").join(text) + "\\n")
"""


class Tokens(Modality):
    """A network makes scores [n, symbols, T]: the highest of a place says which symbol stands there."""

    axes = ("T",)
    dtype = np.dtype(np.int32)
    made = "scores"
    noun = "texts"
    file = "samples.txt"
    tag = "text-generation"
    program: ClassVar[Program] = Program("", "", ENDS, "texts.txt")

    def stored(self, made: NDArray[np.floating]) -> Stored:
        tokens: Stored = made.argmax(axis=1).astype(np.int32)
        return tokens

    def views(self, stored: Stored) -> Views:
        return self.signals(stored)[:, None]

    def signals(self, stored: Stored) -> NDArray[np.uint8]:
        """[n, symbols, T], 255 where a symbol stands: its symbols are channels, none nearer to one than to another."""
        stands: NDArray[np.uint8] = (stored[:, None] == np.arange(len(self.form.symbols))[:, None]).astype(np.uint8)
        return stands * np.uint8(255)

    def files(self) -> Mapping[str, FileKind]:
        return {".txt": FileKind(self._written), ".npy": FileKind(npy)}

    def media(self, stored: Stored) -> Sequence[Medium]:
        return [Medium("pre", "text/plain", text.encode()) for text in self.texts(stored)]

    def texts(self, stored: Stored) -> list[str]:
        """Each example up to its first padding; symbols of several characters are words, with spaces between."""
        symbols = self.form.symbols
        between = " " if any(len(symbol) > 1 for symbol in symbols if symbol != PAD) else ""
        texts = []
        for row in stored:
            text = [symbols[token] for token in row]
            texts.append(between.join(text[: text.index(PAD)] if PAD in text else text))
        return texts

    def _written(self, stored: Stored, layout: Layout) -> bytes:
        """A text a line; an empty line between texts that have lines of their own."""
        end = "\n\n" if "\n" in self.form.symbols else "\n"
        return "".join(text + end for text in self.texts(stored)).encode()

    @property
    def words(self) -> str:
        return f"texts of up to {self.form.shape[0]:,} of {len(self.form.symbols):,} symbols"

    @property
    def scores(self) -> int:
        return super().scores * len(self.form.symbols)

    def mistake(self) -> str:
        if not self.form.symbols:
            return "tokens of which no symbols are known; a vocabulary among the facts of their source gives them"
        return super().mistake()
