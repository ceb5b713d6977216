"""What makes comparable features of a translator's maps (Park et al. 2020, arXiv:2007.15651, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize


class PatchHeads(nn.Module):
    """A perceptron of two layers for each map: what is at a place becomes a vector of length 1.

    channels: of each map.  features: of a vector.
    """

    def __init__(self, channels: Sequence[int], features: int) -> None:
        super().__init__()
        self.channels = tuple(channels)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(count, features), nn.ReLU(), nn.Linear(features, features)) for count in channels)
        self.apply(_initialise)

    def forward(self, packed: Tensor) -> Tensor:
        """[n, S · sum of channels], as `Translator` returns them of S places a map, to [n, maps, S, features]."""
        places = packed.shape[1] // sum(self.channels)
        maps = packed.split([places * count for count in self.channels], 1)
        seen = [head(of.unflatten(1, (places, count)))
                for head, of, count in zip(self.heads, maps, self.channels, strict=True)]
        return normalize(torch.stack(seen, 1), dim=-1)


def _initialise(module: nn.Module) -> None:
    """Weights from N(0, 0.02²), as those of the translator; biases 0."""
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0.0, 0.02)
        nn.init.zeros_(module.bias)
