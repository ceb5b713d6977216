"""Residual blocks that SNGAN's, WGAN-GP's, SAGAN's and BigGAN's networks share: two 3×3 convolutions beside a shortcut.

Norms and activations come before convolutions (He et al. 2016, arXiv:1603.05027).  A 1×1 convolution and a resampling
may change places: the shortcuts convolve the smaller map.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from gan_core.models.checkpointing import again
from gan_core.models.dropout import Dropout
from gan_core.models.norms import norm_of
from gan_core.models.resample import averaged, repeated


class UpBlock(nn.Module):
    """A generator's block: maps [n, inputs, H, W] to [n, outputs, 2 H, 2 W].

    norm: makes one of so many channels.  activation: without weights.  dropout: share of numbers before the second
    convolution.
    """

    def __init__(
        self, inputs: int, outputs: int, norm: Callable[[int], nn.Module], activation: nn.Module, dropout: float
    ) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(inputs), norm(outputs)
        self.activation, self.dropout = activation, Dropout(dropout)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, e: Tensor | None = None) -> Tensor:
        """e: [n, embedded], what conditional norms are told."""
        h = self.conv1(repeated(self.activation(self.norm1(x, e))))
        h = self.conv2(self.dropout(self.activation(self.norm2(h, e))))
        found: Tensor = h + repeated(self.shortcut(x))
        return found


class DownBlock(nn.Module):
    """A discriminator's block: maps [n, inputs, H, W] to [n, outputs, H / 2, W / 2], or of the same size.

    hidden: channels between the convolutions.  first: sees images, which are not normalised and activated.
    """

    def __init__(
        self, inputs: int, outputs: int, hidden: int, norm: str, activation: nn.Module, dropout: float, *,
        halves: bool, first: bool = False,
    ) -> None:
        super().__init__()
        self.halves = halves
        self.before = None if first else norm_of(norm, inputs)
        self.norm = norm_of(norm, hidden)
        self.activation, self.dropout = activation, Dropout(dropout)
        self.conv1 = nn.Conv2d(inputs, hidden, 3, padding=1)
        self.conv2 = nn.Conv2d(hidden, outputs, 3, padding=1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if halves or first or inputs != outputs else None

    def forward(self, x: Tensor) -> Tensor:
        h = x if self.before is None else self.activation(self.before(x))
        h = self.conv2(self.dropout(self.activation(self.norm(self.conv1(h)))))
        if self.halves:
            h, x = averaged(h), averaged(x)
        found: Tensor = h + (x if self.shortcut is None else self.shortcut(x))
        return found


class InTurn(nn.Module):
    """Blocks one after the other, with attention after one of them where it is set.

    checkpointing: activations inside the blocks are computed again in the backward pass instead of being kept.
    """

    def __init__(
        self, blocks: list[nn.Module], attention: nn.Module | None, after: int | None, checkpointing: bool
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.attention, self.after = attention, after
        self.checkpointing = checkpointing

    def forward(self, x: Tensor, told: list[Tensor | None] | None = None) -> Tensor:
        """told: what each block is told besides."""
        for number, block in enumerate(self.blocks):
            x = self._run(block, x) if told is None else self._run(block, x, told[number])
            if number == self.after and self.attention is not None:
                x = self._run(self.attention, x)
        return x

    def _run(self, block: nn.Module, *inputs: Tensor | None) -> Tensor:
        found: Tensor = again(block, *inputs) if self.checkpointing else block(*inputs)
        return found
