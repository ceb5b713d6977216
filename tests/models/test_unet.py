"""The U-Net: any size, the paper's layers, one example's independence, class indices and dropout."""

from __future__ import annotations

import pytest
import torch

from gan_core.errors import ConfigError
from gan_core.models.class_map import one_hot
from gan_core.models.dropout import dropout_from
from gan_core.models.patch_heads import PatchHeads
from gan_core.models.spec import GeneratorSpec, InputSpec
from gan_core.models.translator import Translator, taps_of
from gan_core.models.unet import Unet, dropped, sides_of


def stored(*indices: int) -> torch.Tensor:
    """A map [1, 1, 4, 4] of class indices, as networks are given it."""
    return torch.tensor(indices).repeat(16)[:16].view(1, 1, 4, 4) / 127.5 - 1


@pytest.mark.parametrize("shape", [(1, 4, 4), (1, 8, 8), (3, 9, 30), (1, 28, 28), (2, 105, 105), (3, 64, 48)])
def test_an_image_of_any_size_becomes_one_of_that_size(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    made = Unet(shape, 3, 2).eval()(torch.rand(2, *shape) * 2 - 1)
    assert made.shape == (2, 3, *shape[1:])
    assert made.abs().max() <= 1
    assert made.std() > 0


def test_at_256_pixels_it_is_the_papers_network() -> None:
    """C64-C128-C256-C512 × 5 down and back up: counted as in the authors' code, whose norms have weights."""
    norms = 2 * (128 + 256 + 4 * 512 + 4 * 512 + 256 + 128 + 64)
    biases = 64 + 512  # of the layers without a norm
    network = Unet((3, 256, 256), 3, 64)
    assert sum(weight.numel() for weight in network.parameters()) == 54_413_955 - norms + biases
    assert len(sides_of(256, 256)) == 9
    assert (dropped(8), dropped(4), dropped(3), dropped(2)) == (3, 1, 1, 1)


def test_sides_below_four_are_refused_with_some_that_work() -> None:
    with pytest.raises(ConfigError, match=r"3x8 are too small for a U-Net; sides of 4 and more work"):
        Unet((1, 3, 8), 1, 4)


def test_what_is_made_of_an_image_does_not_depend_on_the_others() -> None:
    torch.manual_seed(0)
    network, images = Unet((1, 12, 9), 1, 4).double(), torch.rand(3, 1, 12, 9, dtype=torch.float64)
    assert torch.allclose(network(images)[1], network(images[1:2])[0], atol=1e-12)


def test_a_map_of_class_indices_becomes_a_channel_a_class() -> None:
    seen = one_hot(stored(0, 2, 1, 255), 3)
    assert seen.shape == (1, 3, 4, 4)
    assert seen[0, :, 0].T.tolist() == [[1, -1, -1], [-1, -1, 1], [-1, 1, -1], [-1, -1, -1]]  # 255: of none
    for index in range(255):
        assert one_hot(stored(index), 255)[0, :, 0, 0].argmax() == index


def test_classes_that_are_numbered_otherwise_look_alike_to_the_network_but_for_which_weights_they_meet() -> None:
    torch.manual_seed(0)
    network = Unet((1, 4, 4), 1, 4, indices=3)
    with torch.no_grad():
        swapped = Unet((1, 4, 4), 1, 4, indices=3)
        swapped.load_state_dict(network.state_dict())
        swapped.down[0].conv.weight[:, [0, 2]] = network.down[0].conv.weight[:, [2, 0]]  # type: ignore[union-attr,index]
        assert torch.allclose(network(stored(0, 1, 2, 2)), swapped(stored(2, 1, 0, 0)), atol=1e-6)


def test_dropout_is_noise_in_training_alone() -> None:
    torch.manual_seed(0)
    network, images = Unet((1, 8, 8), 1, 4, dropout=0.5), torch.rand(2, 1, 8, 8)
    with torch.no_grad(), dropout_from(lambda: torch.Generator().manual_seed(1), slice(0, 2), 2):
        first, again = network.train()(images), network(images)
    with torch.no_grad():
        assert torch.equal(network.eval()(images), network(images))
        assert torch.equal(first, again)
        assert not torch.equal(first, network(images))


def test_a_specification_builds_it() -> None:
    options = {"shape": (1, 8, 8), "channels": 3, "width": 4, "dropout": 0.5, "indices": 5}
    inputs = {"image": InputSpec(shape=(1, 8, 8), distribution="image", column="image_b", indices=5)}
    spec = GeneratorSpec(family="unet", options=options, inputs=inputs, output=(3, 8, 8))
    built = GeneratorSpec.model_validate_json(spec.model_dump_json()).build().eval()
    assert built(image=stored(0, 1, 2, 3).repeat(1, 1, 2, 2)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 16, 16), (3, 32, 32), (1, 28, 28)])
def test_what_the_encoder_has_at_a_place_is_what_its_layers_make_there(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(0)
    network, taps, images = Translator(shape, 4, 3), taps_of(shape, 4, 3), torch.rand(2, *shape)
    places = torch.stack([torch.randperm(tap.places)[:5] for tap in taps])
    packed = network(images, places)
    assert packed.shape == (2, 5 * sum(tap.channels for tap in taps))
    start = 0
    for tap, chosen in zip(taps, places, strict=True):
        whole = network.layers[: tap.layers](images) if tap.layers else images
        assert whole.shape[1] == tap.channels
        assert whole[0, 0].numel() == tap.places
        here = packed[:, start : start + 5 * tap.channels].view(2, 5, tap.channels)
        assert torch.equal(here[1, 3], whole[1].flatten(1)[:, chosen[3]])
        start += 5 * tap.channels
    vectors = PatchHeads([tap.channels for tap in taps], 64)(packed)
    assert vectors.shape == (2, len(taps), 5, 64)
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(()))
