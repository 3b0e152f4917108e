"""A trace has a span for each request, with its stages, and not a word that a client wrote."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType

import pytest
from named_index import named_index
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    StatusCode,
    TraceFlags,
    use_span,
)
from serving import bare_environment
from starlette.testclient import TestClient
from test_requests import MARK, application

from rag.errors import SettingsError
from rag.serve.telemetry.metrics import Metrics
from rag.serve.telemetry.requests import RequestRecord, Telemetry
from rag.serve.telemetry.traces import Traces, traces_to

HEADERS = ("user-agent", "referer", "authorization", "cookie", "baggage", "tracestate", "x-request-id")


def record(*, status: int = 200, waited_ms: float | None = None) -> RequestRecord:
    return RequestRecord(
        request_id="a" * 32,
        method="POST",
        route="/ask",
        status=status,
        began_ns=1_800_000_000_000_000_000,
        milliseconds=8.5,
        key="chatbot",
        waited_ms=waited_ms,
        timings_ms=MappingProxyType({"encode": 4.0, "search": 1.5}),
    )


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traces(exporter: InMemorySpanExporter) -> Iterator[Traces]:
    made = Traces(SimpleSpanProcessor(exporter))
    yield made
    made.close()


def span_of(exporter: InMemorySpanExporter) -> ReadableSpan:
    (span,) = exporter.get_finished_spans()
    return span


def test_a_request_is_one_span_with_its_route_its_status_and_its_stages(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    traces.record(record(waited_ms=2.0))
    span = span_of(exporter)
    assert (span.name, span.kind, span.parent) == ("POST /ask", SpanKind.SERVER, None)
    assert span.attributes == {
        "http.request.method": "POST",
        "http.route": "/ask",
        "http.response.status_code": 200,
        "citewell.request_id": "a" * 32,
        "citewell.encode_ms": 4.0,
        "citewell.search_ms": 1.5,
        "citewell.wait_ms": 2.0,
    }
    assert span.start_time == 1_800_000_000_000_000_000
    assert span.end_time == 1_800_000_000_008_500_000
    assert span.resource.attributes["service.name"] == "citewell"


@pytest.mark.parametrize(
    ("status", "told"),
    [(200, StatusCode.UNSET), (422, StatusCode.UNSET), (499, StatusCode.UNSET), (503, StatusCode.ERROR)],
)
def test_a_failure_of_ours_is_an_error_and_one_of_the_client_is_none(
    traces: Traces, exporter: InMemorySpanExporter, status: int, told: StatusCode
) -> None:
    traces.record(record(status=status))
    assert span_of(exporter).status.status_code is told


def test_no_span_belongs_to_one_that_others_have_opened(
    traces: Traces, exporter: InMemorySpanExporter
) -> None:
    """What is open may be of a client's making: its identity comes in a header."""
    theirs = SpanContext(0xABCD, 0xABCD, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    with use_span(NonRecordingSpan(theirs)):
        traces.record(record())
    span = span_of(exporter)
    assert span.parent is None
    assert span.context is not None
    assert span.context.trace_id != theirs.trace_id


class Collector(ThreadingHTTPServer):
    """A collector that keeps whatever it is sent."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, bytes]] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding"):
            raise AssertionError("what is compressed cannot be searched for the mark")
        self.server.received.append((self.path, str(self.headers).encode() + body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@contextmanager
def traced(address: str) -> Iterator[TestClient]:
    traces = traces_to(address)
    app = application()
    app.add_middleware(Telemetry, metrics=Metrics(named_index()), slow_ms=10_000.0, trace=traces.record)
    yield TestClient(app, raise_server_exceptions=False)
    traces.close()


@pytest.mark.parametrize("end", ["", "/", "/v1/traces"])
def test_the_collector_is_found_with_and_without_its_path(collector: Collector, end: str) -> None:
    with traced(collector.address + end) as client:
        client.post("/ask", json={})
    assert [path for path, _ in collector.received] == ["/v1/traces"]


def test_a_marked_question_leaves_no_mark_at_the_collector(collector: Collector) -> None:
    """It stands in the body, the query, the path, the headers, the method and in an exception."""
    hidden = MARK.encode().hex()[:30]
    with traced(collector.address) as client:
        headers = dict.fromkeys(HEADERS, MARK) | {"traceparent": f"00-{hidden}00-{hidden[:16]}-01"}
        client.post(f"/ask?question={MARK}", json={"question": MARK}, headers=headers)
        client.post("/ask", content=MARK, headers={"content-type": MARK})
        client.get(f"/documents/{MARK}", headers={"host": MARK})
        client.request(MARK.upper(), f"/{MARK}")
        client.get("/broken")
    everything = b"".join(sent for _, sent in collector.received)
    assert everything.count(b"citewell.request_id") == 5
    for place in (b"/ask", b"/documents/{doc_id}", b"/broken", "/…".encode(), b"encode_ms"):
        assert place in everything
    assert MARK.encode() not in everything.lower()
    assert bytes.fromhex(hidden)[:8] not in everything


def test_a_collector_that_is_gone_costs_no_request_and_no_long_stop() -> None:
    with Collector() as gone:
        address = gone.address
    began = time.monotonic()
    with traced(address) as client:
        assert client.post("/ask", json={}).status_code == 200
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("address", ["127.0.0.1:4318", "grpc://here:4317", "http://", "collector"])
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(SettingsError, match=r"RAG_TRACES.*http://127\.0\.0\.1:4318"):
        traces_to(address)


def test_without_opentelemetry_the_setting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
    with pytest.raises(SettingsError, match=r"citewell\[traces\]"):
        traces_to("http://127.0.0.1:4318")


def test_without_the_setting_nothing_of_opentelemetry_is_loaded() -> None:
    """Its interface comes with FastAPI; its machinery costs memory and time to start."""
    program = (
        "import sys, rag.serve.telemetry.traces; loaded = ('opentelemetry.sdk', 'opentelemetry.exporter'); "
        "print([name for name in sys.modules if name.startswith(loaded)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=bare_environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
