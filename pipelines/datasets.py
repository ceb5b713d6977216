"""Data sets as people ask for them: the sources that there are, the sets that are prepared, and who uses which."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import PydanticUndefined

from gan_core.config import Config
from gan_core.errors import ConfigError, DamagedFile, DataError
from gan_core.manifest import Manifest, missing_files, read_manifest
from gan_core.published import model_names, whole_versions
from gan_core.registry import SOURCES
from gan_core.store import Store
from pipelines.keys import FOLDERS, PREFIX_CHARS
from pipelines.models import lineage
from pipelines.records import RECORDS_READ, RunRecord

SHARDS = FOLDERS["prepare"]
KEY = re.compile(r"[0-9a-f]{4,64}")


@dataclass(frozen=True)
class Prepared:
    """A prepared data set.  source, experiments: as the records of this store know them.  damage: '' or what is wrong.

    manifest: None where it cannot be read.
    """

    prefix: str
    uri: str
    manifest: Manifest | None
    source: str
    experiments: tuple[str, ...]
    damage: str = ""

    @property
    def key(self) -> str:
        return self.prefix.rpartition("/")[2]

    def as_json(self) -> dict[str, Any]:
        """{"key", "uri", "source", "experiments", "splits": {split: examples}, "shape", "bytes", "created", …}."""
        facts = self.manifest.facts if self.manifest else {}
        return {
            "key": self.key,
            "uri": self.uri,
            "source": self.source,
            "experiments": list(self.experiments),
            "kind": facts.get("kind", ""),
            "shape": facts.get("shape", []),
            "classes": facts.get("classes", 0),
            "splits": {split: found["examples"] for split, found in facts.get("splits", {}).items()},
            "quarantined": facts.get("quarantined", 0),
            "bytes": sum(file.size for file in self.manifest.files) if self.manifest else 0,
            "created": self.manifest.created if self.manifest else "",
            "damage": self.damage,
        }


@dataclass(frozen=True)
class Use:
    """What the records say of one prepared set."""

    source: str
    experiments: tuple[str, ...]


def sources() -> list[dict[str, Any]]:
    """{"name", "about", "options": [{"name", "required", "default", "about"}]} of each source, by name.

    One that cannot be imported has "error" instead.
    """
    return [_described(name) for name in SOURCES]


def prepared_sets(store: Store) -> list[Prepared]:
    """Every prepared data set of a store, newest first; those that cannot be read come last, with the reason."""
    uses = _uses(store)
    found = [_prepared(store, f"{SHARDS}/{key}", uses) for key in store.names(SHARDS)]
    return sorted((one for one in found if one is not None),
                  key=lambda one: one.manifest.created if one.manifest else "", reverse=True)


def find_prepared(store: Store, address: str) -> tuple[Store, Prepared]:
    """The set that an address names: a key or the beginning of one, shards/KEY, its URL, an experiment or a source.

    ConfigError with the nearest that there is.
    """
    store, name = _split_address(store, address)
    known = prepared_sets(store)
    by_key = [one for one in known if one.key == name] or \
        [one for one in known if KEY.fullmatch(name) and one.key.startswith(name[:PREFIX_CHARS])]
    if len(by_key) > 1:
        raise ConfigError(f"{address}: {len(by_key)} prepared sets begin so: {', '.join(one.key for one in by_key)}")
    named = by_key or [one for one in known if name in one.experiments] or [one for one in known if name == one.source]
    if not named:
        raise ConfigError(_unknown(store, address, name, known))
    return store, named[0]


def whole(store: Store, prepared: Prepared) -> Manifest:
    """The manifest of a set whose files are all there.  DamagedFile names what is not."""
    if prepared.manifest is None:
        raise DamagedFile(prepared.damage)
    if missing := missing_files(store, prepared.prefix, prepared.manifest):
        raise DamagedFile(f"{prepared.uri}/{missing[0]}: is missing or has another size than its manifest says; "
                          "`gan dataset prepare` makes the set again")
    return prepared.manifest


def at_prefix(store: Store, prefix: str, experiment: str) -> Prepared:
    """The set that an experiment would use.  DataError when it is not prepared."""
    found = _prepared(store, prefix, _uses(store))
    if found is None:
        raise DataError(f"{store.uri(prefix)}: {experiment} is not prepared yet; `gan dataset prepare` does it")
    return found


def used_by(store: Store, prepared: Prepared) -> dict[str, list[str]]:
    """{"experiments", "runs", "models"}: what names this set among what it was made from."""
    digest = prepared.manifest.digest if prepared.manifest else ""
    runs = [f"runs/{key}" for key in store.names("runs") if digest in _parents(store, f"runs/{key}")]
    models = [
        f"{name}@{version}"
        for name in model_names(store)
        for version, manifest in whole_versions(store, name).items()
        if digest in {parent.digest for parent in lineage(store, manifest.parents)}
    ]
    return {"experiments": list(prepared.experiments), "runs": runs, "models": models}


def _described(name: str) -> dict[str, Any]:
    try:
        kind: type[Config] = SOURCES.get(name)
    except ConfigError as error:
        return {"name": name, "error": str(error)}
    text = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
    about = re.split(r"(?<=\.) (?=[A-Z])", text)[0].removesuffix(".")  # its first sentence
    options = [
        {
            "name": option,
            "required": field.is_required(),
            "default": json.loads(json.dumps(_plain(field.get_default(call_default_factory=True)), default=str)),
            "about": field.description or "",
        }
        for option, field in kind.model_fields.items()
        if option != "source"
    ]
    return {"name": name, "about": about, "options": sorted(options, key=lambda option: not option["required"])}


def _plain(value: Any) -> Any:
    if value is PydanticUndefined:
        return None
    return value.model_dump(mode="json") if isinstance(value, Config) else value


def _prepared(store: Store, prefix: str, uses: dict[str, Use]) -> Prepared | None:
    """None where nothing is finished."""
    use = uses.get(prefix.rpartition("/")[2], Use("", ()))
    try:
        manifest = read_manifest(store, prefix)
    except DamagedFile as error:
        return Prepared(prefix, store.uri(prefix), None, use.source, use.experiments, str(error))
    if manifest is None:
        return None
    missing = missing_files(store, prefix, manifest)
    damage = f"{store.uri(prefix)}/{missing[0]}: is missing or has another size" if missing else ""
    source = use.source or str(manifest.facts.get("source", ""))
    return Prepared(prefix, store.uri(prefix), manifest, source, use.experiments, damage)


def _uses(store: Store) -> dict[str, Use]:
    """By key, what the newest records of each experiment prepared."""
    found: dict[str, Use] = {}
    for experiment, record in _records(store):
        stage = record.stages.get("prepare")
        if stage is not None and stage.key:
            key = stage.key[:PREFIX_CHARS]
            before = found.get(key, Use("", ()))
            names = tuple(dict.fromkeys([*before.experiments, experiment]))
            found[key] = Use(before.source or str(stage.config.get("data.source", "")), names)
    return found


def _records(store: Store) -> Iterator[tuple[str, RunRecord]]:
    """(experiment, record): the newest few of each experiment; one that cannot be read tells nothing."""
    for name in store.names("experiments"):
        for file in sorted(store.names(f"experiments/{name}"), reverse=True)[:RECORDS_READ]:
            try:
                yield name, RunRecord.model_validate_json(store.read(f"experiments/{name}/{file}"))
            except ValidationError:
                continue


def _parents(store: Store, prefix: str) -> set[str]:
    try:
        manifest = read_manifest(store, prefix)
    except DamagedFile:
        return set()
    return {parent.digest for parent in manifest.parents} if manifest else set()


def _split_address(store: Store, address: str) -> tuple[Store, str]:
    """A whole URL brings its own store."""
    above, slash, key = address.rstrip("/").rpartition(f"{SHARDS}/")
    if above and slash:
        return Store(above.rstrip("/") or "/"), key
    return store, key or address


def _unknown(store: Store, address: str, name: str, known: list[Prepared]) -> str:
    if not known:
        return f"{address}: nothing is prepared in {store.url}; `gan dataset prepare EXPERIMENT.yaml` does it"
    names = sorted({*(one.key for one in known), *(e for one in known for e in one.experiments),
                    *(one.source for one in known if one.source)})
    near = get_close_matches(name, names, n=1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return f"unknown data set '{address}' in {store.url}; {hint}prepared: {', '.join(names)}"
