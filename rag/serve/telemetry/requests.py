"""One line in the log and one count in the metrics for each request, without a word that a client wrote."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPMethod, HTTPStatus
from inspect import iscoroutinefunction
from time import perf_counter, time_ns
from typing import Any

from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.serve.problems import request_id_of
from rag.serve.telemetry.metrics import Metrics, Reason

# Of a path that no route knows nothing is told: a question may stand in it.
UNKNOWN_ROUTE = "/…"
OTHER_METHOD = "other"
# The client went away before its answer; known under this number since nginx, and never sent.
CLIENT_LEFT = 499

# Asked every few seconds by machines.
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})
# Whoever refuses with 503 counts it himself, for there is more than one reason.
_REFUSALS: dict[int, Reason] = {
    HTTPStatus.UNAUTHORIZED: "key",
    HTTPStatus.FORBIDDEN: "key",
    HTTPStatus.REQUEST_TIMEOUT: "body",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "body",
    HTTPStatus.TOO_MANY_REQUESTS: "rate_limit",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRecord:
    """What is told of a request that has ended.

    `began_ns` counts nanoseconds since 1970. `key` is the name of the API key. `waited_ms` and `timings_ms`
    are the time in the waiting line and in the stages of an answer.
    """

    request_id: str
    method: str
    route: str
    status: int
    began_ns: int
    milliseconds: float
    key: str | None
    waited_ms: float | None
    timings_ms: Mapping[str, float]


class Telemetry:
    """Measures and logs each request of `app`, and answers with its identity in `X-Request-ID`.

    A request of `slow_ms` milliseconds or more is logged as slow, with its stages. `trace` is given
    the record of every request.
    """

    def __init__(
        self,
        app: ASGIApp,
        metrics: Metrics,
        slow_ms: float,
        *,
        trace: Callable[[RequestRecord], None] | None = None,
    ) -> None:
        self._app, self._metrics, self._slow_ms, self._trace = app, metrics, slow_ms, trace

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; what is no HTTP is left alone."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(receive, send, request_id_of(scope))
        # The clock of a machine may be set back, so it is not what durations are measured with.
        began_ns, began = time_ns(), perf_counter()
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except asyncio.CancelledError:
            exchange.status = CLIENT_LEFT
            raise
        except BaseException:
            exchange.status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise
        finally:
            milliseconds = (perf_counter() - began) * 1000
            self._tell(_record(scope, exchange, began_ns=began_ns, milliseconds=milliseconds))

    def _tell(self, record: RequestRecord) -> None:
        self._metrics.request(
            route=record.route,
            method=record.method,
            status=record.status,
            seconds=record.milliseconds / 1000,
        )
        if record.status in _REFUSALS:
            self._metrics.refused(_REFUSALS[record.status])
        self._write(record)
        if self._trace is not None:
            self._trace(record)

    def _write(self, record: RequestRecord) -> None:
        slow = record.milliseconds >= self._slow_ms
        level = logging.WARNING if slow else logging.INFO
        if record.route in _QUIET:
            level = logging.DEBUG
        if not _log.isEnabledFor(level):
            return
        told: dict[str, object] = {
            "request_id": record.request_id,
            "method": record.method,
            "route": record.route,
            "status": record.status,
            "milliseconds": round(record.milliseconds, 1),
        }
        if record.key is not None:
            told["key_name"] = record.key
        if slow:
            told["waited_ms"] = round(record.waited_ms or 0.0, 1)
            told["timings_ms"] = {stage: round(ms, 1) for stage, ms in record.timings_ms.items()}
        _log.log(level, "slow request" if slow else "request", extra=told)


class _Exchange:
    """Watches both directions of a request: its status, and whether the client is still there."""

    __slots__ = ("_asked", "_ended", "_read", "_receive", "_request_id", "_send", "status")

    def __init__(self, receive: Receive, send: Send, request_id: str) -> None:
        self._receive, self._send = receive, send
        self._request_id = request_id.encode("ascii")
        self._read = self._ended = False
        self.status = 0

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            # After the answer this only says that there is nothing more.
            if not self._ended:
                self.status = CLIENT_LEFT
        elif not message.get("more_body"):
            self._read = True
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self.status != CLIENT_LEFT:
                left = self._read and _has_left(self._receive)
                self.status = CLIENT_LEFT if left else message["status"]
            headers = [*message.get("headers", ()), (b"x-request-id", self._request_id)]
            message = {**message, "headers": headers}
        elif not message.get("more_body"):
            self._ended = True
        await self._send(message)


def _has_left(receive: Receive) -> bool:
    """Whether the server knows already that the client is gone.

    To be asked when the body has been read: then there is nothing to receive but that news. The question is
    begun and dropped where it would have to wait, which takes a tenth of the time of a cancel scope.
    """
    if not iscoroutinefunction(receive):
        return False
    asked = receive()
    try:
        asked.send(None)
    except StopIteration as told:
        return bool(told.value["type"] == "http.disconnect")
    asked.close()
    return False


def _record(scope: Scope, exchange: _Exchange, *, began_ns: int, milliseconds: float) -> RequestRecord:
    state: dict[str, Any] = scope["state"]
    method = scope["method"]
    return RequestRecord(
        request_id=request_id_of(scope),
        method=method if method in HTTPMethod.__members__ else OTHER_METHOD,
        route=_route_of(scope),
        # A server answers 500 in place of an application that answers nothing.
        status=int(exchange.status or HTTPStatus.INTERNAL_SERVER_ERROR),
        began_ns=began_ns,
        milliseconds=milliseconds,
        key=getattr(state.get("key"), "name", None),
        waited_ms=state.get("waited_ms"),
        timings_ms=state.get("timings_ms") or {},
    )


def _route_of(scope: Scope) -> str:
    """The template of the route that took the request, or would have if it had not been refused before."""
    # A mounted application moves the root of the paths, and its routes tell only their part of a path.
    root = scope.get("root_path", "")
    own = scope.get("app_root_path", root)
    if own == root and (route := scope.get("route")) is not None:
        return str(route.path_format)
    asked = {**scope, "root_path": own}
    for candidate in getattr(scope.get("app"), "routes", ()):
        if candidate.matches(asked)[0] is not Match.NONE:
            return getattr(candidate, "path_format", UNKNOWN_ROUTE)
    return UNKNOWN_ROUTE
