"""Examples as the feature networks that a configuration names see them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.config import EvaluateConfig
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.networks import load_network, random_network
from gan_core.modalities.kinds import modality_of
from gan_core.modalities.modality import Modality
from gan_core.options.feature_networks import NAMED

Seen = Callable[[NDArray[Any]], NDArray[Any]]


def features_by(network: str, config: EvaluateConfig, domain: DomainNetwork) -> Seen:
    """From images [n, C, H, W] uint8 to features [n, d] of one of `config.networks`; from examples of another kind to
    those of their views.

    ConfigError and DataError where its file cannot be had or is another one.
    """
    if network == "domain":
        return domain.features
    modality = modality_of(domain.facts.form)
    if network == "pixels":
        return partial(pixels, modality)
    if network == "random":
        shape = modality.views(np.zeros((1, *modality.form.shape), modality.dtype)).shape[1:]
        see = random_network(shape, config.seed).features
    else:
        see = load_network(network, {**NAMED, **config.network_files}[network]).features
    return lambda examples: see(modality.views(examples))


def pixels(modality: Modality, examples: NDArray[Any]) -> NDArray[np.uint8]:
    """[n, d]: the levels of their views."""
    return modality.views(examples).reshape(len(examples), -1)


def stated(network: str, config: EvaluateConfig) -> dict[str, str]:
    """What a figure says of a network in a file: its bytes, and how images were resized for it.  {} of all others."""
    file = {**NAMED, **config.network_files}.get(network)
    return {} if file is None else {"sha256": file.sha256, "resizer": file.resizer}
