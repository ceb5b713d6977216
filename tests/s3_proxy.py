"""A proxy in front of any S3 server that does to its answers what networks and overloaded servers do."""

from __future__ import annotations

import http.client
import os
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, unquote, urlsplit


class Broken(Enum):
    """What becomes of a request that the server behind has answered, or would."""

    RESET = "the connection is reset in the middle of the answer's body, or before an answer without one"
    SHORT = "the connection ends there"
    LOST = "the server has done it, and nobody hears so"
    SILENT = "nothing is answered until `thaw`"


Fault = Broken | tuple[int, str] | None  # of a request: broken; (status, S3's code) in the server's place; none
FRAMING = {"connection", "transfer-encoding", "content-length", "server", "date"}


class S3Proxy:
    """Until `stop`, answers on `url` for the server at `behind`.

    fault: asked about each request, by method and path.  asked: those that came.  hidden: keys that listings lack.
    """

    def __init__(self, behind: str) -> None:
        self.behind = urlsplit(behind).netloc
        self.thawed = threading.Event()
        self.mend()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Bound", (_Handler,), {"proxy": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def mend(self) -> None:
        """All is well from here on."""
        self.fault: Callable[[str, str], Fault] = lambda method, path: None
        self.asked: list[tuple[str, str]] = []
        self.hidden: set[str] = set()
        self.thawed.set()
        self.thawed = threading.Event()

    def fail(self, *faults: Fault, of: str = "") -> None:
        """The next requests, or those of a method or path that `of` matches, meet these faults, one each."""
        left: Iterator[Fault] = iter(faults)
        lock = threading.Lock()

        def fault(method: str, path: str) -> Fault:
            with lock:
                return next(left, None) if re.search(of, f"{method} {path}") else None

        self.fault = fault

    def stop(self) -> None:
        """Connections are refused from here on."""
        self.thawed.set()
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    proxy: S3Proxy
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        with suppress(ConnectionError):  # who waited no longer
            super().handle_one_request()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.proxy.asked.append((self.command, path))
        fault = self.proxy.fault(self.command, path)
        if isinstance(fault, tuple):
            status, code = fault
            self._send(status, {"Content-Type": "application/xml"}, said(code))
        elif fault is Broken.SILENT:
            self.proxy.thawed.wait()
            self.close_connection = True
        else:
            self._send(*self._behind(body), broken=fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - http.server calls them so

    def _behind(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """What the server itself says: status, headers, body."""
        server = http.client.HTTPConnection(self.proxy.behind, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("expect", "connection")}
        server.request(self.command, self.path, body, headers)
        answer = server.getresponse()
        kept = {n: v for n, v in answer.getheaders() if self.command == "HEAD" or n.lower() not in FRAMING}
        text = answer.read()
        server.close()
        return answer.status, kept, self._without_hidden(text) if "list-type=" in self.path else text

    def _without_hidden(self, listing: bytes) -> bytes:
        for key in self.proxy.hidden:
            keys = "|".join(map(re.escape, (key, quote(key, safe=""))))  # as servers word it
            entry = rf"<Contents>(?:(?!</Contents>).)*<Key>({keys})</Key>.*?</Contents>"
            listing = re.sub(entry.encode(), b"", listing, flags=re.DOTALL)
        return listing

    def _send(self, status: int, headers: dict[str, str], body: bytes, broken: Fault = None) -> None:
        self.close_connection = self.close_connection or broken is not None
        body = b"" if self.command == "HEAD" else body
        if not broken or (body and broken is not Broken.LOST):
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if broken else body)
        if broken is Broken.RESET:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # the server's own way to close says goodbye first


def said(code: str) -> bytes:
    """An error as S3 words it."""
    return f"<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>".encode()


@contextmanager
def s3_proxy(behind: str) -> Iterator[S3Proxy]:
    """A proxy that is gone afterwards."""
    proxy = S3Proxy(behind)
    try:
        yield proxy
    finally:
        proxy.stop()
