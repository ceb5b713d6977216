"""Two data sets of any source as two unpaired domains; format, place and splits of one need not be the other's.

    data:
      source: two_domains
      names: [usps, digits]
      a: {source: hdf5, url: data/usps.h5}
      b: {source: digits}
    prepare:
      transforms: [{resize: 16}]
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SerializeAsAny, WithJsonSchema

from gan_core.config import validate
from gan_core.data.source import SPLITS, Bad, Example, Source
from gan_core.errors import ConfigError
from gan_core.registry import SOURCES

CLASS = "class"


def _as_source(given: Any) -> Any:
    """The source that a block names.  ValueError when there is none of that name, or its options cannot be."""
    if not isinstance(given, Mapping):
        return given
    name = given.get("source")
    if not isinstance(name, str) or name not in SOURCES:
        raise ValueError(f"{SOURCES.unknown(name)}; {{source: digits}} works")
    try:
        return validate(SOURCES.get(name), given, name)
    except ConfigError as error:
        raise ValueError(str(error)) from None


AnySource = Annotated[
    SerializeAsAny[Source], BeforeValidator(_as_source),
    WithJsonSchema({"type": "object", "properties": {"source": {"type": "string"}}, "required": ["source"]}),
]


class TwoDomains(Source):
    """Two data sets as domains: label 0 is all of the first, 1 all of the second.

    In each split the first domain's examples come before the second's.  Where both sets have the same class names, an
    example's class is kept as the attribute `class`.
    """

    source: Literal["two_domains"] = "two_domains"
    a: AnySource = Field(description="the first domain: a block as under data:", examples=[{"source": "digits"}])
    b: AnySource = Field(description="the second domain", examples=[{"source": "digits"}])
    names: tuple[str, str] = Field(("a", "b"), description="what the domains are called", examples=[["usps", "digits"]])

    def splits(self) -> Mapping[str, int]:
        first, second = self.a.splits(), self.b.splits()
        if not first or not second:  # one of them can only be read from its start
            return {}
        return {split: first.get(split, 0) + second.get(split, 0) for split in SPLITS}

    def examples(self, split: str) -> Iterator[Example | Bad]:
        return chain(self._of(0, self.a.examples(split)), self._of(1, self.b.examples(split)))

    def part(self, split: str, start: int, stop: int) -> Iterator[Example | Bad]:
        here = self.a.splits().get(split, 0)
        if start < here:
            yield from self._of(0, self.a.part(split, start, min(stop, here)))
        if stop > here:
            yield from self._of(1, self.b.part(split, max(start - here, 0), stop - here))

    def facts(self) -> Mapping[str, Any]:
        return {"class_names": list(self.names), "domains": "unpaired"}

    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.a.fingerprint()} {self.b.fingerprint()}".encode()).hexdigest()

    def _of(self, domain: int, items: Iterator[Example | Bad]) -> Iterator[Example | Bad]:
        """The items of one set, labelled with the domain.  Weights are left out: each domain is drawn evenly."""
        keeps_class = _same_classes(self)
        for item in items:
            if isinstance(item, Example):
                known = {CLASS: float(item.label)} if keeps_class and item.label is not None else {}
                item = replace(item, label=domain, attributes=known, weight=None)
            yield item


def _same_classes(domains: TwoDomains) -> bool:
    """Whether a label means the same in both sets."""
    first, second = (list(source.facts().get("class_names", ())) for source in (domains.a, domains.b))
    return bool(first) and first == second
