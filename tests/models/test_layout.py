from __future__ import annotations

import pytest
import torch
from torch import nn

from gan_core.models.layout import ToMaps, ToVectors, to_vectors

ORDERS = [torch.contiguous_format, torch.channels_last]
both = pytest.mark.parametrize("order", ORDERS, ids=["contiguous", "channels_last"])


@both
def test_maps_become_the_vectors_that_flattening_makes(order: torch.memory_format) -> None:
    maps = torch.randn(3, 4, 5, 6).contiguous(memory_format=order)
    assert torch.equal(to_vectors(maps), maps.flatten(1))
    assert torch.equal(ToVectors()(maps), maps.flatten(1))


@both
def test_the_gradient_of_the_maps_is_flattening_s_in_the_maps_own_memory_order(order: torch.memory_format) -> None:
    weight = torch.randn(120)
    maps = torch.randn(3, 4, 5, 6).contiguous(memory_format=order).requires_grad_()
    (found,) = torch.autograd.grad((to_vectors(maps).sin() * weight).sum(), maps)
    (wanted,) = torch.autograd.grad((maps.flatten(1).sin() * weight).sum(), maps)
    assert torch.equal(found, wanted)
    assert found.is_contiguous(memory_format=order)


def test_it_can_be_differentiated_twice() -> None:
    maps = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: to_vectors(x).pow(3), maps)


@both
def test_vectors_become_maps_in_the_order_that_is_set(order: torch.memory_format) -> None:
    layer, vectors = ToMaps(4, 5, 6), torch.randn(3, 120)
    layer.memory_format = order
    assert torch.equal(layer(vectors), vectors.unflatten(1, (4, 5, 6)))
    assert layer(vectors).is_contiguous(memory_format=order)


def test_neither_holds_weights() -> None:
    assert not nn.Sequential(ToVectors(), ToMaps(1, 2, 3)).state_dict()
