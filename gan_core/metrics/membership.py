"""Whether a discriminator gives away which examples it was trained on (Hayes et al. 2019, arXiv:1705.07663)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.errors import DataError
from gan_core.metrics.detection import roc_auc


def membership_auc(train: NDArray[Any], held_out: NDArray[Any]) -> float:
    """Area under the ROC curve of a discriminator's logits of training [n] against held-out real examples [m], 0 … 1.

    The probability that a training example gets the higher logit, a tie counting half.  0.5: logits tell nothing.
    1: whoever sees them knows who was trained on.  Draw both from one distribution, as splits of one set are.
    DataError for logits that are not finite, and for none.
    """
    if train.ndim != 1 or held_out.ndim != 1 or not train.size or not held_out.size:
        raise DataError(f"logits of shapes {train.shape} and {held_out.shape} are not one number for each example")
    logits = np.concatenate([train, held_out]).astype(np.float64)
    if not np.isfinite(logits).all():
        raise DataError("logits are not finite; look for NaN or infinity in the discriminator")
    return roc_auc(train, held_out)
