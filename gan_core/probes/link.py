"""The way to a store: its server, who we are there, its clock, and how fast it is."""

from __future__ import annotations

import ipaddress
import os
import statistics
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from urllib.parse import urlsplit

from gan_core.probes.finding import Finding, bad, good, warning
from gan_core.probes.place import MIB, S3, Answer, Place

SKEW_WARNS_S, SKEW_FAILS_S = 60, 15 * 60
RESOLUTION_S = 1.5  # HTTP dates are whole seconds
FAST = 32 * MIB
SMALL = 10  # objects


def endpoint(s3: S3, answer: Answer) -> Finding:
    """Server, addressing style, TLS."""
    told = urlsplit(answer.url)
    virtual = (told.hostname or "").startswith(f"{s3.bucket}.")
    host = told.netloc.rpartition("@")[2].removeprefix(f"{s3.bucket}." if virtual else "")
    found = f"{told.scheme}://{host}, {'virtual-host' if virtual else 'path'} style"
    if not answer.headers:
        return bad("endpoint", f"{found}: no answer" if answer.url else "no request could be sent",
                   "look at AWS_ENDPOINT_URL, the network, and whether the server runs; nothing else of this store was "
                   "probed")
    if s3.fs.client_kwargs.get("verify") is False:
        return bad("endpoint", f"{found}, certificates are not verified",
                   "anybody between here and there can read and change results: take verify: false out of fsspec's "
                   "configuration (FSSPEC_S3…, ~/.config/fsspec); AWS_CA_BUNDLE names a certificate of your own")
    if told.scheme == "https":
        return good("endpoint", f"{found}, TLS", "what goes there and back is private")
    if is_loopback(told.hostname or ""):
        return good("endpoint", f"{found}, no TLS on loopback", "nothing leaves this machine")
    return warning("endpoint", f"{found}, no TLS",
                   "whoever is on that network can read and change results: use https://")


def is_loopback(host: str) -> bool:
    """Of an address, or a name under localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def credentials(s3: S3) -> Finding:
    """Where they come from; never what they are."""
    import botocore.session

    if s3.fs.anon:
        return warning("credentials", "anonymous, by fsspec's configuration",
                       "public buckets are seldom written: take anon out of it and export AWS_ACCESS_KEY_ID")
    if s3.fs.key or s3.fs.secret:
        return warning("credentials", "in fsspec's configuration (FSSPEC_S3…, ~/.config/fsspec)",
                       "from there they get into what Ray sends around: export AWS_ACCESS_KEY_ID and "
                       "AWS_SECRET_ACCESS_KEY instead")
    found = botocore.session.get_session().get_credentials()
    if found is None:
        return bad("credentials", "none",
                   "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or run where the machine has a role; every "
                   "process of a run needs them; nothing else of this store was probed")
    places = {"env": "environment", "iam-role": "the instance's role", "container-role": "the container's role",
              "shared-credentials-file": "~/.aws/credentials", "config-file": "~/.aws/config"}
    return good("credentials", f"found: {places.get(found.method, found.method)}",
                "never printed, nor kept with results")


def clock(answer: Answer) -> Finding:
    """The server's clock against ours."""
    if "date" not in answer.headers:
        return warning("clock", "the server sends no date",
                       "look at this machine's clock yourself: signatures are refused when it is 15 minutes off")
    return clock_off((answer.at - parsedate_to_datetime(answer.headers["date"])).total_seconds())


def clock_off(seconds: float) -> Finding:
    """seconds: ours is ahead of the server's."""
    found = f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the server's"
    advice = "set this machine's clock (timedatectl set-ntp true)"
    if abs(seconds) <= RESOLUTION_S:
        found = "as the server's, to the second"
    if abs(seconds) > SKEW_FAILS_S:
        return bad("clock", found, f"signatures are refused: {advice}")
    if abs(seconds) > SKEW_WARNS_S:
        return warning("clock", found, f"at 15 minutes signatures are refused: {advice}")
    return good("clock", found, "signatures are accepted")


def speed(place: Place) -> Finding:
    """One large file there and back, and the median of small objects."""
    source, path, store = place.folder / "fast", place.path("fast"), place.store
    source.write_bytes(os.urandom(FAST))
    there = _seconds(lambda: store.put(source, path))
    back = _seconds(lambda: store.get(path, place.folder / "fast-back"))
    small = [place.path(f"small/{i}") for i in range(SMALL)]
    writes = [_seconds(partial(store.write, path, b"small")) for path in small]
    reads = [_seconds(partial(store.read, path)) for path in small]
    write, read = (1e3 * statistics.median(took) for took in (writes, reads))
    return good("speed", f"{FAST / 1e6 / there:,.0f} MB/s there, {FAST / 1e6 / back:,.0f} MB/s back; small objects "
                         f"{write:.1f} ms there, {read:.1f} ms back",
                "for your information: what checkpoints and shards wait for")


def _seconds(act: Callable[[], object]) -> float:
    begun = time.perf_counter()
    act()
    return max(time.perf_counter() - begun, 1e-9)
