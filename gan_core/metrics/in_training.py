"""The Fréchet distance of samples from one set of real images, again and again: what a run is watched and judged by.

    compare = partial(fd_domain_against, network)
    fit(experiment, shards, place, reporter, compare=compare)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

from gan_core.config import FD_DOMAIN
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.moments import Moments

Images = NDArray[Any]
"""uint8 [n, C, H, W], or examples of another kind as they are stored."""


def fd_domain_against(domain: DomainNetwork, real: Images) -> Callable[[Images], Mapping[str, float]]:
    """A function of generated images, {"fd_domain": …}: of the same images it is evaluate's own value, bit for bit.

    real: images.  DataError for images of another form than the network's, and for fewer than two of either.
    """
    moments = Moments.of(domain.features(real))

    def measure(generated: Images) -> dict[str, float]:
        return {FD_DOMAIN: frechet_distance(moments, Moments.of(domain.features(generated)))}

    return measure
