"""One client's connection: bounded in the size of its head and in time, and ended without losing a request.

Built on uvicorn's protocol over httptools, which has neither bound, closes a connection whose request has
not wholly arrived when it is told to stop, and goes silent after an `Upgrade` that it does not take.
"""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import httptools
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from rag.serve.problems import problem_response

MAX_HEAD_BYTES = 32 * 1024
# From the first byte of a request to its last; before the first one of a connection as well.
REQUEST_SECONDS = 20.0
# How long an idle connection may still send a request when the service has been told to stop. Whoever
# keeps it in use sends one, and learns from the answer that the connection ends.
LAST_CALL_SECONDS = 0.5
# How long the answer to a broken request is left to be read before the connection is cut.
_LINGER_SECONDS = 2.0


class _TooLarge(Exception):
    """The head of a request is larger than it may be."""


class Connection(HttpToolsProtocol):
    """Made by uvicorn for every connection that is accepted."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self._stopping = self._ended = self._too_large = self._set_aside = False
        self._in_head = self._in_body = False
        self._begun = self._head_bytes = self._raw_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._last: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._stop_waiting()
        if self._last is not None:
            self._last.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self._unset_keepalive_if_required()
        begun, in_body = self._begun, self._in_body
        try:
            self._feed(data)
        except httptools.HttpParserError:
            if self._too_large:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _HEAD_TOO_LARGE)
            else:
                self.logger.warning("Invalid HTTP request received.")
                self._refuse(HTTPStatus.BAD_REQUEST, "This is not HTTP/1.1.")
        # What the parser keeps of an unfinished head it does not tell. Data that hold an end as well are
        # not counted; the next ones are.
        if self._in_head and self._begun - begun + in_body < 2:
            self._raw_bytes += len(data)
            if self._raw_bytes > MAX_HEAD_BYTES:
                self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _HEAD_TOO_LARGE)

    def _feed(self, data: bytes) -> None:
        while data and not self._ended:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        """The head that was read, as that of a usual request: nothing here can be upgraded to.

        The parser takes what follows an upgrade for another protocol, the body of the request too.
        """
        lines = [self.scope["method"].encode() + b" " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._in_head = True
        self._begun += 1
        self._head_bytes = self._raw_bytes = 0
        if self._deadline is None:
            self._await_request()

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, whole."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head of a request has arrived, and its answering begins."""
        method = self.parser.get_method()
        if self.parser.should_upgrade() and method != b"CONNECT":
            self.scope["method"] = method.decode("ascii")
            self._set_aside = True
            return
        self._in_head = self._set_aside = False
        self._in_body = True
        super().on_headers_complete()
        if self._stopping:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """The last byte of a request."""
        if self._set_aside:
            return
        self._in_body = False
        self._stop_waiting()
        super().on_message_complete()

    def shutdown(self) -> None:
        """Take no request any more but the one that is under way, and one that was sent before this."""
        self._stopping = True
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False
        elif not self._in_head:
            self._last = self.loop.call_later(LAST_CALL_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        idle = self.cycle is None or self.cycle.response_complete
        if idle and not self._in_head:
            self.transport.close()

    def _count(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._too_large = True
            raise _TooLarge

    def _await_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        if self._begun:
            seconds = f"{REQUEST_SECONDS:.0f} seconds"
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, f"The request did not arrive within {seconds}.")
        else:
            self.transport.close()

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer what is no request, or none that may be answered, and read no more from this client."""
        if self._ended or self.transport.is_closing():
            return
        self._ended = True
        self._in_head = False
        self._stop_waiting()
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                # A whole request stands before the broken one; it keeps its answer.
                cycle.keep_alive = False
                return
            cycle.disconnected = True
            cycle.message_event.set()
            if cycle.response_started:
                self.transport.close()
                return
        self.transport.write(_answer(status, detail, self.server_state.default_headers))
        # Closed at once, with something unread, the answer would be lost on its way.
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._last = self.loop.call_later(_LINGER_SECONDS, self.transport.close)


_HEAD_TOO_LARGE = f"Address and headers may be {MAX_HEAD_BYTES:,} bytes long together."


def _answer(status: HTTPStatus, detail: str, headers: list[tuple[bytes, bytes]]) -> bytes:
    """Problem details as they go over the wire, for what never became a request of the application."""
    scope: Scope = {}
    response = problem_response(scope, status, detail, headers={"connection": "close"})
    lines = [name + b": " + value for name, value in (*headers, *response.raw_headers)]
    return STATUS_LINE[status] + b"\r\n".join([*lines, b"", bytes(response.body)])
