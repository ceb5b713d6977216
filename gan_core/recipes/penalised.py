"""The penalties of the settings, applied: on a discriminator at points and on changed images, and on weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from gan_core.data.augment import flipped, shifted
from gan_core.losses.penalties import (
    around,
    between,
    consistency,
    l1,
    l2,
    orthogonal,
    unit_norm,
    zero_centred,
)
from gan_core.models.spread import std_over_workers
from gan_core.options.losses import Consistency, OnWeights, Penalties
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Loss

Judge = Callable[[Tensor], Tensor]  # images [n, C, H, W] to logits [n]


def point_penalties(penalties: Penalties, judge: Judge, real: Tensor, fake: Tensor, draw: Draw) -> dict[str, Tensor]:
    """Weighted penalties [n] by name on the discriminator's gradient at points that are neither real nor generated."""
    found = {}
    if gp := penalties.gradient:
        points = between(real, fake, draw.uniform("gradient"))
        found["gradient"] = gp.weight * unit_norm(points, judge(points), one_sided=gp.one_sided)
    if centred := penalties.zero_centred:
        points = between(real, fake, draw.uniform("zero_centred"))
        found["zero_centred"] = centred.weight * zero_centred(points, judge(points))
    if dragan := penalties.dragan:
        std = std_over_workers(real)
        points = around(real, draw.uniform("dragan", *real.shape[1:]), dragan.spread, std)
        found["dragan"] = dragan.weight * unit_norm(points, judge(points))
    return found


def consistency_penalty(
    settings: Consistency, judge: Judge, images: tuple[Tensor, Tensor], logits: tuple[Tensor, Tensor], draw: Draw
) -> Tensor:
    """Weighted, [n]: how differently the discriminator judges images [n, …] and the same flipped and moved.

    images and logits: of real and of generated examples.
    """
    total = torch.zeros_like(logits[0])
    kinds, weights = ("real", "fake"), (settings.real, settings.fake)
    for kind, weight, seen, before in zip(kinds, weights, images, logits, strict=True):
        if weight:
            drawn = draw.within(f"consistency {kind}")
            by = drawn.integers("shift", 2 * settings.shift + 1, 2) - settings.shift
            changed = shifted(flipped(seen, drawn.uniform("flip") < 0.5), by)
            total = total + weight * consistency(before, judge(changed))
    return total


def on_weights(settings: OnWeights, networks: Mapping[str, nn.Module]) -> Loss | None:
    """The penalties on the weights of these networks; None without any."""
    functions = {"l1": (settings.l1, l1), "l2": (settings.l2, l2), "orthogonal": (settings.orthogonal, orthogonal)}
    weights = [weight for network in networks.values() for weight in network.parameters()]
    embeddings = {id(weight) for network in networks.values() for layer in network.modules()
                  if isinstance(layer, nn.Embedding) for weight in layer.parameters()}
    filters = [weight for weight in weights if id(weight) not in embeddings]  # classes, unlike filters, may be alike
    found = {f"penalty/{name}": weight * function(filters if name == "orthogonal" else weights)
             for name, (weight, function) in functions.items() if weight}
    return Loss(torch.stack([*found.values()]).sum(), found) if found else None


def cut_weights(network: nn.Module, most: float) -> None:
    """Every weight to [−most, most] (Arjovsky et al. 2017, algorithm 1)."""
    with torch.no_grad():
        weights: list[Tensor] = [*network.parameters()]
        torch._foreach_clamp_min_(weights, -most)
        torch._foreach_clamp_max_(weights, most)
