"""`gan models list|show|verify`: what is published, what it can be asked for, and whether it is whole.

`promote`, `rollback` and `history` are in cli_promote, `pull` is in cli_pull, `mix` in cli_mix.

JSON goes to standard output and is all that goes there; without --json a table does.  Remarks go to standard
error.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gan_core.errors import DamagedFile
from pipelines.cli_mix import mix
from pipelines.cli_promote import history, promote, rollback
from pipelines.cli_pull import pull
from pipelines.options import DEFAULT_STORE, JsonOption, StoreOption
from pipelines.printed import print_json, print_table

if TYPE_CHECKING:
    from gan_core.manifest import Manifest
    from gan_core.store import Store

HEADLINES = ("fd_", "coverage_", "class_agreement")

HELP = """What is published: list it, show one version, verify its files, download it, say which is champion.

Example: gan models show digits@latest
"""

models = typer.Typer(name="models", no_args_is_help=True, help=HELP)

ADDRESS = "NAME, NAME@latest or NAME@0003 in --store, or a URL ending in models/NAME@latest"
AddressArgument = Annotated[str, typer.Argument(metavar="ADDRESS", help=ADDRESS, show_default=False)]


@models.command("list")
def list_models(store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Every published version: its aliases, its date, its headline metrics.

    Example: gan models list --store s3://bucket/gans
    """
    from gan_core.published import model_names
    from gan_core.store import Store

    place = Store(store)
    listed = {name: _listed(place, name) for name in model_names(place)}
    if as_json:
        print_json([{"name": name, "versions": found} for name, found in listed.items()])
    elif not listed:
        typer.echo(f"no models in {place.url} yet; `gan run EXPERIMENT.yaml` publishes one", err=True)
    else:
        rows = [
            [name, v["version"], ", ".join(v["aliases"]), v["created"], _headline(v["metrics"])]
            for name, found in listed.items()
            for v in reversed(found)
        ]
        print_table(["model", "version", "aliases", "published", "metrics"], rows)


@models.command()
def show(address: AddressArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """One version: what it can be asked for, its metrics, its files, and what it was made from.

    Example: gan models show digits@latest --json
    """
    from gan_core.addresses import resolve
    from gan_core.published import published_manifest
    from gan_core.store import Store
    from pipelines.intervals import bounded, how

    place, prefix = resolve(address, Store(store))
    manifest = published_manifest(place, prefix)
    shown = _shown(place, prefix, manifest)
    if as_json:
        print_json(shown)
        return
    typer.echo(f"{shown['uri']}  {', '.join(shown['aliases']) or 'no alias'}  {manifest.created}")
    measured = [[name, bounded(m, _number), how(m)] for name, m in shown["metrics"].items()]
    files = [[f["path"], f"{f['size']:,}", f["sha256"][:12]] for f in shown["files"]]
    origin = [[p["kind"], p["uri"], p["digest"][:12]] for p in shown["lineage"]]
    for head, rows in (
        (["asked for", "values"], [[name, _in_words(name, given)] for name, given in shown["inputs"].items()]),
        (["metric", "value", "how"], measured),
        (["file", "bytes", "sha256"], files),
        (["lineage", "at", "digest"], origin),
    ):
        typer.echo()
        print_table(head, rows)


@models.command()
def verify(address: AddressArgument, store: StoreOption = DEFAULT_STORE, as_json: JsonOption = False) -> None:
    """Reads every file of a version, and of the shards, run and scores it was made from where they are still there.

    Each sha256 is compared with its manifest; exit code 1 when one differs.

    Example: gan models verify digits@champion
    """
    from gan_core.addresses import resolve
    from gan_core.manifest import damaged_files
    from gan_core.published import published_manifest
    from gan_core.store import Store
    from pipelines.models import find_artefact, lineage

    place, prefix = resolve(address, Store(store))
    uri = place.uri(prefix)
    try:
        manifest = published_manifest(place, prefix)
        origin = [found for parent in lineage(place, manifest.parents) if (found := find_artefact(place, parent))]
        problems = [p for at, made in [(prefix, manifest), *origin] for p in damaged_files(place, at, made)]
        whole = f"{uri}: all {len(manifest.files)} files whole"
        if origin:
            count = sum(len(made.files) for _, made in origin)
            whole += f", and all {count} of what it was made from: {', '.join(at for at, _ in origin)}"
    except DamagedFile as problem:  # the manifest itself
        problems = [str(problem)]
    if as_json:
        print_json({"uri": uri, "ok": not problems, "problems": problems})
    else:
        typer.echo("\n".join(problems) if problems else whole)
    if problems:
        raise typer.Exit(1)


for command in (pull, promote, rollback, history, mix):
    models.command()(command)


def _listed(store: Store, name: str) -> list[dict[str, Any]]:
    from gan_core.addresses import current_aliases
    from gan_core.published import version_prefix, whole_versions

    aliases = current_aliases(store, name)
    return [
        {
            "version": version,
            "uri": store.uri(version_prefix(name, version)),
            "aliases": [alias for alias, move in aliases.items() if move.version == version],
            "created": manifest.created,
            "metrics": manifest.facts.get("metrics", {}),
        }
        for version, manifest in whole_versions(store, name).items()
    ]


def _shown(store: Store, prefix: str, manifest: Manifest) -> dict[str, Any]:
    from gan_core.addresses import aliases_of
    from gan_core.manifest import Parent, read_named
    from gan_core.published import name_and_version
    from pipelines.models import lineage

    known = name_and_version(prefix)
    uri = store.uri(prefix)
    this = Parent(kind=manifest.kind, uri=uri, digest=manifest.digest)
    return {
        "version": known[1] if known else prefix,
        "uri": uri,
        "aliases": list(aliases_of(store, *known)) if known else [],
        "inputs": _inputs(read_named(store, prefix, manifest, "generator.json"), uri),
        "metrics": json.loads(read_named(store, prefix, manifest, "metrics.json")),
        "files": [f.model_dump() for f in manifest.files],
        "lineage": [p.model_dump() for p in (*lineage(store, manifest.parents), this)],
    }


def _inputs(specification: bytes, uri: str) -> dict[str, dict[str, Any]]:
    """What a generator can be asked for, by the names that `gan sample` has.  Read without importing torch."""
    from gan_core.options.conditions import Attribute

    found: dict[str, dict[str, Any]] = {}
    try:
        for given in json.loads(specification)["inputs"].values():
            if given["distribution"] == "image":
                found["images"] = {"kind": "image", "shape": [int(side) for side in given["shape"]]}
            if given["distribution"] == "condition" and given.get("classes"):
                found["label"] = {"kind": "categorical", "values": int(given["classes"])}
            for attribute in given.get("attributes", ()):
                known = Attribute.model_validate(attribute)
                found[known.name] = known.model_dump(exclude={"name"})
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # pydantic's are ValueErrors
        reason = " ".join(str(error).split())
        raise DamagedFile(f"{uri}/generator.json: cannot be understood: {reason}; publish the run again") from None
    return found


def _in_words(name: str, given: dict[str, Any]) -> str:
    from gan_core.asked import takes
    from gan_core.options.conditions import Attribute

    if given["kind"] == "image":
        return " x ".join(str(side) for side in given["shape"])
    return takes(Attribute(name=name, **given))


def _headline(metrics: dict[str, Any]) -> str:
    return "  ".join(f"{k} {_number(v)}" for k, v in metrics.items() if k.startswith(HEADLINES))


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else "none"
