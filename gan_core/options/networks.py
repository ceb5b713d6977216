"""What can be set of each network family.  `width` and `latent` are the recipe's: one dial for both networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Discriminator, Field, Tag

from gan_core.block import Config, Count

Norm = Literal["none", "batch", "instance", "layer", "group"]
GeneratorNorm = Literal["none", "batch", "instance", "layer", "group", "conditional_batch"]
Activation = Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"]
Init = Literal["auto", "normal", "orthogonal", "he", "xavier"]
ConditionBy = Literal["projection", "embedding", "auxiliary"]

SPECTRAL = "spectral norm: weights divided by their largest singular value (Miyato et al. 2018)"
WIDE_UP_TO = "side of the largest maps that have all `width` channels; each doubling from there halves them"
CHECKPOINTING = "compute activations again in the backward pass instead of keeping them: less memory, a third more time"
INIT = "fresh weights: N(0, 0.02²), orthogonal, He or Xavier; auto: the family's own"
ATTENTION = "side of the maps that attend to themselves; null: none do"
PAPERS_ATTENTION = "side of the maps that attend to themselves; null: 64 in networks for 128 pixels and more"


class _Network(Config):
    """makes: the kind of data that networks of the family are for."""

    makes: ClassVar[str] = "image"

    dropout: float = Field(0.0, ge=0, lt=1, description="share of a layer's activations set to 0 in training")
    init: Init = Field("auto", description=INIT)
    spectral: bool = Field(False, description=SPECTRAL)


class _Judge(_Network):
    condition: ConditionBy = Field(
        "projection", description="how a discriminator is told of labels or attributes: by projection, by an embedding "
                                  "beside the image, or not, and it predicts them (AC-GAN)")


class MlpGenerator(_Network):
    """Fully connected layers (Goodfellow et al. 2014)."""

    family: Literal["mlp"] = "mlp"
    layers: Count = 3
    norm: Norm = "none"
    activation: Activation = "relu"


class MlpDiscriminator(_Judge):
    """Fully connected layers (Goodfellow et al. 2014)."""

    family: Literal["mlp"] = "mlp"
    layers: Count = 3
    norm: Norm = "none"
    activation: Activation = "leaky_relu"


class DcganGenerator(_Network):
    """Transposed convolutions of stride 2 (Radford et al. 2016), any size from 8 to 128."""

    family: Literal["dcgan"] = "dcgan"
    norm: GeneratorNorm = "batch"
    activation: Activation = "relu"
    checkpointing: bool = Field(False, description=CHECKPOINTING)


class DcganDiscriminator(_Judge):
    """Convolutions of stride 2 (Radford et al. 2016), any size from 8 to 128."""

    family: Literal["dcgan"] = "dcgan"
    norm: Norm = "none"
    activation: Activation = "leaky_relu"
    checkpointing: bool = Field(False, description=CHECKPOINTING)


class DcganOriginalGenerator(_Network):
    """The networks as published: at 28 × 28 the primers', at 64 × 64 Radford's; no other size."""

    family: Literal["dcgan_original"] = "dcgan_original"
    norm: GeneratorNorm = "batch"


class DcganOriginalDiscriminator(_Judge):
    """The networks as published: at 28 × 28 the primers', at 64 × 64 Radford's; no other size."""

    family: Literal["dcgan_original"] = "dcgan_original"
    norm: Norm = "batch"


class ResnetGenerator(_Network):
    """Residual blocks (Gulrajani et al. 2017; Miyato et al. 2018), with self-attention where it is set (SAGAN)."""

    family: Literal["resnet"] = "resnet"
    norm: GeneratorNorm = "batch"
    activation: Activation = "relu"
    attention: Count | None = Field(None, description=ATTENTION, examples=[16])
    checkpointing: bool = Field(False, description=CHECKPOINTING)


class ResnetDiscriminator(_Judge):
    """Residual blocks (Gulrajani et al. 2017; Miyato et al. 2018), with self-attention where it is set (SAGAN)."""

    family: Literal["resnet"] = "resnet"
    norm: Norm = "none"
    activation: Activation = "relu"
    attention: Count | None = Field(None, description=ATTENTION, examples=[16])
    checkpointing: bool = Field(False, description=CHECKPOINTING)


class BigganGenerator(_Network):
    """BigGAN's (Brock et al. 2019): z in chunks, a shared embedding, conditional batch norm, self-attention."""

    family: Literal["biggan"] = "biggan"
    shared: Count = Field(128, description="numbers in the embedding of the condition that all blocks share")
    hierarchical: bool = Field(True, description="each block is told a chunk of z of its own")
    attention: Count | None = Field(None, description=PAPERS_ATTENTION, examples=[16])
    spectral: bool = Field(True, description=SPECTRAL)
    checkpointing: bool = Field(False, description=CHECKPOINTING)


class BigganDiscriminator(_Judge):
    """BigGAN's (Brock et al. 2019): residual blocks, self-attention, projection."""

    family: Literal["biggan"] = "biggan"
    attention: Count | None = Field(None, description=PAPERS_ATTENTION, examples=[16])
    spectral: bool = Field(True, description=SPECTRAL)
    checkpointing: bool = Field(False, description=CHECKPOINTING)


class R3ganGenerator(_Network):
    """R3GAN's (Huang et al. 2024): no norm, grouped residual blocks, an initialisation that needs none."""

    family: Literal["r3gan"] = "r3gan"
    blocks: Count = Field(2, description="residual blocks of each map size")
    cardinality: Count = Field(16, description="channels of one group of a convolution")
    expansion: Count = Field(2, description="how much wider the grouped convolutions are than the blocks")
    wide_up_to: Count = Field(32, description=WIDE_UP_TO, examples=[8])
    checkpointing: bool = Field(False, description=CHECKPOINTING)


class R3ganDiscriminator(_Judge):
    """R3GAN's (Huang et al. 2024): no norm, grouped residual blocks, an initialisation that needs none."""

    family: Literal["r3gan"] = "r3gan"
    blocks: Count = Field(2, description="residual blocks of each map size")
    cardinality: Count = Field(16, description="channels of one group of a convolution")
    expansion: Count = Field(2, description="how much wider the grouped convolutions are than the blocks")
    wide_up_to: Count = Field(32, description=WIDE_UP_TO, examples=[8])
    checkpointing: bool = Field(False, description=CHECKPOINTING)


class WaveganGenerator(_Network):
    """WaveGAN's (Donahue et al. 2019): transposed convolutions along time of stride 4; recordings of any length."""

    makes: ClassVar[str] = "audio"
    family: Literal["wavegan"] = "wavegan"


class WaveganDiscriminator(_Judge):
    """WaveGAN's (Donahue et al. 2019): convolutions along time of stride 4, with phase shuffle between them."""

    makes: ClassVar[str] = "audio"
    family: Literal["wavegan"] = "wavegan"
    phase_shuffle: int = Field(2, ge=0, description="samples by which each layer's maps are shifted at random at "
                                                    "most; 0: none")


FAMILIES = ("mlp", "dcgan", "dcgan_original", "resnet", "biggan", "r3gan", "wavegan")


def _family(value: Any) -> Any:
    return value.get("family", "dcgan") if isinstance(value, Mapping) else getattr(value, "family", None)


Generator = Annotated[
    Annotated[MlpGenerator, Tag("mlp")] | Annotated[DcganGenerator, Tag("dcgan")]
    | Annotated[DcganOriginalGenerator, Tag("dcgan_original")] | Annotated[ResnetGenerator, Tag("resnet")]
    | Annotated[BigganGenerator, Tag("biggan")] | Annotated[R3ganGenerator, Tag("r3gan")]
    | Annotated[WaveganGenerator, Tag("wavegan")],
    Discriminator(_family),
]
Judge = Annotated[
    Annotated[MlpDiscriminator, Tag("mlp")] | Annotated[DcganDiscriminator, Tag("dcgan")]
    | Annotated[DcganOriginalDiscriminator, Tag("dcgan_original")] | Annotated[ResnetDiscriminator, Tag("resnet")]
    | Annotated[BigganDiscriminator, Tag("biggan")] | Annotated[R3ganDiscriminator, Tag("r3gan")]
    | Annotated[WaveganDiscriminator, Tag("wavegan")],
    Discriminator(_family),
]
