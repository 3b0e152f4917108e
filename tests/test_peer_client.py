"""The client that measures Citewell and its peers, against services whose times are known."""

from __future__ import annotations

import json
import math
import socketserver
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks" / "peers"))

from load_client import NoAnswer, ask, ask_all, get, load, percentile, post

_OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Service(socketserver.ThreadingTCPServer):
    """Sends the given answers in turn, each after `delay` seconds, and remembers what it was asked."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, *answers: bytes, delay: float = 0.0) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.answers, self.delay = answers, delay
        self.port = int(self.server_address[1])
        self.lock = threading.Lock()
        self.asked: list[bytes] = []
        self.connections = self.together = self.most_together = 0

    def answer(self, asked: bytes) -> bytes:
        with self.lock:
            self.asked.append(asked)
            self.together += 1
            self.most_together = max(self.most_together, self.together)
            chosen = self.answers[(len(self.asked) - 1) % len(self.answers)]
        time.sleep(self.delay)
        with self.lock:
            self.together -= 1
        return chosen


class Visit(socketserver.StreamRequestHandler):
    """One connection; an answer without a body length ends it."""

    server: Service

    def handle(self) -> None:
        with self.server.lock:
            self.server.connections += 1
        while head := self._head():
            lengths = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length")]
            body = self.rfile.read(int(lengths[0].split(b":")[1])) if lengths else head
            answer = self.server.answer(body)
            self.wfile.write(answer)
            if b"ength" not in answer:
                return

    def _head(self) -> bytes:
        lines = iter(self.rfile.readline, b"\r\n")
        return b"".join(line for line in iter(lambda: next(lines, b""), b""))


@contextmanager
def serving(*answers: bytes, delay: float = 0.0) -> Iterator[Service]:
    with Service(*answers, delay=delay) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield service
        finally:
            service.shutdown()
            thread.join()


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.001, 1))
def test_a_percentile_is_the_smallest_value_that_enough_do_not_exceed(
    values: list[float], share: float
) -> None:
    """Nearest rank, by its definition."""
    enough = [value for value in values if sum(other <= value for other in values) >= share * len(values)]
    assert percentile(sorted(values), share) == min(enough)


def test_the_percentiles_of_a_hundred_values_are_those_values() -> None:
    """The 50th of 1 to 100 is 50, not the mean of two neighbours."""
    assert [percentile(range(1, 101), share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]


def test_of_no_answers_there_is_no_percentile() -> None:
    """A service that refuses everything is not the fastest."""
    assert math.isnan(percentile([], 0.5))


def test_a_post_carries_its_body_whole() -> None:
    """Length in bytes, not in characters."""
    with serving(_OK) as service:
        assert ask(service.port, post("/ask", {"question": "Übelkeit?"})) == (200, b"ok")
        assert json.loads(service.asked[0]) == {"question": "Übelkeit?"}


def test_a_question_in_an_address_is_quoted() -> None:
    """A space or an ampersand would end it."""
    assert get("/search", {"query": "a b&c"}).startswith(b"GET /search?query=a+b%26c HTTP/1.1\r\n")


def test_many_requests_share_one_connection() -> None:
    """Connecting is no part of what is measured."""
    with serving(_OK) as service:
        assert ask_all(service.port, [post("/ask", number) for number in range(5)]) == [(200, b"ok")] * 5
        assert (service.connections, service.asked) == (1, [b"0", b"1", b"2", b"3", b"4"])


def test_each_client_waits_for_its_answer_before_it_asks_again() -> None:
    """A closed loop: never more requests under way than clients."""
    with serving(_OK, delay=0.02) as service:
        met = load(service.port, [post("/ask", 1)], clients=4, seconds=0.3)
    assert service.most_together == service.connections == 4
    assert met.statuses == {200: len(service.asked)}


def test_times_and_rate_are_those_of_the_service() -> None:
    """At 50 ms an answer, two clients get at most 40 a second and wait at least 50 ms."""
    with serving(_OK, delay=0.05) as service:
        met = load(service.port, [post("/ask", 1)], clients=2, seconds=0.5)
    assert 50 <= met.p50 <= met.p95 <= met.p99
    assert met.rate <= 40
    assert met.rate * met.seconds == pytest.approx(met.statuses[200])


def test_refusals_are_counted_and_no_answers() -> None:
    """A quick 503 makes a service neither faster nor busier."""
    with serving(_OK, _BUSY) as service:
        met = load(service.port, [post("/ask", 1)], clients=1, seconds=0.1)
    assert abs(met.statuses[200] - met.statuses[503]) <= 1
    assert met.rate == pytest.approx(met.statuses[200] / met.seconds)


def test_a_broken_connection_is_counted_and_the_client_comes_back() -> None:
    """A service that crashes under load is seen, and goes on being measured."""
    with serving(_OK, b"") as service:
        met = load(service.port, [post("/ask", 1)], clients=1, seconds=0.1)
    assert met.statuses[0] > 1
    assert met.statuses[200] > 1


def test_a_service_that_is_gone_ends_no_run() -> None:
    """All is counted as status 0, and no time is made up."""
    with serving(_OK) as service:
        port = service.port
    met = load(port, [post("/ask", 1)], clients=2, seconds=0.05)
    assert set(met.statuses) == {0}
    assert met.rate == 0
    assert math.isnan(met.p99)


def test_clients_start_at_different_questions() -> None:
    """All asking the same at once would flatter a cache."""
    requests = [post("/ask", number) for number in range(8)]
    with serving(_OK, delay=0.05) as service:
        load(service.port, requests, clients=4, seconds=0.01)
    assert sorted(service.asked) == [b"0", b"2", b"4", b"6"]


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_what_is_no_response_with_a_length_is_refused(answer: bytes) -> None:
    """Its end could only be guessed."""
    with serving(answer) as service, pytest.raises(NoAnswer):
        ask(service.port, post("/ask", 1))
