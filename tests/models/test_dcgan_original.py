from __future__ import annotations

from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.models.dcgan_original import (
    DcganOriginalDiscriminator,
    DcganOriginalGenerator,
    SameConv,
    SameConvTranspose,
)
from gan_core.models.norm import BatchNorm
from tests.models.family_contract import FamilyContract, N, Options, Shape

COMMON: tuple[Options, ...] = (
    *({"norm": norm} for norm in ("none", "instance", "layer", "group")), {"dropout": 0.3}, {"init": "orthogonal"},
    {"spectral": True},
)


class TestPrimers(FamilyContract):
    Generator: ClassVar[type[nn.Module]] = DcganOriginalGenerator
    Discriminator: ClassVar[type[nn.Module]] = DcganOriginalDiscriminator
    shape: ClassVar[Shape] = (1, 28, 28)
    generator_options = (*COMMON, {"norm": "conditional_batch"})
    discriminator_options = COMMON

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    def test_images_of_any_number_of_channels(self, channels: int) -> None:
        shape = (channels, *self.shape[1:])
        images = self.generator(shape=shape)(self.noise())
        assert images.shape == (N, *shape)
        assert self.discriminator(shape=shape)(images).shape == (N,)


class TestRadford(TestPrimers):
    shape: ClassVar[Shape] = (1, 64, 64)


def weights(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


# by the layers of the tables: kernels and biases, and two numbers a channel of batch norm
@pytest.mark.parametrize(("channels", "generator", "discriminator"), [
    (1, 100 * 12544 + 12544 + 25 * 256 * 128 + 128 + 2 * 128 + 25 * 128 * 64 + 64 + 2 * 64 + 25 * 64 + 1,
     25 * 64 + 64 + 2 * 64 + 25 * 64 * 128 + 128 + 2 * 128 + 7 * 7 * 128 + 1),
    (3, 100 * 12544 + 12544 + 25 * 256 * 128 + 128 + 2 * 128 + 25 * 128 * 64 + 64 + 2 * 64 + 25 * 64 * 3 + 3,
     25 * 3 * 64 + 64 + 2 * 64 + 25 * 64 * 128 + 128 + 2 * 128 + 7 * 7 * 128 + 1),
])
def test_the_primers_networks_have_their_layers_parameters(channels: int, generator: int, discriminator: int) -> None:
    assert weights(DcganOriginalGenerator((channels, 28, 28), 100, 64)) == generator
    assert weights(DcganOriginalDiscriminator((channels, 28, 28), 64)) == discriminator


def test_without_norm_the_28_pixel_discriminator_has_what_tensorflow_s_tutorial_states() -> None:
    assert weights(DcganOriginalDiscriminator((1, 28, 28), 64, norm="none")) == 212_865


def test_the_64_pixel_networks_have_what_pytorch_s_example_has() -> None:
    assert weights(DcganOriginalGenerator((3, 64, 64), 100, 64)) == 3_576_704
    assert weights(DcganOriginalDiscriminator((3, 64, 64), 64)) == 2_765_568


def test_width_128_is_the_figure_of_the_paper() -> None:
    made = DcganOriginalGenerator((3, 64, 64), 100, 128)
    channels = [layer.in_channels for layer in made.modules() if isinstance(layer, nn.ConvTranspose2d)]
    assert channels == [1024, 512, 256, 128]
    kernels = 16 * (100 * 1024 + 1024 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert weights(made) == kernels + 2 * (1024 + 512 + 256 + 128)


@pytest.mark.parametrize("size", [14, 28])
def test_a_convolution_is_padded_as_tensorflow_pads_it(size: int) -> None:
    torch.manual_seed(0)
    conv, x = SameConv(1, 1).double(), torch.randn(1, 1, size, size, dtype=torch.float64)
    # https://www.tensorflow.org/api_docs/python/tf/nn: out = ⌈in / stride⌉, half of what is missing before, rest after
    out = -(-size // 2)
    before = ((out - 1) * 2 + 5 - size) // 2
    want = torch.full((out, out), float(conv.bias.detach()), dtype=torch.float64)
    for row in range(out):
        for column in range(out):
            for i in range(5):
                for j in range(5):
                    y, z = 2 * row + i - before, 2 * column + j - before
                    if 0 <= y < size and 0 <= z < size:
                        want[row, column] += conv.weight.detach()[0, 0, i, j] * x[0, 0, y, z]
    torch.testing.assert_close(conv(x)[0, 0].detach(), want)


@pytest.mark.parametrize("size", [7, 14])
def test_a_transposed_convolution_is_the_transpose_of_that(size: int) -> None:
    torch.manual_seed(0)
    up, down = SameConvTranspose(3, 2, 2).double(), SameConv(2, 3).double()
    with torch.no_grad():
        down.weight.copy_(up.weight)
        for layer in (up, down):
            layer.bias.zero_()
    small = torch.randn(1, 3, size, size, dtype=torch.float64)
    large = torch.randn(1, 2, 2 * size, 2 * size, dtype=torch.float64)
    torch.testing.assert_close((up(small) * large).sum(), (small * down(large)).sum())


def test_with_stride_1_the_size_stays_and_both_sides_are_padded_alike() -> None:
    torch.manual_seed(0)
    up, x = SameConvTranspose(1, 1, 1), torch.randn(1, 1, 7, 7)
    flipped: Tensor = nn.functional.conv2d(x, up.weight.flip(2, 3), up.bias, padding=2)
    torch.testing.assert_close(up(x), flipped)


def test_norms_are_where_the_tables_have_them_with_their_own_epsilon() -> None:
    found = {size: [[(norm.num_features, norm.eps) for norm in network.modules() if isinstance(norm, BatchNorm)]
                    for network in (DcganOriginalGenerator((1, size, size), 100, 64),
                                    DcganOriginalDiscriminator((1, size, size), 64))] for size in (28, 64)}
    assert found[28] == [[(128, 1e-3), (64, 1e-3)], [(64, 1e-3), (128, 1e-3)]]
    assert found[64] == [[(512, 1e-5), (256, 1e-5), (128, 1e-5), (64, 1e-5)], [(128, 1e-5), (256, 1e-5), (512, 1e-5)]]


def test_fresh_weights_are_each_publication_s_own() -> None:
    torch.manual_seed(0)
    primers, radford = (DcganOriginalGenerator((1, size, size), 100, 64) for size in (28, 64))
    limit = (6 / (25 * 128 + 25 * 64)) ** 0.5  # Glorot's
    assert float(primers.blocks[1].layer.weight.detach().abs().max()) == pytest.approx(limit, rel=0.01)
    assert float(radford.blocks[1].layer.weight.detach().std()) == pytest.approx(0.02, rel=0.01)


@pytest.mark.parametrize("size", [(32, 32), (28, 64), (8, 8)])
def test_other_sizes_are_answered_with_a_family_that_makes_them(size: tuple[int, int]) -> None:
    for family, own in ((DcganOriginalGenerator, {"latent": 100}), (DcganOriginalDiscriminator, {})):
        with pytest.raises(ConfigError, match="28 by 28 and 64 by 64 work, and family dcgan makes other sizes"):
            family((1, *size), width=64, **own)
