"""The server under the application: takes an address, stops cleanly, keeps questions out of its log."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
from contextlib import suppress
from copy import deepcopy
from http import HTTPStatus
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.config import LOGGING_CONFIG

from rag.errors import SettingsError
from rag.serve.problems import known_method


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`; port 0 takes a free one. Raises `SettingsError`."""
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.create_server(address[:2], family=family)
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


def run(app: FastAPI, listener: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C; requests in progress are answered first."""
    # Once uvicorn has shut down it raises the signal again, which would end the process as a failure.
    signal.signal(signal.SIGTERM, _leave)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(_config(app)).run(sockets=[listener])


def _config(app: FastAPI) -> uvicorn.Config:
    # Whatever stands in X-Forwarded-For would be logged as the client, and uvicorn logs the whole address
    # of a WebSocket. Nothing here needs either.
    return uvicorn.Config(app, log_config=_log_config(), proxy_headers=False, ws="none")


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _log_config() -> dict[str, object]:
    config = deepcopy(LOGGING_CONFIG)
    config["filters"] = {"route": {"()": _RouteOnly}}
    config["handlers"]["access"]["filters"] = ["route"]
    return config


class _RouteOnly(logging.Filter):
    """Cuts an access line down to method and route: a question may stand in an address by mistake."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, address, http, status = record.args
            route = "/…" if status == HTTPStatus.NOT_FOUND else str(address).partition("?")[0]
            record.args = (client, known_method(str(method)), route, http, status)
        return True
