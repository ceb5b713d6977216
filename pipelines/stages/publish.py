"""Publish: a trained and measured generator becomes an immutable version; a gate decides on champion.

In this order, so that a kill anywhere leaves no version or a whole one, and the next start goes on there:

    1. the version, whole or absent       models/<name>/versions/<NNNN>/
    2. alias latest                       unless a newer version is whole
    3. alias champion                     when the gate lets the version through
    4. the gate's verdict                 last: with it, publishing is done

A version holds data only.  Nothing in it depends on when or where it was published, its manifest and one part of its
report apart: its number, its date, and how it stands against the versions that were there (`pipelines.standing`).
Its ONNX model is made here of the generator's weights; a network that has none is published without.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from gan_core.addresses import CHAMPION, LATEST, Alias, alias_moves
from gan_core.config import Bound, Experiment
from gan_core.errors import NotExportable, StoreError
from gan_core.manifest import Manifest, Parent, artefact, damaged_files, read_manifest, read_named
from gan_core.published import is_whole, version_prefix
from gan_core.store import Store
from pipelines.admission import admissions, admit, complete
from pipelines.gate import judge, relative_metrics
from pipelines.handles import Published
from pipelines.model_card import Onnx, mixed_of, model_card
from pipelines.models import (
    ATTEMPTS,
    Standard,
    Verdict,
    find_version,
    gate_path,
    lineage,
    next_version,
    now,
    read_verdict,
    set_alias,
    who,
)
from pipelines.promote import standing

Beside = Callable[[str, str, tuple[str, ...]], Standard]
"""(champion, version that would replace it, metrics) to the champion's numbers: `pipelines.champion.standard`."""

FROM_RUN = ("generator.json", "generator.safetensors", "networks.safetensors")
FROM_SCORES = ("metrics.json", "samples.png", "report.html", "report.json")


def publish(
    store: Store,
    experiment: Experiment,
    *,
    key: str,
    run_prefix: str,
    scores_prefix: str,
    parents: tuple[Parent, ...],
    beside: Beside,
) -> Published:
    """Makes a version of a run and its scores, unless that stage key has one, and has the gate judge it.

    beside: the champion's numbers on what these scores were measured on, asked for where rules are relative to it.
    A refused gate is no error: the version is published and `latest`, and `refusals` says what failed, in the
    run that judged.  DamagedFile names an input that is not what its manifest says; then there is no version.
    """
    name, gate = experiment.name, experiment.publish.gate
    version = _version_for(store, experiment, key, run_prefix, scores_prefix, parents)
    uri = store.uri(version_prefix(name, version))
    judged = read_verdict(store, name, version, gate)
    if judged is not None:  # since then an operator may have moved the aliases, and has the last word
        return Published(uri, version, promoted=judged.passed, refusals=())

    def stands(current: Alias) -> bool:
        newer = int(current.version) > int(version) and is_whole(store, name, current.version)
        return newer or current.version == version

    set_alias(store, name, LATEST, version, why="published", unless=stands)
    verdict = _judged(store, name, version, gate, beside)
    with contextlib.suppress(FileExistsError):  # another process judged the same numbers by the same rules
        store.create(gate_path(name, version, gate), verdict.model_dump_json(indent=1).encode())
    return Published(uri, version, promoted=verdict.passed, refusals=verdict.refusals, judged=True)


def _judged(store: Store, name: str, version: str, gate: Mapping[str, Bound], beside: Beside) -> Verdict:
    """What the gate says of a version, which is champion where it passes.

    A version that passes relative rules takes the place of the very champion that it was judged beside: where another
    got there first, it is judged again.
    """
    metrics, relative = _metrics_of(store, name, version), relative_metrics(gate)
    for _ in range(ATTEMPTS):
        champion = _champion_before(store, name, version) if relative else None
        measured_by = beside(champion, version, relative) if champion else None
        refusals = tuple(map(str, judge(metrics, gate, measured_by)))
        notes = _notes(relative) if champion is None else ()
        verdict = Verdict(version=version, gate=dict(gate), passed=not refusals, refusals=refusals, when=now(),
                          who=who(), champion=measured_by, notes=notes)
        if refusals or _promoted(store, name, verdict, champion if relative else None):
            return verdict
    raise StoreError(f"{store.uri('models')}/{name}: the champion changed {ATTEMPTS} times while {version} was judged; "
                     "see who else publishes there")


def _promoted(store: Store, name: str, verdict: Verdict, champion: str | None) -> bool:
    """Whether the version is champion now; not so where it was judged beside another champion than stands there."""
    beside = f", beside champion {verdict.champion.version}" if verdict.champion else ""
    why = f"passed the gate: {', '.join(verdict.gate) or 'no bounds'}{beside}"

    def stands(current: Alias) -> bool:
        return current.version == verdict.version or (bool(relative_metrics(verdict.gate))
                                                      and current.version != champion)

    return set_alias(store, name, CHAMPION, verdict.version, why=why, unless=stands).version == verdict.version


def _notes(relative: tuple[str, ...]) -> tuple[str, ...]:
    return (f"no champion yet: what {', '.join(relative)} must be beside it passes",) if relative else ()


def _champion_before(store: Store, name: str, version: str) -> str | None:
    """The champion, or where that is this version itself the one before it, as when a kill came after the promotion."""
    others = [one for one in standing(alias_moves(store, name, CHAMPION)) if one != version]
    return others[-1] if others else None


def is_published(store: Store, experiment: Experiment, key: str) -> tuple[str | None, bool]:
    """The whole version of that stage key, and whether the experiment's gate has judged it."""
    version = find_version(store, experiment.name, key)
    if version is None:
        return None, False
    return version, store.exists(gate_path(experiment.name, version, experiment.publish.gate))


def _version_for(
    store: Store,
    experiment: Experiment,
    key: str,
    run_prefix: str,
    scores_prefix: str,
    parents: tuple[Parent, ...],
) -> str:
    """The version of that key: the one there is, if every byte of it is right, else a new one."""
    files: dict[str, bytes] = {}
    onnx = Onnx()
    others: set[str] = set()
    for _ in range(ATTEMPTS):
        # the number first: a version of this key that another process makes after the look then takes it
        number = next_version(store, experiment.name)
        admitted = 0 if store.is_local else admissions(store, experiment.name, key)
        version = find_version(store, experiment.name, key, others)
        if version is None and admitted:
            version = complete(store, experiment.name, key, admitted)
        if version is not None and not _damaged(store, version_prefix(experiment.name, version)):
            return version
        if not files:
            files, onnx = _bundle(store, experiment, run_prefix, scores_prefix, parents)
        told = _told(store, experiment, number, key, parents, files)
        try:
            prefix = version_prefix(experiment.name, number)
            allowed = partial(admit, store, experiment.name, key, admitted, number)
            with artefact(store, prefix, kind="version", key=key, parents=parents, exclusive=True,
                          admit=allowed) as draft:
                for path, data in {**files, **told}.items():
                    (draft.path / path).write_bytes(data)
                draft.facts |= _facts(experiment, json.loads(files["metrics.json"]))
                draft.facts |= {"create": store.protocol().facts, "onnx": onnx.facts()}
            return number
        except FileExistsError:
            continue
    raise StoreError(f"{store.uri('models')}/{experiment.name}: no free number in {ATTEMPTS} attempts; "
                     "see who else publishes there, and that its directory can be written")


def _bundle(
    store: Store, experiment: Experiment, run_prefix: str, scores_prefix: str, parents: tuple[Parent, ...]
) -> tuple[dict[str, bytes], Onnx]:
    """Every file of a version, by path; inputs are checked against their manifests as they are read."""
    run, scores = _finished(store, run_prefix), _finished(store, scores_prefix)
    files = {path: read_named(store, run_prefix, run, path) for path in FROM_RUN}
    files |= {path: read_named(store, scores_prefix, scores, path) for path in FROM_SCORES}
    files["config.json"] = (json.dumps(experiment.as_json(), indent=1) + "\n").encode()
    onnx = _with_onnx(files, store.uri(run_prefix))
    card = model_card(
        experiment,
        metrics=json.loads(files["metrics.json"]),
        specification=json.loads(files["generator.json"]),
        origin=[(p.kind, _short(store, p.uri), p.digest) for p in lineage(store, parents)],
        versions=run.versions,
        onnx=onnx,
        mixture=mixed_of(run.facts.get("mixture", {})),
    )
    files["README.md"] = card.encode()
    return files, onnx


def _with_onnx(files: dict[str, bytes], uri: str) -> Onnx:
    """Adds generator.onnx to a version's files, and to generator.json what it is; where there is none, says why."""
    from gan_core.export import exported  # with torch, which a plan does not need

    specification = files["generator.json"]
    try:
        made = exported(specification, files["generator.safetensors"], uri)
    except NotExportable as error:
        return Onnx(left_out=str(error))
    files["generator.onnx"] = made.model
    onnx = {"file": "generator.onnx", "output": made.output, "difference": made.difference}
    files["generator.json"] = (json.dumps(json.loads(specification) | {"onnx": onnx}, indent=1) + "\n").encode()
    return Onnx(made.difference, made.images, made.runtime)


def _told(
    store: Store, experiment: Experiment, number: str, key: str, parents: tuple[Parent, ...], files: dict[str, bytes]
) -> dict[str, bytes]:
    """The files that say how the version of that number stands against others."""
    from pipelines.standing import stood  # with templates and pictures, which a plan does not need

    return stood(store, experiment.name, number, key=key, parents=parents, files=files)


def _finished(store: Store, prefix: str) -> Manifest:
    manifest = read_manifest(store, prefix)
    if manifest is None:
        raise StoreError(f"{store.uri(prefix)}: is not finished, it has no manifest; `gan run` makes it")
    return manifest


def _damaged(store: Store, prefix: str) -> list[str]:
    return damaged_files(store, prefix, _finished(store, prefix))


def _metrics_of(store: Store, name: str, version: str) -> dict[str, dict[str, Any]]:
    prefix = version_prefix(name, version)
    metrics: dict[str, dict[str, Any]] = json.loads(
        read_named(store, prefix, _finished(store, prefix), "metrics.json")
    )
    return metrics


def _facts(experiment: Experiment, metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a list of models shows without opening more than manifests."""
    return {
        "source": experiment.source,
        "recipe": experiment.recipe,
        "metrics": {name: measured["value"] for name, measured in metrics.items()},
    }


def _short(store: Store, uri: str) -> str:
    return uri.removeprefix(f"{store.url}/")
