from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn.functional import interpolate

from gan_core.errors import ConfigError
from gan_core.models.r3gan import Block, R3ganDiscriminator, R3ganGenerator
from gan_core.models.resample import BilinearDown, BilinearUp
from tests.models import families
from tests.models.families import ATTRIBUTES, CLASSES, CONDITIONS, labels, noise, pictures

Shape = tuple[int, int, int]
LATENT, WIDTH = 6, 16
SIZES = [(8, 8), (16, 16), (28, 28), (32, 32), (64, 64), (12, 24)]


def generator(shape: Shape, conditions: dict[str, Any] | None = None, **own: Any) -> R3ganGenerator:
    torch.manual_seed(0)
    return R3ganGenerator(shape, LATENT, WIDTH, conditions, **own)


def discriminator(shape: Shape, conditions: dict[str, Any] | None = None, **own: Any) -> R3ganDiscriminator:
    torch.manual_seed(0)
    return R3ganDiscriminator(shape, WIDTH, conditions, **own)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_the_shape_asked_for_and_are_judged_by_one_number_each(
    size: tuple[int, int], channels: int
) -> None:
    shape = (channels, *size)
    families.check_images(generator(shape), shape, LATENT, {})
    families.check_logits(discriminator(shape), shape, {})


def test_images_in_training_may_leave_the_range_that_they_are_cut_to_in_evaluation() -> None:
    made = generator((1, 8, 8))
    with torch.no_grad():
        made.to_image.weight.mul_(100)
    images = made(noise(LATENT))
    assert images.abs().max() > 2
    assert torch.equal(made.eval()(noise(LATENT)), images.clamp(-1, 1))


@pytest.mark.parametrize(("size", "of_generator", "of_discriminator"), [
    (256, 23_057_952, 23_009_568),  # 23.058 and 23.010 million in table 2
    (64, 22_429_824, 22_381_440),  # its two largest maps less, as section 4.4 says
])
def test_width_768_is_the_published_network_for_ffhq(size: int, of_generator: int, of_discriminator: int) -> None:
    shape = (3, size, size)
    with torch.device("meta"):
        made, judge = R3ganGenerator(shape, 64, 768), R3ganDiscriminator(shape, 768)
        assert made(torch.empty(2, 64)).shape == (2, *shape)
        assert judge(torch.empty(2, *shape)).shape == (2,)
    assert families.count(made) == of_generator
    assert families.count(judge) == of_discriminator


@pytest.mark.parametrize(("width", "cardinality", "classes", "of_generator", "of_discriminator"), [
    (768, 16, 10, 20_781_952, 21_280_512),  # section 4.5 gives 40 million for both, of CIFAR-10
    (1536, 32, 1000, 82_914_304, 86_548_992),  # of ImageNet-32; section 4.6 gives 84 million, StyleGAN-XL's, as its aim
])
def test_conditional_networks_have_as_many_parameters_as_the_authors_settings_make(
    width: int, cardinality: int, classes: int, of_generator: int, of_discriminator: int
) -> None:
    shape = (3, 32, 32)
    with torch.device("meta"):
        made = R3ganGenerator(shape, 64, width, {"classes": classes}, cardinality=cardinality)
        judge = R3ganDiscriminator(shape, width, {"classes": classes}, cardinality=cardinality)
    assert families.count(made) == of_generator
    assert families.count(judge) == of_discriminator


@pytest.mark.parametrize(("size", "side", "channels"), [
    (8, 4, [64, 64]), (28, 7, [64, 64, 64]), (32, 4, [64] * 4), (64, 4, [64] * 4 + [32]), (56, 7, [64] * 3 + [32]),
    (256, 4, [64] * 4 + [32, 16, 8]),
])
def test_maps_of_more_than_32_pixels_have_half_the_channels(size: int, side: int, channels: list[int]) -> None:
    with torch.device("meta"):
        made, judge = R3ganGenerator((1, size, size), 4, 64), R3ganDiscriminator((1, size, size), 64)
    assert made.basis.basis.shape == (64, side, side)
    assert [block.widen.in_channels for block in made.layers.blocks if isinstance(block, Block)][::2] == channels
    assert [block.widen.in_channels for block in judge.layers.blocks if isinstance(block, Block)][::2] == channels[::-1]


@pytest.mark.parametrize(("size", "wide_up_to", "channels"), [
    (28, 7, [64, 32, 16]), (28, 14, [64, 64, 32]), (8, 4, [64, 32]), (64, 64, [64] * 5), (64, 1, [16, 8, 4, 2, 1]),
])
def test_maps_halve_their_channels_from_the_side_that_is_set(size: int, wide_up_to: int, channels: list[int]) -> None:
    with torch.device("meta"):
        made = R3ganGenerator((1, size, size), 4, 64, cardinality=1, wide_up_to=wide_up_to)
        judge = R3ganDiscriminator((1, size, size), 64, cardinality=1, wide_up_to=wide_up_to)
    assert [block.widen.in_channels for block in made.layers.blocks if isinstance(block, Block)][::2] == channels
    assert [block.widen.in_channels for block in judge.layers.blocks if isinstance(block, Block)][::2] == channels[::-1]


def test_a_width_that_does_not_fall_into_groups_is_answered_with_one_that_does() -> None:
    with pytest.raises(ConfigError, match=r"width: 20 makes blocks of 40 channels, .* cardinality=16; width=16 works"):
        R3ganGenerator((1, 32, 32), 4, 20)
    with pytest.raises(ConfigError, match=r"width: 24 makes blocks of 48, 24 channels, .*; width=16 works"):
        R3ganDiscriminator((1, 64, 64), 24)
    assert R3ganGenerator((1, 32, 32), 4, 20, cardinality=1)
    narrow = R3ganGenerator((1, 32, 32), 4, 3)
    assert {block.mix.groups for block in narrow.modules() if isinstance(block, Block)} == {1}


def test_a_size_that_does_not_halve_is_answered_with_one_that_does() -> None:
    for build in (generator, discriminator):
        with pytest.raises(ConfigError, match=r"r3gan makes no images of 30 by 30: .*; 28 by 28 works"):
            build((1, 30, 30))


def test_spectral_norm_of_layers_that_start_from_0_is_refused() -> None:
    for build in (generator, discriminator):
        with pytest.raises(ConfigError, match=r"spectral: true, .* spectral=false works, and so does init=he"):
            build((1, 8, 8), spectral=True)
        assert build((1, 8, 8), spectral=True, init="he")


def test_fresh_blocks_return_their_input_and_their_first_layers_are_small() -> None:
    """Fixup with leaky ReLUs: variances 2 / 1.04 / fan-in, scaled by the number of blocks to the power of −1/2."""
    torch.manual_seed(0)
    made = R3ganGenerator((1, 16, 16), 64, 256)
    blocks = [module for module in made.modules() if isinstance(module, Block)]
    assert len(blocks) == 6
    x = torch.randn(2, 256, 4, 4)
    assert torch.equal(blocks[0](x), x)
    for layer in (blocks[0].widen, blocks[0].mix):
        expected = (2 / 1.04 / layer.weight[0].numel() / 6**0.5) ** 0.5
        assert abs(float(layer.weight.std().detach()) / expected - 1) < 0.02
        assert not layer.bias.any()
    assert abs(float(made.basis.basis.std().detach()) - 1) < 0.05
    assert abs(float(made.basis.scales.weight.std().detach()) / 64**-0.5 - 1) < 0.05
    images = made(noise(64, 16))
    assert 0.3 < images.std() < 2  # the stem keeps the variance of what the basis makes


def test_resampling_is_bilinear_away_from_the_borders() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 8, 8)
    up = BilinearUp(3)(x)
    assert up.shape == (2, 3, 16, 16)
    expected = interpolate(x, scale_factor=2.0, mode="bilinear")
    torch.testing.assert_close(up[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1])
    down = BilinearDown(3)(x)
    expected = interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)
    torch.testing.assert_close(down[:, :, 1:-1, 1:-1], expected[:, :, 1:-1, 1:-1])
    corner = torch.outer(torch.tensor([3.0, 3, 1]), torch.tensor([3.0, 3, 1])) / 64  # nothing is beyond a border
    torch.testing.assert_close(down[:, :, 0, 0], (x[:, :, :3, :3] * corner).sum((2, 3)))


def test_resampling_leaves_nothing_in_state_dicts() -> None:
    assert not any("filter" in name for name in generator((1, 32, 32)).state_dict())


@pytest.mark.parametrize("conditions", CONDITIONS[1:])
def test_the_label_changes_image_and_logit(conditions: dict[str, Any]) -> None:
    shape, told = (1, 8, 8), labels(conditions)
    assert told is not None
    made = families.as_trained(generator(shape, conditions)).eval()
    assert not torch.allclose(made(noise(LATENT), told), made(noise(LATENT), told.flip(0)), atol=1e-4)
    for condition in ("projection", "embedding"):
        judge = families.as_trained(discriminator(shape, conditions, condition=condition))
        assert not torch.allclose(judge(pictures(shape), told), judge(pictures(shape), told.flip(0)), atol=1e-4)


@pytest.mark.parametrize(("conditions", "heads"), [(CLASSES, 3), (ATTRIBUTES, 5)])
def test_an_auxiliary_discriminator_predicts_the_label(conditions: dict[str, Any], heads: int) -> None:
    families.check_logits(discriminator((1, 8, 8), conditions, condition="auxiliary"), (1, 8, 8), conditions, heads)


@pytest.mark.parametrize("conditions", CONDITIONS)
@pytest.mark.parametrize("own", [{}, {"spectral": True, "init": "he", "blocks": 1}])
def test_every_weight_learns(conditions: dict[str, Any], own: dict[str, Any]) -> None:
    shape = (1, 16, 16)
    families.check_every_weight_learns(generator(shape, conditions, **own), noise(LATENT), labels(conditions))
    for condition in ("projection", "embedding", "auxiliary"):
        judge = discriminator(shape, conditions, condition=condition, **own)
        families.check_every_weight_learns(judge, pictures(shape), labels(conditions))


@pytest.mark.parametrize("condition", ["projection", "embedding"])
def test_the_gradient_of_a_penalty_is_what_finite_differences_are(condition: Any) -> None:
    judge = discriminator((1, 28, 28), CLASSES, condition=condition)
    families.check_penalty(judge, (1, 28, 28), labels(CLASSES))


def test_dropout_is_in_every_block() -> None:
    families.check_dropout(lambda dropout: generator((1, 16, 16), dropout=dropout), noise(LATENT))
    families.check_dropout(lambda dropout: discriminator((1, 16, 16), dropout=dropout), pictures((1, 16, 16)))


def test_checkpointing_changes_nothing() -> None:
    families.check_checkpointing(
        lambda saved: generator((1, 16, 16), CLASSES, checkpointing=saved), noise(LATENT), labels(CLASSES))
    families.check_checkpointing(
        lambda saved: discriminator((1, 16, 16), CLASSES, checkpointing=saved), pictures((1, 16, 16)), labels(CLASSES))


def test_the_memory_order_changes_nothing() -> None:
    shape = (3, 28, 28)
    made, judge = families.as_trained(generator(shape)).eval(), families.as_trained(discriminator(shape))
    orders = torch.contiguous_format, torch.channels_last
    torch.testing.assert_close(*(families.runs_in(order, made, noise(LATENT)) for order in orders))
    torch.testing.assert_close(*(families.runs_in(order, judge, pictures(shape)) for order in orders))


def test_256_pixels_train_with_checkpointing() -> None:
    shape = (3, 256, 256)
    torch.manual_seed(0)
    made = R3ganGenerator(shape, LATENT, 16, blocks=1, checkpointing=True)
    judge = R3ganDiscriminator(shape, 16, blocks=1, checkpointing=True)
    judge(made(noise(LATENT, 2))).sum().backward()
    assert all(weight.grad is not None for network in (made, judge) for weight in network.parameters())
