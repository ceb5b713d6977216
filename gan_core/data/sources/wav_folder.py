"""Recordings in a folder or archive: WAV, FLAC and Ogg files, brought to one rate, length and number of channels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from gan_core.data.items import Index, indexed
from gan_core.data.long_tail import LongTailed
from gan_core.data.source import Example
from gan_core.data.sources.audio import RATES, excerpt, recording
from gan_core.data.sources.columns import numbers_of
from gan_core.data.sources.folders import NO_CLASS, dealt, groups_of, labelled, placed, with_suffix
from gan_core.data.sources.opened import bytes_of, opened
from gan_core.errors import DataError

SUFFIXES = (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus")
LABEL = "label"
MOST_TRIED = 100  # files, before a set is given up

Item = tuple[str, int | None, tuple[float, ...]]  # path, label, attributes


def _is_pattern(pattern: str) -> str:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise ValueError(f"'{pattern}' is no regular expression: {error}; '^(\\d)_' is one") from None
    if not groups:
        raise ValueError(f"'{pattern}' has no group to take a label from; '^(\\d)_' has one")
    return pattern


class WavFolder(LongTailed):
    """Recordings (WAV, FLAC, Ogg), one a file.

    Its class is what `label_pattern` finds in its name, else the folder below the split's.
    """

    source: Literal["wav_folder"] = "wav_folder"
    sample_rate: int | None = Field(None, ge=RATES.start, lt=RATES.stop, examples=[16_000], description=(
        "Hz; recordings of another rate are resampled; null: that of the first file"))
    seconds: float = Field(1.0, gt=0, allow_inf_nan=False, description="length of an example")
    crop: Literal["start", "centre"] = Field("start", description="what is kept of a longer recording")
    pad: Literal["end", "centre"] = Field("end", description="where silence goes about a shorter one: after it, or "
                                                             "before and after")
    channels: Literal["mono", "keep"] = Field("mono", description="mono: the mean of a recording's channels")
    label_pattern: Annotated[str, AfterValidator(_is_pattern)] | None = Field(None, examples=[r"^(\d)_"], description=(
        "regular expression, searched in a file's name: what its group holds, or the one named label, is the label; "
        "other named groups are attributes"))

    def index(self) -> Index:
        paths = with_suffix([file.path for file in opened(self.url).list(self.limits.items)], SUFFIXES)
        if not paths:
            raise DataError(f"{self.url}: holds no {', '.join(SUFFIXES)} file")
        splits, rests = placed(paths)
        groups = groups_of(rests)
        texts: dict[str, list[str]] = {}
        if self.label_pattern:
            texts = _found(self.label_pattern, paths)
            groups = texts.pop(LABEL, groups)
        class_names, labels = labelled(groups)
        facts = {**self._form(paths), **({"attributes": list(texts)} if texts else {})}
        numbers = {name: numbers_of(values) for name, values in texts.items()}
        if named := {name: list(names) for name, (_, names) in numbers.items() if names}:
            facts["attribute_names"] = named
        attributes = list(zip(*(values for values, _ in numbers.values()), strict=True)) or [()] * len(paths)
        items = list(zip(paths, labels, attributes, strict=True))
        return Index(dealt(items, splits, paths, self.deal), class_names, facts)

    def read(self, item: Item) -> Example:
        path, label, numbers = item
        if label == NO_CLASS:
            raise DataError(f"has a name in which label_pattern={self.label_pattern} finds nothing; rename it"
                            if self.label_pattern else "lies in no class folder, as others do; move it into one")
        facts = indexed(self).facts
        rate, length = facts["sample_rate"], _length(self.seconds, facts["sample_rate"])
        with recording(bytes_of(opened(self.url), path, self.limits)) as file:
            if self.channels == "keep" and file.channels != facts["channels"]:
                raise DataError(f"has {file.channels} channels, the first file {facts['channels']}; "
                                "channels: mono brings all to one")
            kept = excerpt(file, rate, length, centre=self.crop == "centre", mono=self.channels == "mono",
                           limits=self.limits)
        before = (length - kept.shape[1]) // 2 if self.pad == "centre" else 0
        audio = np.zeros((len(kept), length), np.int16)
        audio[:, before : before + kept.shape[1]] = kept
        attributes = dict(zip(facts.get("attributes", ()), numbers, strict=True))
        return Example(label=label, audio=audio, attributes=attributes, where=path)

    def labels_of_items(self, index: Index, items: Sequence[Item]) -> NDArray[np.int64] | None:
        return np.array([label for _, label, _ in items], np.int64) if index.class_names else None

    def name_of(self, item: Item) -> str:
        return item[0]

    def _form(self, paths: list[str]) -> dict[str, Any]:
        """The rate of the examples, and the channels that are kept: those of the first file that can be read."""
        reasons = []
        for path in paths[:MOST_TRIED]:
            try:
                with recording(bytes_of(opened(self.url), path, self.limits)) as file:
                    return {"sample_rate": self.sample_rate or file.samplerate,
                            "channels": 1 if self.channels == "mono" else file.channels}
            except DataError as error:
                reasons.append(f"{path}: {error}")
        raise DataError(f"{self.url}: none of the first {len(reasons)} recordings can be read; {reasons[0]}")


def _length(seconds: float, rate: int) -> int:
    return max(1, round(seconds * rate))


def _found(pattern: str, paths: Sequence[str]) -> dict[str, list[str]]:
    """What the pattern's groups hold in each name, '' where it finds nothing; the label's group under 'label'."""
    compiled = re.compile(pattern)
    groups: dict[str, int] = dict(compiled.groupindex)
    unnamed = [number for number in range(1, compiled.groups + 1) if number not in groups.values()]
    if LABEL not in groups and unnamed:
        groups[LABEL] = unnamed[0]
    matches = [compiled.search(PurePosixPath(path).name) for path in paths]
    return {name: [match[group] or "" if match else "" for match in matches] for name, group in groups.items()}
