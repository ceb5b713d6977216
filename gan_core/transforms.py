"""The settings of what is done to each example before it is stored; `gan_core.data.transforms` does it.

    prepare:
      transforms:
        - {background: white}
        - {mode: rgb}
        - {resize: 32, kernel: lanczos, fit: cover}
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from gan_core.block import Config, Count

Size = Count | tuple[Count, Count]
Level = Annotated[int, Field(ge=0, le=255)]
Colour = Literal["white", "black"] | Level | tuple[Level, Level, Level]


class Resize(Config):
    """To exactly this size: one side of a square, or [height, width]."""

    resize: Size = Field(examples=[32])
    kernel: Literal["lanczos", "bicubic", "bilinear", "box", "nearest"] = Field(
        "lanczos", description="all but nearest are antialiased: their support grows with the reduction")
    fit: Literal["cover", "contain", "stretch"] = Field(
        "cover", description="cover keeps the proportions and cuts what is over, contain fills up with black")


class Crop(Config):
    """Cut to this size; smaller images are unusable."""

    crop: Size = Field(examples=[28])
    at: Literal["centre", "top_left"] = "centre"


class Pad(Config):
    """Filled up to this size on all sides; larger images are unusable."""

    pad: Size = Field(examples=[32])
    value: Colour = "black"


class Mode(Config):
    """Grey by ITU-R 601-2 luma, RGB, or RGB with alpha."""

    mode: Literal["grey", "rgb", "rgba"] = Field(examples=["rgb"])


class Background(Config):
    """What shows through where an image is transparent; the alpha channel is gone afterwards."""

    background: Colour = Field(examples=["white"])


class Flip(Config):
    """Mirrors every image.  Random mirroring belongs to training, not to the stored data."""

    flip: Literal["horizontal", "vertical"] = Field(examples=["horizontal"])


class Pair(Config):
    """Makes pairs: what the image is made to becomes `image`, the image itself `image_b`.

    What follows in the list is done to both.
    """

    pair: Literal["edges", "small", "levels"] = Field(examples=["edges"], description=(
        "edges: white on black where brightness steps; small: the image with sides some times smaller, in squares; "
        "levels: a map of class indices, by brightness"))
    parts: Count = Field(4, le=255, description="small: how many times smaller; levels: how many classes; edges: how "
                                                "many are found, more with more")


class Normalise(Config):
    """Each clip of audio to the same peak (full scale) or the same root mean square (a tenth of full scale)."""

    normalise: Literal["peak", "rms"] = Field(examples=["peak"])


class MuLaw(Config):
    """Companding of audio, sgn(x)·ln(1+μ|x|)/ln(1+μ) (ITU-T G.711); stored at full scale."""

    mu_law: Annotated[int, Field(ge=1, le=65535)] = Field(examples=[255])


KINDS: Mapping[str, type[Config]] = {"resize": Resize, "crop": Crop, "pad": Pad, "mode": Mode, "background": Background,
                                          "flip": Flip, "pair": Pair, "normalise": Normalise, "mu_law": MuLaw}


def _kind(value: Any) -> str | None:
    """The transform that a block names by its first key; None where it names none or several."""
    keys = value.keys() if isinstance(value, Mapping) else type(value).model_fields if isinstance(value, Config) else ()
    named = [key for key in keys if key in KINDS]
    return named[0] if len(named) == 1 else None


Transform = Annotated[
    Annotated[Resize, Tag("resize")] | Annotated[Crop, Tag("crop")] | Annotated[Pad, Tag("pad")]
    | Annotated[Mode, Tag("mode")] | Annotated[Background, Tag("background")] | Annotated[Flip, Tag("flip")]
    | Annotated[Pair, Tag("pair")] | Annotated[Normalise, Tag("normalise")] | Annotated[MuLaw, Tag("mu_law")],
    Discriminator(
        _kind,
        custom_error_type="unknown_transform",
        custom_error_message=f"names no transform, or several; one of {', '.join(KINDS)} each, such as {{resize: 32}}",
    ),
]
