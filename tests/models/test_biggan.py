from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.models.attention import SelfAttention
from gan_core.models.biggan import BigganDiscriminator, BigganGenerator
from gan_core.models.norms import ConditionalBatchNorm
from gan_core.models.spectral import SpectralNorm
from tests.models import families
from tests.models.families import ATTRIBUTES, CLASSES, CONDITIONS, N, labels, noise, pictures

Shape = tuple[int, int, int]
LATENT, WIDTH = 60, 2
SIZES = [(8, 8), (16, 16), (28, 28), (32, 32), (64, 64)]


def generator(shape: Shape, conditions: dict[str, Any] | None = None, **own: Any) -> BigganGenerator:
    torch.manual_seed(0)
    return BigganGenerator(shape, LATENT, WIDTH, conditions, **{"shared": 5, **own})


def discriminator(shape: Shape, conditions: dict[str, Any] | None = None, **own: Any) -> BigganDiscriminator:
    torch.manual_seed(0)
    return BigganDiscriminator(shape, WIDTH, conditions, **own)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channels", [1, 3])
def test_images_have_the_shape_asked_for_and_are_judged_by_one_number_each(
    size: tuple[int, int], channels: int
) -> None:
    shape = (channels, *size)
    families.check_images(generator(shape, CLASSES), shape, LATENT, CLASSES)
    families.check_logits(discriminator(shape, CLASSES), shape, CLASSES)


@pytest.mark.parametrize(("size", "latent"), [(128, 120), (256, 140), (512, 160)])
def test_the_papers_sizes_have_the_papers_latent_and_attention(size: int, latent: int) -> None:
    """Chunks of 20, and maps of 64 × 64 attend (tables 4 to 6)."""
    shape = (3, size, size)
    with torch.device("meta"):
        made = BigganGenerator(shape, latent, 96, {"classes": 1000}, checkpointing=True)
        judge = BigganDiscriminator(shape, 96, {"classes": 1000}, checkpointing=True)
        label = torch.empty(2, dtype=torch.int64)
        sides = []
        for network in (made, judge):
            (found,) = [module for module in network.modules() if isinstance(module, SelfAttention)]
            found.register_forward_hook(lambda _, inputs, __: sides.append(inputs[0].shape[2]))
        images = made(torch.empty(2, latent), label)
        assert images.shape == (2, *shape)
        assert judge(images, label).shape == (2,)
    assert made.chunk == 20
    assert sides == [64, 64]


def test_the_networks_of_128_pixels_have_as_many_parameters_as_the_authors() -> None:
    """70,433,988 and 87,982,370, as the tests of Google's compare_gan state; table 1 gives their sum, 158.4 million.

    Spectral norm's vectors and running statistics are not counted.
    """
    with torch.device("meta"):
        made = BigganGenerator((3, 128, 128), 120, 96, {"classes": 1000})
        judge = BigganDiscriminator((3, 128, 128), 96, {"classes": 1000})
    assert families.count(made) == 70_433_988
    assert families.count(judge) == 87_982_370


@pytest.mark.parametrize(("size", "up", "down", "halving"), [
    (8, [4, 4], [4, 4, 4], 1),
    (28, [4, 4, 4], [4, 4, 4, 4], 2),
    (32, [4, 4, 4, 4], [4, 4, 4, 4], 2),
    (64, [16, 16, 8, 4, 2], [1, 2, 4, 8, 16], 4),
    (256, [16, 16, 8, 8, 4, 2, 1], [1, 2, 4, 8, 8, 16, 16], 6),
    (512, [16, 16, 8, 8, 4, 2, 1, 1], [1, 1, 2, 4, 8, 8, 16, 16], 7),
])
def test_channels_are_those_of_the_authors_networks(size: int, up: list[int], down: list[int], halving: int) -> None:
    shape = (3, size, size)
    with torch.device("meta"):
        made, judge = BigganGenerator(shape, 840, 8), BigganDiscriminator(shape, 8)
    assert [made.to_maps.shape[0], *(block.conv2.out_channels for block in made.blocks.blocks)] == [8 * n for n in up]
    assert [block.conv1.out_channels for block in judge.blocks.blocks] == [8 * n for n in down]
    assert [block.halves for block in judge.blocks.blocks] == [n < halving for n in range(len(down))]


def test_256_pixels_train_with_checkpointing() -> None:
    shape = (3, 256, 256)
    torch.manual_seed(0)
    made = BigganGenerator(shape, 14, 1, CLASSES, shared=4, checkpointing=True)
    judge = BigganDiscriminator(shape, 1, CLASSES, checkpointing=True)
    judge(made(noise(14, 2), labels(CLASSES, 2)), labels(CLASSES, 2)).sum().backward()
    assert all(weight.grad is not None for network in (made, judge) for weight in network.parameters())


def test_each_block_is_told_the_label_and_a_chunk_of_its_own() -> None:
    """A chunk that changes leaves the maps of all blocks before as they are."""
    made = families.as_trained(generator((1, 32, 32), CLASSES)).eval()
    seen: list[Tensor] = []
    for block in made.blocks.blocks:
        block.register_forward_hook(lambda _, __, maps: seen.append(maps))
    made(noise(LATENT), labels(CLASSES))
    for chunk in range(4):
        other = noise(LATENT)
        other[:, 15 * chunk:15 * (chunk + 1)] += 1
        before, seen[:] = seen[:3], []
        made(other, labels(CLASSES))
        same = [torch.equal(a, b) for a, b in zip(before, seen, strict=True)]
        assert same == [block < chunk - 1 for block in range(3)]
        seen[:] = before
    norms = [module for module in made.modules() if isinstance(module, ConditionalBatchNorm)]
    assert {norm.gain.in_features for norm in norms} == {5 + 15}


@pytest.mark.parametrize("conditions", [{}, CLASSES])
def test_without_chunks_all_of_z_makes_the_smallest_map(conditions: dict[str, Any]) -> None:
    made = generator((1, 32, 32), conditions, hierarchical=False)
    assert made.project.in_features == LATENT
    norms = [module for module in made.modules() if isinstance(module, ConditionalBatchNorm)]
    assert {norm.gain.in_features for norm in norms} == ({5} if conditions else set())
    families.check_images(made, (1, 32, 32), LATENT, conditions)


def test_a_latent_that_is_not_cut_evenly_is_answered_with_one_that_is() -> None:
    with pytest.raises(ConfigError, match=r"latent: 62 is not cut into 4 equal chunks, .* latent=64 works"):
        BigganGenerator((1, 32, 32), 62, WIDTH)
    assert BigganGenerator((1, 32, 32), 64, WIDTH).chunk == 16
    with pytest.raises(ConfigError, match="latent=2 works"):
        BigganGenerator((1, 8, 8), 1, WIDTH)


def test_a_size_that_does_not_halve_is_answered_with_one_that_does() -> None:
    for build in (generator, discriminator):
        with pytest.raises(ConfigError, match=r"biggan makes no images of 30 by 30: .*; 28 by 28 works"):
            build((1, 30, 30))


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


def test_all_but_the_generators_embedding_have_spectral_norm() -> None:
    layers = (nn.Linear, nn.Conv2d, nn.Embedding)
    for network in (generator((1, 32, 32), CLASSES, attention=16), discriminator((1, 32, 32), CLASSES, attention=16)):
        without = [name for name, module in network.named_modules()
                   if isinstance(module, layers) and not hasattr(module, "parametrizations")]
        assert without == (["shared"] if isinstance(network, BigganGenerator) else [])
    plain = generator((1, 32, 32), CLASSES, spectral=False), discriminator((1, 32, 32), CLASSES, spectral=False)
    assert not any(isinstance(module, SpectralNorm) for network in plain for module in network.modules())


def test_fresh_weights_are_orthogonal() -> None:
    shape = (1, 16, 16)
    for network in (generator(shape, CLASSES, spectral=False), discriminator(shape, CLASSES, spectral=False)):
        for name, weight in network.named_parameters():
            if weight.dim() > 1:
                rows = weight.detach().flatten(1)
                product = rows @ rows.T if rows.shape[0] <= rows.shape[1] else rows.T @ rows
                torch.testing.assert_close(product, torch.eye(len(product)), msg=name)


def test_dropout_is_in_every_block() -> None:
    shape, told = (1, 16, 16), labels(CLASSES)
    families.check_dropout(lambda dropout: generator(shape, CLASSES, dropout=dropout), noise(LATENT), told)
    families.check_dropout(lambda dropout: discriminator(shape, CLASSES, dropout=dropout), pictures(shape), told)


@pytest.mark.parametrize("conditions", CONDITIONS)
@pytest.mark.parametrize("own", [{}, {"attention": 8, "hierarchical": False}])
def test_every_weight_of_a_generator_learns(conditions: dict[str, Any], own: dict[str, Any]) -> None:
    families.check_every_weight_learns(generator((1, 16, 16), conditions, **own), noise(LATENT), labels(conditions))


@pytest.mark.parametrize("conditions", CONDITIONS)
@pytest.mark.parametrize("own", [{}, {"condition": "embedding", "attention": 8}])
def test_every_weight_of_a_discriminator_learns(conditions: dict[str, Any], own: dict[str, Any]) -> None:
    judge = discriminator((1, 16, 16), conditions, **own)
    families.check_every_weight_learns(judge, pictures((1, 16, 16)), labels(conditions))


@pytest.mark.parametrize("own", [{"attention": 8}, {"condition": "embedding", "spectral": False}])
def test_the_gradient_of_a_penalty_is_what_finite_differences_are(own: dict[str, Any]) -> None:
    families.check_penalty(discriminator((1, 16, 16), CLASSES, **own), (1, 16, 16), labels(CLASSES))


def test_checkpointing_changes_nothing() -> None:
    families.check_checkpointing(
        lambda saved: generator((1, 16, 16), CLASSES, attention=8, checkpointing=saved), noise(LATENT), labels(CLASSES))
    families.check_checkpointing(
        lambda saved: discriminator((1, 16, 16), CLASSES, attention=8, checkpointing=saved),
        pictures((1, 16, 16)), labels(CLASSES))


def test_the_memory_order_changes_nothing() -> None:
    shape = (3, 32, 32)
    made, judge = families.as_trained(generator(shape, attention=16)).eval(), families.as_trained(discriminator(shape))
    orders = torch.contiguous_format, torch.channels_last
    torch.testing.assert_close(*(families.runs_in(order, made, noise(LATENT)) for order in orders))
    torch.testing.assert_close(*(families.runs_in(order, judge, pictures(shape)) for order in orders))


def test_an_image_does_not_depend_on_its_neighbours_once_trained() -> None:
    made = families.as_trained(generator((1, 8, 8), CLASSES)).eval()
    told = labels(CLASSES)
    assert told is not None
    together = made(noise(LATENT), told)
    alone = torch.cat([made(z[None], one[None]) for z, one in zip(noise(LATENT), told, strict=True)])
    assert len(together) == N
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-5)
