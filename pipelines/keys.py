"""Stage keys: a name for a result before it is made, from all that it depends on and nothing else.

key = sha256 of canonical JSON of {stage, the settings it reads, the digests of its inputs, the digest of its code}.
The code is the source of the first-party modules that the stage imports, found by reading them, not by running them,
so that a plan costs no import of torch.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gan_core.config import FD_DOMAIN, Config, Experiment, key_fields
from gan_core.errors import ConfigError
from gan_core.manifest import Manifest, canonical_digest
from gan_core.registry import FAMILIES, RECIPES, SOURCES

STAGES = ("prepare", "train", "evaluate", "publish")
INPUTS: Mapping[str, tuple[str, ...]] = {
    "prepare": (),
    "train": ("prepare",),
    "evaluate": ("prepare", "train"),
    "publish": ("train", "evaluate"),
    "tune": ("prepare",),
}
BLOCKS: Mapping[str, tuple[str, ...]] = {
    "prepare": ("data", "prepare"),
    "train": ("seed", "model", "train"),
    "evaluate": ("evaluate",),
    "publish": ("name", "publish"),
    "tune": ("seed", "model", "train", "tune"),
}
IMAGE_B = "image_b"  # the column of pairs that is not the primary one
INIT_FROM = "init_from"  # one more input of train, where it is set: the version whose weights it begins with
SEEN = "seen"
FEATURES = "features"  # and one more, where it decides by fd_domain: the network that this is measured with
REFERENCES = "references"  # champions measured on others' data
AUGMENTATIONS = "augmentations"  # what generators' examples add to classifiers
FOLDERS: Mapping[str, str] = {"prepare": "shards", "train": "runs", "evaluate": "scores", "tune": "tune"}
PREFIX_CHARS = 16  # of a key, in the name of what it makes
FIRST_PARTY = ("gan_core", "pipelines")
PLUGGED_IN = "gan_core.data.plugin"  # what stands between a plug-in's source and the stage
MEASURED_BY = "gan_core.metrics.in_training"  # what training is watched with; part of it where it decides


def inputs_of(experiment: Experiment, stage: str) -> tuple[str, ...]:
    """The artefacts of this pipeline that a stage is made from."""
    return (*INPUTS[stage], FEATURES) if stage == "train" and decides_by_fd(experiment) else INPUTS[stage]


def decides_by_fd(experiment: Experiment) -> bool:
    """Whether fd_domain chooses the checkpoint or ends the run; else it only shows how training goes."""
    return experiment.train.read_by(FD_DOMAIN) is not None


def settings(experiment: Experiment, stage: str) -> dict[str, Any]:
    """What a stage reads of the experiment, by dotted name."""
    flat: dict[str, Any] = {}
    for block in BLOCKS[stage]:
        value = getattr(experiment, block)
        flat |= _flat(block, key_fields(value)) if isinstance(value, Config) else {block: value}
    return flat


def code(experiment: Experiment, stage: str) -> dict[str, str]:
    """sha256 of each first-party source file that a stage's result depends on, by module."""
    roots = [f"pipelines.stages.{stage}"]
    if stage == "prepare":
        roots += map(SOURCES.module_of, _sources(experiment.data))
        if any(root.partition(".")[0] not in FIRST_PARTY for root in roots):
            roots.append(PLUGGED_IN)
    if stage in ("train", "evaluate", "tune"):  # evaluate builds the generator that the recipe's networks define
        roots.append(RECIPES.module_of(experiment.recipe))
        roots += map(FAMILIES.module_of, getattr(experiment.model, "families", ()))
    if stage == "train" and decides_by_fd(experiment):
        roots.append(MEASURED_BY)
    return {module: sha for root in roots for module, sha in _closure(root)}


def _sources(data: Config) -> Iterator[str]:
    """The source that a block names, and those of the blocks that it holds."""
    yield str(getattr(data, "source"))  # noqa: B009 - every source's options have it
    for name in type(data).model_fields:
        inner = getattr(data, name)
        if isinstance(inner, Config) and hasattr(inner, "source"):
            yield from _sources(inner)


def stage_key(stage: str, set_to: Mapping[str, Any], inputs: Mapping[str, str], code_of: Mapping[str, str]) -> str:
    """The key of a stage's result.  inputs: digest of each upstream artefact, by stage."""
    return canonical_digest({"stage": stage, "config": set_to, "inputs": inputs, "code": code_of})


def features_key(shards: Manifest | None, seed: int, target: str | None = None) -> str:
    """The key of the feature network that is trained on a data set's train split, or on that column of its pairs."""
    inputs = {"train": _split_digest(shards, "train")}
    beside = {"target": target} if target == IMAGE_B else {}
    return stage_key(FEATURES, {"seed": seed, **beside}, inputs, dict(_closure("gan_core.metrics.domain")))


def augmentation_key(asked: Mapping[str, Any], inputs: Mapping[str, str]) -> str:
    """The key of what a generator's examples add to a classifier.  inputs: digests of the version and the shards."""
    return stage_key(AUGMENTATIONS, asked, inputs, dict(_closure("gan_core.metrics.augmentation")))


def seen_key(shards: Manifest | None, split: str, images: int, network: Mapping[str, Any]) -> str:
    """The key of how a network sees the first images of a split.  network: all that makes it the one it is."""
    inputs = {split: _split_digest(shards, split)}
    return stage_key(SEEN, {"images": images, "network": network}, inputs, dict(_closure("gan_core.metrics.seen")))


def _split_digest(shards: Manifest | None, split: str) -> str:
    files = [] if shards is None else [(f.path, f.sha256) for f in shards.files if f.path.startswith(f"{split}-")]
    return canonical_digest({"files": sorted(files)})


def features_prefix(key: str) -> str:
    """Where the feature network of that key is kept, or how a network sees a split."""
    return f"{FEATURES}/{key[:PREFIX_CHARS]}"


@cache
def _closure(root: str) -> tuple[tuple[str, str], ...]:
    """A module and every module of its package, or of ours, that it imports, with the sha256 of their sources."""
    packages = {*FIRST_PARTY, root.partition(".")[0]}
    found: dict[str, str] = {}
    waiting = [root]
    while waiting:
        module = waiting.pop()
        if module in found or module.partition(".")[0] not in packages:
            continue
        source = _source(module)
        if source is None:
            continue
        found[module] = hashlib.sha256(source).hexdigest()
        waiting += [*_imported(_parsed(module, source)), *_packages_of(module)]
    return tuple(sorted(found.items()))


def _source(module: str) -> bytes | None:
    """A module's source, found by its path: importlib would import the packages above it.  None if it is no module."""
    top, *inner = module.split(".")
    spec = find_spec(top)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin) if not inner else Path(spec.origin).parent.joinpath(*inner)
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file.read_bytes()
    return None


def _parsed(module: str, source: bytes) -> ast.Module:
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise ConfigError(f"{module}, line {error.lineno}: not Python: {error.msg}; mend it first") from None


def _packages_of(module: str) -> list[str]:
    """The packages whose __init__ runs before a module is imported."""
    parts = module.split(".")
    return [".".join(parts[:end]) for end in range(1, len(parts))]


def _imported(tree: ast.Module) -> Iterable[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _flat(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {name: value}
    return {path: inner for key in value for path, inner in _flat(f"{name}.{key}", value[key]).items()}
