"""moto's S3 server as one meets a real one: it can be stopped, started again with all it holds, and answer errors."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

Environ = dict[str, Any]
Fault = Callable[[str, str], tuple[int, str] | None]  # (method, path) → (status, S3's error code or an XML answer)


def no_fault(method: str, path: str) -> None:
    """All is well."""


def lets_in(environ: Environ) -> bool:
    """Anybody, anything."""
    return True


class S3Server:
    """Listens on one port of this machine from `start` to `stop`, as often as wanted.

    fault: asked about each request before moto sees it.  asked: (method, path) of the requests that moto answered.
    admits: asked first, with all that a request says; False is answered with AccessDenied.
    ignored: headers that moto never sees, as a server that does not know them.
    """

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server: BaseWSGIServer | None = None
        self._port = 0
        self._creating = threading.Lock()
        self.fault: Fault = no_fault
        self.admits: Callable[[Environ], bool] = lets_in
        self.asked: list[tuple[str, str]] = []
        self.ignored: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Listens, if it does not already, on the port that it had before."""
        if self._server is not None:
            return
        self._server = make_server("127.0.0.1", self._port, self._answer, threaded=True)
        self._port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """From here on, connections are refused."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def _answer(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
        for header in self.ignored:
            environ.pop(f"HTTP_{header.upper().replace('-', '_')}", None)
        fault = self.fault(method, path) if self.admits(environ) else (403, "AccessDenied")
        if fault is None:
            self.asked.append((method, path))
            # moto looks whether an object is there and then makes it, which S3 promises to do at once
            with self._creating if "HTTP_IF_NONE_MATCH" in environ else nullcontext():
                answer: Iterable[bytes] = self._moto(environ, start_response)
                return answer
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        status, code = fault
        start_response(f"{status} Fault", [("Content-Type", "application/xml")])
        said = f"<Error><Code>{code}</Code><Message>as the test wants it</Message></Error>" if code.isalnum() else code
        return [said.encode() if method != "HEAD" else b""]


@contextmanager
def s3_server(bucket: str, secret: str) -> Iterator[S3Server]:
    """A server with an empty bucket, which the environment leads to."""
    import boto3

    server = S3Server()
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "SECRET_ACCESS_KEY": secret,
                            "DEFAULT_REGION": "us-east-1", "ENDPOINT_URL": server.url}.items():
            patch.setenv(f"AWS_{name}", value)
        boto3.session.Session().client("s3").create_bucket(Bucket=bucket)
        yield server
    server.stop()
