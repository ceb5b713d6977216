"""Recordings: silence, clipping, and loudness that is not one."""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import numpy as np

from gan_core.data.checks.concern import Seen, Terms
from gan_core.data.checks.report import Finding, Named, Severity, plural, share

FULL_SCALE = 32_767
SILENT = 33  # peak of silence: a thousandth of full scale, −60 dB
CLIPPED = 0.001  # share of a clip's samples at full scale that can be heard; a normalised clip has one or two
MANY = 0.01  # share of clipped clips from which on the recording level was too high
TOO_MANY = 0.5
UNEVEN = 10  # peak of a loud clip to that of a quiet one, 20 dB: the 90th and the 10th percentile


class Sound:
    """Clips that hold nothing, clips cut off at full scale, and how loud they are after the transforms."""

    def __init__(self) -> None:
        self._clips = 0
        self._silent, self._clipped = Named(), Named()
        self._peaks = array("H")

    def add(self, seen: Seen) -> None:
        if seen.raw.audio is None or seen.example.audio is None:
            return
        self._clips += 1
        loud = np.abs(seen.raw.audio.astype(np.int32))
        if loud.max() <= SILENT:
            self._silent.add(seen.name)
            return
        if np.count_nonzero(loud >= FULL_SCALE) > max(2, CLIPPED * loud.size):
            self._clipped.add(seen.name)
        self._peaks.append(int(np.abs(seen.example.audio.astype(np.int32)).max()))

    def findings(self, terms: Terms) -> Iterator[Finding]:
        if count := self._silent.count:
            severity: Severity = "refuse" if count > TOO_MANY * self._clips else "warn"
            yield Finding(severity, "silent_clips", str(self._silent),
                          f"{plural(count, 'clip')} of {self._clips:,} never louder than a thousandth of full scale",
                          "take them out; floats up to 1 are multiplied by 32767, not cut to whole numbers")
        if self._clipped.count > MANY * self._clips:
            yield Finding("warn", "clipped_clips", str(self._clipped),
                          f"{share(self._clipped.count, self._clips)} of the clips, {self._clipped.count:,}, "
                          "are cut off at full scale", "record or export them at a lower level")
        if len(self._peaks) > 1:
            quiet, loud = np.percentile(np.frombuffer(self._peaks, np.uint16), (10, 90))
            if loud > UNEVEN * quiet:
                yield Finding("warn", "uneven_loudness", "", "a quiet clip (10th percentile) reaches "
                              f"{quiet / FULL_SCALE:.1%} of full scale, a loud one (90th) {loud / FULL_SCALE:.0%}",
                              "add prepare.transforms: [{normalise: peak}]")
