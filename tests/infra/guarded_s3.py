"""moto's S3 server behind the policies of infra/terraform: what they do not allow is answered with 403, as by AWS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from urllib.parse import parse_qs

from tests.infra.aws_policies import Asked, Document, allowed
from tests.s3_server import Environ, s3_server

KEY = re.compile(rb"<Key>(.*?)</Key>")


class Guard:
    """role: of whoever asks from now on; None lets everything through.  refused: what was asked in vain."""

    def __init__(self, bucket: Document) -> None:
        self._bucket = bucket
        self.role: Document | None = None
        self.refused: list[Asked] = []
        self.granted: set[str] = set()

    def admits(self, environ: Environ) -> bool:
        """Whether all that one request asks for is allowed."""
        if self.role is None:
            return True
        each = list(asked_by(environ))
        refused = [one for one in each if not allowed(one, self.role, self._bucket)]
        self.refused += refused
        self.granted |= {one.action for one in each}
        return not refused


def asked_by(environ: Environ) -> Iterator[Asked]:
    """The actions that one S3 request needs, as AWS documents them."""
    method, query = environ["REQUEST_METHOD"], parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    bucket, _, key = environ["PATH_INFO"].lstrip("/").partition("/")
    arn = f"arn:aws:s3:::{bucket}"
    if not key:
        yield from _of_bucket(method, query, arn, environ)
    elif method in ("GET", "HEAD"):
        yield Asked("s3:GetObject", f"{arn}/{key}")
        yield Asked("s3:ListBucket", arn)  # to be told 404 of what is not there, and not 403
    elif method == "DELETE":
        yield Asked("s3:AbortMultipartUpload" if "uploadId" in query else "s3:DeleteObject", f"{arn}/{key}")
    else:
        condition = environ.get("HTTP_IF_NONE_MATCH")
        yield Asked("s3:PutObject", f"{arn}/{key}", {} if condition is None else {"s3:if-none-match": condition})


def _of_bucket(method: str, query: dict[str, list[str]], arn: str, environ: Environ) -> Iterator[Asked]:
    if method == "POST" and "delete" in query:
        body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
        environ["wsgi.input"] = BytesIO(body)
        yield from (Asked("s3:DeleteObject", f"{arn}/{key.decode()}") for key in KEY.findall(body))
    elif method == "GET" and "uploads" in query:
        yield Asked("s3:ListBucketMultipartUploads", arn)
    elif method in ("GET", "HEAD") and set(query) <= {"list-type", "prefix", "delimiter", "max-keys", "encoding-type",
                                                      "continuation-token", "start-after", "fetch-owner"}:
        yield Asked("s3:ListBucket", arn)
    else:
        yield Asked(f"s3:{method}?{'&'.join(query)}", arn)  # whatever it is, no role of ours may


@contextmanager
def guarded(bucket: str, policy: Document) -> Iterator[Guard]:
    """A server that the environment leads to, with an empty bucket; its guard."""
    guard = Guard(policy)
    with s3_server(bucket, "secret") as server:
        server.admits = guard.admits
        yield guard
