"""Whether a store can be trusted, found out by using it below a scratch prefix that is removed in the end."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

from gan_core.exclusive import VERDICT
from gan_core.probes import link, objects, races
from gan_core.probes.finding import Finding, probed
from gan_core.probes.place import S3, Place, s3_of, scratch
from gan_core.probes.races import Say
from gan_core.store import Store

ROUNDS, COMPARE_ROUNDS = 50, 10
WRITE_ADVICE = ("nothing can be kept here: look at the address, that the bucket or folder is there, and that your "
                "credentials may write; nothing else of this store was probed")
ADVICE = "results cannot be trusted to this store: see what it says, and ask its operator"


def probe_store(
    store: Store, say: Say, rounds: int = ROUNDS, compare_rounds: int = COMPARE_ROUNDS
) -> Iterator[Finding]:
    """One finding after the other; the protocol by which objects are created is recorded in the store.

    say: is told what goes on, several times a second in a race.  rounds: of eight writers.
    """
    if (s3 := s3_of(store)) is not None:
        say("asking the server")
        if not (yield from _way(s3)):
            return
    with scratch(store) as place:
        say("writing")
        first = probed("write, read, replace", lambda: objects.written_and_read(place), WRITE_ADVICE)
        yield first
        if first.verdict == "bad":
            return
        for name, probe in _kept(place).items():
            say(name)
            yield probed(name, probe, ADVICE)
        yield from _races(place, say, rounds, compare_rounds)
        say("speed")
        yield probed("speed", lambda: link.speed(place), ADVICE)


def _way(s3: S3) -> Generator[Finding, None, bool]:
    """The way to a server of S3; returns whether it can be gone."""
    ours = probed("credentials", lambda: link.credentials(s3), "look at AWS_ACCESS_KEY_ID and ~/.aws")
    yield ours
    if ours.verdict == "bad":
        return False
    answer = s3.ask()
    yield probed("endpoint", lambda: link.endpoint(s3, answer), "look at AWS_ENDPOINT_URL")
    if not answer.headers:
        return False
    yield probed("clock", lambda: link.clock(answer), "look at AWS_ENDPOINT_URL: is it a server of S3?")
    return True


def _kept(place: Place) -> dict[str, Callable[[], Finding]]:
    return {
        "list after write": lambda: objects.listed_at_once(place),
        "large file": lambda: objects.kept_in_parts(place),
        "delete many": lambda: objects.deleted_together(place),
    }


def _races(place: Place, say: Say, rounds: int, compare_rounds: int) -> Iterator[Finding]:
    claims = False

    def exclusive_create() -> Finding:
        nonlocal claims
        finding, verdict = races.exclusive_create(place, rounds, lambda far: say(f"exclusive create, {far}"))
        place.store.write(VERDICT, verdict.model_dump_json(indent=1).encode())
        claims = not verdict.exclusive
        return finding

    yield probed("exclusive create", exclusive_create, ADVICE)
    if claims:
        yield probed("publishing by claims", lambda: races.by_claims(place, lambda far: say(f"claims, {far}")), ADVICE)
    yield probed("compare and set", lambda: races.compare_and_set(
        place, compare_rounds, lambda far: say(f"compare and set, {far}")), ADVICE)
