"""Around every request: bodies that are too long are refused unread, and each answer is counted and logged.

Both are ASGI middleware of the plain kind; Starlette's own class would run each request in a task of its own.
"""

from __future__ import annotations

import json
import logging
import time
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.limits import MAX_BODY
from pipelines.serving.metrics import Metrics

ACCESS = logging.getLogger("pipelines.serving.access")
PROBES = ("/health", "/ready", "/metrics")  # asked every few seconds: logged only when something is wrong
PATHS = ("/", "/sample", "/openapi.json", *PROBES)  # one series each; whatever else is asked for shares one


class Traffic:
    """Counts and logs.  A line names neither query nor headers: a proxy's tokens may be in them."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            self._note(scope, status, time.perf_counter() - begun)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        path = scope["path"] if scope["path"] in PATHS else "other"
        self._metrics.requests.labels(path, str(status)).inc()
        self._metrics.seconds.labels(path).observe(seconds)
        if path not in PROBES or status != 200:
            client = scope["client"][0] if scope.get("client") else "-"
            ACCESS.info("%s %s %s %d %.1f ms", client, scope["method"], quote(scope["path"]), status, seconds * 1000)


class BodyLimit:
    """413 for a body of more than MAX_BODY bytes: before it is read where its length is stated, else as soon as more
    has come.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if not stated.isdigit() or int(stated) > MAX_BODY:
            await refuse(send)
            return
        if b"transfer-encoding" in dict(scope["headers"]):
            body = await gathered(receive)
            if body is None:
                await refuse(send)
                return
            receive = first(body, receive)
        await self._app(scope, receive, send)


async def gathered(receive: Receive) -> bytes | None:
    """A body whose length was not stated; None as soon as it is too long."""
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        if len(body) > MAX_BODY:
            return None
        if not message.get("more_body", False):
            return body


def first(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body that was read already, then what comes after it."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


async def refuse(send: Send) -> None:
    """The answer to a body that is too long; the rest of it is not waited for."""
    told = json.dumps({"detail": f"the body is longer than {MAX_BODY:,} bytes"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(told)).encode()),
               (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": told})
