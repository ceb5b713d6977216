"""Where a model's address leads: names that move over its versions, and URLs.

    models/<name>/aliases/<alias>/<NNNNNN>.json    an alias and its history: the highest number is current

An address is NAME, NAME@alias or NAME@0003 in a store, or a whole URL that ends in models/NAME@alias or
models/NAME/versions/0003.
"""

from __future__ import annotations

import re
from pathlib import Path

from gan_core.config import Config
from gan_core.errors import ConfigError
from gan_core.manifest import MANIFEST
from gan_core.published import (
    NAME,
    NUMBER,
    model_prefix,
    parsed,
    refuse_unknown,
    taken,
    unknown_model,
    version_prefix,
    versions,
)
from gan_core.store import Store, split_url

LATEST = "latest"
CHAMPION = "champion"

ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")
ADDRESS_URL = re.compile(
    r"(?:(?P<root>.*[^:/]|)/)?models/(?P<name>[^/@]+)(?:@(?P<alias>[^/]*)|/versions/(?P<number>[^/]+))?"
)


class Alias(Config):
    """One move of an alias.  rollback: it took back moves before it, where others add to them."""

    version: str
    when: str
    who: str
    why: str
    previous: str | None
    rollback: bool = False


def current_alias(store: Store, name: str, alias: str) -> Alias | None:
    """The newest move of an alias; None when there is no such alias."""
    return newest_move(store, alias_folder(name, alias))[1]


def alias_moves(store: Store, name: str, alias: str) -> list[Alias]:
    """Every move of an alias, oldest first."""
    folder = alias_folder(name, alias)
    return [_move(store, folder, number) for number in _move_numbers(store, folder)]


def current_aliases(store: Store, name: str) -> dict[str, Alias]:
    """Every alias of a model and where it stands."""
    names = filter(ALIAS.fullmatch, store.names(f"{model_prefix(name)}/aliases"))
    found = {alias: current_alias(store, name, alias) for alias in names}
    return {alias: move for alias, move in found.items() if move is not None}


def aliases_of(store: Store, name: str, version: str) -> tuple[str, ...]:
    """The aliases that stand on a version."""
    return tuple(alias for alias, move in current_aliases(store, name).items() if move.version == version)


def resolve(address: str, store: Store) -> tuple[Store, str]:
    """The store and prefix of the version that an address names; without an alias, `latest`.

    A path or URL that ends in models/NAME… brings its own store, and one of a version that was copied
    elsewhere works too.  A name that the store does not have may be that of such a copy in the current folder.
    ConfigError names the models, aliases or versions that exist.
    """
    if "/" not in address:
        if _folder_here(address, store):
            return Store("."), address
        name, at, which = address.partition("@")
        return store, _version_named(store, name, which if at else LATEST)
    match = ADDRESS_URL.fullmatch(address.rstrip("/"))
    own = Store("." if match["root"] is None else match["root"] or "/") if match else None
    if match and own and NAME.fullmatch(match["name"]) and taken(own, match["name"]):
        given = [w for w in (match["alias"], match["number"], LATEST) if w is not None]
        return own, _version_named(own, match["name"], given[0])
    above, last = split_url(address)
    if Store(above).exists(f"{last}/{MANIFEST}"):
        return Store(above), last
    if match and own:
        raise ConfigError(unknown_model(own, match["name"]))
    raise ConfigError(f"{address}: no published version there; an address is NAME@latest with --store, "
                      "or a URL that ends in models/NAME@latest or models/NAME/versions/0001")


def _folder_here(address: str, store: Store) -> bool:
    """Whether a name is that of a version's copy in this folder and of no model in the store."""
    if "@" in address or address in ("", ".", "..") or not Path(address, MANIFEST).is_file():
        return False
    return not (NAME.fullmatch(address) and taken(store, address))


def _version_named(store: Store, name: str, which: str) -> str:
    """The prefix of NAME@which in a store, `which` being a number or an alias."""
    refuse_unknown(store, name)
    if NUMBER.fullmatch(which):
        prefix = version_prefix(name, which)
        if store.exists(f"{prefix}/{MANIFEST}"):
            return prefix
    elif (move := current_alias(store, name, which)) is not None:
        return version_prefix(name, move.version)
    raise ConfigError(no_such(store, name, f"{name}@{which}"))


def no_such(store: Store, name: str, address: str) -> str:
    aliases = ", ".join(f"{name}@{a}" for a in current_aliases(store, name)) or "none"
    numbers = ", ".join(versions(store, name)) or "none"
    return f"{address}: no such version in {store.url}; aliases: {aliases}; versions: {numbers}"


def alias_folder(name: str, alias: str) -> str:
    if not ALIAS.fullmatch(alias):
        raise ConfigError(f"'{alias}' is not an alias: lower-case letters, digits, - and _, "
                          f"beginning with a letter; '{LATEST}' works")
    return f"{model_prefix(name)}/aliases/{alias}"


def newest_move(store: Store, folder: str) -> tuple[int, Alias | None]:
    numbers = _move_numbers(store, folder)
    return (numbers[-1], _move(store, folder, numbers[-1])) if numbers else (0, None)


def _move_numbers(store: Store, folder: str) -> list[int]:
    return sorted(int(n[:-5]) for n in store.names(folder) if n.endswith(".json") and NUMBER.fullmatch(n[:-5]))


def _move(store: Store, folder: str, number: int) -> Alias:
    path = f"{folder}/{number:06d}.json"
    return parsed(Alias, store.read(path), store.uri(path))
