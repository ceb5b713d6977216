"""What all examples of a set must look like, and how they become columns of a shard.

Tensors are stored with their channels first.  What a source yields has them last, as image libraries do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from gan_core.config import Config
from gan_core.data.source import TENSORS, Example
from gan_core.errors import DataError

AXES = {"image": "H, W, C", "image_b": "H, W, C", "audio": "channels, T", "tokens": "T", "video": "T, H, W, C"}
TYPES: Mapping[str, Any] = {"image": np.uint8, "image_b": np.uint8, "audio": np.int16, "tokens": np.int32,
                            "video": np.uint8}


class Layout(Config):
    """What every example of a set has.  tensors: stored shape by column, channels first."""

    tensors: dict[str, tuple[int, ...]]
    labelled: bool
    weighted: bool
    attributes: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The column that holds the data proper."""
        return next(name for name in TENSORS if name in self.tensors)

    @property
    def example_bytes(self) -> int:
        return sum(int(np.prod(shape)) * np.dtype(TYPES[name]).itemsize for name, shape in self.tensors.items())


def layout_of(example: Example) -> Layout:
    """What an example has.  DataError for arrays that are not what `Example` promises."""
    tensors = _stored_shapes(example)
    if not tensors:
        raise DataError(f"holds none of {', '.join(TENSORS)}")
    return Layout(
        tensors=tensors,
        labelled=example.label is not None,
        weighted=example.weight is not None,
        attributes=tuple(sorted(example.attributes)),
    )


def _stored_shapes(example: Example) -> dict[str, tuple[int, ...]]:
    return {name: channels_first(name, value).shape for name, value in example.tensors().items()}


def channels_first(name: str, value: NDArray[Any]) -> NDArray[Any]:
    """A tensor as it is stored: [C, H, W], [channels, T], [T] or [T, C, H, W].  DataError when it is something else."""
    axes = AXES[name].split(", ")
    optional = 0 if name == "tokens" else 1
    if not isinstance(value, np.ndarray) or value.dtype != TYPES[name] or value.ndim not in {len(axes) - optional,
                                                                                               len(axes)}:
        found = f"{value.dtype} with {value.ndim} axes" if isinstance(value, np.ndarray) else type(value).__name__
        raise DataError(f"its {name} is {found}; a source yields {np.dtype(TYPES[name]).name} [{AXES[name]}]")
    if 0 in value.shape:
        raise DataError(f"its {name} is empty: shape {list(value.shape)}")
    whole = value.ndim == len(axes)
    match name:
        case "image" | "image_b":
            return value.transpose(2, 0, 1) if whole else value[None]
        case "video":
            return value.transpose(0, 3, 1, 2) if whole else value[:, None]
        case "audio":
            return value if whole else value[None]
    return value


def misfit(example: Example, layout: Layout, classes: int) -> str:
    """Why an example cannot stand among the others; '' when it can."""
    try:
        shapes = _stored_shapes(example)
    except DataError as error:
        return str(error)
    if shapes != layout.tensors:
        return (f"is {_listed(shapes)} and most others {_listed(layout.tensors)}; bring all to one size and mode with "
                "prepare.transforms, such as [{mode: rgb}, {resize: 32}]")
    label = example.label
    if (label is not None) != layout.labelled:
        return "has no label, and the others have one" if layout.labelled else "has a label, and the others have none"
    if label is not None and (not isinstance(label, int | np.integer) or isinstance(label, bool) or label < 0):
        return f"has the label {label!r}; labels are whole numbers of 0 or more"
    if classes and label is not None and label >= classes:
        return f"has the label {label}, and there are {classes} classes: 0 … {classes - 1}"
    if (example.weight is not None) != layout.weighted or {*example.attributes} != {*layout.attributes}:
        return f"has the attributes {sorted(example.attributes)}, the others {list(layout.attributes)}"
    if example.weight is not None and not (np.isfinite(example.weight) and example.weight >= 0):
        return f"has the weight {example.weight}; weights are numbers of 0 or more"
    return ""


def _listed(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items()) or "nothing"


def record_batch(good: Sequence[Example], layout: Layout) -> pa.RecordBatch:
    """Examples that fit a layout as one record batch, a column a tensor."""
    columns: dict[str, pa.Array] = {}
    for name in layout.tensors:
        stacked = np.stack([channels_first(name, example.tensors()[name]) for example in good])
        columns[name] = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(stacked))
    if layout.labelled:
        columns["label"] = pa.array([int(e.label) for e in good if e.label is not None], pa.int64())
    if layout.weighted:
        columns["weight"] = pa.array([e.weight for e in good], pa.float64())
    if layout.attributes:
        fields = [pa.array([float(e.attributes[name]) for e in good], pa.float64()) for name in layout.attributes]
        columns["attributes"] = pa.StructArray.from_arrays(fields, names=list(layout.attributes))
    return pa.RecordBatch.from_pydict(columns)


def most_common(layouts: Sequence[Layout]) -> Layout:
    """The layout that most of them are."""
    (text, _), = Counter(layout.model_dump_json() for layout in layouts).most_common(1)
    return Layout.model_validate_json(text)
