"""Evaluate's figures on `domain` features, of samples beside one set of real images, again and again.

What the trials of a search are judged by.

    compare = partial(figures_against, network, names, k, seed)
    fit(experiment, shards, place, reporter, compare=compare)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from numpy.typing import NDArray

from gan_core.config import FD_DOMAIN
from gan_core.metrics.domain import DomainNetwork
from gan_core.metrics.frechet import frechet_distance
from gan_core.metrics.kernel import kernel_distance
from gan_core.metrics.moments import Moments
from gan_core.metrics.neighbours import neighbours

Images = NDArray[Any]
"""uint8 [n, C, H, W], or examples of another kind as they are stored."""
KID = "kid_domain"
OF_NEIGHBOURS = {f"{name}_domain": name for name in ("precision", "recall", "density", "coverage")}
NAMES = (FD_DOMAIN, KID, *OF_NEIGHBOURS)


def figures_against(
    domain: DomainNetwork, names: Collection[str], k: int, seed: int, real: Images
) -> Callable[[Images], Mapping[str, float]]:
    """A function of generated images to those of NAMES that are wanted; fd_domain always.

    real: images.  k: neighbours.  seed: of the kernel distance's subsets.
    DataError for images of another form than the network's, for fewer than two, and for k or fewer where neighbours
    are wanted.
    """
    features = domain.features(real)
    moments = Moments.of(features)

    def measure(generated: Images) -> dict[str, float]:
        seen = domain.features(generated)
        found = {FD_DOMAIN: frechet_distance(moments, Moments.of(seen))}
        if KID in names:
            found[KID] = kernel_distance(features, seen, subsets=1 if len(seen) <= 1000 else 100, seed=seed)
        if wanted := [name for name in OF_NEIGHBOURS if name in names]:
            near = neighbours(features, seen, k)
            found |= {name: getattr(near, OF_NEIGHBOURS[name]) for name in wanted}
        return found

    return measure
