"""Which errors of a store pass by themselves, and how to say what went wrong."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator

from gan_core.errors import GanError

PASSING = {errno.EAGAIN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH}
PASSING_STATUS = {408, 409, 429, *range(500, 600)} - {501, 505}  # of HTTP; 409: of two writers at once, try again
REFUSED_STATUS = {*range(300, 500)} - {404, 412}
PASSING_KINDS = {  # by name: a store on a disk needs none of these packages
    "botocore.exceptions.ConnectionError", "botocore.exceptions.HTTPClientError",
    "botocore.exceptions.IncompleteReadError", "botocore.parsers.ResponseParserError",
    "aiohttp.client_exceptions.ClientConnectionError", "aiohttp.client_exceptions.ClientPayloadError",
    "http.client.IncompleteRead", "socket.gaierror",
}
UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"  # OpenSSL's name for it, which botocore keeps as text alone
NO_BUCKET = "NoSuchBucket"
CHECKS = {  # by S3's code for an error, or the name of its class: what a person should look at
    NO_BUCKET: "name an existing bucket",
    "InvalidBucketName": "name an existing bucket",
    "AccessDenied": "have the credentials allowed to list, read, write and delete there",
    "ExpiredToken": "renew the credentials: their time is over",
    "TokenRefreshRequired": "renew the credentials: their time is over",
    "InvalidToken": "export the AWS_SESSION_TOKEN that belongs to the key, or none",
    "InvalidAccessKeyId": "export an AWS_ACCESS_KEY_ID that this store knows, and look at AWS_ENDPOINT_URL",
    "SignatureDoesNotMatch": "export the AWS_SECRET_ACCESS_KEY that belongs to the key",
    "RequestTimeTooSkewed": "set this machine's clock",
    "AuthorizationHeaderMalformed": "export the bucket's region as AWS_DEFAULT_REGION",
    "PermanentRedirect": "export the bucket's region as AWS_DEFAULT_REGION",
    "QuotaExceeded": "make room in the bucket, or have its quota raised",
    "NoCredentialsError": "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "SSLError": "look at AWS_ENDPOINT_URL, and where the certificate is of an authority of your own name its file as "
                "AWS_CA_BUNDLE",
    "PartialCredentialsError": "export both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
}
LOOK_AT_ALL = "look at the credentials, at what they may do in the bucket, and at this machine's clock"
SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
SHORTEST_SECRET = 8  # characters; test set-ups use words such as "test", which stand in innocent places too


def transient(error: BaseException) -> bool:
    """Whether the same operation may succeed a little later, with nothing done about it.

    True for a server or network that does not answer, breaks off, or answers that it is busy or failed (HTTP 408, 409,
    429, 5xx, S3's RequestTimeout).  False for all that needs a person: no such bucket, access denied, a certificate
    that is not trusted, a full disk, a damaged file, and what is already a GanError.
    """
    causes = list(_causes(error))
    if any(isinstance(cause, GanError) or UNTRUSTED in str(cause) for cause in causes):
        return False
    if any(isinstance(cause, ConnectionError | TimeoutError) or _is_passing(cause) for cause in causes):
        return True
    return http_status(error) in PASSING_STATUS


def reason(error: BaseException) -> str:
    """What went wrong, in one line without secrets; what an S3 store refused begins with its code for it."""
    line = next(filter(None, map(_said, _causes(error))), type(error).__name__)
    code = _code(error)
    if code and code not in line:
        line = f"{code}: {line}"
    return without_secrets(line)


def without_secrets(text: str) -> str:
    """A text without passwords in URLs and without the environment's credentials."""
    text = re.sub(r"://[^/@\s]+@", "://", text)
    for secret in (os.environ.get(name, "") for name in SECRETS):
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, "***")
    return text


def what_to_check(error: BaseException) -> str | None:
    """What a person should do about an error that does not pass; None when no store refused anything.

    Of what is not there, a missing bucket alone is something to do about.
    """
    code = _code(error)
    if isinstance(error, FileNotFoundError | FileExistsError) and code != NO_BUCKET:
        return None
    names = [*([code] if code else []), *(type(cause).__name__ for cause in _causes(error))]
    known = next((CHECKS[name] for name in names if name in CHECKS), None)
    return known or (LOOK_AT_ALL if http_status(error) in REFUSED_STATUS else None)


def http_status(error: BaseException) -> int | None:
    """What a server answered, of the oldest cause that knows; None when none did."""
    return next((status for cause in reversed([*_causes(error)]) if (status := _status(cause)) is not None), None)


def _code(error: BaseException) -> str | None:
    """S3's own name for what went wrong, from botocore's `response`; for want of a body, as of HEAD, the status."""
    for cause in _causes(error):
        response = getattr(cause, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code") or "") or None
    return None


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


def _status(error: BaseException) -> int | None:
    """What the server answered: botocore keeps it in `response`, others in an attribute of their own."""
    response = getattr(error, "response", None)
    codes = [getattr(error, name, None) for name in ("status", "status_code", "code")]
    if isinstance(response, dict):
        codes = [response.get("ResponseMetadata", {}).get("HTTPStatusCode")]
    return next((code for code in codes if isinstance(code, int) and 100 <= code < 600), None)


def _is_passing(error: BaseException) -> bool:
    kinds = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__}
    return bool(kinds & PASSING_KINDS) or (isinstance(error, OSError) and error.errno in PASSING)
