"""What a generator's first layer makes of its latent vector, whatever its family calls it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gan_core.asked import Rows
from gan_core.bundle import BATCH
from gan_core.latent import Array


@dataclass(frozen=True)
class Layer:
    """A module of a network by its name, such as 'project', and its class's, such as 'Linear'."""

    name: str
    kind: str


class _Enough(Exception):  # noqa: N818 - no error: what comes after the layer is not computed
    """Ends a forward pass at the layer that was wanted."""


def first_layer(network: nn.Module, inputs: Rows) -> Layer | None:
    """The first module with weights of its own, in the order they end, whose output depends on z.

    inputs: of two images that differ in z alone, so that what reads only the condition is passed over.  None when
    there is none but the network itself.
    """
    found: list[Layer] = []

    def look(layer: Layer) -> Any:
        def hook(module: nn.Module, given: Any, output: Any) -> None:
            if isinstance(output, Tensor) and len(output) == 2 and not torch.equal(output[0], output[1]):
                found.append(layer)
                raise _Enough

        return hook

    hooks = [module.register_forward_hook(look(Layer(name, type(module).__name__.removeprefix("Parametrized"))))
             for name, module in network.named_modules() if name and _has_weights(module)]
    try:
        _run(network, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None


def outputs_of(network: nn.Module, layer: Layer, inputs: Rows) -> Array:
    """What the layer makes of each image's inputs, [n, F]; the layers after it are not computed."""
    n = len(next(iter(inputs.values())))
    kept: list[Tensor] = []

    def keep(module: nn.Module, given: Any, output: Tensor) -> None:
        kept.append(output.flatten(1).clone())
        raise _Enough

    hook = network.get_submodule(layer.name).register_forward_hook(keep)
    try:
        for start in range(0, n, BATCH):
            _run(network, {name: values[start : start + BATCH] for name, values in inputs.items()})
    finally:
        hook.remove()
    found: Array = torch.cat(kept).numpy().astype(np.float64, copy=False)
    return found


def _has_weights(module: nn.Module) -> bool:
    return any(True for _ in module.parameters(recurse=False)) or parametrize.is_parametrized(module)


def _run(network: nn.Module, inputs: Rows) -> None:
    with torch.inference_mode():
        try:
            network(**{name: torch.from_numpy(values) for name, values in inputs.items()})
        except _Enough:
            return
