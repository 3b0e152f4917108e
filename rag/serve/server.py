"""The server under the application: takes an address, and stops without losing a request."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import signal
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from rag.errors import SettingsError

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

# Connections that wait to be accepted; the kernel caps it (net.core.somaxconn).
_BACKLOG = 2048
# Longer than proxies keep idle connections to a service, mostly 60 s: whoever closes first must not be the
# one that does not know whether another request is on its way.
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 30.0
# How long handshakes that have begun are given to come to their end, once nobody may begin another one.
HANDSHAKE_SECONDS = 0.1

# A program for the kernel's packet filter: look at the flags of a TCP packet, drop it when it asks for a
# new connection, and let everything else through. Each row: operation, where to go on, operand.
_DROP_SYN = ((0x30, 0, 0, 13), (0x45, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_SO_ATTACH_FILTER = 26


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`; port 0 takes a free one. Raises `SettingsError`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
        # asyncio sends small parts at once only where it knows that a socket is TCP, which `accept` does not
        # tell it; otherwise the client's delayed acknowledgement costs every answer 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, UnicodeError) as error:
        number = error.errno if isinstance(error, OSError) else None
        if number == errno.EADDRINUSE:
            reason = f"port {port} on {host} is taken; choose another one with --port or RAG_PORT"
        else:
            why = os.strerror(number) if number and number > 0 else "no such address here"
            reason = f"cannot serve on {host}, port {port} ({why}); set --host and --port"
        raise SettingsError(reason) from None


def address_of(listener: socket.socket) -> str:
    """Where a browser on this machine finds it."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def hold_back(listener: socket.socket) -> None:
    """Let nobody connect any more, while those who have done so can still be accepted.

    A listener that is closed cuts off whoever waits in its queue, with a request already sent perhaps.
    Clients that are held back ask again after a second, and find the port closed or the next service there.
    Only Linux can do this; elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    program = b"".join(struct.pack("HBBI", *row) for row in _DROP_SYN)
    kept = ctypes.create_string_buffer(program, len(program))
    with suppress(OSError):
        listener.setsockopt(
            socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", len(_DROP_SYN), ctypes.addressof(kept))
        )


def run(
    app: ASGIApp,
    listener: socket.socket,
    *,
    grace_seconds: float = GRACE_SECONDS,
    alone: bool = True,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are answered first, for `grace_seconds` at most.

    A second signal ends the process at once. Not `alone` it is one worker of several (rag/serve/workers.py),
    whose supervisor decides about that. `on_ready` is called when connections are accepted.
    """
    from rag.serve.process import Process

    signals = (signal.SIGTERM, signal.SIGINT) if alone else (signal.SIGTERM,)
    # What is there now stays: looking through it for garbage again and again would delay answers.
    gc.freeze()
    gc.enable()
    config = config_of(app, grace_seconds)
    Process(config, listener, signals=signals, alone=alone, on_ready=on_ready).run(sockets=[])


def config_of(app: ASGIApp, grace_seconds: float) -> uvicorn.Config:
    """How uvicorn is to serve `app`."""
    import uvicorn

    from rag.serve.connection import Connection

    # uvicorn would log addresses as they come, with a question in them perhaps, and X-Forwarded-For as the
    # client; requests are logged by rag/serve/telemetry.
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=round(grace_seconds),
    )
