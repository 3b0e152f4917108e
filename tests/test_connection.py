"""A connection to the real server: what it bears, what it refuses, and how it ends."""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Iterator

import pytest
from hosting import Echo, Host, everything, hosted

from rag.serve import connection
from rag.serve.connection import MAX_HEAD_BYTES

CLOSE = b"Connection: close\r\n"


def request(body: bytes = b"", *, path: bytes = b"/", headers: bytes = b"", method: bytes = b"POST") -> bytes:
    head = method + b" " + path + b" HTTP/1.1\r\nHost: x\r\n" + headers
    return head + b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


def problem(answer: bytes) -> dict[str, object]:
    """The problem details of a refusal, which must be one and must end the connection."""
    head, _, body = answer.partition(b"\r\n\r\n")
    fields = head.lower().split(b"\r\n")
    assert b"content-type: application/problem+json" in fields
    assert b"connection: close" in fields
    assert b"content-length: " + str(len(body)).encode() in fields
    found: dict[str, object] = json.loads(body)
    assert answer.startswith(f"HTTP/1.1 {found['status']} ".encode())
    assert found["request_id"]
    return found


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def host(echo: Echo) -> Iterator[Host]:
    with hosted(echo) as started:
        yield started


def test_a_request_is_answered_without_the_name_of_the_server(host: Host) -> None:
    answer = host.exchange(request(b"hello", headers=CLOSE))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"POST / hello")
    assert b"server:" not in answer.lower()
    assert b"date:" in answer.lower()


def test_small_packets_are_not_held_back(host: Host) -> None:
    with host.connect() as client:
        client.sendall(request(b"x"))
        client.recv(1000)
        (served,) = host.process.server_state.connections
        accepted = served.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_requests_sent_together_are_answered_in_their_order(host: Host) -> None:
    answer = host.exchange(request(b"1") + request(b"2") + request(b"3", headers=CLOSE))
    assert [part[:1] for part in answer.split(b"POST / ")[1:]] == [b"1", b"2", b"3"]


@pytest.mark.parametrize("bytes_at_a_time", [1, 7])
def test_a_request_in_crumbs_is_one_request(bytes_at_a_time: int, host: Host, echo: Echo) -> None:
    data = request(b"hello", headers=CLOSE)
    crumbs = [data[at : at + bytes_at_a_time] for at in range(0, len(data), bytes_at_a_time)]
    assert host.exchange(*crumbs).endswith(b"POST / hello")
    assert len(echo.seen) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"what is this\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nnot a size\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_request_is_refused_with_problem_details(data: bytes, host: Host) -> None:
    assert problem(host.exchange(data))["status"] == 400


def test_what_follows_a_whole_request_does_not_cost_its_answer(host: Host) -> None:
    answer = host.exchange(request(b"hello") + b"and something else\r\n\r\n")
    assert answer.endswith(b"POST / hello")
    assert answer.count(b"HTTP/1.1") == 1


# The head


def test_a_head_of_usual_size_is_borne(host: Host) -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (number, b"v" * 200) for number in range(100))
    assert host.exchange(request(b"hello", headers=headers + CLOSE)).endswith(b"hello")


@pytest.mark.parametrize("pieces", [1, 40])
@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"v" * 2 * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: 12345678\r\n" * (MAX_HEAD_BYTES // 5) + b"\r\n",
        b"GET /" + b"v" * 2 * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_a_head_that_is_too_large_is_refused_however_it_comes(pieces: int, head: bytes, host: Host) -> None:
    size = -(-len(head) // pieces)
    parts = [head[at : at + size] for at in range(0, len(head), size)]
    assert problem(host.exchange(*parts, pause=0.001))["status"] == 431


def test_a_head_without_an_end_is_refused_before_it_ends(host: Host, echo: Echo) -> None:
    with host.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
        for _ in range(MAX_HEAD_BYTES // 1000 + 2):
            client.sendall(b"v" * 1000)
            time.sleep(0.001)
        assert problem(everything(client))["status"] == 431
    assert echo.seen == []


def test_large_bodies_do_not_count_as_head(host: Host) -> None:
    body = b"b" * 10 * MAX_HEAD_BYTES
    answer = host.exchange(request(body), request(body, headers=CLOSE))
    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert answer.endswith(body)


def test_a_head_that_comes_behind_a_large_body_is_no_larger_for_it(host: Host) -> None:
    first, second = request(b"b" * 2 * MAX_HEAD_BYTES), request(b"2", headers=CLOSE)
    assert host.exchange(first + second[:9], second[9:], pause=0.1).endswith(b"POST / 2")


def test_a_head_in_two_halves_counts_once(host: Host) -> None:
    headers = b"X: " + b"v" * (MAX_HEAD_BYTES * 3 // 4) + b"\r\n" + b"Y: 1\r\n"
    data = request(b"2", headers=headers + CLOSE)
    assert host.exchange(data[:-60], data[-60:], pause=0.1).endswith(b"POST / 2")


# An upgrade


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket", b"anything"])
def test_an_upgrade_that_is_not_taken_costs_neither_this_request_nor_the_next(
    protocol: bytes, host: Host
) -> None:
    """Java's client asks for HTTP/2 in its first request."""
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + b"\r\nHTTP2-Settings: AAA\r\n"
    with host.connect() as client:
        for number in (b"1", b"2"):
            client.sendall(request(number, headers=upgrade))
            assert client.recv(1000).endswith(b"POST / " + number)
        client.sendall(request(b"3", headers=CLOSE))
        assert everything(client).endswith(b"POST / 3")


def test_an_upgrade_without_a_body_is_answered_as_a_request(host: Host) -> None:
    head = b"GET /chat HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert host.exchange(head + request(b"x", headers=CLOSE)).count(b"HTTP/1.1 200 OK") == 2


# Time


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "REQUEST_SECONDS", 1.0)


@pytest.mark.usefixtures("impatient")
def test_a_connection_on_which_nothing_comes_is_closed_without_a_word(host: Host) -> None:
    assert host.exchange() == b""


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("sent", [b"POST /as", request(b"hello")[:-3]])
def test_a_request_that_does_not_come_to_its_end_is_given_up(sent: bytes, host: Host) -> None:
    assert problem(host.exchange(sent))["status"] == 408


@pytest.mark.usefixtures("impatient")
def test_a_client_that_sends_a_byte_now_and_then_gains_no_time(host: Host) -> None:
    with host.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\n")
        for _ in range(50):
            client.sendall(b"X: y\r\n")
            refused, _, _ = select.select([client], [], [], 0.1)
            if refused:
                break
        assert refused, "it may go on for ever"
        assert problem(everything(client))["status"] == 408


@pytest.mark.usefixtures("impatient")
def test_the_time_to_answer_is_none_of_the_time_to_send(echo: Echo, host: Host) -> None:
    echo.held = lambda: time.sleep(1.3)
    assert host.exchange(request(b"hello", headers=CLOSE)).endswith(b"hello")


@pytest.mark.usefixtures("impatient")
def test_an_idle_connection_may_wait_for_its_next_request(host: Host) -> None:
    with host.connect() as client:
        client.sendall(request(b"1"))
        assert client.recv(1000).endswith(b"1")
        time.sleep(1.3)
        client.sendall(request(b"2"))
        assert client.recv(1000).endswith(b"2")


# A stop


def test_an_idle_connection_is_closed_when_the_service_stops(host: Host) -> None:
    with host.connect() as used, host.connect() as unused:
        used.sendall(request(b"1"))
        used.recv(1000)
        host.stop()
        assert (everything(used), everything(unused)) == (b"", b"")
    assert host.ended()


def test_a_request_on_an_open_connection_after_a_stop_is_the_last_one(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "LAST_CALL_SECONDS", 5.0)
    with host.connect() as client:
        client.sendall(request(b"1"))
        client.recv(1000)
        host.stop()
        time.sleep(1.0)
        client.sendall(request(b"2"))
        answer = everything(client)
    assert answer.endswith(b"2")
    assert b"connection: close" in answer
    assert host.ended()


@pytest.mark.parametrize("sent", [1, 10, 40, len(request(b"hello")) - 1])
def test_a_request_of_which_a_part_has_come_is_answered_after_a_stop(sent: int, host: Host) -> None:
    data = request(b"hello")
    with host.connect() as client:
        client.sendall(data[:sent])
        time.sleep(0.1)
        host.stop()
        # Longer than an idle connection is kept.
        time.sleep(1.0)
        client.sendall(data[sent:])
        answer = everything(client)
    assert answer.endswith(b"hello")
    assert b"connection: close" in answer
    assert host.ended()


def test_requests_sent_together_are_all_answered_after_a_stop(host: Host, echo: Echo) -> None:
    echo.held = lambda: time.sleep(0.3)
    with host.connect() as client:
        client.sendall(request(b"1") + request(b"2") + request(b"3"))
        assert echo.begun.wait(5)
        host.stop()
        answer = everything(client)
    assert [part[:1] for part in answer.split(b"POST / ")[1:]] == [b"1", b"2", b"3"]
    assert host.ended()
