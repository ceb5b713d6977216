"""Messages to the addresses in GAN_NOTIFY, by Apprise, without a word of an address in what is said of it.

An address holds secrets, and Apprise's own lines may show parts of it: they are read here for what the other end
answered, and go no further.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

ADDRESSES = "GAN_NOTIFY"
GIVE_UP_S = 10.0  # for all addresses together
WITH_HOST = {"json", "jsons", "xml", "xmls", "form", "forms", "mailto", "mailtos"}
"""Schemes whose host is one: elsewhere a token may stand in its place, as in slack://TokenA/TokenB/TokenC."""

TALKATIVE = ("apprise", "urllib3.connectionpool")  # the second says which path was asked for: Slack's is a secret
ANSWERED = re.compile(r"error=(\d{3})")
UNREACHED = re.compile(r"connection error|i/o exception", re.IGNORECASE)
Kind = Literal["info", "success", "warning", "failure"]


@dataclass(frozen=True)
class Answer:
    """What came of one message.  address: no more of it than may be shown.  failed: why; empty when it was taken."""

    address: str
    failed: str


def addresses() -> list[str]:
    """Apprise's URLs from the environment: secrets, to be read where they are used and kept nowhere."""
    return os.environ.get(ADDRESSES, "").split()


def shown(address: str) -> str:
    """An address's scheme, and its host where that is no secret."""
    scheme = address.partition("://")[0].lower()
    if not re.fullmatch(r"[a-z0-9]+", scheme) or "://" not in address:
        return "an address"
    if scheme not in WITH_HOST:
        return f"{scheme}://…"
    try:
        parts = urlsplit(address)
        return f"{scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:  # what stands in the port's place may be a password
        return f"{scheme}://…"


def send(title: str, text: str, kind: Kind, give_up_s: float = GIVE_UP_S) -> list[Answer]:
    """One message to every address, in `give_up_s` seconds at most; never raises.  title: one line."""
    for name in TALKATIVE:
        logging.getLogger(name).addFilter(_EAR)
    senders = [_Sender(address, title, text, kind) for address in addresses()]
    deadline = time.monotonic() + give_up_s
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(max(0.0, deadline - time.monotonic()))
    late = f"no answer within {give_up_s:g} s"
    return [Answer(shown(sender.address), late if sender.is_alive() else sender.failed) for sender in senders]


class _Sender(threading.Thread):
    """Sends one message to one address.  One that hangs is left behind and ends with the process."""

    def __init__(self, address: str, title: str, text: str, kind: Kind) -> None:
        super().__init__(name="notify", daemon=True)
        self.address, self.failed = address, "its client failed"
        self.overheard: list[str] = []
        self._message = (title, text, kind)

    def run(self) -> None:
        with suppress(Exception):  # each service's client has its own, and the address may be in their words
            self.failed = self._send(*self._message)

    def _send(self, title: str, text: str, kind: Kind) -> str:
        from apprise import Apprise, AppriseAsset, NotifyFormat

        # in memory: what Apprise would keep on the disk has a name that is made from the address
        service = Apprise(asset=AppriseAsset(app_id="gan-pipelines", async_mode=False, storage_mode="memory"))
        if not service.add(self.address):
            return "Apprise knows no such address"
        if service.notify(body=text or title, title=title, notify_type=kind, body_format=NotifyFormat.TEXT):
            return ""
        return self._why()

    def _why(self) -> str:
        said = "\n".join(self.overheard)
        if answered := ANSWERED.search(said):
            return f"it answered {answered.group(1)}"
        return "it cannot be reached" if UNREACHED.search(said) else "it did not take the message"


class _Ear(logging.Filter):
    """Keeps for a sender what is logged while it sends, and lets nothing of it through."""

    def filter(self, record: logging.LogRecord) -> bool:
        sender = threading.current_thread()
        if isinstance(sender, _Sender):
            sender.overheard.append(record.getMessage())
            return False
        return True


_EAR = _Ear()
