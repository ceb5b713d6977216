"""Feature networks beside the data set's own: TorchScript files, and random weights.

    load_network("inception", INCEPTION).features(images)   # [n, C, H, W] uint8 -> [n, 2048] float32
    random_network((1, 28, 28), seed=0).features(images)    # [n, 64]

Features do not depend on how many images are taken at a time, up to float32 rounding: 1e-5 of the largest.  They are
computed on one thread, so that the number of cores does not change their last digits.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gan_core.errors import DataError
from gan_core.metrics.domain import Classifier, one_thread
from gan_core.metrics.network_files import network_bytes
from gan_core.metrics.resize import resized
from gan_core.options.feature_networks import InputRange, NetworkFile

BATCH = 64
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, eq=False)
class FeatureNetwork:
    """name: what a metric's name carries.  forward: images [n, C, H, W] uint8 on `device` to features [n, d]."""

    name: str
    forward: Callable[[Tensor], Tensor]
    device: str = "cpu"

    def features(self, images: NDArray[np.uint8], batch: int = BATCH) -> NDArray[np.float32]:
        """[n, C, H, W] uint8 -> [n, d] float32, `batch` images at a time.

        DataError for anything but images, for images that the network cannot take, and when it does not give one row
        of features for each.
        """
        if images.ndim != 4 or not images.size or images.dtype != np.uint8:
            raise DataError(f"{self.name}: takes uint8 images (n, C, H, W), one or more, not {images.dtype} "
                            f"{images.shape}")
        with one_thread(), torch.inference_mode():
            return np.concatenate([self._of(images[start : start + batch]) for start in range(0, len(images), batch)])

    def _of(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        try:
            made = self.forward(torch.tensor(images, device=self.device))
        except RuntimeError as error:
            said = str(error).strip().splitlines()[-1]
            raise DataError(f"{self.name}: failed on images {images.shape}: {said}; state the size, channels and "
                            "arguments it takes") from error
        if not isinstance(made, Tensor) or made.ndim != 2 or len(made) != len(images):
            shape = tuple(made.shape) if isinstance(made, Tensor) else type(made).__name__
            raise DataError(f"{self.name}: gave {shape} for {len(images)} images; features are ({len(images)}, d)")
        return made.to("cpu", torch.float32).numpy()


def load_network(name: str, file: NetworkFile, device: str = "cpu") -> FeatureNetwork:
    """The network in a TorchScript file; it runs only when its sha256 is what `file` names.

    DataError when the file cannot be had or is no TorchScript; ConfigError as in `network_bytes`.
    """
    data = network_bytes(file)  # what was hashed is what is loaded
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "`torch.jit.load` is deprecated", DeprecationWarning)
            module = torch.jit.load(io.BytesIO(data), map_location=device).eval()
    except RuntimeError as error:
        raise DataError(f"{file.url}: is no TorchScript: {str(error).splitlines()[0]}; make one by torch.jit.script "
                        "or torch.jit.trace") from None

    def forward(images: Tensor) -> Tensor:
        features: Tensor = module(prepared(images, file), **file.arguments)
        return features

    return FeatureNetwork(name, forward, device)


def random_network(shape: tuple[int, ...], seed: int) -> FeatureNetwork:
    """Random convolutions, always the same for one shape (C, H, W) and seed; 64 features.

    They see shape and colour and no meaning, and need neither labels nor a download (Naeem et al. 2020,
    arXiv:2002.09797, section 4).  The network is the domain's, untrained and not standardised.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Classifier(shape, classes=0)
    return FeatureNetwork("random", lambda images: network.hidden(ranged(images.to(torch.float32), "-1..1")))


def prepared(images: Tensor, file: NetworkFile) -> Tensor:
    """uint8 [n, C, H, W] to what the file's network takes, float32.  DataError for other numbers of channels."""
    if images.shape[1] not in (1, file.channels):
        raise DataError(f"{file.url}: takes {file.channels} channels; images of {images.shape[1]} are not for it")
    right_size = resized(images, file.size or (images.shape[2], images.shape[3]), file.resizer)
    return ranged(right_size.expand(-1, file.channels, -1, -1), file.range)


def ranged(levels: Tensor, to: InputRange) -> Tensor:
    """float32 levels 0 … 255 to another range.  [n, C, H, W], 3 channels for imagenet."""
    if to == "0..255":
        return levels
    if to == "0..1":
        return levels / 255
    if to == "-1..1":
        return levels / 127.5 - 1
    mean, std = (levels.new_tensor(each).view(1, 3, 1, 1) for each in (IMAGENET_MEAN, IMAGENET_STD))
    return (levels / 255 - mean) / std
