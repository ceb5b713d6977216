"""Which fields of an experiment a search may change, and which of them in the middle of a run."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

SAME_DATA = "trials are compared with each other, so all of them learn from the same shards"
NOT_TRAINING = "does not change what is trained"
WHEN_LOOKED = "says when training is looked at and kept, and changes nothing of it; tune.look_every is a trial's"
WHEN_ENDED = "says when a run ends and what is kept of it; tune.scheduler ends trials"

UNSEARCHABLE: Mapping[str, str] = {
    "name": NOT_TRAINING,
    "seed": "tells luck, not merit; tune.repeats tries the best trials with others",
    "data": SAME_DATA,
    "prepare": SAME_DATA,
    "evaluate": NOT_TRAINING,
    "publish": NOT_TRAINING,
    "schedule": NOT_TRAINING,
    "tune": NOT_TRAINING,
    "model.recipe": "another recipe has other settings; search each by itself, or let whole blocks be chosen: model: "
                    "{choice: [{recipe: dcgan}, {recipe: r3gan}]}",
    "train.images": "trials of different lengths cannot be compared; tune.images is how long they are",
    "train.workers": f"{NOT_TRAINING}; tune.workers is how many a trial has",
    "train.init_from": "all trials begin alike; set it in the experiment",
    "train.stop_when": WHEN_ENDED,
    "train.best_by": WHEN_ENDED,
    "train.on_divergence": WHEN_ENDED,
} | {f"train.{name}": WHEN_LOOKED for name in (
    "report_every", "sample_every", "fd_every", "fd_samples", "checkpoint_every", "keep_checkpoints", "keep_every")}
"""Blocks and fields by dotted name, and why no trial may change them."""

MID_RUN = (
    *(f"model.*_optimizer.{name}" for name in (
        "learning_rate", "weight_decay", "betas", "alpha", "momentum", "fall.after", "fall.until", "fall.to")),
    *(f"model.penalties.{name}" for name in (
        "clip", "gradient.weight", "dragan.weight", "dragan.spread", "zero_centred.weight", "r1.gamma", "r2.gamma",
        "consistency.real", "consistency.fake", "consistency.shift",
        "*_weights.l1", "*_weights.l2", "*_weights.orthogonal")),
    *(f"model.targets.{name}" for name in ("smooth_real", "smooth_fake", "flipped")),
    *(f"model.instance_noise.{name}" for name in ("std", "until")),
    *(f"model.augment.{name}" for name in ("target", "images")),
    "model.auxiliary_weight", "model.wrong_labels", "model.generator.dropout", "model.discriminator.dropout",
    "model.cycle", "model.identity", "model.r1",
    "train.augment.flip", "train.augment.shift", "train.ema_half_life", "train.ema_ramp_up",
)
"""Fields that a run can go on with from another's checkpoint: numbers in losses, in the optimizers' groups, or in what
is done to examples.  What decides which tensors a checkpoint holds, or their shapes, is none of them."""


def why_unsearchable(name: str) -> str | None:
    """Why no trial may change this field; None where it may.  name: dotted."""
    if name == "train":
        return "holds what no trial may change; name one of its fields, such as train.ema_half_life"
    parts = name.split(".")
    blocks = (".".join(parts[:end]) for end in range(1, len(parts) + 1))
    return next((UNSEARCHABLE[block] for block in blocks if block in UNSEARCHABLE), None)


def may_change_mid_run(name: str) -> bool:
    """Whether a run can go on from a checkpoint that was trained with another value of this field."""
    return any(fnmatchcase(name, pattern) for pattern in MID_RUN)
