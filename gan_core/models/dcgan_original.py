"""DCGAN's networks as they were published, at the two sizes they were published for; `width` scales all layers.

28 × 28, the form of Keras' and TensorFlow's tutorials, published with width 64 and z of 100.  G: dense to 7 × 7 × 4w,
then transposed convolutions of 5 × 5 to 2w (stride 1), w and C channels (stride 2); batch norm and ReLU after the first
two.  D: convolutions of 5 × 5 and stride 2 to w and 2w channels, batch norm and LeakyReLU 0.2 after each, dense to one
logit.  'Same' padding, biases everywhere, Keras' initialisation (Glorot) and ε (0.001).

64 × 64, Radford et al. 2016 (arXiv:1511.06434).  G: z to 4 × 4 × 8w, then transposed convolutions of stride 2 to 4w,
2w, w and C channels; batch norm and ReLU after all but the last.  D: convolutions of stride 2 to w, 2w, 4w and 8w
channels with LeakyReLU 0.2 and, but for the first, batch norm, then one logit.  No biases (without norms, biases in
their place), weights from N(0, 0.02²).
Width 128 is the paper's figure 1 (1024, 512, 256, 128 channels); width 64 is dcgan.torch by two of its authors, and
PyTorch's example after it.  Kernels are these programs' 4 × 4.

Labels are embedded beside z, or reach the norms with norm=conditional_batch; the discriminator is told as `condition`
says.  Neither is in what was published.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from gan_core.errors import ConfigError
from gan_core.models.activations import SLOPE
from gan_core.models.condition import ConditionEmbedding, ConditionMap, Verdict
from gan_core.models.dropout import Dropout
from gan_core.models.initialise import glorot, initialise, radford
from gan_core.models.layout import ToMaps, to_vectors
from gan_core.models.norm import BatchNorm
from gan_core.models.norms import norm_of
from gan_core.models.spectral import spectral as with_spectral_norm
from gan_core.options.conditions import Conditions
from gan_core.options.networks import ConditionBy

KERAS, RADFORD = 28, 64  # pixels a side
KERAS_EPS = 1e-3
KERNEL = 5  # Keras' form's


class SameConv(nn.Conv2d):
    """A 5 × 5 convolution with TensorFlow's padding 'same': one side gets the odd pixel of stride 2, the later one."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, KERNEL, 2)

    def forward(self, input: Tensor) -> Tensor:
        """[n, inputs, H, W], both even, to [n, outputs, H / 2, W / 2]."""
        return super().forward(pad(input, (1, 2, 1, 2)))


class SameConvTranspose(nn.ConvTranspose2d):
    """The transpose of a 5 × 5 convolution with TensorFlow's padding 'same': maps get `stride` times as large."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, KERNEL, stride, padding=2 if stride == 1 else 1)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        found = super().forward(input, output_size)
        # where the convolution pads 1 before and 2 after, what falls there is cut off
        return found if self.stride[0] == 1 else found[..., :-1, :-1]


class Block(nn.Module):
    """A layer, its norm, an activation and dropout."""

    def __init__(self, layer: nn.Module, norm: nn.Module, activation: nn.Module, dropout: float) -> None:
        super().__init__()
        self.layer, self.norm, self.activation, self.dropout = layer, norm, activation, Dropout(dropout)

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        found: Tensor = self.dropout(self.activation(self.norm(self.layer(x), e)))
        return found


class DcganOriginalGenerator(nn.Module):
    """z: [n, latent] and, with conditions, label: to images [n, C, H, W] in [−1, 1].

    shape: (C, 28, 28) or (C, 64, 64), ConfigError for another.  conditions: as data.
    """

    def __init__(
        self, shape: tuple[int, int, int], latent: int, width: int, conditions: Mapping[str, Any] | None = None, *,
        norm: str = "batch", dropout: float = 0.0, init: str = "auto", spectral: bool = False,
    ) -> None:
        super().__init__()
        size, told = _size(shape), Conditions.model_validate(conditions or {})
        by_norm = norm == "conditional_batch"
        self.embed = ConditionEmbedding(told, latent) if told else None
        self.beside = bool(told) and not by_norm
        joined = 2 * latent if self.beside else latent
        layers = _keras_ups(joined, width) if size == KERAS else _radford_ups(joined, width, bias=norm == "none")
        self.blocks = nn.ModuleList(
            Block(layer, norm_of(norm, outputs, embedded=latent if told else 0), nn.ReLU(), dropout)
            for layer, outputs in layers)
        self.to_image = SameConvTranspose(width, shape[0], 2) if size == KERAS \
            else nn.ConvTranspose2d(width, shape[0], 4, 2, 1, bias=False)
        _begin(self, size, init)
        if by_norm and init == "auto" and self.embed is not None:
            nn.init.normal_(self.embed.weight)  # small gains of small numbers would tell nothing at first
        if spectral:
            with_spectral_norm(self)

    def forward(self, z: Tensor, label: Tensor | None = None) -> Tensor:
        e = None if self.embed is None else self.embed(label)
        x = torch.cat([z, e], dim=1) if self.beside and e is not None else z
        for block in self.blocks:
            x = block(x, e)
        return torch.tanh(self.to_image(x))


class DcganOriginalDiscriminator(nn.Module):
    """Images [n, C, H, W] and, with conditions, label: to logits [n], higher is more real.

    With condition=auxiliary, [n, 1 + heads]: the logit, and what the label is taken for; by embedding the label is one
    more channel of the image.  shape: (C, 28, 28) or (C, 64, 64), ConfigError for another.
    """

    def __init__(
        self, shape: tuple[int, int, int], width: int, conditions: Mapping[str, Any] | None = None, *,
        condition: ConditionBy = "projection", norm: str = "batch", dropout: float = 0.0, init: str = "auto",
        spectral: bool = False,
    ) -> None:
        super().__init__()
        size, told = _size(shape), Conditions.model_validate(conditions or {})
        self.map = ConditionMap(told, size, size) if told and condition == "embedding" else None
        channels = shape[0] + (self.map is not None)
        if size == KERAS:
            layers: list[nn.Conv2d] = [SameConv(channels, width), SameConv(width, 2 * width)]
            norms, features = [norm, norm], 2 * width * 7 * 7
        else:
            layers = [nn.Conv2d(a, b, 4, 2, 1, bias=norm == "none" and number > 0)
                      for number, (a, b) in enumerate(pairwise([channels, *(width * 2**i for i in range(4))]))]
            norms, features = ["none", norm, norm, norm], 8 * width * 4 * 4
        self.blocks = nn.Sequential(*(Block(layer, norm_of(kind, layer.out_channels), nn.LeakyReLU(SLOPE), dropout)
                                      for layer, kind in zip(layers, norms, strict=True)))
        self.judge = Verdict(features, told, condition, bias=size == KERAS)
        _begin(self, size, init)
        if spectral:
            with_spectral_norm(self)

    def forward(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        x = images if self.map is None else torch.cat([images, self.map(label)], dim=1)
        verdict: Tensor = self.judge(to_vectors(self.blocks(x)), label)
        return verdict


def _size(shape: tuple[int, int, int]) -> int:
    """The side of the images.  ConfigError for one that nothing was published for."""
    _, height, width = shape
    if height != width or height not in (KERAS, RADFORD):
        raise ConfigError(f"dcgan_original makes no images of {height} by {width}; {KERAS} by {KERAS} and {RADFORD} by "
                          f"{RADFORD} work, and family dcgan makes other sizes")
    return height


def _keras_ups(inputs: int, width: int) -> list[tuple[nn.Module, int]]:
    """Layers from [n, inputs] to maps of 14 × 14, with the channels that each puts out; all have biases."""
    start = nn.Sequential(_from_vector(inputs, 4 * width, 7, True), SameConvTranspose(4 * width, 2 * width, 1))
    return [(start, 2 * width), (SameConvTranspose(2 * width, width, 2), width)]


def _radford_ups(inputs: int, width: int, bias: bool) -> list[tuple[nn.Module, int]]:
    """Layers from [n, inputs] to maps of 32 × 32, with the channels that each puts out."""
    widths = [8 * width, 4 * width, 2 * width, width]
    return [(_from_vector(inputs, widths[0], 4, bias), widths[0])] \
        + [(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=bias), b) for a, b in pairwise(widths)]


def _from_vector(inputs: int, channels: int, side: int, bias: bool) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, channels * side**2, bias=bias), ToMaps(channels, side, side))


def _begin(network: nn.Module, size: int, init: str) -> None:
    """Fresh weights and, at Keras' size, its ε in batch norms."""
    initialise(network, init, glorot if size == KERAS else radford)
    for module in network.modules():
        if size == KERAS and isinstance(module, BatchNorm):
            module.eps = KERAS_EPS
