"""Which errors of a store pass by themselves, and how to say what went wrong."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from gan_core.errors import GanError

PASSING = {errno.EAGAIN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH}
PASSING_STATUS = {408, 409, 429, *range(500, 600)} - {501, 505}  # of HTTP; 409: of two writers at once, try again
PASSING_KINDS = {  # by name: a store on a disk needs none of these packages
    "botocore.exceptions.ConnectionError", "botocore.exceptions.HTTPClientError",
    "botocore.exceptions.IncompleteReadError", "botocore.parsers.ResponseParserError",
    "aiohttp.client_exceptions.ClientConnectionError", "aiohttp.client_exceptions.ClientPayloadError",
    "http.client.IncompleteRead", "socket.gaierror",
}
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SHORTEST_SECRET = 8  # characters; test set-ups use words such as "test", which stand in innocent places too


def transient(error: BaseException) -> bool:
    """Whether the same operation may succeed a little later, with nothing done about it.

    True for a server or network that does not answer, breaks off, or answers that it is busy or failed (HTTP 408, 409,
    429, 5xx, S3's RequestTimeout).  False for all that needs a person: no such bucket, access denied, a full disk, a
    damaged file, and what is already a GanError.
    """
    causes = list(_causes(error))
    if any(isinstance(cause, GanError) for cause in causes):
        return False
    if any(isinstance(cause, ConnectionError | TimeoutError) for cause in causes):
        return True
    statuses = [status for cause in causes if (status := _http_status(cause)) is not None]
    if statuses:
        return statuses[-1] in PASSING_STATUS
    return any(_is_passing(cause) for cause in causes)


def reason(error: BaseException) -> str:
    """What went wrong, in one line without secrets."""
    line = next(filter(None, map(_said, _causes(error))), type(error).__name__)
    line = re.sub(r"://[^/@\s]+@", "://", line)
    for secret in (os.environ.get(name, "") for name in SECRETS):
        if len(secret) >= SHORTEST_SECRET:
            line = line.replace(secret, "***")
    return line


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was raised from, oldest last."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _said(error: BaseException) -> str:
    """Its own words in one line, with its kind where they may not say enough; empty when it has none."""
    said = " ".join(str((isinstance(error, OSError) and error.strerror) or error).split())
    return said if not said or isinstance(error, OSError | GanError) else f"{type(error).__name__}: {said}"


def _http_status(error: BaseException) -> int | None:
    """What the server answered: botocore keeps it in `response`, others in an attribute of their own."""
    response = getattr(error, "response", None)
    codes = [getattr(error, name, None) for name in ("status", "status_code", "code")]
    if isinstance(response, dict):
        codes = [response.get("ResponseMetadata", {}).get("HTTPStatusCode")]
    return next((code for code in codes if isinstance(code, int) and 100 <= code < 600), None)


def _is_passing(error: BaseException) -> bool:
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return bool(kinds & PASSING_KINDS) or (isinstance(error, OSError) and error.errno in PASSING)
