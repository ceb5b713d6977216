"""Games of two small networks on a batch of noise, and discriminators that remember what they were shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from gan_core.models.dropout import dropout_from
from gan_core.options.conditions import Attribute
from gan_core.recipes.draw import Draw
from gan_core.recipes.image_gan import ImageGan
from gan_core.recipes.recipe import Batch, DataSpec, Loss
from gan_core.registry import recipe_options

N, SHAPE, CLASSES = 6, (1, 8, 8), 10
LABEL = torch.arange(N) % CLASSES
ATTRIBUTES = (Attribute(name="age", kind="continuous", low=20, high=60), Attribute(name="smiling", kind="binary"),
              Attribute(name="hair", kind="categorical", values=3))


def game(system: str = "dcgan", classes: int = CLASSES, columns: tuple[Attribute, ...] = ATTRIBUTES,
         **options: Any) -> ImageGan:
    """A small game with a system's own settings, but where `options` say something else.

    classes, columns: what the data has.
    """
    settings = recipe_options(system)(**{"width": 4, "latent": 5, **options})
    return ImageGan(settings, DataSpec(SHAPE, classes, attributes=columns))


def unpenalised(**options: Any) -> ImageGan:
    """The same without R1."""
    return game(**{**options, "penalties": {"r1": None, **options.get("penalties", {})}})


def networks(of: ImageGan) -> dict[str, nn.Module]:
    """In training, with weights so large that logits are not nearly 0, as fresh ones make them."""
    torch.manual_seed(0)
    made = {name: network.train() for name, network in of.networks().items()}
    with torch.no_grad():
        for name in of.judges:
            for weight in made[name].parameters():
                weight.mul_(9)
    return made


def batch() -> dict[str, Tensor]:
    attributes = torch.stack([torch.linspace(20, 60, N), torch.arange(N) % 2, torch.arange(N) % 3], dim=1)
    image = torch.randn(N, *SHAPE, generator=torch.Generator().manual_seed(2))
    return {"image": image, "label": LABEL, "attributes": attributes}


def draw(purpose: str = "", position: int = 128) -> Draw:
    return Draw(3, position, N, slice(0, N), torch.device("cpu"), purpose)


def drawn(phase: str) -> Draw:
    """What `loss` gives a phase."""
    return draw().within(phase)


def shown(made: ImageGan, nets: Any, purpose: str = "", position: int = 128) -> Batch:
    """The batch with what the phases share."""
    given = batch()
    return {**given, **made.common(nets, given, draw(purpose, position).within("common"))}


def loss(made: ImageGan, phase: str, nets: Any, purpose: str = "", position: int = 128) -> Loss:
    """A phase's loss on the batch, as the engine asks for it."""
    own = draw(purpose, position).within(phase)
    number = count()
    with dropout_from(lambda: own.generator(f"dropout {next(number)}"), own.rows, own.batch):
        return made.loss(phase, nets, shown(made, nets, purpose, position), own)


def fakes(made: ImageGan, nets: Mapping[str, Any]) -> Tensor:
    with torch.no_grad():
        found: Tensor = shown(made, nets)["fake"]
    return found


class Watched:
    """A network that is called as it is and remembers the arguments: `seen`, [images, condition] of each call."""

    def __init__(self, network: Callable[..., Tensor]) -> None:
        self.network = network
        self.seen: list[tuple[Tensor, Tensor | None]] = []

    def __call__(self, images: Tensor, label: Tensor | None = None) -> Tensor:
        self.seen.append((images, label))
        return self.network(images, label)

    @property
    def images(self) -> list[Tensor]:
        return [images.detach() for images, _ in self.seen]


def slope(judge: Callable[..., Tensor], images: Tensor, label: Tensor | None) -> Tensor:
    """The gradient of the logits by the images, [n, numbers of an image]."""
    images = images.detach().requires_grad_()
    out = judge(images, label)
    (gradient,) = torch.autograd.grad((out if out.dim() == 1 else out[:, 0]).sum(), images)
    return gradient.flatten(1)
