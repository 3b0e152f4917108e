"""A server on loopback that answers from a script, for the tests of clients."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Line:
    """One reply of the script: it comes after `seconds`; a body that is no text is sent as JSON."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it came, and when."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: str
    when: float


@dataclass(frozen=True)
class Script:
    """Where the server is and what it was asked."""

    address: str
    asked: list[Asked]

    def bodies(self) -> list[Any]:
        """The JSON of every request."""
        return [json.loads(one.body) for one in self.asked]


@contextmanager
def scripted(lines: Sequence[Line]) -> Iterator[Script]:
    """Serve the lines in order; the last one is repeated for ever."""
    asked: list[Asked] = []
    gone = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            request = Asked(
                method="POST",
                path=self.path,
                headers={name.lower(): value for name, value in self.headers.items()},
                body=body,
                when=time.monotonic(),
            )
            asked.append(request)
            line = lines[min(len(asked), len(lines)) - 1]
            if not gone.wait(line.seconds):
                self._reply(line)

        def _reply(self, line: Line) -> None:
            content = line.body if isinstance(line.body, str) else json.dumps(line.body)
            kind = "text/html" if isinstance(line.body, str) else "application/json"
            self.send_response(line.status)
            for name, value in {"Content-Type": kind, **line.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content.encode())))
            self.end_headers()
            self.wfile.write(content.encode())

        def log_message(self, *_said: object) -> None:
            """Say nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_of: object) -> None:
            """A client that went away is what some scripts are about."""

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield Script(f"http://127.0.0.1:{server.server_address[1]}", asked)
    finally:
        gone.set()
        server.shutdown()
        thread.join()
        server.server_close()
