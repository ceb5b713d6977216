"""The DCGAN loop that a user writes after the tutorial, nothing tuned, and the same system as a recipe of ours.

Networks of Radford et al. 2016 (arXiv:1511.06434) with 64 base channels; the non-saturating loss on logits; Adam 2e-4
(0.5, 0.999).  Real and generated images are judged apart, and the samples that the discriminator saw are the
generator's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from gan_core.block import Config
from gan_core.losses.adversarial import non_saturating_d, non_saturating_g
from gan_core.models.layout import ToMaps, ToVectors
from gan_core.models.norm import BatchNorm
from gan_core.options.optimizers import Adam
from gan_core.recipes.draw import Draw
from gan_core.recipes.recipe import Batch, DataSpec, Defaults, Loss, Networks, Phase, judged_together, judgement
from gan_core.registry import RECIPE_OPTIONS, RECIPES

LATENT, RATE, BETAS, SLOPE = 100, 2e-4, (0.5, 0.999), 0.2


def generator(side: int, norm: type[nn.BatchNorm2d] = nn.BatchNorm2d) -> nn.Sequential:
    """z [n, 100] to images [n, 3, 64, 64] or [n, 1, 28, 28]."""
    if side == 28:
        return nn.Sequential(
            nn.Linear(LATENT, 7 * 7 * 256), nn.Unflatten(1, (256, 7, 7)), norm(256), nn.ReLU(),
            nn.ConvTranspose2d(256, 128, 5, 1, 2), norm(128), nn.ReLU(),
            nn.ConvTranspose2d(128, 64, 5, 2, 2, 1), norm(64), nn.ReLU(),
            nn.ConvTranspose2d(64, 1, 5, 2, 2, 1), nn.Tanh(),
        )
    widest = nn.ConvTranspose2d(LATENT, 512, 4, 1, 0, bias=False)
    first = [nn.Unflatten(1, (LATENT, 1, 1)), widest, norm(512), nn.ReLU()]
    doubling = [layer for a, b in ((512, 256), (256, 128), (128, 64))
                for layer in (nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), norm(b), nn.ReLU())]
    return nn.Sequential(*first, *doubling, nn.ConvTranspose2d(64, 3, 4, 2, 1, bias=False), nn.Tanh())


def discriminator(side: int, norm: type[nn.BatchNorm2d] = nn.BatchNorm2d) -> nn.Sequential:
    """Images to logits [n, 1]."""
    if side == 28:
        return nn.Sequential(
            nn.Conv2d(1, 64, 5, 2, 2), nn.LeakyReLU(SLOPE), nn.Conv2d(64, 128, 5, 2, 2), norm(128), nn.LeakyReLU(SLOPE),
            nn.Flatten(), nn.Linear(128 * 7 * 7, 1),
        )
    first = [nn.Conv2d(3, 64, 4, 2, 1, bias=False), nn.LeakyReLU(SLOPE)]
    halving = [layer for a, b in ((64, 128), (128, 256), (256, 512))
               for layer in (nn.Conv2d(a, b, 4, 2, 1, bias=False), norm(b), nn.LeakyReLU(SLOPE))]
    return nn.Sequential(*first, *halving, nn.Conv2d(512, 1, 4, 1, 0, bias=False), nn.Flatten())


def with_layout(network: nn.Sequential) -> nn.Sequential:
    """The same layers; between vectors and maps those of ours, which keep the memory order."""
    ours = {nn.Flatten: lambda layer: ToVectors(), nn.Unflatten: lambda layer: ToMaps(*layer.unflattened_size)}
    return nn.Sequential(*(ours.get(type(layer), lambda same: same)(layer) for layer in network))


def plain_step(side: int, batch: int, device: torch.device) -> Callable[[], None]:
    """One step of the plain loop; the real images are there already."""
    torch.manual_seed(0)
    g, d = generator(side).to(device), discriminator(side).to(device)
    g_opt, d_opt = torch.optim.Adam(g.parameters(), RATE, BETAS), torch.optim.Adam(d.parameters(), RATE, BETAS)
    real = torch.randn(batch, *shape_of(side), device=device)

    def step() -> None:
        d_opt.zero_grad()
        softplus(-d(real)).mean().backward()
        fake = g(torch.randn(batch, LATENT, device=device))
        softplus(d(fake.detach())).mean().backward()
        d_opt.step()
        g_opt.zero_grad()
        softplus(-d(fake)).mean().backward()
        g_opt.step()

    return step


def shape_of(side: int) -> tuple[int, int, int]:
    return (1 if side == 28 else 3, side, side)


class PlainOptions(Config):
    recipe: str = "plain"


class Plain(Defaults):
    """The same networks and losses for our engine."""

    averaged = ("generator",)

    def __init__(self, options: PlainOptions, data: DataSpec) -> None:
        self._side = data.shape[1]

    def networks(self) -> dict[str, nn.Module]:
        return {"generator": with_layout(generator(self._side, BatchNorm)),
                "discriminator": with_layout(discriminator(self._side, BatchNorm))}

    def phases(self) -> tuple[Phase, ...]:
        adam = Adam(learning_rate=RATE, betas=BETAS)
        return (Phase("discriminator", ("discriminator",), adam), Phase("generator", ("generator",), adam))

    def common(self, nets: Networks, batch: Batch, draw: Draw) -> Batch:
        return {"fake": self.generate(nets, self.inputs(draw, None))}

    def loss(self, phase: str, nets: Networks, batch: Batch, draw: Draw) -> Loss:
        if phase == "generator":
            loss = non_saturating_g(nets["discriminator"](batch["fake"]).squeeze(1))
            return Loss(loss, {"loss/generator": loss})
        logits = judged_together(nets["discriminator"], batch["image"], batch["fake"].detach())
        real, fake = (kind.squeeze(1) for kind in logits)
        loss = non_saturating_d(real, fake)
        return Loss(loss, {"loss/discriminator": loss, **judgement(real, fake)})

    def logits(self, nets: Networks, batch: Batch) -> dict[str, Tensor]:
        return {"discriminator": nets["discriminator"](batch["image"]).squeeze(1)}

    def inputs(self, draw: Draw, condition: Tensor | None) -> dict[str, Tensor]:
        return {"input": draw.normal("z", LATENT)}

    def generate(self, nets: Networks, inputs: Mapping[str, Tensor]) -> Tensor:
        return nets["generator"](**inputs)


def register() -> None:
    """Makes `model: {recipe: plain}` known."""
    if "plain" not in RECIPES:
        RECIPES.register("plain")(Plain)
        options: Any = PlainOptions
        RECIPE_OPTIONS.register("plain")(options)
