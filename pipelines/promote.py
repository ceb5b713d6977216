"""An operator's word on where an alias stands: promote, roll back, and read how it came there.

An alias's moves are what is done to a pile: a promotion, by an operator or a gate, lays a version on top; a rollback
takes off what lies above an older one.  So a second rollback goes further back, and what was rolled back from does not
return until it is promoted again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gan_core.addresses import Alias, alias_moves, current_aliases, resolve
from gan_core.errors import ConfigError, DamagedFile, StoreError
from gan_core.manifest import damaged_files
from gan_core.published import (
    name_and_version,
    published_manifest,
    refuse_unknown,
    stored_number,
    version_prefix,
)
from gan_core.store import Store
from pipelines.models import set_alias


@dataclass(frozen=True)
class Moved:
    """Where an alias stands now.  moved: whether this call moved it; else `move` is how it came there before."""

    store: Store
    name: str
    alias: str
    move: Alias
    moved: bool


def promote(store: Store, address: str, alias: str, reason: str) -> Moved:
    """Moves an alias to the version that an address names; nothing is written where it stands there already.

    Of two at once both are in the history, one after the other.  ConfigError without a reason or a version, DamagedFile
    when a byte of the version is wrong.
    """
    why = _given(reason)
    if "@" not in address and "/versions/" not in address:
        raise ConfigError(f"{address}: names no version to promote; {address}@0003 works, `gan models list` prints "
                          "those there are")
    place, prefix = resolve(address, store)
    known = name_and_version(prefix)
    if known is None:
        raise ConfigError(f"{address}: lies outside the models of a store, where aliases are; NAME@0003 works")
    name, version = known
    _refuse_damaged(place, name, version)
    stood = False

    def stands(current: Alias) -> bool:
        nonlocal stood
        stood = current.version == version
        return stood

    move = set_alias(place, name, alias, version, why=why, unless=stands)
    return Moved(place, name, alias, move, moved=not stood)


def roll_back(store: Store, name: str, alias: str, reason: str, to: str | None = None) -> Moved:
    """Moves an alias back to the version that it stood on before, or to an earlier one.

    ConfigError without a reason, or where it never stood there; DamagedFile when a byte of that version is wrong;
    StoreError when somebody moves the alias at the same time: only what was looked at is taken back.
    """
    why = _given(reason)
    moves = history(store, name, alias)
    seen, version = moves[-1], _earlier(name, alias, standing(moves), to)
    _refuse_damaged(store, name, version)

    def refuse_moved(current: Alias) -> bool:
        if current != seen:
            raise StoreError(f"{name}@{alias}: was moved to {current.version} by {current.who} at the same time "
                             f"({current.why}); look at `gan models history {name}`, then decide again")
        return False

    move = set_alias(store, name, alias, version, why=why, unless=refuse_moved, rollback=True)
    return Moved(store, name, alias, move, moved=True)


def history(store: Store, name: str, alias: str) -> list[Alias]:
    """Every move of an alias, oldest first.  ConfigError when there is no such model or alias."""
    moves = alias_moves(store, name, alias)
    if moves:
        return moves
    refuse_unknown(store, name)
    known = ", ".join(current_aliases(store, name)) or "none"
    raise ConfigError(f"{name}@{alias}: no such alias in {store.url}; known: {known}")


def histories(store: Store, name: str) -> dict[str, list[Alias]]:
    """The same of every alias of a model."""
    refuse_unknown(store, name)
    return {alias: alias_moves(store, name, alias) for alias in current_aliases(store, name)}


def standing(moves: Sequence[Alias]) -> list[str]:
    """The pile that moves, oldest first, leave: last where the alias stands, before it where it stood."""
    pile: list[str] = []
    for move in moves:
        if move.rollback:
            while pile and pile[-1] != move.version:
                pile.pop()
        if pile[-1:] != [move.version]:
            pile.append(move.version)
    return pile


def _earlier(name: str, alias: str, pile: Sequence[str], to: str | None) -> str:
    """The version to go back to."""
    *below, current = pile
    if not below:
        raise ConfigError(f"{name}@{alias}: has stood on {current} alone, there is nothing to roll back to; "
                          f"`gan models promote {name}@VERSION --alias {alias} --reason …` moves it elsewhere")
    if to is None:
        return below[-1]
    wanted = stored_number(to)
    if wanted not in below:
        raise ConfigError(f"--to {to}: {name}@{alias} stands on {current}, and before on {', '.join(below)}; "
                          f"`gan models promote {name}@{wanted} --alias {alias} --reason …` moves it elsewhere")
    return wanted


def _refuse_damaged(store: Store, name: str, version: str) -> None:
    """An alias that people rely on is worth reading every byte for: sizes do not tell a flipped one."""
    prefix = version_prefix(name, version)
    problems = damaged_files(store, prefix, published_manifest(store, prefix))
    if problems:
        raise DamagedFile(f"{problems[0]}; no alias is moved to {name}@{version}, choose a whole version: "
                          "`gan models list` prints them, and `gan models verify` reads every byte of one")


def _given(reason: str) -> str:
    if not reason.strip():
        raise ConfigError("--reason: is empty, and the history keeps it for whoever asks later; "
                          "--reason 'samples of class 3 were looked at' works")
    return " ".join(reason.split())
