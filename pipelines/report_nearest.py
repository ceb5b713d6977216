"""Generated examples beside the training examples that are nearest to them: whether any is a copy."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gan_core.data.shards import Split
from gan_core.errors import DataError
from gan_core.metrics.maps import evenly
from gan_core.metrics.nearest import Nearest, nearest, nearest_few
from gan_core.modalities.modality import Modality
from gan_core.pictures import png
from gan_core.tables import table
from pipelines.parts import Near, Neighbour, Sheet

SHOWN = 6  # samples of each of the two pictures
NEIGHBOURS = 3
MOST = 1000  # of either side that neighbours are sought of
COPY = 0.25  # of the usual distance, below which a sample is looked at as a copy

Features = NDArray[Any]


def near_training(
    images: NDArray[Any], fake: Features, real: Features, train_features: Features, train: Split, modality: Modality
) -> Near:
    """The samples nearest to training examples, and some spread evenly over all, with three neighbours each.

    images: generated, as they are stored, and fake, real, train_features: `domain` features of these, of held-out real
    examples and of all of `train`, [m, d], [n, d] and [N, d].  DataError where real examples have no distance to the
    training examples, being among them.
    """
    held_out = nearest(real[evenly(len(real), MOST)], train_features).distances
    usual = float(np.median(held_out))
    if not usual:
        raise DataError("most of the real examples are training examples, which gives no usual distance; set "
                        "evaluate.split to a split that was not trained on")
    asked = evenly(len(fake), MOST)
    found = nearest_few(fake[asked], train_features, min(NEIGHBOURS, len(train_features)))
    closest = found.distances[:, 0].argsort(kind="stable")
    first, others = closest[:SHOWN], np.sort(closest[SHOWN:])
    chosen = [("Nearest to training examples", f"of {len(asked):,} samples", first),
              ("Any samples", "spread evenly over the others", others[evenly(len(others), SHOWN)])]
    rows = {title: [_neighbour(place, asked, found, usual) for place in places] for title, _, places in chosen}
    sheets = [_sheet(title, says, rows[title], images, train, modality)
              for title, says, places in chosen if len(places)]
    reading = _reading(found.distances[:, 0] / usual, float(held_out.min()) / usual)
    return Near(usual, reading, [row for each in rows.values() for row in each], sheets)


def _neighbour(place: int, asked: NDArray[np.int64], found: Nearest, usual: float) -> Neighbour:
    distances = found.distances[place]
    return Neighbour(int(asked[place]), tuple(found.indices[place].tolist()), tuple(distances.tolist()),
                     tuple((distances / usual).tolist()))


def _sheet(
    title: str, says: str, rows: list[Neighbour], images: NDArray[Any], train: Split, modality: Modality
) -> Sheet:
    cells = np.stack([modality.views(np.concatenate([images[[row.sample]], train.gather(np.array(row.training))]))
                      for row in rows])
    columns = ["sample", "nearest", "2nd", "3rd"][: cells.shape[1]]
    captions = [["", *(f"{share:.2f}" for share in row.relative)] for row in rows]
    picture = table(cells, [str(row.sample) for row in rows], columns, "", captions)
    alt = f"{len(rows)} generated images, each beside its nearest training images; relative distances below them"
    return Sheet(title, says, alt, png(picture))


def _reading(relative: NDArray[np.float64], held_out: float) -> str:
    """One sentence.  relative: [m], of each sample.  held_out: of the nearest real example that was not trained on."""
    least = float(relative.min())
    said = f"The nearest sample lies at {least:.2g} times the usual distance, the nearest held-out example at " \
           f"{held_out:.2g} times"
    if least >= COPY:
        return f"{said}: none looks like a copy."
    return f"{said}: look for copies." if least < held_out else f"{said}: the data set has near copies of its own."
