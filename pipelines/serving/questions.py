"""What a request may ask, checked by pydantic; what only some generators take is checked by the one that is served."""

from __future__ import annotations

import secrets
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gan_core.asked import SEEDS
from gan_core.bundle import Generator
from pipelines.sample_arguments import attributes_in
from pipelines.serving.batcher import Wanted

DRAWN_SEEDS = 2**31  # those that are chosen here: short enough for people to note down


class Question(BaseModel):
    """What is asked in the same way by POST and by GET."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n: Annotated[int, Field(ge=1, description="How many images.")] = 1
    seed: Annotated[int | None, Field(ge=0, lt=SEEDS, description=(
        "The same seed gives the same images; without it one is drawn, and the header Gan-Seed says which."))] = None
    label: Annotated[int | None, Field(ge=0, description=(
        "The class of all images; without it classes take turns."))] = None
    truncation: Annotated[float | None, Field(gt=0, description=(
        "The most that a number of the noise may be: typical images in place of varied ones."))] = None
    format: Annotated[Literal["png", "npy"], Field(description=(
        "A grid to look at, or NumPy's file of uint8 [n, C, H, W]."))] = "png"

    @field_validator("n", "seed", "label", mode="before")
    @classmethod
    def _whole(cls, value: object) -> object:
        """7.0 as 7: JSON knows one kind of number."""
        return int(value) if isinstance(value, float) and value.is_integer() else value


class Sample(Question):
    """The body of POST /sample."""

    model_config = ConfigDict(strict=True)

    attributes: Annotated[dict[str, float] | None, Field(description=(
        "Attributes of all images by name; those that are not named are drawn."))] = None

    def wanted(self, generator: Generator) -> Wanted:
        """As the batcher takes it."""
        return _wanted(self, self.attributes)


class SampleQuery(Question):
    """The query of GET /sample."""

    attributes: Annotated[str | None, Field(description=(
        "NAME=VALUE,NAME=VALUE: attributes of all images; those that are not named are drawn."))] = None

    def wanted(self, generator: Generator) -> Wanted:
        """As the batcher takes it.  ConfigError for attributes that cannot be read."""
        return _wanted(self, attributes_in(self.attributes, generator.attributes, generator.uri))


def _wanted(question: Question, attributes: dict[str, float] | None) -> Wanted:
    seed = secrets.randbelow(DRAWN_SEEDS) if question.seed is None else question.seed
    return Wanted(question.n, seed, question.label, attributes, question.truncation)
