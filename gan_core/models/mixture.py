"""Several generators as one network: each example is made by the one that its `part` names.

What several systems learnt apart covers more than any of them (Tolstikhin et al. 2017, "AdaGAN", arXiv:1701.02386).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gan_core.registry import FAMILIES

FAMILY = "mixture"
MOST_PARTS = 16


class Mixture(nn.Module):
    """parts: {"family", "options"} of each generator; all take the same inputs by name and make the same shape.

    ValueError for fewer than two, for more than 16, and for a part that is a mixture itself.
    """

    def __init__(self, parts: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        if not 2 <= len(parts) <= MOST_PARTS:
            raise ValueError(f"a mixture of {len(parts)} parts; 2 to {MOST_PARTS} work")
        if any({*part} != {"family", "options"} or part["family"] == FAMILY for part in parts):
            raise ValueError("a part is the family and the options of a generator that is no mixture")
        self.parts = nn.ModuleList(FAMILIES.get(part["family"])(**part["options"]) for part in parts)

    def forward(self, part: Tensor, **inputs: Tensor) -> Tensor:
        """part: [n] int64, 0 … parts − 1.  inputs: as the parts take them, [n, …] each."""
        if torch.jit.is_tracing():  # type: ignore[attr-defined]  # which keeps sizes: every part makes every example, and one is taken
            made: Tensor = self.parts[0](**inputs)
            for place, network in enumerate(self.parts[1:], start=1):
                other = network(**inputs)
                made = torch.where((part == place).view(-1, *[1] * (other.ndim - 1)), other, made)
            return made
        rows = [(part == place).nonzero()[:, 0] for place in range(len(self.parts))]
        pieces = [network(**{name: values[chosen] for name, values in inputs.items()})
                  for network, chosen in zip(self.parts, rows, strict=True) if len(chosen)]
        back = torch.cat([chosen for chosen in rows if len(chosen)]).argsort()
        return torch.cat(pieces)[back]
