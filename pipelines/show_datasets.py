"""What a person sees of data sets: the table of sources, the table of prepared sets, and one of them in full."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from gan_core.data.shards import open_shards
from gan_core.errors import ConfigError
from gan_core.manifest import Manifest
from gan_core.store import Store
from pipelines.datasets import Prepared, at_prefix, find_prepared, used_by, whole
from pipelines.pictures import check_png, save_png
from pipelines.preview import preview
from pipelines.show import LOG_WIDTH, console

MOST_CLASSES = 20  # listed with their counts
UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def sources_table(known: Iterable[dict[str, Any]]) -> None:
    """A line a source: its name, its options, and what it reads.  Options that must be given are marked *."""
    table = _table("source", "options (* must be given)", "reads")
    for source in known:
        if "error" in source:
            table.add_row(source["name"], "", source["error"])
            continue
        options = ", ".join(option["name"] + ("*" if option["required"] else "") for option in source["options"])
        table.add_row(source["name"], options, source["about"])
    _out().print(table)


def prepared_table(sets: Iterable[Prepared]) -> None:
    """A line a prepared set."""
    table = _table("prepared", "source", "for", "examples", "shape", "size", "when")
    for column in table.columns:
        column.no_wrap = column.header in ("prepared", "shape", "size", "when")
    for one in sets:
        told = one.as_json()
        counts = " + ".join(f"{count:,}" for count in told["splits"].values() if count)
        shape = "x".join(map(str, told["shape"]))
        row = ["damaged", "", "", ""] if one.damage else [counts, shape, human(told["bytes"]), told["created"][:10]]
        table.add_row(one.key, one.source, ", ".join(one.experiments), *row)
    _out().print(table)
    for one in sets:
        if one.damage:
            console().print(one.damage)


@dataclass(frozen=True)
class Shown:
    """One prepared set in full, with the preview that was drawn of it."""

    prepared: Prepared
    manifest: Manifest
    used: dict[str, list[str]]
    picture: Path

    def as_json(self) -> dict[str, Any]:
        """`Prepared.as_json`, with class_names, histograms, parents, digest, used_by and the preview's path."""
        facts = self.manifest.facts
        return {
            **self.prepared.as_json(),
            "class_names": facts.get("class_names", []),
            "histograms": {split: found["histogram"] for split, found in facts["splits"].items()},
            "columns": facts.get("columns", {}),
            "digest": self.manifest.digest,
            "used_by": self.used,
            "preview": str(self.picture),
        }

    def say(self) -> None:
        """All of it, for a person."""
        told, facts = self.as_json(), self.manifest.facts
        listed = f": {told['uri']}/quarantine.jsonl" if told["quarantined"] else ""
        table = Table(box=None, show_header=False, pad_edge=False)
        for name, value in (
            ("prepared", told["uri"]),
            ("key", self.manifest.key),
            ("source", told["source"] or "unknown: no run is recorded here"),
            ("holds", f"{told['kind']} {'x'.join(map(str, told['shape']))}"),
            *((split, f"{found['examples']:,}") for split, found in facts["splits"].items()),
            ("classes", str(told["classes"] or "none")),
            ("left out", f"{told['quarantined']:,}{listed}"),
            ("size", human(told["bytes"])),
            ("when", told["created"].replace("T", " ")),
            ("used by", ", ".join(name for names in self.used.values() for name in names) or "nothing yet"),
            ("preview", str(self.picture)),
        ):
            table.add_row(name, value)
        _out().print(table)
        if told["classes"]:
            _out().print()
            _out().print(_classes(facts))


def show_dataset(address: str, store: Store, overrides: Iterable[str], out: Path | None) -> Shown:
    """One prepared set, with its preview drawn.

    ConfigError for an address that names none and for a file that cannot be written; DamagedFile for a damaged set.
    """
    if address.endswith((".yaml", ".yml")):
        from pipelines.profile import Profile
        from pipelines.run import open_experiment

        opened = open_experiment(address, store.url, overrides, Profile(), ())
        prepared = at_prefix(store, opened.planner.step("prepare", {}).prefix, address)
    else:
        if list(overrides):
            raise ConfigError(f"--set goes with an experiment's YAML file, and {address} is none")
        store, prepared = find_prepared(store, address)
    manifest = whole(store, prepared)
    picture = out or Path(f"preview-{prepared.key}.png")
    check_png(picture)
    save_png(preview(open_shards(store, prepared.prefix)), picture)
    return Shown(prepared, manifest, used_by(store, prepared), picture)


def human(size: int) -> str:
    """1536 → '1.5 KiB'."""
    scaled, unit = float(size), 0
    while scaled >= 1024 and unit < len(UNITS) - 1:
        scaled, unit = scaled / 1024, unit + 1
    return f"{size} bytes" if unit == 0 else f"{scaled:.3g} {UNITS[unit]}"


def _classes(facts: dict[str, Any]) -> Table:
    """Examples by class and split; the largest classes where there are many."""
    names = facts.get("class_names", [])
    splits = [split for split, found in facts["splits"].items() if found["examples"]]
    table = _table("class", *splits)
    for column in table.columns[1:]:
        column.justify = "right"
    histograms = [facts["splits"][split]["histogram"] for split in splits]
    labels = sorted(range(facts["classes"]), key=lambda label: -sum(h.get(str(label), 0) for h in histograms))
    for label in sorted(labels[:MOST_CLASSES]):
        name = f"{label} {names[label]}" if label < len(names) and names[label] != str(label) else str(label)
        table.add_row(name, *(f"{histogram.get(str(label), 0):,}" for histogram in histograms))
    if len(labels) > MOST_CLASSES:
        table.add_row(f"… and {len(labels) - MOST_CLASSES:,} smaller ones", *("" for _ in splits))
    return table


def _table(*heads: str) -> Table:
    table = Table(*heads, box=None, pad_edge=False, header_style="bold")
    for column in table.columns:
        column.overflow = "fold"
    return table


def _out() -> Console:
    """Standard output; lines are not folded where it is no terminal."""
    out = Console(markup=False, highlight=False)
    return out if out.is_terminal else Console(markup=False, highlight=False, width=LOG_WIDTH)
