from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, relu

from gan_core.errors import ConfigError
from gan_core.models.activations import activation as activation_of
from gan_core.models.attention import SelfAttention
from gan_core.models.norms import norm_of
from gan_core.models.residual import DownBlock, UpBlock
from gan_core.models.resnet import ResnetDiscriminator, ResnetGenerator
from tests.models import families
from tests.models.families import ATTRIBUTES, CLASSES, CONDITIONS, N, labels, noise, pictures

Shape = tuple[int, int, int]
LATENT, WIDTH = 6, 4
SIZES = [(8, 8), (16, 16), (28, 28), (32, 32), (48, 48), (64, 64), (12, 24)]


def generator(shape: Shape, conditions: dict[str, Any] | None = None, **own: Any) -> ResnetGenerator:
    torch.manual_seed(0)
    return ResnetGenerator(shape, LATENT, WIDTH, conditions, **own)


def discriminator(shape: Shape, conditions: dict[str, Any] | None = None, **own: Any) -> ResnetDiscriminator:
    torch.manual_seed(0)
    return ResnetDiscriminator(shape, WIDTH, conditions, **own)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_the_shape_asked_for_and_are_judged_by_one_number_each(
    size: tuple[int, int], channels: int
) -> None:
    shape = (channels, *size)
    families.check_images(generator(shape), shape, LATENT, {})
    families.check_logits(discriminator(shape), shape, {})


@pytest.mark.parametrize("size", [128, 256, 512])
def test_large_images_have_the_shape_asked_for(size: int) -> None:
    shape = (3, size, size)
    with torch.device("meta"):
        made = ResnetGenerator(shape, 128, 64, checkpointing=True, attention=64, spectral=True)
        judge = ResnetDiscriminator(shape, 64, checkpointing=True, attention=64, spectral=True)
        images = made(torch.empty(2, 128))
        assert images.shape == (2, *shape)
        assert judge(images).shape == (2,)


def test_256_pixels_train_with_checkpointing() -> None:
    shape = (3, 256, 256)
    made = ResnetGenerator(shape, LATENT, 1, checkpointing=True)
    judge = ResnetDiscriminator(shape, 1, checkpointing=True)
    judge(made(noise(LATENT, 2))).sum().backward()
    assert all(weight.grad is not None for network in (made, judge) for weight in network.parameters())


def test_width_128_is_the_published_network_for_cifar_10() -> None:
    """4,276,739 numbers as mimicry's (Lee & Town 2020) SNGAN-32 generator has, biases included, running statistics not.

    Its discriminator has 151,680 in the first block, 311,680 in the second, twice 295,168, and 129 in the last layer.
    """
    shape = (3, 32, 32)
    with torch.device("meta"):
        made, judge = ResnetGenerator(shape, 128, 128), ResnetDiscriminator(shape, 128)
    assert families.count(made) == 4_276_739
    assert families.count(judge) == 151_680 + 311_680 + 2 * 295_168 + 129
    assert made.to_maps.shape == (256, 4, 4)
    assert [block.halves for block in judge.blocks.blocks] == [True, True, False, False]


@pytest.mark.parametrize(("size", "up", "down", "halving"), [
    (28, [8, 8, 8], [4, 4, 4, 4], 2),
    (48, [32, 16, 8, 4], [4, 8, 16, 32, 64], 4),
    (64, [64, 32, 16, 8, 4], [4, 8, 16, 32, 64], 5),
    (128, [64, 64, 32, 16, 8, 4], [4, 8, 16, 32, 64, 64], 5),
    (256, [64, 64, 32, 32, 16, 8, 4], [4, 8, 16, 32, 32, 64, 64], 6),
])
def test_channels_grow_towards_the_smallest_map_as_published(
    size: int, up: list[int], down: list[int], halving: int
) -> None:
    """Of 48, 64, 128 and 256 pixels as in the authors' code, which has 64 where there are 4 here."""
    shape = (3, size, size)
    with torch.device("meta"):
        made, judge = ResnetGenerator(shape, LATENT, WIDTH), ResnetDiscriminator(shape, WIDTH)
    assert [made.to_maps.shape[0], *(block.conv2.out_channels for block in made.blocks.blocks)] == up
    assert [block.conv2.out_channels for block in judge.blocks.blocks] == down
    assert [block.halves for block in judge.blocks.blocks] == [n < halving for n in range(len(down))]


def test_a_smallest_map_of_odd_side_is_not_halved() -> None:
    judge = discriminator((1, 56, 56))
    assert [block.halves for block in judge.blocks.blocks] == [True, True, True, False, False]
    families.check_logits(judge, (1, 56, 56), {})


@pytest.mark.parametrize(("size", "near"), [((30, 30), "28 by 28"), ((4, 4), "8 by 8"), ((100, 100), "96 by 96"),
                                            ((32, 50), "32 by 48"), ((2048, 2048), "896 by 896")])
def test_a_size_that_does_not_halve_is_answered_with_one_that_does(size: tuple[int, int], near: str) -> None:
    for build in (generator, discriminator):
        with pytest.raises(ConfigError, match=f"{size[0]} by {size[1]}: .*; {near} works"):
            build((1, *size))
    if max(size) < 128:
        height, width = (int(side) for side in near.split(" by "))
        assert generator((1, height, width))(noise(LATENT)).shape == (N, 1, height, width)


@pytest.mark.parametrize("conditions", CONDITIONS[1:])
@pytest.mark.parametrize("norm", ["batch", "conditional_batch"])
def test_the_label_changes_the_image(conditions: dict[str, Any], norm: str) -> None:
    made = families.as_trained(generator((1, 8, 8), conditions, norm=norm)).eval()
    told = labels(conditions)
    assert told is not None
    assert not torch.allclose(made(noise(LATENT), told), made(noise(LATENT), told.flip(0)), atol=1e-4)


@pytest.mark.parametrize("conditions", CONDITIONS[1:])
@pytest.mark.parametrize("condition", ["projection", "embedding"])
def test_the_label_changes_the_logit(conditions: dict[str, Any], condition: Any) -> None:
    judge = families.as_trained(discriminator((1, 8, 8), conditions, condition=condition))
    told = labels(conditions)
    assert told is not None
    assert not torch.allclose(judge(pictures((1, 8, 8)), told), judge(pictures((1, 8, 8)), told.flip(0)), atol=1e-4)


@pytest.mark.parametrize(("conditions", "heads"), [(CLASSES, 3), (ATTRIBUTES, 5)])
def test_an_auxiliary_discriminator_predicts_the_label(conditions: dict[str, Any], heads: int) -> None:
    judge = discriminator((1, 8, 8), conditions, condition="auxiliary")
    families.check_logits(judge, (1, 8, 8), conditions, heads)
    assert torch.equal(judge(pictures((1, 8, 8)), labels(conditions)), judge(pictures((1, 8, 8))))


@pytest.mark.parametrize("conditions", CONDITIONS)
@pytest.mark.parametrize("own", [{}, {"norm": "conditional_batch"}, {"attention": 16, "spectral": True}])
def test_every_weight_of_a_generator_learns(conditions: dict[str, Any], own: dict[str, Any]) -> None:
    if own.get("norm") == "conditional_batch" and not conditions:
        with pytest.raises(ConfigError, match="norm=batch works without"):
            generator((1, 16, 16), conditions, **own)
        return
    families.check_every_weight_learns(generator((1, 16, 16), conditions, **own), noise(LATENT), labels(conditions))


@pytest.mark.parametrize("conditions", CONDITIONS)
@pytest.mark.parametrize("own", [{}, {"condition": "embedding", "norm": "layer"}, {"attention": 8, "spectral": True}])
def test_every_weight_of_a_discriminator_learns(conditions: dict[str, Any], own: dict[str, Any]) -> None:
    judge = discriminator((1, 16, 16), conditions, **own)
    families.check_every_weight_learns(judge, pictures((1, 16, 16)), labels(conditions))


@pytest.mark.parametrize("own", [{"activation": "silu"}, {"activation": "tanh", "norm": "layer", "attention": 8},
                                 {"activation": "silu", "spectral": True, "condition": "embedding"}])
def test_the_gradient_of_a_penalty_is_what_finite_differences_are(own: dict[str, Any]) -> None:
    families.check_penalty(discriminator((1, 16, 16), CLASSES, **own), (1, 16, 16), labels(CLASSES))


@pytest.mark.parametrize("norm", ["none", "batch", "instance", "layer", "group"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu"])
def test_norms_and_activations_are_those_that_are_named(norm: str, activation: str) -> None:
    for network, norms in ((generator((1, 8, 8), norm=norm, activation=activation), 1 * 2 + 1),
                           (discriminator((1, 8, 8), norm=norm, activation=activation), 3 * 2 - 1)):
        modules = [*network.modules()]
        assert sum(type(module) is type(norm_of(norm, 4)) for module in modules) == norms
        assert any(type(module) is type(activation_of(activation)) for module in modules)
    families.check_images(generator((1, 8, 8), norm=norm, activation=activation), (1, 8, 8), LATENT, {})


def test_dropout_is_in_every_block() -> None:
    families.check_dropout(lambda dropout: generator((1, 16, 16), dropout=dropout), noise(LATENT))
    families.check_dropout(lambda dropout: discriminator((1, 16, 16), dropout=dropout), pictures((1, 16, 16)))


@pytest.mark.parametrize("norm", ["batch", "conditional_batch"])
def test_checkpointing_changes_nothing_of_a_generator(norm: str) -> None:
    families.check_checkpointing(
        lambda saved: generator((1, 16, 16), CLASSES, norm=norm, attention=8, spectral=True, checkpointing=saved),
        noise(LATENT), labels(CLASSES))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_checkpointing_changes_nothing_of_a_discriminator(norm: str) -> None:
    families.check_checkpointing(
        lambda saved: discriminator((1, 16, 16), CLASSES, norm=norm, attention=8, spectral=True, checkpointing=saved),
        pictures((1, 16, 16)), labels(CLASSES))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_the_memory_order_changes_nothing(shape: Shape) -> None:
    made = families.as_trained(generator(shape, attention=shape[1] // 2)).eval()
    judge = families.as_trained(discriminator(shape, attention=shape[1] // 2))
    orders = torch.contiguous_format, torch.channels_last
    images, other = (families.runs_in(order, made, noise(LATENT)) for order in orders)
    assert other.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(images, other)
    torch.testing.assert_close(*(families.runs_in(order, judge, pictures(shape)) for order in orders))


def test_attention_is_on_the_maps_of_the_side_that_is_named() -> None:
    sides: list[int] = []
    for network, given in ((generator((1, 32, 32), attention=16), noise(LATENT)),
                           (discriminator((1, 32, 32), attention=16), pictures((1, 32, 32)))):
        (found,) = [module for module in network.modules() if isinstance(module, SelfAttention)]
        found.register_forward_hook(lambda _, inputs, __: sides.append(inputs[0].shape[2]))
        network(given)
    assert sides == [16, 16]


def test_a_side_that_no_map_has_is_answered_with_one_that_some_have() -> None:
    with pytest.raises(ConfigError, match="attention: 64, but the generator has maps of side 8, 16, 32; attention=32"):
        generator((1, 32, 32), attention=64)
    with pytest.raises(ConfigError, match="attention: 5, but the discriminator has maps of side 8, 16; attention=8"):
        discriminator((1, 32, 32), attention=5)


def test_fresh_attention_changes_nothing_and_then_mixes_all_places() -> None:
    torch.manual_seed(0)
    attention, x = SelfAttention(16), torch.randn(2, 16, 8, 8)
    assert torch.equal(attention(x), x)
    with torch.no_grad():
        attention.gain.fill_(0.5)
    moved = x.clone()
    moved[:, :, 0, 0] += 5
    assert (attention(moved) - attention(x))[:, :, 7, 7].abs().max() > 1e-4
    assert families.count(attention) == 16 * 2 + 16 * 2 + 16 * 8 + 8 * 16 + 1


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_attention_keeps_the_memory_order(order: torch.memory_format) -> None:
    attention, seen = SelfAttention(16), []
    attention.to_maps.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    maps = attention(torch.randn(2, 16, 8, 8).contiguous(memory_format=order))
    assert all(x.is_contiguous(memory_format=order) for x in (maps, *seen))


def test_attention_is_the_weighted_mean_that_the_paper_writes() -> None:
    """Equations 1 to 3, one place at a time."""
    torch.manual_seed(0)
    attention, x = SelfAttention(8).double(), torch.randn(1, 8, 4, 4).double()
    with torch.no_grad():
        attention.gain.fill_(2.0)

    def pooled(maps: Tensor) -> Tensor:
        return maps.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)).flatten(2)[0]  # [c, 4]

    queries = attention.queries(x).flatten(2)[0]
    keys, values = pooled(attention.keys(x)), pooled(attention.values(x))
    for place in range(16):
        weights = torch.softmax(torch.stack([queries[:, place] @ keys[:, other] for other in range(4)]), 0)
        mean = sum(weights[other] * values[:, other] for other in range(4))
        expected = x.flatten(2)[0, :, place] + 2 * attention.to_maps.weight[:, :, 0, 0] @ mean
        torch.testing.assert_close(attention(x).flatten(2)[0, :, place], expected)


def test_blocks_are_those_of_the_paper_with_the_shortcut_convolved_on_the_smaller_map() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    up = UpBlock(3, 5, lambda channels: norm_of("none", channels), nn.ReLU(), 0.0)
    grown = interpolate(relu(x), scale_factor=2)
    expected = up.conv2(relu(up.conv1(grown))) + up.shortcut(interpolate(x, scale_factor=2))
    torch.testing.assert_close(up(x), expected)
    down = DownBlock(3, 5, 4, "none", nn.ReLU(), 0.0, halves=True)
    expected = avg_pool2d(down.conv2(relu(down.conv1(relu(x)))) + down.shortcut(x), 2)
    torch.testing.assert_close(down(x), expected)
    first = DownBlock(3, 5, 4, "none", nn.ReLU(), 0.0, halves=False, first=True)
    torch.testing.assert_close(first(x), first.conv2(relu(first.conv1(x))) + first.shortcut(x))


def test_a_flat_block_of_equal_channels_adds_to_its_input_itself() -> None:
    flat, x = DownBlock(3, 3, 3, "none", nn.ReLU(), 0.0, halves=False), torch.randn(2, 3, 8, 8)
    with torch.no_grad():
        flat.conv2.weight.zero_()
        flat.conv2.bias.zero_()
    assert torch.equal(flat(x), x)


def test_fresh_weights_are_glorots_and_larger_inside_blocks() -> None:
    torch.manual_seed(0)
    made = ResnetGenerator((3, 32, 32), 64, 32)
    block = made.blocks.blocks[0]
    for layer, gain in ((block.conv1, 2**0.5), (block.shortcut, 1.0), (made.to_image, 1.0), (made.project, 1.0)):
        fan = layer.weight[0].numel() + layer.weight.numel() // layer.weight.shape[1]
        bound = gain * (6 / fan) ** 0.5
        assert 0.95 * bound < layer.weight.abs().max() <= bound
        assert not layer.bias.any()
