"""A local HTTP server that takes notifications, or refuses them, or hangs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Sink:
    """taken: what came, as Apprise's json:// sends it.  answer: its status; None never answers."""

    answer: int | None = 200
    taken: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"json://user:hunter2@127.0.0.1:{self.port}/s3cr3t-path?+X-Key=t0ken"

    def titles(self) -> list[str]:
        return [message["title"] for message in self.taken]


@contextmanager
def sink(answer: int | None = 200) -> Iterator[Sink]:
    """One that listens while the block runs."""
    made = Sink(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            if made.answer is None:
                made.over.wait(30)
                return
            self.send_response(made.answer)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing is printed."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.over.set()
        server.shutdown()
        server.server_close()
