"""What a store promises to writers that come at the same moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier

from gan_core import exclusive
from gan_core.claims import TIMING
from gan_core.probes.finding import Finding, bad, good, warning
from gan_core.probes.place import Place

WRITERS = 8
CLAIM_ROUNDS = 2  # each takes the settling time
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
    store = place.store

    def attempt(path: str, writer: int) -> bool:
        try:
            store.create(path, str(writer).encode())
        except FileExistsError:
            return False
        return True

    winners = broken = 0
    for path, won in _rounds(place.path(folder), rounds, attempt, say):
        winners += len(won)
        broken += len(won) != 1 or store.read(path) != str(won[0]).encode()
    return Race(WRITERS, rounds, winners, broken)


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
    """S3's If-Match.  Nothing here needs it."""
    name, s3 = "compare and set", place.s3
    if s3 is None:
        return good(name, "not applicable: S3 alone has it", "nothing here needs it")
    key, path = s3.key(place.path("cas")), place.path("cas")

    def replaced(etag: str, data: bytes) -> bool:
        try:
            s3.fs.call_s3("put_object", **key, Body=data, IfMatch=etag)
        except OSError:
            return False
        return True

    def etag(quoted: bool) -> str:
        told = str(s3.fs.call_s3("head_object", **key)["ETag"])
        return told if quoted else told.strip('"')

    place.store.write(path, b"before")
    if replaced('"00000000000000000000000000000000"', b"by a wrong ETag"):
        return good(name, "a wrong ETag is not refused", "If-Match is ignored here; nothing here needs it")
    quoted = replaced(etag(quoted=True), b"after")
    if not quoted and not replaced(etag(quoted=False), b"after"):
        return good(name, "the right ETag is refused too", "there is none here; nothing here needs it")
    winners = broken = 0
    now = etag(quoted)
    for _, won in _rounds(path, rounds, lambda round_path, writer: replaced(now, f"{round_path} {writer}".encode()), say):
        winners, broken, now = winners + len(won), broken + (len(won) != 1), etag(quoted)
    form = "" if quoted else ", the ETag without its quotes"
    return good(name, f"{Race(WRITERS, rounds, winners, broken)}{form}",
                "for your information: nothing here needs it" if not broken else "it does not hold; nothing here needs it")


def _rounds(
    folder: str, rounds: int, attempt: Callable[[str, int], bool], say: Say
) -> Iterator[tuple[str, list[int]]]:
    """Of each round a path of its own, and the writers whose attempt at it succeeded."""
    with ThreadPoolExecutor(WRITERS) as pool:
        for i in range(rounds):
            say(f"round {i + 1} of {rounds}")
            start, path = Barrier(WRITERS), f"{folder}/{i}"

            def one(writer: int, start: Barrier = start, path: str = path) -> bool:
                start.wait()
                return attempt(path, writer)

            won = list(pool.map(one, range(WRITERS)))
            yield path, [writer for writer, success in enumerate(won) if success]
