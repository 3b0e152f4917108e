"""The server as a process: how it starts, and that it stops without losing a request."""

from __future__ import annotations

import json
import re
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from asking_together import asking
from hosting import Echo, everything, hosted
from serving import Server, running, serve_command

from rag.serve.server import hold_back, listen

TESTS = Path(__file__).parent
HEAVY = ("torch", "transformers", "sentence_transformers", "scipy", "sklearn", "joblib", "matplotlib")


def request(body: bytes = b"hello", *, path: bytes = b"/", headers: bytes = b"") -> bytes:
    head = b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + headers
    return head + b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body


QUESTION = request(json.dumps({"question": "What helps against nausea?"}).encode(), path=b"/ask")


def port_of(server: Server) -> int:
    return int(server.address.rpartition(":")[2])


# A stop


@pytest.mark.parametrize("connections", ["kept", "new"])
def test_no_request_is_lost_when_a_busy_service_stops(connections: str) -> None:
    echo = Echo(held=lambda: time.sleep(0.005))
    with (
        hosted(echo) as host,
        asking(host.port, request(), clients=12, keep_alive=connections == "kept") as account,
    ):
        account.wait_for(300)
        host.stop()
        assert host.ended()
        time.sleep(0.1)
    assert account.counts["lost"] == 0, account.losses
    assert account.counts["refused"] > 0
    assert set(account.statuses) == {200}
    assert len(echo.seen) == account.counts["answered"]


def test_who_waits_in_the_queue_when_the_service_stops_is_answered() -> None:
    """The loop is kept busy, so that nobody is accepted before the stop."""
    with hosted(Echo()) as host:
        host.loop.call_soon_threadsafe(time.sleep, 0.5)
        time.sleep(0.1)
        waiting = [host.connect() for _ in range(20)]
        for client in waiting:
            client.sendall(request())
        host.stop()
        answers = [everything(client) for client in waiting]
        for client in waiting:
            client.close()
    assert all(answer.endswith(b"POST / hello") for answer in answers)


def test_a_listener_that_is_held_back_takes_who_came_and_nobody_else() -> None:
    with listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()[:2]
        with socket.create_connection(address, timeout=5) as came:
            came.sendall(b"a question")
            hold_back(listener)
            came.sendall(b", and more")
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.3)
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.recv(100) == b"a question, and more"
                came.sendall(b" still")
                assert accepted.recv(100) == b" still"


HELD = """
import sys, time
sys.path.insert(0, {tests!r})
from hosting import Echo
from rag.serve.server import address_of, listen, run
from rag.serve.telemetry.logs import configure_logging
configure_logging("text")
with listen("127.0.0.1", 0) as listener:
    run(
        Echo(held=lambda: time.sleep(3600)), listener, grace_seconds={grace},
        on_ready=lambda: print(address_of(listener), flush=True),
    )
"""


@pytest.fixture
def held(tmp_path: Path) -> Iterator[tuple[Server, socket.socket]]:
    """A server with a request that would take an hour."""
    script = HELD.format(tests=str(TESTS), grace=600)
    with (
        running([sys.executable, "-c", script], tmp_path) as server,
        socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as client,
    ):
        client.sendall(request())
        time.sleep(0.2)
        yield server, client


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_service_at_once(
    second: signal.Signals, held: tuple[Server, socket.socket]
) -> None:
    server, _ = held
    server.process.send_signal(signal.SIGTERM)
    server.wait_for("Shutting down")
    assert server.process.poll() is None
    assert server.stop(second) == 128 + second
    assert "Traceback" not in server.written()


def test_a_request_that_takes_too_long_does_not_keep_the_service_from_its_end(tmp_path: Path) -> None:
    script = HELD.format(tests=str(TESTS), grace=1)
    with running([sys.executable, "-c", script], tmp_path) as server:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=10) as client:
            client.sendall(request())
            time.sleep(0.2)
            began = time.monotonic()
            assert server.stop(signal.SIGTERM) == 1
        assert 0.9 < time.monotonic() - began < 10
        assert "Traceback" not in server.written()


def test_a_real_service_that_stops_under_load_answers_all_that_was_asked(
    samples_index: Path, tmp_path: Path
) -> None:
    with (
        running(serve_command(samples_index), tmp_path) as server,
        asking(port_of(server), QUESTION, clients=6, keep_alive=True) as account,
    ):
        account.wait_for(30)
        assert server.stop(signal.SIGTERM) == 0
        time.sleep(0.1)
        written = server.written()
    assert account.counts["lost"] == 0, account.losses
    assert set(account.statuses) == {200}
    assert "Traceback" not in written
    assert '"level": "error"' not in written


# A start


WATCHED = """
import atexit, sys
atexit.register(lambda: print("loaded:", *sorted(set(sys.modules) & set({heavy!r}))))
from rag.cli import main
sys.argv = {arguments!r}
main()
"""


def test_a_service_loads_nothing_that_it_does_not_need(samples_index: Path, tmp_path: Path) -> None:
    arguments = ["rag", *serve_command(samples_index)[3:]]
    script = WATCHED.format(heavy=(*HEAVY, "ctranslate2", "uvloop"), arguments=arguments)
    with running([sys.executable, "-c", script], tmp_path) as server:
        answer = httpx.post(f"{server.address}/ask", json={"question": "What helps against nausea?"})
        assert answer.json()["passages"]
        assert server.stop(signal.SIGTERM) == 0
        assert re.findall(r"^loaded:(.*)$", server.written(), re.MULTILINE) == [" ctranslate2 uvloop"]


def test_a_prebuilt_index_answers_within_two_seconds_of_the_start(
    samples_index: Path, tmp_path: Path
) -> None:
    """The best of three; on a machine that has no time for it, its own processor time counts."""
    best = min(seconds_to_answer(samples_index, tmp_path / str(attempt)) for attempt in range(3))
    assert best < 2.0


def seconds_to_answer(index: Path, folder: Path) -> float:
    folder.mkdir()
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with running(serve_command(index), folder) as server:
        with socket.create_connection(("127.0.0.1", port_of(server)), timeout=30) as client:
            client.sendall(QUESTION)
            assert client.recv(15) == b"HTTP/1.1 200 OK"
        seconds = time.monotonic() - began
        server.process.kill()
        server.process.wait(10)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return min(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
