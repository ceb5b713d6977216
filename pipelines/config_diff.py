"""How the settings of two experiments differ, and which stages that makes anew."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan_core.addresses import resolve
from gan_core.config import Experiment, experiment_from
from gan_core.errors import ConfigError
from gan_core.manifest import read_named
from gan_core.published import published_manifest
from gan_core.store import Store
from pipelines.compared_version import dotted
from pipelines.keys import STAGES, code, inputs_of, settings
from pipelines.profile import load_profile
from pipelines.records import read_record
from pipelines.run import with_profile

UNSET = "unset"
GATE = "gate"  # judged anew whenever it differs, and in no key


@dataclass(frozen=True)
class Difference:
    """One setting.  a, b: its values, UNSET where a side has none.  stage: whose key it is in, GATE, or ''."""

    setting: str
    a: Any
    b: Any
    stage: str


def settled(what: str, store: Store, overrides: Sequence[str], profile: str | None) -> Experiment:
    """The settings of an experiment's file, a recorded run (experiments/NAME/TIME.json) or a published version.

    overrides, profile: of a file alone; what has run stays as it ran.  ConfigError for what is none of them.
    """
    if what.endswith((".yaml", ".yml")) or Path(what).is_file():
        return with_profile(what, overrides, load_profile(profile))
    if what.startswith("experiments/") and what.endswith(".json"):
        record = read_record(store, what)
        if record is None:
            raise ConfigError(f"{what}: no such run in {store.url}; experiments/NAME/TIME.json works")
        return experiment_from(record.experiment, what)
    place, prefix = resolve(what, store)
    config = read_named(place, prefix, published_manifest(place, prefix), "config.json")
    return experiment_from(json.loads(config), what)


def differences(a: Experiment, b: Experiment) -> list[Difference]:
    """Every setting that differs, in the order of the file."""
    left, right = dict(dotted(a.as_json())), dict(dotted(b.as_json()))
    read_by = {name: stage for stage in STAGES for one in (a, b) for name in settings(one, stage)}
    gates = {name: GATE for name in {**left, **right} if name.startswith("publish.gate")}
    return [Difference(name, left.get(name, UNSET), right.get(name, UNSET), {**read_by, **gates}.get(name, ""))
            for name in {**left, **right} if left.get(name, UNSET) != right.get(name, UNSET)]


def stages_anew(a: Experiment, b: Experiment) -> list[str]:
    """The stages whose keys differ by settings, by code or by what they are made from; of data of one content."""
    found: list[str] = []
    for stage in STAGES:
        upstream = {*inputs_of(a, stage), *inputs_of(b, stage)}
        begun = stage == "train" and a.train.init_from != b.train.init_from
        if (begun or upstream & set(found) or inputs_of(a, stage) != inputs_of(b, stage)
                or settings(a, stage) != settings(b, stage) or code(a, stage) != code(b, stage)):
            found.append(stage)
    return found
