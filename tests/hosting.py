"""An ASGI application behind the real server, in a thread of the test's own process."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from rag.serve.process import Process
from rag.serve.server import config_of, listen

_SECONDS = 10


@dataclass
class Host:
    """A server that runs, and raw connections to it."""

    process: Process
    port: int
    thread: threading.Thread
    loop: asyncio.AbstractEventLoop

    def connect(self) -> socket.socket:
        """A new connection; it is the caller's to close."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=_SECONDS)

    def exchange(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """Send the parts on one connection and return everything that comes until the server closes it."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
            return everything(connection)

    def stop(self) -> None:
        """Tell it to stop, as a signal does, and wait for nothing."""
        self.process.should_exit = True

    def ended(self) -> bool:
        """Whether it ends within some seconds."""
        self.thread.join(_SECONDS)
        return not self.thread.is_alive()


def everything(connection: socket.socket) -> bytes:
    """All that comes until the other side ends the connection."""
    received = b""
    while part := connection.recv(65536):
        received += part
    return received


@contextmanager
def hosted(app: ASGIApp, *, grace_seconds: float = 5.0, alone: bool = True) -> Iterator[Host]:
    """Serve `app` on a free port of loopback."""
    ready = threading.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    def on_ready() -> None:
        loops.append(asyncio.get_running_loop())
        ready.set()

    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        process = Process(
            config_of(app, grace_seconds),
            listener,
            signals=(),
            alone=alone,
            on_ready=on_ready,
        )
        thread = threading.Thread(target=lambda: process.run(sockets=[]), daemon=True)
        thread.start()
        assert ready.wait(_SECONDS)
        try:
            yield Host(process, port, thread, loops[0])
        finally:
            process.should_exit = True
            thread.join(_SECONDS)


@dataclass
class Echo:
    """Answers with what it was sent; slowly where `held` says so."""

    seen: list[Scope] = field(default_factory=list)
    held: Callable[[], Any] | None = None
    begun: threading.Event = field(default_factory=threading.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.seen.append(scope)
        self.begun.set()
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message["body"]
            if not message.get("more_body"):
                break
        if self.held is not None:
            await asyncio.to_thread(self.held)
        body = scope["method"].encode() + b" " + scope["path"].encode() + b" " + body
        head = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        await send({"type": "http.response.body", "body": body})
