"""What `gan config show` says of cost: networks, operations, memory, counted for the data that an experiment names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, NamedTuple

from rich.table import Table

from gan_core.config import Elastic, Experiment
from gan_core.data.attributes import Seen, attributes_in, seen_in
from gan_core.data.layout import layout_of, most_common
from gan_core.data.source import Example, source_of
from gan_core.data.transforms import apply
from gan_core.errors import ConfigError, DataError
from gan_core.manifest import read_manifest
from gan_core.modalities.form import Form
from gan_core.recipes.recipe import DataSpec
from gan_core.store import Store
from gan_core.train.cost import Cost, count, expected_switches
from gan_core.train.distributed import own_device
from gan_core.train.too_large import in_words
from pipelines.plan import Planner
from pipelines.show import console

READ = 256  # examples of a set that is not prepared; their labels and attributes stand for all
UNITS = ("", "k", "M", "G", "T", "P", "E")


def show_cost(experiment: Experiment, store: str) -> None:
    """The table on standard error, or one line that says why there is none.

    ConfigError when the data is known and the recipe or its networks are not made for it: no run would work.
    """
    counted = _counted_or_why(experiment, store)
    if counted is None:
        return
    out = console()
    out.print()
    out.print(_networks(counted.cost))
    out.print()
    for line in _step(experiment, counted):
        out.print(line, soft_wrap=True)


def cost_or_none(experiment: Experiment, store: str) -> dict[str, Any] | None:
    """The cost as plain values; None, and one line on standard error, where it cannot be counted.

    ConfigError as of `show_cost`.
    """
    counted = _counted_or_why(experiment, store)
    return None if counted is None else counted.cost.as_json()


class Counted(NamedTuple):
    """A cost, the data that it was counted for, and how that is known."""

    cost: Cost
    data: DataSpec
    known: str


def _counted_or_why(experiment: Experiment, store: str) -> Counted | None:
    """Of the fewest workers, and so the largest shares, that the experiment lets there be; on this machine's device."""
    workers, device = experiment.train.workers, own_device()
    world = workers.min if isinstance(workers, Elastic) else workers
    try:
        data, known = data_of(experiment, Store(store))
    except Exception as error:  # a data set's own code may raise anything, and the settings are shown already
        _say_not_known(error)
        return None
    try:
        switches = expected_switches(experiment.train, device)
        return Counted(count(experiment, data, switches, world=world, device=device), data, known)
    except ConfigError:
        raise
    except Exception as error:  # so may a recipe's
        _say_not_known(error)
        return None


def _say_not_known(error: Exception) -> None:
    first = (str(error).strip() or type(error).__name__).splitlines()[0]
    console().print(f"what a step costs is not known: {first}", soft_wrap=True)


def data_of(experiment: Experiment, store: Store) -> tuple[DataSpec, str]:
    """What a recipe must know of an experiment's data, and how that is known: as prepared in the store, or as read.

    Prepares nothing.  DataError where the data is not there or cannot be used.
    """
    manifest = read_manifest(store, Planner(store, experiment).step("prepare", {}).prefix)
    if manifest is None:
        return _as_read(experiment), f"the data as its first {READ} examples are, for it is not prepared"
    facts = manifest.facts
    columns = facts["splits"]["train"].get("attributes", {})
    seen = {name: Seen.model_validate(column) for name, column in columns.items()}
    data = _spec(experiment, tuple(facts["shape"]), facts["classes"], facts["kind"], facts, seen)
    return data, "the data as prepared"


def _as_read(experiment: Experiment) -> DataSpec:
    source, examples = source_of(experiment), [*_usable(experiment)]
    if not examples:
        raise DataError(f"data.source={experiment.source} yields no training example that can be used; "
                        "`gan dataset check` says why")
    layout, facts = most_common([layout_of(example) for example in examples]), source.facts()
    labels = [example.label for example in examples if example.label is not None]
    classes = max(max(labels) + 1, len(facts.get("class_names", ()))) if labels else 0
    columns: dict[str, Sequence[float]] = {
        name: [example.attributes[name] for example in examples if name in example.attributes]
        for name in layout.attributes}
    return _spec(experiment, layout.tensors[layout.kind], classes, layout.kind, facts, seen_in(columns))


def _usable(experiment: Experiment) -> Iterator[Example]:
    """The first examples that can be used, as they would be stored."""
    source = source_of(experiment)
    items = source.part("train", 0, READ) if source.splits() else islice(source.examples("train"), READ)
    for item in items:
        if isinstance(item, Example):
            with suppress(DataError):
                yield apply(item, experiment.prepare.transforms)


def _spec(
    experiment: Experiment, shape: tuple[int, ...], classes: int, kind: str, facts: Mapping[str, Any],
    seen: Mapping[str, Seen],
) -> DataSpec:
    wanted = getattr(experiment.model, "attributes", ())
    return DataSpec.of(Form.of(kind, shape, facts), classes, attributes_in(seen, wanted), facts)


def _networks(cost: Cost) -> Table:
    table = Table("network", "parameters", "FLOPs an image", box=None, pad_edge=False, header_style="bold")
    for network in cost.networks:
        table.add_row(network.name, f"{network.parameters:,}", scaled(network.flops))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _step(experiment: Experiment, counted: Counted) -> tuple[str, ...]:
    cost, shape = counted.cost, "x".join(map(str, counted.data.shape))
    workers = f"each of {cost.world} workers" if cost.world > 1 else "one worker"
    parts = f", in {experiment.train.accumulate} parts" if experiment.train.accumulate > 1 else ""
    return (
        f"a step     {cost.rows} images of {shape} for {workers}{parts}",
        f"FLOPs      {scaled(cost.flops)}, of all phases, forward and backward",
        f"memory     {in_words(cost.peak)} at its peak; {in_words(cost.kept)} of it stay: weights, gradients, "
        "optimizers, averages",
        f"counted, not measured; {counted.known}",
    )


def scaled(number: int) -> str:
    """1720000 → '1.72 M'."""
    value, unit = float(number), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {UNITS[unit]}".rstrip()

