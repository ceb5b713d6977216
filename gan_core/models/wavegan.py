"""WaveGAN's networks (Donahue et al. 2019, arXiv:1802.04208, tables 3 and 4) for recordings of any length.

Transposed convolutions of length 25 and stride 4 from a few samples to all; the discriminator mirrors them.  Both have
`width` channels a quarter of the recording's length away from it, and twice as many with each quarter after that.  At
16,384 samples, one channel and width 64 they are the published ones; a length that is no multiple is made longer and
cut at its end, and judged with silence after it.  Labels enter the generator as an embedding beside z and the
discriminator as `condition` says; neither is in what was published.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, pad, relu

from gan_core.models.activations import SLOPE
from gan_core.models.condition import ConditionEmbedding, ConditionMap, Verdict
from gan_core.models.dropout import Dropout, drawn
from gan_core.models.initialise import glorot, initialise
from gan_core.models.spectral import spectral as with_spectral_norm
from gan_core.options.conditions import Conditions
from gan_core.options.networks import ConditionBy

KERNEL, STRIDE = 25, 4
FEWEST = 8  # samples that a network begins with, where the recording has so many


class PhaseShuffle(nn.Module):
    """In training moves each example by up to n samples, the same for all channels (section 3.3).

    x: [n, C, T].  What is missing at an end is what stands there, reflected.  The shifts are drawn as dropout's masks
    are, and so are a function of where training is; in evaluation nothing moves.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def forward(self, x: Tensor) -> Tensor:
        most, last = min(self.most, x.shape[2] - 1), x.shape[2] - 1
        if not self.training or not most:
            return x

        def shifts(batch: int, generator: torch.Generator) -> Tensor:
            return torch.randint(-most, most + 1, (batch, 1), generator=generator, device=x.device)

        at = (torch.arange(last + 1, device=x.device) + drawn(len(x), shifts)).abs()
        at = last - (last - at).abs()
        return x.gather(2, at[:, None].expand_as(x))

    def extra_repr(self) -> str:
        return f"most={self.most}"


class WaveganGenerator(nn.Module):
    """z: [n, latent] and, with conditions, label: to recordings [n, channels, T] in [−1, 1].

    shape: (channels, T), any T.  conditions: as data.
    """

    def __init__(
        self, shape: tuple[int, int], latent: int, width: int, conditions: Mapping[str, Any] | None = None, *,
        dropout: float = 0.0, init: str = "auto", spectral: bool = False,
    ) -> None:
        super().__init__()
        channels, self.length = shape
        start, widths = _sizes(self.length, width)
        told = Conditions.model_validate(conditions or {})
        self.start = (widths[-1], start)
        self.embed = ConditionEmbedding(told, latent) if told else None
        self.project = nn.Linear(2 * latent if told else latent, widths[-1] * start)
        self.ups = nn.ModuleList(nn.ConvTranspose1d(a, b, KERNEL, STRIDE, 11, 1)
                                 for a, b in pairwise([*reversed(widths), channels]))
        self.dropout = Dropout(dropout)
        initialise(self, init, glorot)
        if spectral:
            with_spectral_norm(self)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        if self.embed is not None:
            z = torch.cat([z, self.embed(label)], dim=1)
        x = self.project(z).unflatten(1, self.start)
        for up in self.ups:
            x = up(self.dropout(relu(x)))
        return torch.tanh(x[..., : self.length])


class WaveganDiscriminator(nn.Module):
    """Recordings [n, channels, T] and, with conditions, label: to logits [n], higher is more real.

    With condition=auxiliary, [n, 1 + heads]: the logit, and what the label is taken for; by embedding the label is one
    more channel.  phase_shuffle: of `PhaseShuffle`, after each convolution but the last.
    """

    def __init__(
        self, shape: tuple[int, int], width: int, conditions: Mapping[str, Any] | None = None, *,
        condition: ConditionBy = "projection", phase_shuffle: int = 2, dropout: float = 0.0, init: str = "auto",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        channels, length = shape
        start, widths = _sizes(length, width)
        told = Conditions.model_validate(conditions or {})
        self.silence = start * STRIDE ** len(widths) - length
        self.map = ConditionMap(told, 1, length) if told and condition == "embedding" else None
        self.downs = nn.ModuleList(nn.Conv1d(a, b, KERNEL, STRIDE, 11)
                                   for a, b in pairwise([channels + (self.map is not None), *widths]))
        self.shuffle, self.dropout = PhaseShuffle(phase_shuffle), Dropout(dropout)
        self.judge = Verdict(widths[-1] * start, told, condition)
        initialise(self, init, glorot)
        if spectral:
            with_spectral_norm(self)

    def forward(self, recordings: Tensor, label: Tensor | None = None) -> Tensor:
        x = recordings if self.map is None else torch.cat([recordings, self.map(label).squeeze(1)], dim=1)
        x = pad(x, (0, self.silence))
        for number, down in enumerate(self.downs, start=1):
            x = self.dropout(leaky_relu(down(x), SLOPE))
            if number < len(self.downs):
                x = self.shuffle(x)
        verdict: Tensor = self.judge(x.flatten(1), label)
        return verdict


def _sizes(length: int, width: int) -> tuple[int, list[int]]:
    """Samples that a network begins with, and the channels of its layers, those nearest to the recording first."""
    layers = 1
    while length >= FEWEST * STRIDE ** (layers + 1):
        layers += 1
    return -(-length // STRIDE**layers), [width * 2**number for number in range(layers)]
