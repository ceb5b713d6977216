"""What lies between latent vectors, what another class makes of one, and what remains nearer to the middle."""

from __future__ import annotations

import math

import numpy as np

from gan_core.explore.picture import MOST_ROWS, Extent, LeftOut, Picture, row_names, spread, told
from gan_core.explore.space import Space, repeated, tiled
from gan_core.latent import slerp, truncated
from gan_core.pictures import gif, grid, png
from gan_core.tables import table

FRAMES = 4  # of the moving picture from one column to the next
MILLISECONDS = 60  # of a frame
THRESHOLDS = (1.0, 0.8, 0.6, 0.4, 0.2)


def interpolation(space: Space, extent: Extent) -> Picture:
    """Rows from one latent vector to another on the arc between them; the GIF goes there and back in all rows."""
    steps = FRAMES * (extent.columns - 1) + 1
    at = np.linspace(0, 1, steps)
    ends, asked = space.draw(2 * extent.rows), space.asked(extent.rows)
    z = np.concatenate([slerp(start, end, at) for start, end in ends.reshape(extent.rows, 2, -1)])
    images = space.images(z, repeated(asked, steps))
    images = images.reshape(extent.rows, steps, *images.shape[1:])
    pairs = [(2 * row, 2 * row + 1) for row in range(extent.rows)]
    columns = at[::FRAMES]
    sheet = table(images[:, ::FRAMES], row_names(space, asked, [f"{a} to {b}" for a, b in pairs]),
                  [f"{share:.3g}" for share in columns], "From one latent vector to another")
    there_and_back = [*range(steps), *range(steps - 2, 0, -1)]
    across = math.ceil(math.sqrt(extent.rows))
    frames = [grid(images[:, step], across) for step in there_and_back]
    facts = {"shows": "spherical interpolation between two latent vectors, a row each; the GIF has all rows at once",
             "rows": [{"from": a, "to": b} for a, b in pairs], **told(space, asked), "columns": columns.tolist()}
    return Picture("interpolation", {"interpolation.png": png(sheet), "interpolation.gif": gif(frames, MILLISECONDS)},
                   facts)


def classes(space: Space, extent: Extent) -> Picture | LeftOut:
    """A latent vector a column, a class a row; 20 classes spread over them where there are more."""
    generator = space.generator
    if not generator.classes:
        why = "its images are asked for by attributes, which attributes.png shows" if generator.attributes else \
            f"{generator.uri} was trained without labels"
        return LeftOut("classes", why)
    labels = spread(generator.classes, MOST_ROWS)
    (condition,) = space.asked(1)
    z = np.tile(space.draw(extent.columns), (len(labels), 1))
    images = space.images(z, {condition: np.repeat(np.array(labels, np.int64), extent.columns)})
    sheet = table(images.reshape(len(labels), extent.columns, *images.shape[1:]),
                  [f"class {label}" for label in labels], [f"z {number}" for number in range(extent.columns)],
                  "A latent vector a column, a class a row")
    facts = {"shows": "one latent vector a column, one class a row", "labels": labels,
             "columns": list(range(extent.columns))}
    return Picture("classes", {"classes.png": png(sheet)}, facts)


def truncation(space: Space, extent: Extent) -> Picture:
    """The seed's first images, and the same with no number of z beyond a threshold, the lowest in the last row."""
    z, asked = space.draw(extent.columns), space.asked(extent.columns)
    kept = [z, *(truncated(z, most) for most in THRESHOLDS)]
    images = space.images(np.concatenate(kept), tiled(asked, len(kept)))
    images = images.reshape(len(kept), extent.columns, *images.shape[1:])
    names = row_names(space, asked, [f"z {number}" for number in range(extent.columns)])
    sheet = table(images, ["any z", *(f"|z| < {most}" for most in THRESHOLDS)], names,
                  "The same latent vectors, truncated lower from row to row")
    facts = {"shows": "the same latent vectors a column, truncated at a lower threshold a row; the first row is whole",
             "thresholds": [None, *THRESHOLDS], "columns": list(range(extent.columns)), **told(space, asked),
             "spread": [round(float(row.std(axis=0).mean()), 2) for row in images],
             "spread_is": "standard deviation of a pixel over the columns, in levels of 256, mean of all pixels"}
    return Picture("truncation", {"truncation.png": png(sheet)}, facts)
