"""Images as the feature networks that a configuration names see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.config import EvaluateConfig
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.networks import load_network, random_network
from gan_core.options.feature_networks import NAMED

Seen = Callable[[NDArray[np.uint8]], NDArray[Any]]


def features_by(network: str, config: EvaluateConfig, domain: DomainNetwork) -> Seen:
    """From images [n, C, H, W] uint8 to features [n, d] of one of `config.networks`.

    ConfigError and DataError where its file cannot be had or is another one.
    """
    if network == "pixels":
        return lambda images: images.reshape(len(images), -1)
    if network == "domain":
        return domain.features
    if network == "random":
        return random_network(domain.facts.shape, config.seed).features
    return load_network(network, {**NAMED, **config.network_files}[network]).features


def stated(network: str, config: EvaluateConfig) -> dict[str, str]:
    """What a figure says of a network in a file: its bytes, and how images were resized for it.  {} of all others."""
    file = {**NAMED, **config.network_files}.get(network)
    return {} if file is None else {"sha256": file.sha256, "resizer": file.resizer}
