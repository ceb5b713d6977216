"""What a store promises to writers that come at the same moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from threading import Barrier

from gan_core import exclusive
from gan_core.claims import TIMING
from gan_core.probes.finding import Finding, bad, good, warning
from gan_core.probes.place import S3, Place
from gan_core.store import Store

WRITERS = 8
CLAIM_ROUNDS = 2  # each takes the settling time
WRONG = f'"{"0" * 32}"'  # ETag
Say = Callable[[str], None]


@dataclass(frozen=True)
class Race:
    """writers at once for one object, so many rounds.  winners: of all rounds.  broken: rounds without exactly one
    winner whose content is then there.
    """

    writers: int
    rounds: int
    winners: int
    broken: int

    def __str__(self) -> str:
        lost = self.writers * self.rounds - self.winners
        told = f"{self.writers} writers, {self.rounds} rounds: {self.winners} won, {lost} lost"
        return f"{told}; {self.broken} rounds broken" if self.broken else told


def create_race(place: Place, folder: str, rounds: int, say: Say) -> Race:
    """Through `Store.create`, by whichever protocol holds here."""
    winners = broken = 0
    for i in range(rounds):
        say(f"round {i + 1} of {rounds}")
        path = place.path(f"{folder}/{i}")
        won = _at_once(partial(_created, place.store, path))
        winners += len(won)
        broken += len(won) != 1 or place.store.read(path) != str(won[0]).encode()
    return Race(WRITERS, rounds, winners, broken)


def _created(store: Store, path: str, writer: int) -> bool:
    try:
        store.create(path, str(writer).encode())
    except FileExistsError:
        return False
    return True


def exclusive_create(place: Place, rounds: int, say: Say) -> tuple[Finding, exclusive.Verdict]:
    """Whether a store's own exclusive create holds, and so which protocol publishes here; this process goes by it."""
    name, (fs, root) = "exclusive create", place.opened
    by_claims = f"publishing goes by claims: safe, and {TIMING.settle:g} s slower a step"
    verdict = exclusive.check(fs, root)
    exclusive.assume(fs, root, verdict)
    if not verdict.exclusive:
        return warning(name, "the second of two creations is not refused", by_claims), verdict
    race = create_race(place, "race", rounds, say)
    held = not race.broken or place.store.is_local
    verdict = exclusive.Verdict(protocol="exclusive-create" if held else "claims", probed=exclusive.now(),
                                rounds=rounds, endpoint=verdict.endpoint)
    exclusive.assume(fs, root, verdict)
    if not race.broken:
        return good(name, str(race), "two runs never publish the same version"), verdict
    if place.store.is_local:
        return bad(name, str(race), "two runs could publish the same version: use a file system whose hard links "
                                    "hold"), verdict
    return warning(name, str(race), by_claims), verdict


def by_claims(place: Place, say: Say) -> Finding:
    """Whether the protocol that needs no exclusive create holds."""
    race = create_race(place, "claims", CLAIM_ROUNDS, say)
    if race.broken:
        return bad("publishing by claims", str(race), "two runs could publish the same version: use another store")
    return good("publishing by claims", str(race), "two runs never publish the same version; let all processes start "
                                                   "after this, so that all go by it")


def compare_and_set(place: Place, rounds: int, say: Say) -> Finding:
    """S3's If-Match, by which one of several writers replaces what all of them read.  Nothing here needs it."""
    name, path = "compare and set", place.path("cas")
    if place.s3 is None:
        return good(name, "not applicable: S3 alone has it", "nothing here needs it")
    place.store.write(path, b"before")
    target = _Target(place.s3, path)
    if target.replaced(WRONG):
        return good(name, "a wrong ETag is not refused", "If-Match is ignored here; nothing here needs it")
    if not target.replaced(target.etag()):
        target = _Target(place.s3, path, quoted=False)
        if not target.replaced(target.etag()):
            return good(name, "the right ETag is refused too", "there is none here; nothing here needs it")
    race = _compare_race(target, rounds, say)
    means = "it does not hold; nothing here needs it" if race.broken else "for your information: nothing here needs it"
    return good(name, f"{race}{'' if target.quoted else ', the ETag without its quotes'}", means)


@dataclass(frozen=True)
class _Target:
    """An object to be replaced.  quoted: whether the server knows an ETag as it tells it, in quotes."""

    s3: S3
    path: str
    quoted: bool = True

    def etag(self) -> str:
        told = str(self.s3.fs.call_s3("head_object", **self.s3.key(self.path))["ETag"])
        return told if self.quoted else told.strip('"')

    def replaced(self, etag: str, writer: int = -1) -> bool:
        """Whether the server took another content, for the one with that ETag."""
        data = f"{writer}, {uuid.uuid4()}".encode()  # of another ETag than any before
        try:
            self.s3.fs.call_s3("put_object", **self.s3.key(self.path), Body=data, IfMatch=etag)
        except OSError:
            return False
        return True


def _compare_race(target: _Target, rounds: int, say: Say) -> Race:
    winners = broken = 0
    for i in range(rounds):
        say(f"round {i + 1} of {rounds}")
        won = _at_once(partial(target.replaced, target.etag()))
        winners += len(won)
        broken += len(won) != 1
    return Race(WRITERS, rounds, winners, broken)


def _at_once(attempt: Callable[[int], bool]) -> list[int]:
    """The writers whose attempt succeeded, all let go at the same moment."""
    start = Barrier(WRITERS)

    def one(writer: int) -> bool:
        start.wait()
        return attempt(writer)

    with ThreadPoolExecutor(WRITERS) as pool:
        return [writer for writer, success in enumerate(pool.map(one, range(WRITERS))) if success]
