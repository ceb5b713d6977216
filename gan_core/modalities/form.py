"""What one example of a data set is as it is stored; what a generator makes is of the same form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gan_core.block import Config

Kind = Literal["image", "audio", "tokens", "video"]

RATES = {"audio": "sample_rate", "video": "frames_per_second"}  # names among the facts of shards
VOCABULARY = "vocabulary"


class Form(Config):
    """shape: of one example as shards hold it: image [C, H, W] uint8, audio [channels, T] int16, tokens [T] int32,
    video [T, C, H, W] uint8.

    rate: samples of audio or frames of video a second; 0 where the data set does not say.  symbols: of tokens, by
    number; () of other kinds.
    """

    kind: Kind = "image"
    shape: tuple[int, ...]
    rate: float = 0.0
    symbols: tuple[str, ...] = ()

    @staticmethod
    def of(kind: str, shape: tuple[int, ...], facts: Mapping[str, Any]) -> Form:
        """facts: of the shards' manifest."""
        return Form.model_validate({"kind": kind, "shape": shape, "rate": facts.get(RATES.get(kind, ""), 0) or 0,
                                    "symbols": [str(symbol) for symbol in facts.get(VOCABULARY, ())]})

    @staticmethod
    def published(specification: Mapping[str, Any]) -> Form:
        """specification: the content of a generator.json."""
        return Form.model_validate({"shape": specification["output"], **{
            name: specification[name] for name in ("kind", "rate", "symbols") if name in specification}})

    @property
    def facts(self) -> dict[str, Any]:
        """What the manifest of shards of this form says of rate and symbols."""
        rate = {RATES[self.kind]: self.rate} if self.rate and self.kind in RATES else {}
        return {**rate, **({VOCABULARY: list(self.symbols)} if self.symbols else {})}

    @property
    def stated(self) -> dict[str, Any]:
        """The same as the fields of a generator's specification."""
        return {"kind": self.kind, "output": self.shape, "rate": self.rate, "symbols": self.symbols}
