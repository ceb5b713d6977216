"""How a network's weights descend: the algorithm, its learning rate, and how that falls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from gan_core.block import Config, Count

Decay = Annotated[float, Field(ge=0, lt=1)]


class Fall(Config):
    """A learning rate that falls from `after` images to `until`, to `to` times what it was."""

    shape: Literal["linear", "cosine"] = "linear"
    after: int = Field(0, ge=0, description="images until which it stays")
    until: Count = Field(description="images from which on it stays again", examples=[102_400])
    to: float = Field(0.0, ge=0, le=1, description="what the learning rate is multiplied by in the end")

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.until <= self.after:
            raise ValueError(f"until={self.until} is not after after={self.after}; until={2 * self.after or 1} works")
        return self


class _Descent(Config):
    learning_rate: float = Field(2e-4, gt=0, le=1)
    weight_decay: float = Field(0.0, ge=0, le=1, description="L2 in the gradient; of adamw beside it")
    fall: Fall | None = Field(None, description="how the learning rate falls; null: not",
                              examples=[{"until": 102_400}])


class Adam(_Descent):
    """Adam (Kingma & Ba 2015): learning rate and the decay of both moments."""

    algorithm: Literal["adam"] = "adam"
    betas: tuple[Decay, Decay] = (0.0, 0.99)


class AdamW(_Descent):
    """Adam with weight decay beside the gradient (Loshchilov & Hutter 2019, arXiv:1711.05101)."""

    algorithm: Literal["adamw"]
    betas: tuple[Decay, Decay] = (0.0, 0.99)
    weight_decay: float = Field(0.01, ge=0, le=1)


class RmsProp(_Descent):
    """RMSProp (Tieleman & Hinton 2012), WGAN's choice."""

    algorithm: Literal["rmsprop"]
    learning_rate: float = Field(5e-5, gt=0, le=1)
    alpha: Decay = Field(0.99, description="decay of the squared gradient's mean")


class Sgd(_Descent):
    """Stochastic gradient descent, with momentum where it is set."""

    algorithm: Literal["sgd"]
    learning_rate: float = Field(1e-2, gt=0, le=1)
    momentum: Decay = 0.0


ALGORITHMS = ("adam", "adamw", "rmsprop", "sgd")


def _algorithm(value: Any) -> Any:
    return value.get("algorithm", "adam") if isinstance(value, Mapping) else getattr(value, "algorithm", None)


Optimizer = Annotated[
    Annotated[Adam, Tag("adam")] | Annotated[AdamW, Tag("adamw")] | Annotated[RmsProp, Tag("rmsprop")]
    | Annotated[Sgd, Tag("sgd")],
    Discriminator(_algorithm),
]
