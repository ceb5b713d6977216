"""Networks of image translation: shapes, range, the paper's parameter counts, one example's independence."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gan_core.errors import ConfigError
from gan_core.models.patch_discriminator import PatchDiscriminator
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.models.translator import Translator, Translators, strides_of

SHAPES = [(1, 4, 4), (1, 8, 8), (3, 9, 11), (1, 16, 16), (1, 28, 28), (3, 32, 32), (4, 64, 48), (3, 128, 128)]


def numbers_of(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("shape", SHAPES)
def test_a_translation_has_the_shape_and_range_of_images(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    made = Translator(shape, 4, 1)(torch.rand(2, *shape) * 2 - 1)
    assert made.shape == (2, *shape)
    assert made.abs().max() <= 1
    assert made.std() > 0


@pytest.mark.parametrize(("sides", "strides"), [((8, 8), 0), ((16, 16), 1), ((28, 28), 1), ((32, 32), 2), ((30, 32), 1),
                                                ((31, 32), 0), ((64, 64), 2), ((256, 256), 2)])
def test_maps_stay_at_least_eight(sides: tuple[int, int], strides: int) -> None:
    assert strides_of(*sides) == strides


def test_at_256_pixels_it_is_the_papers_network() -> None:
    """c7s1-64, d128, d256, 9 × R256, u128, u64, c7s1-3: counted by hand, without the biases that the norms undo."""
    expected = 7 * 7 * 3 * 64 + 9 * (64 * 128 + 128 * 256) + 9 * 2 * 9 * 256**2 + 9 * (256 * 128 + 128 * 64) \
        + 7 * 7 * 64 * 3 + 3
    assert numbers_of(Translator((3, 256, 256), 64, 9)) == expected
    biases = 64 + 128 + 256 + 18 * 256 + 128 + 64
    assert expected + biases == 11_378_179  # of the authors' network with them


def test_at_256_pixels_the_discriminator_is_the_papers() -> None:
    """C64-C128-C256-C512 and a logit for each of 30 × 30 patches."""
    judge = PatchDiscriminator((3, 256, 256), 64)
    assert numbers_of(judge) + 128 + 256 + 512 == 2_764_737  # of the authors' network, with the biases norms undo
    assert judge(torch.zeros(1, 3, 256, 256)).shape == (1, 30 * 30)


@pytest.mark.parametrize(("side", "sees"), [(16, 16), (32, 34), (64, 70)])
def test_a_logit_sees_its_patch_alone(side: int, sees: int) -> None:
    """Norms look at the whole image, so without them: which pixels move the logit in the middle."""
    torch.manual_seed(0)
    judge = PatchDiscriminator((1, 3 * side, 3 * side), 2) if side == 64 else PatchDiscriminator((1, side, side), 2)
    layers = nn.Sequential(*(layer for layer in judge.layers if not isinstance(layer, nn.InstanceNorm2d)))
    image = torch.rand(1, 1, 192, 192, requires_grad=True)
    maps = layers(image)
    maps[0, 0, maps.shape[2] // 2, maps.shape[3] // 2].backward()
    assert image.grad is not None
    reached = (image.grad[0, 0] != 0).nonzero()
    assert (reached.max(0).values - reached.min(0).values + 1).tolist() == [sees, sees]


@pytest.mark.parametrize("shape", [(1, 6, 6), (1, 8, 8), (3, 16, 12), (1, 28, 28), (3, 32, 32), (3, 128, 128)])
def test_the_discriminator_gives_an_image_several_logits(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    logits = PatchDiscriminator(shape, 4)(torch.rand(2, *shape))
    assert logits.dim() == 2
    assert len(logits) == 2
    assert logits.std() > 0


@pytest.mark.parametrize("network", [Translator((1, 16, 16), 4, 1), PatchDiscriminator((1, 16, 16), 4)])
def test_an_example_is_treated_by_itself_and_twice_differentiable(network: nn.Module) -> None:
    network = copy.deepcopy(network).double()
    images = torch.rand(3, 1, 16, 16, dtype=torch.float64, requires_grad=True)
    whole = network(images)
    assert torch.allclose(whole[1:2], network(images[1:2]), atol=1e-12)
    (gradient,) = torch.autograd.grad(whole.square().sum(), images, create_graph=True)
    gradient.square().sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.isfinite().all()) for weight in network.parameters()
               if weight.dim() == 4)


def test_a_published_pair_goes_to_the_domain_that_each_label_names() -> None:
    torch.manual_seed(0)
    shape = (1, 16, 16)
    both = Translators(shape, 4, 1)
    images = torch.rand(4, *shape)
    found = both(image=images, label=torch.tensor([1, 0, 0, 1]))
    there, back = both.to_b(images), both.to_a(images)
    assert torch.equal(found, torch.stack([there[0], back[1], back[2], there[3]]))
    assert not torch.allclose(there, back)


def test_it_is_built_from_plain_json_and_takes_its_networks_weights_by_their_names() -> None:
    inputs = {"image": InputSpec(shape=(1, 16, 16), distribution="image"),
              "label": InputSpec(shape=(), distribution="condition", classes=2)}
    spec = GeneratorSpec(family="translators", options={"shape": (1, 16, 16), "width": 4, "blocks": 1}, inputs=inputs,
                         output=(1, 16, 16))
    built = GeneratorSpec.model_validate_json(spec.model_dump_json()).build()
    there, back = Translator((1, 16, 16), 4, 1), Translator((1, 16, 16), 4, 1)
    built.load_state_dict({f"{name}.{key}": value for name, network in (("to_b", there), ("to_a", back))
                           for key, value in network.state_dict().items()})
    images = torch.rand(2, 1, 16, 16)
    assert torch.equal(built(image=images, label=torch.tensor([1, 1])), there(images))


def test_images_that_are_too_small_are_refused_with_a_size_that_works() -> None:
    with pytest.raises(ConfigError, match=r"3x8 are too small for a translator.*sides of 4 and more work"):
        Translator((1, 3, 8), 4, 1)
    with pytest.raises(ConfigError, match=r"5x5 are too small.*sides of 6 and more work"):
        PatchDiscriminator((1, 5, 5), 4)
