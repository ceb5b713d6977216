"""`gan explore`: the pictures of a generator made one after another, shown as they go, and written into a folder."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gan_core.errors import ConfigError
from gan_core.store import Store
from pipelines.pictures import check_folder, save
from pipelines.show import console

if TYPE_CHECKING:
    from gan_core.explore.picture import LeftOut, Picture
    from gan_core.explore.space import Space, Tell

FACTS = "explore.json"

MadeT = TypeVar("MadeT")


@dataclass(frozen=True)
class Asked:
    """What `gan explore` was asked for, as on its command line."""

    seed: int
    label: int | None
    attributes: str | None
    rows: int
    columns: int
    samples: int | None


def check_out(out: Path) -> None:
    """ConfigError for what cannot become a folder of pictures."""
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: is a file; --out {out.with_suffix('')}-explored works")
    check_folder(out, out)


def explore_model(store: Store, prefix: str, out: Path, asked: Asked) -> dict[str, Any]:
    """Writes every picture of the version at `prefix` and, last, explore.json, whose content is returned."""
    from gan_core.explore.all import FILES, NAMES, explored  # torch takes seconds to import
    from gan_core.explore.picture import Extent, Picture
    from pipelines.read_classes import reading_of

    extent = Extent(asked.rows, asked.columns, asked.samples)
    with _Bar(NAMES) as bar:
        space = _space(store, prefix, asked, bar.images)
        extent.draws(space.size)  # refused before the first picture
        made = list(bar.over(explored(space, extent, partial(reading_of, store, prefix))))
    if (out / FACTS).exists():  # what an earlier one drew here may be of a generator that has other pictures
        for name in FILES:
            (out / name).unlink(missing_ok=True)
    for each in made:
        for name, data in each.files.items() if isinstance(each, Picture) else ():
            save(data, out / name)
    facts = _facts(space, made)
    save((json.dumps(facts, indent=1, ensure_ascii=False) + "\n").encode(), out / FACTS)
    return facts


def say(facts: Mapping[str, Any], out: Path) -> None:
    """Where to look, and what was left out, on standard error."""
    for picture in facts["pictures"].values():
        console().print(f"{out / picture['files'][0]}: {picture['shows']}", soft_wrap=True)
    for name, why in facts["left_out"].items():
        console().print(f"{name}.png is left out: {why}", soft_wrap=True)


def _space(store: Store, prefix: str, asked: Asked, tell: Tell) -> Space:
    from gan_core.bundle import read_generator
    from gan_core.explore.space import Space, refuse_unexplored
    from pipelines.sample_arguments import attributes_in

    generator = read_generator(store, prefix)
    refuse_unexplored(generator)
    named = attributes_in(asked.attributes, generator.attributes, generator.uri)
    space = Space(generator, asked.seed, asked.label, named, tell)
    space.asked(1)  # a label or attributes that it does not know are refused here
    return space


def _facts(space: Space, made: list[Picture | LeftOut]) -> dict[str, Any]:
    from gan_core.explore.picture import LeftOut, Picture

    return {
        "uri": space.generator.uri, "seed": space.seed, "label": space.label, "attributes": space.attributes,
        "latent": space.size,
        "pictures": {each.name: {"files": list(each.files), **each.facts}
                     for each in made if isinstance(each, Picture)},
        "left_out": {each.name: each.why for each in made if isinstance(each, LeftOut)},
    }


class _Bar:
    """On a terminal, which picture is being made, how many there are, and how many images were made for them."""

    def __init__(self, names: Sequence[str]) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                   TextColumn("{task.fields[images]:,} images"), TimeElapsedColumn())
        out = console()
        self._bars = Progress(*columns, console=out, transient=True, disable=not out.is_terminal)
        self._task = self._bars.add_task(names[0], total=len(names), images=0)
        self._names, self._images = names, 0

    def __enter__(self) -> _Bar:
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bars.stop()

    def images(self, count: int) -> None:
        """So many more were made."""
        self._images += count
        self._bars.update(self._task, images=self._images)

    def over(self, pictures: Iterable[MadeT]) -> Iterator[MadeT]:
        """The pictures, each of which takes the name's place after its own."""
        for number, picture in enumerate(pictures, start=1):
            following = self._names[number] if number < len(self._names) else ""
            self._bars.update(self._task, completed=number, description=following)
            yield picture
