"""What an augmentation came to, as plain values: augmentation.json, and the words of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.data.shards import Shards
from gan_core.metrics.augmentation import Outcome, Share

METHOD = ("95 % intervals: percentiles of a crossed bootstrap over trainings and test examples, the same 2,000 draws "
          "for all ways; of {seeds} trainings {drawn} at a time, so that all their variance shows. The gain is beyond "
          "the better real way of each draw. No class's recall has a narrower interval than Wilson's. "
          "The generator is taken as it is: what another training of it would change is in no interval.")
ONE_TRAINING = ("95 % intervals: percentiles of a bootstrap over the test examples alone, for there is one training of "
                "each way: what another training would change is not in them.")


def facts_of(data: Shards, found: Outcome, labels: NDArray[np.int64], seeds: int) -> dict[str, Any]:
    """What was found, class by class and in all.  labels: of the test examples."""
    histogram = data.facts["splits"]["train"]["histogram"]
    names = data.facts.get("class_names") or [str(label) for label in range(data.classes)]
    return {
        "test": len(labels),
        "classes": [{"label": label, "name": names[label], "train": int(histogram.get(str(label), 0)),
                     "test": int((labels == label).sum())} for label in range(data.classes)],
        "ways": {way: {"accuracy": _share(of.accuracy), "balanced_accuracy": _share(of.balanced),
                       "recall": {str(label): _share(share) for label, share in of.recall.items()}}
                 for way, of in found.ways.items()},
        "baseline": found.baseline,
        "gain": _share(found.gain),
        "balanced_gain": _share(found.balanced_gain),
        "verdict": found.verdict,
        "recommended": found.recommended,
        "method": METHOD.format(seeds=seeds, drawn=seeds - 1) if seeds > 1 else ONE_TRAINING,
    }


def _share(share: Share) -> dict[str, float]:
    return {"value": share.value, "low": share.interval.low, "high": share.interval.high}


NAMES = {"real": "real", "real_balanced": "real, classes drawn alike", "synthetic": "synthetic",
         "real_synthetic": "real + synthetic"}
VERDICTS = {
    "helps": "Synthetic examples help",
    "no difference shown": "No difference shown: synthetic examples are not recommended",
    "harms": "Synthetic examples harm: they are not recommended",
}


def sentence(facts: Mapping[str, Any]) -> str:
    """The verdict in one sentence."""
    return (f"{VERDICTS[facts['verdict']]}: {NAMES['real_synthetic']} has {points(facts['gain'])} of accuracy on the "
            f"real test examples beside '{NAMES[facts['baseline']]}', the better real way.")


def points(gain: Mapping[str, float]) -> str:
    """A difference of shares: '+1.2 points (+0.3 to +2.1)'."""
    value, low, high = (f"{100 * gain[end]:+.1f}".replace("-", "\N{MINUS SIGN}") for end in ("value", "low", "high"))
    return f"{value} points ({low} to {high})"


def percent(share: Mapping[str, float]) -> str:
    """'91.2 (89.0 to 93.1)', in per cent."""
    return f"{100 * share['value']:.1f} ({100 * share['low']:.1f} to {100 * share['high']:.1f})"


MOST_CLASSES = 20


def rarest(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The classes with test examples, in their order; of more than 20 those with the fewest training examples."""
    tested = [each for each in facts["classes"] if each["test"]]
    fewest = sorted(tested, key=lambda each: each["train"])[:MOST_CLASSES]
    return [each for each in tested if each in fewest]
