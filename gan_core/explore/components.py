"""The directions in which a generator's first layer varies most (GANSpace: Härkönen et al. 2020, arXiv:2004.02546)."""

from __future__ import annotations

import numpy as np

from gan_core.explore.first_layer import Layer, first_layer, outputs_of
from gan_core.explore.picture import Extent, LeftOut, Picture, steps, told
from gan_core.explore.space import Space
from gan_core.latent import Array, Components, principal, whitened
from gan_core.pictures import png
from gan_core.tables import table

FARTHEST = 2.0  # standard deviations that images are moved by


def components(space: Space, extent: Extent) -> Picture | LeftOut:
    """Image 0 of the seed moved along each principal component, a row each.

    The components are those of the first layer's output over many latent vectors, all asked for what image 0 is asked
    for, and z is regressed on them, as the paper does for BigGAN.  Of a network with no such layer, the images' own.
    """
    layer = first_layer(space.generator.network, space.inputs(space.draw(2), space.asked(1)))
    found, count = _found(space, extent, layer)
    if not len(found.directions):
        return LeftOut("pca", f"{space.generator.uri} makes the same image of every latent vector")
    along = np.linspace(-FARTHEST, FARTHEST, extent.columns)
    z = space.draw(1) + along[None, :, None] * found.directions[:, None, :]
    images = space.images(z.reshape(-1, space.size), space.asked(1))
    names = [f"{number + 1}   {share:.1%}" for number, share in enumerate(found.explained)]
    sheet = table(images.reshape(len(names), extent.columns, *images.shape[1:]), names,
                  steps(along), "Along principal components, in standard deviations (share of variance at the left)")
    facts = {"shows": "image 0 of the seed, moved along a principal component a row",
             "of": "the output of the first layer that reads z" if layer else
             "pixels: no layer of this network could be read",
             "layer": layer and layer.name, "layer_is": layer and layer.kind,
             "samples": count, "explained_variance": [float(f"{share:.6g}") for share in found.explained],
             "columns": along.tolist(), **told(space, space.asked(1))}
    return Picture("pca", {"pca.png": png(sheet)}, facts)


def _found(space: Space, extent: Extent, layer: Layer | None) -> tuple[Components, int]:
    """The components, and from how many latent vectors."""
    count = extent.draws(space.size)
    z = whitened(space.draw(count))
    values: Array
    if layer is None:
        values = space.images(z, space.asked(1)).reshape(count, -1) / 127.5 - 1
    else:
        values = outputs_of(space.generator.network, layer, space.inputs(z, space.asked(1)))
    return principal(values, z, extent.rows), count
