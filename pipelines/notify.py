"""What happens to scheduled runs, told to the addresses that GAN_NOTIFY names.

    GAN_NOTIFY="slack://… mailto://…" GAN_NOTIFY_ON="failed late" gan run configs/digits.yaml

A notification that fails costs a line on standard error, never the run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from enum import StrEnum

from gan_core.config import Experiment
from gan_core.errors import ConfigError, Interrupted, Superseded
from gan_core.outages import reason
from gan_core.store import Store
from pipelines.handles import Published
from pipelines.regression import Regression, regression
from pipelines.send import Kind, addresses, send

WANTED = "GAN_NOTIFY_ON"


class Event(StrEnum):
    """What an operator may want to hear of.  GAN_NOTIFY_ON names them in small letters."""

    FAILED = "failed"
    REFUSED = "refused"
    PROMOTED = "promoted"
    REGRESSED = "regressed"
    LATE = "late"


KINDS: Mapping[Event, Kind] = {
    Event.FAILED: "failure", Event.REFUSED: "warning", Event.PROMOTED: "success", Event.REGRESSED: "warning",
    Event.LATE: "warning",
}


def wanted() -> frozenset[Event]:
    """The events that GAN_NOTIFY_ON names, all of them where it is not set.  ConfigError for one there is not."""
    named = os.environ.get(WANTED, "").replace(",", " ").lower().split()
    known = {str(event): event for event in Event}
    for name in named:
        if name not in known:
            raise ConfigError(f"{WANTED}: '{name}' is no event; {WANTED}='{' '.join(known)}' names all of them")
    return frozenset(known[name] for name in named) or frozenset(Event)


def tell(event: Event, title: str, text: str) -> None:
    """Tells of an event where it is wanted; a line on standard error for each address that does not take it."""
    if not addresses():
        return
    try:
        if event not in wanted():
            return
    except ConfigError as error:  # better too much than nothing
        _warn(str(error))
    for answer in send(" ".join(title.split()), text, KINDS[event]):
        if answer.failed:
            _warn(f"{answer.address} was not told that {event}: {answer.failed}")


def tell_outcome(store: Store, experiment: Experiment, ended: Published | BaseException, text: str = "") -> None:
    """Tells what became of a run; never raises.

    ended: what it published, or why it did not.  text: of a failure, the paragraph that the person at the terminal has.
    Nothing is told of a run that somebody stopped, or another start took over, nor of a version that was judged before.
    """
    if not addresses():
        return
    try:
        if not isinstance(ended, BaseException):
            _tell_published(store, experiment, ended)
        elif not isinstance(ended, Interrupted | KeyboardInterrupt | Superseded):
            tell(Event.FAILED, f"{experiment.name}: failed", text or str(ended))
    except Exception as error:  # the store's, where numbers are read: what the run came to stands without
        _warn(reason(error))


def _tell_published(store: Store, experiment: Experiment, ended: Published) -> None:
    if not ended.judged:
        return
    name = experiment.name
    version = f"{name}@{ended.version}"
    if ended.promoted:
        tell(Event.PROMOTED, f"{name}: {ended.version} is champion", f"{version} passed the gate.\n{ended.uri}")
    else:
        tell(Event.REFUSED, f"{name}: the gate refused {ended.version}",
             "\n".join([*ended.refusals, f"{version} is published and `latest`, not champion.", ended.uri]))
    found = regression(store, experiment, ended.version)
    if found is not None:
        tell(Event.REGRESSED, f"{name}: champion {found.champion} is worse on the newest data", _worse(found, ended))


def _worse(found: Regression, ended: Published) -> str:
    stands = f"{ended.version} took its place." if ended.promoted else "It is still champion."
    return "\n".join([*map(str, found.metrics), stands, ended.uri])


def _warn(text: str) -> None:
    print(f"gan: notification: {text}", file=sys.stderr, flush=True)
