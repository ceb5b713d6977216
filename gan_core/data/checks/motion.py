"""Clips of video in which nothing moves."""

from __future__ import annotations

from collections.abc import Iterator

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.report import Finding, Named, plural

TOO_MANY = 0.5


class Motion:
    """Clips whose frames are all the same."""

    def __init__(self) -> None:
        self._clips = 0
        self._frozen = Named()

    def add(self, seen: Seen) -> None:
        video = seen.raw.video
        if video is None:
            return
        self._clips += 1
        if (video == video[:1]).all():
            self._frozen.add(seen.name)

    def findings(self, terms: Terms) -> Iterator[Finding]:
        if count := self._frozen.count:
            yield Finding("refuse" if count > TOO_MANY * self._clips else "warn", "frozen_clips", str(self._frozen),
                          f"{plural(count, 'clip')} of {self._clips:,} in which every frame is the same",
                          "take them out, or let the source skip more frames from one to the next")
