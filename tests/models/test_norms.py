from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_core.errors import ConfigError
from gan_core.models.norm import BatchNorm
from gan_core.models.norms import groups_of, norm_of

CHANNELS, EMBEDDED = 8, 5
KINDS = ("none", "batch", "instance", "layer", "group", "conditional_batch")


def made(kind: str) -> nn.Module:
    """A norm with gains and biases unlike 1 and 0."""
    torch.manual_seed(0)
    norm = norm_of(kind, CHANNELS, EMBEDDED).double()
    with torch.no_grad():
        for weight in norm.parameters():
            weight.normal_()
    return norm


def maps(*shape: int) -> Tensor:
    return 3 * torch.randn(4, CHANNELS, *shape, dtype=torch.float64) + 1


def per_channel(weight: Tensor) -> Tensor:
    return weight.view(-1, 1, 1)


def test_none_is_the_input_itself() -> None:
    x = maps(3, 3)
    assert norm_of("none", CHANNELS)(x, None) is x


def test_batch_is_torch_s_over_the_global_batch() -> None:
    norm, x = made("batch"), maps(3, 5)
    assert isinstance(norm, BatchNorm)
    torch.testing.assert_close(norm(x, None), nn.functional.batch_norm(x, None, None, norm.weight, norm.bias, True))


def test_instance_normalises_each_map_of_each_image() -> None:
    norm, x = made("instance"), maps(3, 5)
    normalised = torch.stack([nn.functional.layer_norm(image, (3, 5)) for image in x.flatten(0, 1)]).view(x.shape)
    torch.testing.assert_close(norm(x), normalised * per_channel(norm.weight) + per_channel(norm.bias))


@pytest.mark.parametrize("shape", [(3, 5), ()])
def test_layer_normalises_each_example_with_a_gain_per_channel(shape: tuple[int, ...]) -> None:
    norm, x = made("layer"), maps(*shape)
    gain, bias = (weight.view(-1, *[1] * len(shape)) for weight in (norm.weight, norm.bias))
    torch.testing.assert_close(norm(x), nn.functional.layer_norm(x, x.shape[1:]) * gain + bias)


@pytest.mark.parametrize("shape", [(3, 5), ()])
def test_group_normalises_groups_of_channels(shape: tuple[int, ...]) -> None:
    norm, x = made("group"), maps(*shape)
    groups = x.unflatten(1, (groups_of(CHANNELS), -1))
    normalised = nn.functional.layer_norm(groups, groups.shape[2:]).flatten(1, 2)
    gain, bias = (weight.view(-1, *[1] * len(shape)) for weight in (norm.weight, norm.bias))
    torch.testing.assert_close(norm(x), normalised * gain + bias)


@pytest.mark.parametrize(("channels", "groups"), [(512, 32), (128, 32), (64, 16), (8, 2), (7, 1), (4, 1), (1, 1)])
def test_a_group_never_is_a_single_channel_of_several(channels: int, groups: int) -> None:
    assert groups_of(channels) == groups


@pytest.mark.parametrize("shape", [(3, 5), ()])
def test_conditional_batch_has_gains_and_biases_of_what_it_is_told(shape: tuple[int, ...]) -> None:
    norm, x = made("conditional_batch"), maps(*shape)
    e = torch.randn(4, EMBEDDED, dtype=torch.float64)
    normalised = nn.functional.batch_norm(x, None, None, training=True)
    wide = (4, CHANNELS, *[1] * len(shape))
    gain, bias = ((e @ linear.weight.T).view(wide) for linear in (norm.gain, norm.bias))
    torch.testing.assert_close(norm(x, e), normalised * (1 + gain) + bias)
    assert not [name for name in norm.state_dict() if name.startswith("normalise.") and "running" not in name
                and "tracked" not in name]


@pytest.mark.parametrize("kind", KINDS)
def test_it_can_be_differentiated_twice(kind: str) -> None:
    norm, e = made(kind), torch.randn(4, EMBEDDED, dtype=torch.float64)
    assert torch.autograd.gradgradcheck(lambda x: norm(x, e).tanh(), maps(2, 2).requires_grad_())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "instance"])
def test_vectors_are_normed_as_maps_of_one_position(kind: str) -> None:
    norm, x, e = made(kind), maps(), torch.randn(4, EMBEDDED, dtype=torch.float64)
    torch.testing.assert_close(norm(x, e), norm(x[:, :, None, None], e)[:, :, 0, 0])


@pytest.mark.parametrize("kind", ["none", "instance", "layer", "group"])
def test_norms_of_one_example_do_not_see_its_neighbours(kind: str) -> None:
    norm, x = made(kind), maps(3, 5)
    torch.testing.assert_close(norm(x)[:1], norm(x[:1]))


@pytest.mark.parametrize("x", [maps(), maps(1, 1)])
def test_instance_norm_of_single_numbers_is_refused(x: Tensor) -> None:
    with pytest.raises(ConfigError, match="each is one number; layer works"):
        made("instance")(x)


def test_conditional_batch_without_conditions_is_refused() -> None:
    with pytest.raises(ConfigError, match="norm=batch works without"):
        norm_of("conditional_batch", CHANNELS)


def test_an_unknown_norm_is_answered_with_the_known() -> None:
    with pytest.raises(ConfigError, match="norm: 'batches' is unknown; these are known: none, batch"):
        norm_of("batches", CHANNELS)
