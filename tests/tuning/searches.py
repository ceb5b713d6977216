"""Searches as the store would have them, made of a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gan_core.config import experiment_from
from pipelines.tuning.records import Change, Ended, Look, Search, SearchSettings, Trial, TrialEnd, TrialSettings

LEARNING_RATE, GAMMA, WIDTH = "model.generator_optimizer.learning_rate", "model.penalties.r1.gamma", "model.width"
SPACE = {
    LEARNING_RATE: {"loguniform": [1e-5, 1e-2]},
    WIDTH: {"choice": [16, 32, 64]},
    GAMMA: {"uniform": [0.0, 4.0], "when": {WIDTH: [32, 64]}},
}
IMAGES, EVERY, SECONDS = 1_000, 100, 2.0  # of a trial; between looks; of a look and what was trained before it
VALUES = {LEARNING_RATE: 2e-4, WIDTH: 32, GAMMA: 0.5}


def search(trials: Sequence[Trial], repeats: Sequence[Trial] = (), **tune: Any) -> Search:
    """tune: fields of the block in place of these."""
    block = {"space": SPACE, "images": IMAGES, "look_every": EVERY, "samples": max(1, len(trials)), **tune}
    experiment = experiment_from({
        "name": "digits", "data": {"source": "digits"}, "model": {"recipe": "dcgan"}, "tune": block,
    })
    return Search("tune/abc", SearchSettings(key="abc", experiment=experiment.as_json(), shards="0" * 64, n=180),
                  tuple(trials), tuple(repeats))


def trial(
    number: int, value: float | None = None, status: Ended | None = "finished", *, images: int = IMAGES, seed: int = 0,
    params: Mapping[str, Any] = VALUES, problem: str = "", changes: Sequence[Change] = (),
) -> Trial:
    """One whose objective falls to `value` after so many images; status None: it has work left."""
    positions = [*range(EVERY, images, EVERY), *([images] if images else [])]
    looks = [Look(position=position, value=None if value is None else value + images - position, metrics={},
                  seconds=position / EVERY * SECONDS) for position in positions]
    return Trial(f"tune/abc/trials/{number:04d}", TrialSettings(number=number, params=dict(params), seed=seed),
                 tuple(looks), tuple(changes), TrialEnd(status=status, problem=problem) if status else None)
