"""Each request is one line and one count, without a word of the client's, and has an identity of ours."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, HTTPException
from fastapi.responses import PlainTextResponse
from named_index import named_index
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rag.serve.telemetry.logs import FIELDS
from rag.serve.telemetry.metrics import Metrics
from rag.serve.telemetry.requests import RequestRecord, Telemetry

MARK = "zvqkwumpfexjorb"
LOGGER = "rag.serve.telemetry.requests"
PATIENCE = 20.0


class Kept(logging.Handler):
    """Every line of the log as its fields."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}
        self.lines.append({"level": record.levelname, "event": record.getMessage(), **fields})


@pytest.fixture
def log() -> Iterator[Kept]:
    kept, logger = Kept(), logging.getLogger(LOGGER)
    level = logger.level
    logger.addHandler(kept)
    logger.setLevel(logging.DEBUG)
    yield kept
    logger.removeHandler(kept)
    logger.setLevel(level)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(named_index())


@pytest.fixture
def records() -> list[RequestRecord]:
    return []


@pytest.fixture
def client(metrics: Metrics, records: list[RequestRecord]) -> TestClient:
    app = application()
    app.add_middleware(Telemetry, metrics=metrics, slow_ms=10_000.0, trace=records.append)
    return TestClient(app, raise_server_exceptions=False)


def application() -> FastAPI:
    app = FastAPI(redirect_slashes=False)

    @app.post("/ask")
    async def ask(request: Request, body: dict[str, str]) -> dict[str, str]:
        request.state.timings_ms = {"encode": 4.04, "search": 1.5}
        request.state.waited_ms = 2.25
        return body

    @app.get("/documents/{doc_id:path}")
    def document(doc_id: str) -> str:
        return doc_id

    @app.get("/health/live")
    @app.get("/health/ready")
    @app.get("/metrics")
    def machine() -> str:
        return ""

    @app.get("/refused/{status}")
    def refused(status: int) -> None:
        raise HTTPException(status)

    @app.get("/broken")
    def broken() -> None:
        raise ValueError(MARK)

    async def page(_: Request) -> PlainTextResponse:
        return PlainTextResponse("")

    app.router.routes.append(Mount("/static", routes=[Route("/{name}", page)]))
    return app


def counts(metrics: Metrics) -> dict[tuple[str, str, str], float]:
    """The requests counted, by route, method and status."""
    return {
        (sample.labels["route"], sample.labels["method"], sample.labels["status"]): sample.value
        for family in metrics.registry().collect()
        for sample in family.samples
        if sample.name == "citewell_requests_total"
    }


def refusals(metrics: Metrics) -> dict[str, float]:
    """The refusals counted that there were."""
    return {
        sample.labels["reason"]: sample.value
        for family in metrics.registry().collect()
        for sample in family.samples
        if sample.name == "citewell_refusals_total" and sample.value
    }


def test_a_request_is_one_line_and_one_count(client: TestClient, log: Kept, metrics: Metrics) -> None:
    reply = client.post("/ask", json={"question": MARK})
    (line,) = log.lines
    assert 0 < line.pop("milliseconds") < 10_000
    assert line == {
        "level": "INFO",
        "event": "request",
        "request_id": reply.headers["x-request-id"],
        "method": "POST",
        "route": "/ask",
        "status": 200,
    }
    assert counts(metrics) == {("/ask", "POST", "200"): 1}


def test_every_answer_has_an_identity_of_its_own_and_never_the_clients(client: TestClient) -> None:
    replies = [
        client.get(path, headers={"X-Request-ID": MARK}) for path in ("/metrics", "/nothing", "/metrics")
    ]
    identities = [reply.headers.get_list("x-request-id") for reply in replies]
    assert all(len(told) == 1 and re.fullmatch("[0-9a-f]{32}", told[0]) for told in identities)
    assert len({told[0] for told in identities}) == 3


@pytest.mark.parametrize(
    ("method", "path", "template", "status"),
    [
        ("GET", f"/documents/{MARK}/page", "/documents/{doc_id}", 200),
        ("GET", f"/static/{MARK}", "/static/{path}", 200),
        ("GET", f"/static/{MARK}/{MARK}", "/static/{path}", 404),
        ("GET", f"/{MARK}", "/…", 404),
        ("GET", f"/ask/{MARK}", "/…", 404),
        ("GET", f"/ask?question={MARK}", "/ask", 405),
        ("GET", "/openapi.json", "/openapi.json", 200),
    ],
)
def test_a_route_is_told_by_its_template(
    client: TestClient, log: Kept, metrics: Metrics, method: str, path: str, template: str, status: int
) -> None:
    assert client.request(method, path).status_code == status
    assert [(line["route"], line["status"]) for line in log.lines] == [(template, status)]
    assert counts(metrics) == {(template, method, str(status)): 1}


def test_a_request_that_was_refused_before_it_had_a_route_is_told_with_the_one_it_wanted(
    metrics: Metrics, log: Kept
) -> None:
    async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("", status_code=429)(scope, receive, send)

    app = application()
    app.add_middleware(lambda _: refuse)
    app.add_middleware(Telemetry, metrics=metrics, slow_ms=10_000.0)
    client = TestClient(app)
    client.post("/ask")
    client.get(f"/documents/{MARK}")
    client.get(f"/{MARK}")
    assert [line["route"] for line in log.lines] == ["/ask", "/documents/{doc_id}", "/…"]
    assert refusals(metrics) == {"rate_limit": 3}


def test_a_method_that_nobody_knows_is_not_repeated(client: TestClient, log: Kept, metrics: Metrics) -> None:
    client.request(MARK.upper(), "/ask")
    assert [line["method"] for line in log.lines] == ["other"]
    assert counts(metrics) == {("/ask", "other", "405"): 1}


@pytest.mark.parametrize(
    ("status", "reason"),
    [(401, "key"), (403, "key"), (408, "body"), (413, "body"), (415, "body"), (429, "rate_limit")],
)
def test_a_refusal_is_counted_by_its_reason(
    client: TestClient, metrics: Metrics, status: int, reason: str
) -> None:
    client.get(f"/refused/{status}")
    assert refusals(metrics) == {reason: 1}


@pytest.mark.parametrize("status", [404, 422, 503])
def test_what_is_no_refusal_or_is_counted_elsewhere_is_not_counted_here(
    client: TestClient, metrics: Metrics, status: int
) -> None:
    client.get(f"/refused/{status}")
    assert refusals(metrics) == {}


def test_an_exception_is_a_500_and_goes_on(client: TestClient, log: Kept, metrics: Metrics) -> None:
    client.get("/broken")
    assert [line["status"] for line in log.lines] == [500]
    assert counts(metrics) == {("/broken", "GET", "500"): 1}
    assert MARK not in json.dumps(log.lines)
    app = application()
    app.add_middleware(Telemetry, metrics=metrics, slow_ms=10_000.0)
    with pytest.raises(ValueError, match=MARK):
        TestClient(app).get("/broken")


def test_an_answer_that_breaks_off_is_a_500_whatever_it_began_with(metrics: Metrics, log: Kept) -> None:
    async def breaks_off(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ValueError(MARK)

    with pytest.raises(ValueError, match=MARK):
        asyncio.run(call(Telemetry(breaks_off, metrics, 10_000.0)))
    assert [line["status"] for line in log.lines] == [500]


def test_what_machines_ask_every_few_seconds_is_told_at_debug_only(
    client: TestClient, log: Kept, metrics: Metrics
) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        client.get(path)
    assert [line["level"] for line in log.lines] == ["DEBUG"] * 3
    assert len(counts(metrics)) == 3


def test_a_slow_request_is_told_with_its_stages_and_its_wait(metrics: Metrics, log: Kept) -> None:
    app = application()
    app.add_middleware(Telemetry, metrics=metrics, slow_ms=0.0)
    TestClient(app).post("/ask", json={"question": MARK})
    (line,) = log.lines
    assert (line["level"], line["event"]) == ("WARNING", "slow request")
    assert line["timings_ms"] == {"encode": 4.0, "search": 1.5}
    assert line["waited_ms"] == pytest.approx(2.25, abs=0.06)
    assert MARK not in json.dumps(line)


def test_a_request_is_slow_from_the_bound_on(metrics: Metrics, log: Kept) -> None:
    async def sleepy(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(0.05)
        await PlainTextResponse("")(scope, receive, send)

    for bound in (40.0, 40_000.0):
        TestClient(Telemetry(sleepy, metrics, bound)).get("/")
    assert [line["event"] for line in log.lines] == ["slow request", "request"]
    assert all(50 <= line["milliseconds"] < 40_000 for line in log.lines)


def test_the_name_of_a_key_is_told_and_nothing_else_of_it(metrics: Metrics, log: Kept) -> None:
    def recognised(app: ASGIApp) -> ASGIApp:
        async def gate(scope: Scope, receive: Receive, send: Send) -> None:
            scope["state"]["key"] = SimpleNamespace(id=MARK, name="chatbot", scopes=("ask",))
            await app(scope, receive, send)

        return gate

    app = application()
    app.add_middleware(recognised)
    app.add_middleware(Telemetry, metrics=metrics, slow_ms=0.0)
    TestClient(app).post("/ask", json={})
    assert [line["key_name"] for line in log.lines] == ["chatbot"]
    assert MARK not in json.dumps(log.lines)


def test_a_marked_question_leaves_no_mark(
    client: TestClient, log: Kept, metrics: Metrics, records: list[RequestRecord]
) -> None:
    headers = dict.fromkeys(("user-agent", "referer", "x-forwarded-for", "authorization", "cookie"), MARK)
    client.post(f"/ask?q={MARK}", json={"question": MARK}, headers=headers)
    client.post("/ask", content=MARK, headers={"content-type": MARK})
    client.get(f"/{MARK}", headers={"traceparent": MARK, "host": MARK})
    told = [str(line) for line in log.lines] + [str(record) for record in records]
    told += [str(family) for family in metrics.registry().collect()]
    assert len(records) == len(log.lines) == 3
    assert not [line for line in told if MARK in line.lower()]


def test_a_record_has_the_times_of_the_request(client: TestClient, records: list[RequestRecord]) -> None:
    before = time.time_ns()
    client.post("/ask", json={})
    (record,) = records
    assert before <= record.began_ns <= record.began_ns + record.milliseconds * 1e6 <= time.time_ns() + 1e6
    assert record.timings_ms == {"encode": 4.04, "search": 1.5}
    assert record.waited_ms == 2.25


def test_what_is_no_http_is_left_alone(metrics: Metrics, log: Kept) -> None:
    seen: list[tuple[Scope, Receive, Send]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append((scope, receive, send))

    async def receive() -> Message:
        return {}

    async def send(_: Message) -> None: ...

    scope = {"type": "lifespan"}
    asyncio.run(Telemetry(app, metrics, 0.0)(scope, receive, send))
    assert seen == [(scope, receive, send)]
    assert (scope, log.lines, counts(metrics)) == ({"type": "lifespan"}, [], {})


async def call(app: ASGIApp, *messages: Message) -> list[Message]:
    """Call an application with these messages, after which nothing more comes."""
    coming, sent = list(messages), []

    async def receive() -> Message:
        if not coming:
            await asyncio.sleep(PATIENCE)
        return coming.pop(0)

    async def send(message: Message) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/ask", "headers": []}, receive, send)
    return sent


async def answer_to_the_body(scope: Scope, receive: Receive, send: Send) -> None:
    while (await receive()).get("more_body"):
        pass
    await PlainTextResponse("")(scope, receive, send)


PIECE = {"type": "http.request", "body": b"{", "more_body": True}
LAST = {"type": "http.request", "body": b"}", "more_body": False}
GONE = {"type": "http.disconnect"}


@pytest.mark.parametrize("messages", [(LAST, GONE), (PIECE, GONE), (PIECE, LAST, GONE)])
def test_a_client_that_left_before_its_answer_is_told_as_such(
    metrics: Metrics, log: Kept, messages: tuple[Message, ...]
) -> None:
    sent = asyncio.run(call(Telemetry(answer_to_the_body, metrics, 10_000.0), *messages))
    assert [line["status"] for line in log.lines] == [499]
    assert counts(metrics) == {("/…", "POST", "499"): 1}
    assert sent[0]["status"] == 200


@pytest.mark.parametrize("messages", [(LAST,), (PIECE, LAST)])
def test_a_client_that_waits_is_told_as_answered(
    metrics: Metrics, log: Kept, messages: tuple[Message, ...]
) -> None:
    asyncio.run(call(Telemetry(answer_to_the_body, metrics, 10_000.0), *messages))
    assert [line["status"] for line in log.lines] == [200]


def test_a_client_that_leaves_after_its_answer_has_not_left(metrics: Metrics, log: Kept) -> None:
    async def listens_on(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("")(scope, receive, send)
        assert await receive() == GONE

    asyncio.run(call(Telemetry(listens_on, metrics, 10_000.0), GONE))
    assert [line["status"] for line in log.lines] == [200]


def test_a_body_that_was_not_read_is_left_unread(metrics: Metrics) -> None:
    """Asking whether the client is there must not take a message from whoever reads on."""

    async def reads_late(_: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        assert await receive() == PIECE
        assert await receive() == LAST
        await send({"type": "http.response.body", "body": b""})

    assert len(asyncio.run(call(Telemetry(reads_late, metrics, 10_000.0), PIECE, LAST))) == 2


def test_a_request_that_is_cancelled_is_told_as_unanswered(metrics: Metrics, log: Kept) -> None:
    async def endless(_scope: Scope, _receive: Receive, _send: Send) -> None:
        await asyncio.sleep(PATIENCE)

    async def cancelled() -> None:
        task = asyncio.ensure_future(call(Telemetry(endless, metrics, 10_000.0)))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert [line["status"] for line in log.lines] == [499]


def test_an_application_that_answers_nothing_is_a_500(metrics: Metrics, log: Kept) -> None:
    async def mute(_scope: Scope, _receive: Receive, _send: Send) -> None: ...

    asyncio.run(call(Telemetry(mute, metrics, 10_000.0)))
    assert [line["status"] for line in log.lines] == [500]


@contextmanager
def serving(app: ASGIApp) -> Iterator[int]:
    """A real server on a free port, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, ws="none"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(PATIENCE)


def test_a_real_server_lets_us_know_who_hung_up(metrics: Metrics, log: Kept) -> None:
    """Three clients send a question; the one that closes its connection while it is worked on has left."""
    hung_up = threading.Event()

    async def works(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await asyncio.to_thread(hung_up.wait, PATIENCE)
        await asyncio.sleep(0.2)
        await PlainTextResponse("told")(scope, receive, send)

    with serving(Telemetry(works, metrics, 10_000.0)) as port:
        clients = [socket.create_connection(("127.0.0.1", port), PATIENCE) for _ in range(3)]
        for client in clients:
            client.sendall(b"POST /ask HTTP/1.1\r\nHost: here\r\nContent-Length: 2\r\n\r\n{}")
        time.sleep(0.2)
        clients[1].close()
        hung_up.set()
        for client in (clients[0], clients[2]):
            assert b"x-request-id" in client.recv(4096)
            client.close()
    assert sorted(line["status"] for line in log.lines) == [200, 200, 499]
