"""Traces for OpenTelemetry, if they are wanted: one span a request, made of what its log line tells.

FastAPI's own telemetry is not used: its spans have the path, the query and the Host header of a request, its
logs have the messages of exceptions, and it takes the identity of a trace from the client.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from rag.errors import SettingsError
from rag.serve.telemetry.requests import RequestRecord

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

_PATH = "/v1/traces"
# A service that stops does not wait longer than this for a collector that does not answer.
_SECONDS_TO_SEND = 3.0


class Traces:
    """Hands a span of each request to `processor`. Safe to use from several threads."""

    def __init__(self, processor: SpanProcessor) -> None:
        from opentelemetry.context import Context
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider

        resource = Resource.create({"service.name": "citewell", "service.version": version("citewell")})
        # Not the global provider: what other libraries would trace is not ours to send.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("citewell")
        # No request has a parent: the identity of a trace would come from a header.
        self._no_parent = Context()

    def record(self, request: RequestRecord) -> None:
        """Make the span of a request that has ended."""
        from opentelemetry.trace import SpanKind, StatusCode

        span = self._tracer.start_span(
            f"{request.method} {request.route}",
            context=self._no_parent,
            kind=SpanKind.SERVER,
            start_time=request.began_ns,
            attributes=_attributes(request),
        )
        if request.status >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(request.began_ns + round(request.milliseconds * 1_000_000))

    def close(self) -> None:
        """Send what is still here."""
        self._provider.shutdown()


def _attributes(request: RequestRecord) -> dict[str, str | int | float]:
    # Stages have a length and no beginning that was measured, so they are attributes and no spans.
    stages = {f"citewell.{stage}_ms": ms for stage, ms in request.timings_ms.items()}
    if request.waited_ms is not None:
        stages["citewell.wait_ms"] = request.waited_ms
    return {
        "http.request.method": request.method,
        "http.route": request.route,
        "http.response.status_code": int(request.status),
        "citewell.request_id": request.request_id,
        **stages,
    }


def traces_to(address: str) -> Traces:
    """Traces that go to the collector at `address`, in the background (OTLP over HTTP).

    Raises `SettingsError` where the address is none or OpenTelemetry is not installed.
    """
    parts = urlsplit(address)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(
            "traces (RAG_TRACES): expected the address of an OTLP collector, such as http://127.0.0.1:4318"
        )
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise SettingsError(
            "traces (RAG_TRACES) need OpenTelemetry, which is not installed; "
            "install it with pip install 'citewell[traces]', or leave the setting out"
        ) from None
    endpoint = address.removesuffix("/").removesuffix(_PATH) + _PATH
    return Traces(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=_SECONDS_TO_SEND)))
