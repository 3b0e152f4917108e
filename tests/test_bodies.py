"""A body is JSON, not too large and not too slow; any other is refused before it is read to its end."""

from __future__ import annotations

import asyncio
import socket
import time
from itertools import pairwise

import pytest
from gate_calls import Echo, Reply, answer, call, http_scope, served
from hypothesis import given
from hypothesis import strategies as st
from refusing import check_problem
from starlette.types import Message, Scope

from rag.serve.gate.bodies import BodyLimits

MOST = 100
MARK = b"xanthippe-qvortex"
JSON = (b"content-type", b"application/json")
CHUNKED = (b"transfer-encoding", b"chunked")


def limits(*, seconds: float = 5.0) -> BodyLimits:
    return BodyLimits(Echo(), max_bytes=MOST, seconds=seconds)


def length(size: int) -> tuple[bytes, bytes]:
    return b"content-length", str(size).encode()


def parts(*bodies: bytes) -> list[Message]:
    """The messages of a body that comes in these parts."""
    last = len(bodies) - 1
    return [
        {"type": "http.request", "body": body, "more_body": place < last} for place, body in enumerate(bodies)
    ]


def sent(*headers: tuple[bytes, bytes], body: bytes = b"{}", method: str = "POST") -> Reply:
    """The answer to a body with these headers and its length."""
    scope = http_scope(method, headers=[*headers, length(len(body))])
    return answer(limits(), scope, parts(body))


def test_a_body_of_the_largest_size_arrives_whole() -> None:
    body = b"x" * MOST
    assert sent(JSON, body=body).text == body.decode()


def test_a_body_one_byte_larger_is_refused() -> None:
    problem = check_problem(sent(JSON, body=b"x" * (MOST + 1)), 413)
    assert problem["detail"] == "The body is too large: at most 100 bytes."


async def _answered(app: BodyLimits, scope: Scope, messages: list[Message]) -> tuple[Reply, int]:
    """The answer, and how many messages were read before it was out."""
    sent: list[Message] = []
    read: list[int] = []
    waiting = list(messages)

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        read.append(len(messages) - len(waiting))

    await app(scope, receive, send)
    start, *bodies = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    text = b"".join(body["body"] for body in bodies).decode()
    assert int(headers["content-length"]) == len(bodies[0]["body"])
    assert not bodies[-1].get("more_body", False)
    return Reply(start["status"], headers, text), read[1]


@pytest.mark.parametrize("claimed", [b"101", b"9" * 18, b"9" * 19, b"9" * 5000])
def test_a_length_beyond_the_bound_is_refused_before_a_byte_is_read(claimed: bytes) -> None:
    scope = http_scope(headers=[JSON, (b"content-length", claimed)])
    reply, read = asyncio.run(_answered(limits(), scope, parts(b"{", b"}")))
    check_problem(reply, 413)
    assert reply.headers["connection"] == "close"
    assert read == 0


def test_a_body_without_a_length_is_refused_by_the_first_part_too_many() -> None:
    reply, read = asyncio.run(
        _answered(limits(), http_scope(headers=[JSON, CHUNKED]), parts(*[b"x" * 40] * 9))
    )
    check_problem(reply, 413)
    assert reply.headers["connection"] == "close"
    assert read == 3


def test_an_endless_body_is_discarded_for_a_moment_only() -> None:
    discarded = 0

    async def receive() -> Message:
        nonlocal discarded
        discarded += 1
        return {"type": "http.request", "body": b"x" * 1_000_000, "more_body": True}

    async def send(_message: Message) -> None:
        pass

    asyncio.run(limits()(http_scope(headers=[JSON, CHUNKED]), receive, send))
    assert discarded <= 20


@given(cuts=st.lists(st.integers(0, MOST + 40), max_size=6), size=st.integers(0, MOST + 40))
def test_law_the_size_decides_however_a_body_is_cut(cuts: list[int], size: int) -> None:
    body = bytes(index % 26 + 97 for index in range(size))
    places = sorted(min(cut, size) for cut in cuts)
    cut_up = parts(*(body[start:end] for start, end in pairwise([0, *places, size])))
    reply = answer(limits(), http_scope(headers=[JSON, CHUNKED]), cut_up)
    if size <= MOST:
        assert (reply.status_code, reply.text) == (200, body.decode())
    else:
        check_problem(reply, 413)


@pytest.mark.parametrize(
    "kind",
    [
        *(b"application/json", b"Application/JSON", b" application/json ", b"application/json;"),
        *(b"application/json; charset=utf-8", b'application/json;charset="UTF-8"', b"application/json; v=1"),
    ],
)
def test_json_in_utf8_is_read_however_it_is_announced(kind: bytes) -> None:
    assert sent((b"content-type", kind)).text == "{}"


@pytest.mark.parametrize(
    "kind",
    [
        *(b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=x", b""),
        *(b"application/jsonx", b"application/json, text/plain", b"application/problem+json", b"\xff\xfe"),
        *(b"application/json; charset=latin-1", b"application/json; charset=utf-8; charset=utf-16", b";"),
        *(b"application/json; charset", b"json", b"application/json; CHARSET=UTF-16"),
    ],
)
def test_another_kind_of_body_is_refused(kind: bytes) -> None:
    problem = check_problem(sent((b"content-type", kind), body=MARK), 415)
    assert "application/json in UTF-8" in problem["detail"]


def test_a_body_that_does_not_say_what_it_is_is_refused() -> None:
    check_problem(sent(), 415)
    check_problem(sent(JSON, (b"content-type", b"text/plain")), 415)


@given(st.binary(max_size=60))
def test_law_no_content_type_raises_and_only_json_passes(kind: bytes) -> None:
    reply = sent((b"content-type", kind))
    assert reply.status_code == 415 or kind.strip().lower().startswith(b"application/json")


@pytest.mark.parametrize("coding", [b"gzip", b"br", b"deflate, gzip", b"identity, gzip", b"x" * 90])
def test_a_compressed_body_is_refused_and_the_refusal_says_what_is_read(coding: bytes) -> None:
    reply = sent(JSON, (b"content-encoding", coding), body=MARK)
    check_problem(reply, 415)
    assert reply.headers["accept-encoding"] == "identity"


def test_a_body_that_calls_itself_uncompressed_is_read() -> None:
    assert sent(JSON, (b"content-encoding", b"Identity")).text == "{}"


@pytest.mark.parametrize("headers", [[], [length(0)], [(b"content-type", b"text/plain"), length(0)]])
def test_a_request_without_a_body_needs_no_content_type(headers: list[tuple[bytes, bytes]]) -> None:
    assert answer(limits(), http_scope(headers=headers)).status_code == 200


def test_a_body_of_another_method_is_bounded_but_of_any_kind() -> None:
    assert sent(method="PUT", body=b"abc").text == "abc"
    check_problem(sent(method="PUT", body=b"x" * (MOST + 1)), 413)


def test_no_refusal_repeats_what_was_sent() -> None:
    refused = [
        sent(JSON, body=MARK * 9),
        sent((b"content-type", MARK), body=MARK),
        sent(JSON, (b"content-encoding", MARK), body=MARK),
    ]
    assert [reply.status_code for reply in refused] == [413, 415, 415]
    assert not any(MARK.decode() in reply.text + str(reply.headers) for reply in refused)


def test_a_client_that_goes_away_in_the_middle_is_not_answered_and_nothing_is_run() -> None:
    echo = Echo()
    gone = [*parts(b"{", b"}")[:1], {"type": "http.disconnect"}]
    app = BodyLimits(echo, max_bytes=MOST, seconds=5)
    assert asyncio.run(call(app, http_scope(headers=[JSON, CHUNKED]), gone)) is None
    assert echo.scopes == []


def test_the_application_still_learns_that_its_client_went_away() -> None:
    heard: list[str] = []

    async def app(_scope: object, receive: object, _send: object) -> None:
        heard.extend([(await receive())["type"] for _ in range(2)])  # type: ignore[operator]

    scope = http_scope(headers=[JSON, length(2)])
    messages = [*parts(b"{}"), {"type": "http.disconnect"}]
    asyncio.run(call(BodyLimits(app, max_bytes=MOST, seconds=5), scope, messages))
    assert heard == ["http.request", "http.disconnect"]


def test_other_scopes_than_http_pass() -> None:
    echo = Echo()
    asyncio.run(call(BodyLimits(echo, max_bytes=MOST, seconds=5), {"type": "lifespan"}))
    assert echo.scopes == [{"type": "lifespan"}]


HEAD = b"POST /ask HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"


def _talk(address: tuple[str, int], *pieces: bytes, pause: float = 0.0) -> tuple[bytes, float]:
    """All that a server answers until it closes the connection, and the seconds that took."""
    start = time.monotonic()
    with socket.create_connection(address, timeout=10) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):
            pass
        received = b""
        try:
            while piece := connection.recv(65536):
                received += piece
        except ConnectionResetError:
            pass
    return received, time.monotonic() - start


def test_over_a_socket_an_endless_chunked_body_is_cut_off_with_413() -> None:
    chunk = b"32\r\n" + MARK.ljust(50) + b"\r\n"
    with served(limits(seconds=30)) as address:
        received, _ = _talk(address, HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 20, pause=0.01)
    assert received.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in received.lower()
    assert received.count(b"HTTP/1.1") == 1
    assert MARK not in received


@pytest.mark.parametrize("announced", [b"Content-Length: 5000000", b"Transfer-Encoding: chunked"])
def test_a_client_that_sends_all_before_it_reads_gets_its_413_and_no_reset(announced: bytes) -> None:
    body = b"x" * 5_000_000
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if b"chunked" in announced else body
    with (
        served(limits(seconds=30)) as address,
        socket.create_connection(address, timeout=10) as connection,
        connection.makefile("rb") as answers,
    ):
        connection.sendall(HEAD + announced + b"\r\n\r\n" + sent)
        assert answers.read().startswith(b"HTTP/1.1 413 ")


def test_over_a_socket_a_large_length_is_refused_before_the_body_is_sent() -> None:
    with served(limits(seconds=30)) as address:
        received, seconds = _talk(address, HEAD + b"Content-Length: 5000000\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 413 ")
    assert seconds < 5


@pytest.mark.parametrize("announced", [b"Content-Length: 99", b"Transfer-Encoding: chunked"])
def test_over_a_socket_a_body_that_trickles_is_cut_off_with_408_in_time(announced: bytes) -> None:
    trickle = [b"1\r\nx\r\n" if b"chunked" in announced else b"x"] * 60
    with served(limits(seconds=0.3)) as address:
        received, seconds = _talk(address, HEAD + announced + b"\r\n\r\n", *trickle, pause=0.1)
    assert received.startswith(b"HTTP/1.1 408 ")
    assert b"The body did not arrive within 0.3 seconds." in received
    assert 0.3 <= seconds < 5


def test_over_a_socket_a_chunked_body_within_the_bounds_arrives_whole() -> None:
    with served(limits()) as address:
        head = HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        received, _ = _talk(address, head, b"3\r\nabc\r\n", b"2\r\nde\r\n0\r\n\r\n", pause=0.02)
    assert received.startswith(b"HTTP/1.1 200 ")
    assert b"abcde" in received
