"""What `kubectl kustomize` makes of an overlay, for the few fields that ours use, and which file each part is from.

Anything else in a kustomization is refused: it would be built here otherwise than by kustomize.
"""

from __future__ import annotations

import copy
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jsonpatch
import jsonpointer
import yaml

from tests.infra.findings import Finding

FIELDS = {"apiVersion", "kind", "namespace", "resources", "images", "patches"}
CLUSTER_WIDE = {"Namespace"}
Pointer = tuple[str, ...]


class NotBuiltError(Exception):
    """kustomize would refuse it, or is not known to build it as is done here."""

    def __init__(self, file: str, where: str, problem: str) -> None:
        super().__init__(f"{file}: {where}: {problem}")
        self.finding = Finding(file, where, problem)


@dataclass
class Built:
    """One resource as the cluster gets it.  origins: the file that each part of it, by its path, comes from."""

    body: dict[str, Any]
    origins: dict[Pointer, str]

    @property
    def kind(self) -> str:
        return str(self.body["kind"])

    @property
    def name(self) -> str:
        return str(self.body["metadata"]["name"])

    def finding(self, path: tuple[str | int, ...], problem: str) -> Finding:
        """Something wrong at this path, in the file that wrote it."""
        steps = tuple(map(str, path))
        file = next(self.origins[steps[:n]] for n in range(len(steps), -1, -1) if steps[:n] in self.origins)
        return Finding(file, ".".join((f"{self.kind}/{self.name}", *steps)), problem)


def build(files: Mapping[str, str], folder: str) -> list[Built]:
    """All resources of a kustomization's folder.  NotBuiltError where kustomize would refuse it."""
    file = f"{folder}/kustomization.yaml"
    if file not in files:
        raise NotBuiltError(file, "kustomization.yaml", "is not there")
    (kustomization,) = _read(files, file)
    if unknown := sorted(set(kustomization) - FIELDS):
        raise NotBuiltError(file, unknown[0], f"is none of {', '.join(sorted(FIELDS))}")
    built = [one for path in kustomization["resources"] for one in _resources(files, folder, path)]
    for patch in kustomization.get("patches", []):
        _patch(files, folder, patch, built)
    for one in built:
        _name_space(one, kustomization.get("namespace"))
        for container in containers(one.body):
            _name_image(container, kustomization.get("images", []))
    return built


def containers(part: Any) -> Iterator[dict[str, Any]]:
    """Every container below a part of a resource, wherever kustomize looks for one."""
    if isinstance(part, dict):
        for key, value in part.items():
            if key in ("containers", "initContainers") and isinstance(value, list):
                yield from (entry for entry in value if isinstance(entry, dict))
            yield from containers(value)
    elif isinstance(part, list):
        for entry in part:
            yield from containers(entry)


def _read(files: Mapping[str, str], file: str) -> list[Any]:
    try:
        return [document for document in yaml.load_all(files[file], Loader=yaml.CSafeLoader) if document]
    except yaml.MarkedYAMLError as fault:
        line = fault.problem_mark.line + 1 if fault.problem_mark else 1
        raise NotBuiltError(file, f"line {line}", str(fault.problem)) from None


def _resources(files: Mapping[str, str], folder: str, path: str) -> list[Built]:
    target = posixpath.normpath(f"{folder}/{path}")
    if f"{target}/kustomization.yaml" in files:
        return build(files, target)
    if target not in files:
        raise NotBuiltError(f"{folder}/kustomization.yaml", "resources", f"{path} is not there")
    return [Built(body, {(): target}) for body in _read(files, target)]


def _patch(files: Mapping[str, str], folder: str, patch: dict[str, Any], built: list[Built]) -> None:
    file = f"{folder}/kustomization.yaml"
    if set(patch) != {"target", "path"}:
        raise NotBuiltError(file, "patches", f"has {', '.join(sorted(patch))}, and needs target and path alone")
    source = f"{folder}/{patch['path']}"
    if source not in files:
        raise NotBuiltError(file, "patches", f"{patch['path']} is not there")
    aimed = [one for one in built if _fits(patch["target"], one)]
    if not aimed:
        raise NotBuiltError(file, "patches", f"{patch['path']} finds no {patch['target'].get('kind')}")
    for one in aimed:
        for operation in _read(files, source)[0]:
            _operate(source, copy.deepcopy(operation), one)


def _fits(target: dict[str, str], one: Built) -> bool:
    group, _, version = one.body["apiVersion"].rpartition("/")
    is_ = {"group": group, "version": version, "kind": one.kind, "name": one.name}
    return all(re.fullmatch(wanted, is_[key]) for key, wanted in target.items())


def _operate(source: str, operation: dict[str, Any], one: Built) -> None:
    path = operation["path"]
    if path.endswith("/-"):  # where the new entry comes to stand
        path = f"{path[:-1]}{len(jsonpointer.resolve_pointer(one.body, path[:-2], []))}"
    try:
        one.body = jsonpatch.apply_patch(one.body, [operation])
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException) as fault:
        raise NotBuiltError(source, operation["path"], str(fault)) from None
    one.origins[tuple(jsonpointer.JsonPointer(path).parts)] = source


def _name_space(one: Built, namespace: str | None) -> None:
    if namespace and one.kind in CLUSTER_WIDE:
        one.body["metadata"]["name"] = namespace
    elif namespace:
        one.body["metadata"]["namespace"] = namespace


def _name_image(container: dict[str, Any], images: list[dict[str, str]]) -> None:
    for image in images:
        if container["image"].partition(":")[0] == image["name"]:
            name = image.get("newName", image["name"])
            container["image"] = f"{name}@{image['digest']}" if "digest" in image else f"{name}:{image['newTag']}"
            return
