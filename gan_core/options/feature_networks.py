"""Feature networks in files: where one lies, which bytes it is, and what it takes.

A feature network makes images comparable; a distance means nothing without the network, and without how images were
resized for it (Parmar et al. 2022, arXiv:2104.11222).  So all of that is stated here and nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gan_core.block import Config, Count

Resizer = Literal["tf1-bilinear", "pil-bicubic", "torch-antialias"]
InputRange = Literal["0..255", "0..1", "-1..1", "imagenet"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class NetworkFile(Config):
    """A TorchScript file whose `forward` takes images [n, channels, H, W] float32 and returns features [n, d]."""

    NOT_IN_KEY: ClassVar[frozenset[str]] = frozenset({"url"})  # the sha256 says which network it is

    url: str = Field(description="fsspec URL or path of the TorchScript file", examples=["s3://bucket/dino.pt"])
    sha256: Sha256 = Field(description="of the file: TorchScript is code, and no other file is run",
                           examples=["f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"])
    range: InputRange = Field(description="what the levels 0 to 255 become; imagenet: 0..1 less the mean, over the "
                                          "standard deviation, of ImageNet's channels", examples=["-1..1"])
    size: tuple[Count, Count] | None = Field(None, description="height and width it takes; images as they are when "
                                                               "null", examples=[[224, 224]])
    resizer: Resizer = Field("pil-bicubic", description="how images are brought to that size")
    channels: Literal[1, 3] = Field(3, description="grey images are repeated to 3")
    arguments: Mapping[str, bool] = Field({}, description="further arguments of its forward",
                                          examples=[{"return_features": True}])

    @model_validator(mode="after")
    def _colours_have_a_mean_each(self) -> Self:
        if self.range == "imagenet" and self.channels != 3:
            raise ValueError("range=imagenet has the means of 3 channels; channels=3 works, or range=0..1")
        return self


_INCEPTION_FILE = {
    "url": "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    "sha256": "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",
    "range": "0..255",
    "size": (299, 299),
    "resizer": "tf1-bilinear",
}

INCEPTION = NetworkFile.model_validate({**_INCEPTION_FILE, "arguments": {"return_features": True}})
"""TensorFlow's Inception of 2015, as StyleGAN2-ADA and 3 have it: 2048 features, those of FID and KID.

Its file resizes as TensorFlow 1 did; here images come resized, by the same rule, so that it has nothing left to do and
another resizer can take its place (`pil-bicubic`: clean-fid's figures).
"""

INCEPTION_CLASSES = NetworkFile.model_validate({**_INCEPTION_FILE, "arguments": {"no_output_bias": True}})
"""The same network's probabilities of 1008 classes, those of the Inception Score."""

INCEPTION_NAME = "inception"
NAMED: Mapping[str, NetworkFile] = {INCEPTION_NAME: INCEPTION}
