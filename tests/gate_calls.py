"""One request to an ASGI application without a server, for the tests of what stands before the routes."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS_TO_STOP = 20


@dataclass(frozen=True)
class Reply:
    """What came back, whole."""

    status_code: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.text)


def http_scope(
    method: str = "POST",
    path: str = "/ask",
    *,
    headers: Sequence[tuple[bytes, bytes]] = (),
    client: tuple[str, int] | None = ("192.0.2.1", 50000),
    **more: Any,
) -> Scope:
    """The scope of a request as uvicorn makes it."""
    given = {"type": "http", "scheme": "http", "method": method, "path": path, "query_string": b""}
    return {**given, "headers": list(headers), "client": client, **more}


async def call(app: ASGIApp, scope: Scope, messages: Sequence[Message] = ()) -> Reply | None:
    """Send a request, one message after the other; None when the application answers nothing."""
    waiting = list(messages) or [{"type": "http.request", "body": b""}]
    sent: list[Message] = []

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        return None
    body = b"".join(message.get("body", b"") for message in sent[1:])
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Reply(sent[0]["status"], headers, body.decode())


def answer(app: ASGIApp, scope: Scope, messages: Sequence[Message] = ()) -> Reply:
    """What the application answers, which it must."""
    reply = asyncio.run(call(app, scope, messages))
    assert reply is not None
    return reply


class Echo:
    """Answers with the body that it was sent, and keeps the scopes that came so far."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] != "http":
            return
        parts, more = [], True
        while more:
            message = await receive()
            parts.append(message.get("body", b""))
            more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"".join(parts)})


@contextmanager
def served(app: ASGIApp) -> Iterator[tuple[str, int]]:
    """A real server on loopback, in a thread; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield listener.getsockname()
    finally:
        server.should_exit = True
        thread.join(_SECONDS_TO_STOP)
        listener.close()
