"""What may be sent in a body: JSON in UTF-8, not too much of it, and not too slowly.

Starlette's RequestBodyLimitMiddleware is not used: where a route does not read the body it answers in plain
text, and it knows neither time nor kind.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from http import HTTPStatus

from fastapi.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.serve.problems import problem_response

_JSON = "application/json"
_CHARSETS = {"utf-8", "utf8"}
# What is discarded of a body after its refusal, so that the refusal is not lost.
_SECONDS_TO_LINGER = 1.0
_MOST_DISCARDED = 16_000_000
# A number of more digits is too large whatever the bound is, and costs time to read.
_MOST_DIGITS = 18


class BodyLimits:
    """Reads a body before the application does, and refuses it with problem details.

    Larger than `max_bytes`: 413, at once where Content-Length says so and else as soon as it is. Not there
    after `seconds`: 408. Not application/json in UTF-8, or compressed: 415. After a refusal the connection
    is closed; but for a 408, what still comes is first discarded for a moment, because closing on unread
    bytes resets the connection, and some clients (fetch of Node among them) lose the answer with it.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, seconds: float) -> None:
        self._app, self._max_bytes, self._seconds = app, max_bytes, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if scope["type"] != "http" or not _has_body(scope):
            await self._app(scope, receive, send)
            return
        refusal = self._refuse_unread(scope)
        if refusal is not None:
            await _refuse(refusal, scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds):
                body = await self._read(receive)
        except TimeoutError:
            await self._too_slow(scope)(scope, receive, send)
            return
        if body is None:
            await _refuse(self._too_large(scope), scope, receive, send)
        elif body["type"] == "http.request":
            await self._app(scope, _first(body, receive), send)
        # Otherwise the client has gone, and nobody is there to be answered.

    def _refuse_unread(self, scope: Scope) -> Response | None:
        length = _one(scope, b"content-length")
        if length.isdigit() and (len(length) > _MOST_DIGITS or int(length) > self._max_bytes):
            return self._too_large(scope)
        if _one(scope, b"content-encoding").strip().lower() not in {b"", b"identity"}:
            detail = "A compressed body is not read; send it as it is."
            return _refusal(scope, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail, accept_encoding="identity")
        if scope["method"] == "POST" and not _is_json(_one(scope, b"content-type")):
            detail = f"Send the body as {_JSON} in UTF-8, and say so in Content-Type."
            return _refusal(scope, HTTPStatus.UNSUPPORTED_MEDIA_TYPE, detail)
        return None

    async def _read(self, receive: Receive) -> Message | None:
        """The whole body as one message, None where it is too large; a disconnect as it came."""
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return message
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > self._max_bytes:
                return None
            parts.append(part)
        return {"type": "http.request", "body": b"".join(parts), "more_body": False}

    def _too_large(self, scope: Scope) -> Response:
        detail = f"The body is too large: at most {self._max_bytes:,} bytes."
        return _refusal(scope, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)

    def _too_slow(self, scope: Scope) -> Response:
        detail = f"The body did not arrive within {self._seconds:g} seconds."
        return _refusal(scope, HTTPStatus.REQUEST_TIMEOUT, detail)


def _has_body(scope: Scope) -> bool:
    """Whether a body was announced; HTTP/1.1 has none without one of these headers (RFC 9112, 6)."""
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0"))
        for name, value in scope["headers"]
    )


def _one(scope: Scope, wanted: bytes) -> bytes:
    """The value of a header, empty where there is none; several values are joined, which no check lets in."""
    return b",".join(value for name, value in scope["headers"] if name == wanted)


def _is_json(value: bytes) -> bool:
    kind, *parameters = value.decode("latin-1").lower().split(";")
    named = [parameter.partition("=") for parameter in parameters]
    charsets = [text.strip().strip('"') for name, _, text in named if name.strip() == "charset"]
    return kind.strip() == _JSON and all(charset in _CHARSETS for charset in charsets)


def _refusal(
    scope: Scope, status: HTTPStatus, detail: str, *, accept_encoding: str | None = None
) -> Response:
    headers = {"Connection": "close"}
    if accept_encoding is not None:
        headers["Accept-Encoding"] = accept_encoding
    return problem_response(scope, status, detail, headers=headers)


async def _refuse(refusal: Response, scope: Scope, receive: Receive, send: Send) -> None:
    async def unfinished(message: Message) -> None:
        is_body = message["type"] == "http.response.body"
        await send({**message, "more_body": True} if is_body else message)

    # The client has the whole answer by its Content-Length; only the server waits before it closes.
    await refusal(scope, receive, unfinished)
    with suppress(TimeoutError):
        async with asyncio.timeout(_SECONDS_TO_LINGER):
            await _discard(receive)
    await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    size, more = 0, True
    while more and size <= _MOST_DISCARDED:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)


def _first(message: Message, receive: Receive) -> Receive:
    """Hands over a message that was already read, then what else comes."""
    waiting = [message]

    async def next_message() -> Message:
        return waiting.pop() if waiting else await receive()

    return next_message
