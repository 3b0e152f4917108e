"""Several processes on one address: what one of them suffers the others do not, and nothing is left over."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from asking_together import asking
from serving import Server, running, serve_command
from worker_builds import starts, supervised

from rag.cli.serving import _shared_out
from rag.config import load_settings
from rag.encoders.base import available_cores

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
_SECONDS = 30

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")


def port_of(server: Server) -> int:
    return int(server.address.rpartition(":")[2])


def workers_of(server: Server) -> list[int]:
    """The process ids of the workers that live; Python keeps a process of its own beside them."""
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sorted(int(child) for child in children if is_worker(int(child)))


def is_worker(pid: int) -> bool:
    try:
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def becomes(condition: Callable[[], bool]) -> bool:
    """Whether it holds within some seconds."""
    end = time.monotonic() + _SECONDS
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def who_answer(server: Server, times: int = 24) -> Counter[int]:
    """How often which process answered, each time over a connection of its own."""
    answers = [httpx.get(server.address, timeout=_SECONDS).text for _ in range(times)]
    return Counter(int(answer.split()[0]) for answer in answers)


# A start


def test_all_workers_serve_when_the_start_is_told_once(tmp_path: Path) -> None:
    with running(supervised(tmp_path, count=2), tmp_path) as server:
        workers = workers_of(server)
        assert len(workers) == starts(tmp_path) == 2
        with asking(port_of(server), REQUEST, clients=8, keep_alive=False) as account:
            account.wait_for(50)
        assert account.counts["lost"] == account.counts["refused"] == 0
        assert set(who_answer(server)) <= set(workers)
        assert server.stop(signal.SIGTERM) == 0
        assert server.written().count(server.address) == 1


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("refuse", "rag: there is no index here; run: rag index"),
        ("crash", "rag: unforeseen ValueError, see above; please report it"),
        ("die", "rag: a worker process ended by itself (status 7)"),
    ],
)
def test_what_cannot_start_is_told_once_and_not_tried_again(fault: str, told: str, tmp_path: Path) -> None:
    (tmp_path / fault).write_text("not to be told")
    with pytest.raises(AssertionError, match="did not start"), running(supervised(tmp_path), tmp_path):
        pass
    written = (tmp_path / "server.log").read_text()
    assert written.count("rag: ") == written.count(told) == 1
    assert "not to be told" not in written
    assert starts(tmp_path) <= 2


def test_a_service_of_several_workers_without_an_index_ends_as_one_of_one_does(tmp_path: Path) -> None:
    lines = set()
    for workers in ("1", "2"):
        folder = tmp_path / workers
        folder.mkdir()
        command = serve_command(tmp_path / "nowhere", "--workers", workers)
        with pytest.raises(AssertionError, match="did not start"), running(command, folder):
            pass
        lines.add((folder / "server.log").read_text())
    (line,) = lines
    assert line.startswith("rag: ")
    assert line.count("\n") == 1


# A death


def test_a_worker_that_is_killed_loses_only_its_own_requests_and_is_replaced(tmp_path: Path) -> None:
    with running(supervised(tmp_path, count=2), tmp_path) as server:
        victim, other = workers_of(server)
        with asking(port_of(server), REQUEST, clients=10, keep_alive=True) as account:
            account.wait_for(100)
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            assert becomes(lambda: starts(tmp_path) == 3)
            assert becomes(lambda: len(workers_of(server)) == 2)
            assert time.monotonic() - killed < _SECONDS
            account.wait_for(100)
        # A client has one request under way at a time, and not all were with the one that died.
        assert account.counts["lost"] < 10
        assert account.counts["refused"] == 0
        assert other in workers_of(server)
        assert victim not in who_answer(server)
        server.wait_for("a worker process ended by itself (signal 9)")
        assert server.stop(signal.SIGTERM) == 0


def test_what_a_dead_worker_measured_of_itself_leaves_the_metrics(tmp_path: Path) -> None:
    with running(supervised(tmp_path, count=2), tmp_path) as server:
        folder = Path(httpx.get(server.address).text.split()[1])
        victim, other = workers_of(server)
        assert {gauge(victim), gauge(other)} <= {path.name for path in folder.iterdir()}
        os.kill(victim, signal.SIGKILL)
        assert becomes(lambda: not (folder / gauge(victim)).exists())
        assert (folder / gauge(other)).exists()
        assert server.stop(signal.SIGTERM) == 0
        assert not folder.exists()


def gauge(pid: int) -> str:
    return f"gauge_liveall_{pid}.db"


def test_a_worker_that_cannot_be_replaced_is_tried_again_ever_more_seldom(tmp_path: Path) -> None:
    with running(supervised(tmp_path, count=2), tmp_path) as server:
        (tmp_path / "refuse").touch()
        os.kill(workers_of(server)[0], signal.SIGKILL)
        server.wait_for("there is no index here", times=2)
        delays = re.findall(r"another one is started in (\d+\.\d) s", server.written())
        assert delays[:3] == ["0.5", "1.0", "2.0"]
        assert len(who_answer(server)) == 1
        (tmp_path / "refuse").unlink()
        assert becomes(lambda: len(workers_of(server)) == 2)
        assert server.stop(signal.SIGTERM) == 0


def test_workers_end_when_their_supervisor_is_killed(tmp_path: Path) -> None:
    with running(supervised(tmp_path, count=2), tmp_path) as server:
        workers = workers_of(server)
        assert len(workers) == 2
        server.process.kill()
        assert becomes(lambda: not any(is_worker(pid) for pid in workers))


# An end


@pytest.mark.parametrize("connections", ["kept", "new"])
def test_no_request_is_lost_when_several_workers_stop_under_load(connections: str, tmp_path: Path) -> None:
    with (
        running(supervised(tmp_path, count=2), tmp_path) as server,
        asking(port_of(server), REQUEST, clients=10, keep_alive=connections == "kept") as account,
    ):
        workers = workers_of(server)
        account.wait_for(200)
        assert server.stop(signal.SIGTERM) == 0
        time.sleep(0.1)
    assert account.counts["lost"] == 0, account.losses
    assert set(account.statuses) == {200}
    assert not any(is_worker(pid) for pid in workers)


def test_a_terminal_that_interrupts_all_processes_at_once_ends_them_in_peace(tmp_path: Path) -> None:
    with (
        running(["setsid", *supervised(tmp_path, count=2)], tmp_path) as server,
        asking(port_of(server), REQUEST, clients=4, keep_alive=True) as account,
    ):
        account.wait_for(50)
        os.killpg(server.process.pid, signal.SIGINT)
        assert server.process.wait(_SECONDS) == 0
        time.sleep(0.1)
        assert "Traceback" not in server.written()
    assert account.counts["lost"] == 0, account.losses


def test_a_service_manager_that_ends_all_processes_at_once_loses_no_request(tmp_path: Path) -> None:
    """systemd sends SIGTERM to every process of a service, and the supervisor sends its own."""
    with (
        running(["setsid", *supervised(tmp_path, count=2)], tmp_path) as server,
        asking(port_of(server), REQUEST, clients=4, keep_alive=True) as account,
    ):
        account.wait_for(50)
        os.killpg(server.process.pid, signal.SIGTERM)
        assert server.process.wait(_SECONDS) == 0
        time.sleep(0.1)
        assert "Traceback" not in server.written()
    assert account.counts["lost"] == 0, account.losses


def test_a_second_signal_ends_all_workers_at_once(tmp_path: Path) -> None:
    with running(supervised(tmp_path, count=2, seconds=3600), tmp_path) as server:
        workers = workers_of(server)
        with asking(port_of(server), REQUEST, clients=2, keep_alive=True):
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert server.process.poll() is None
            assert server.stop(signal.SIGTERM) == 128 + signal.SIGTERM
        assert not any(is_worker(pid) for pid in workers)


def test_workers_that_do_not_end_in_time_are_killed(tmp_path: Path) -> None:
    with running(supervised(tmp_path, count=2, seconds=3600, grace=-4.5), tmp_path) as server:
        with asking(port_of(server), REQUEST, clients=2, keep_alive=True):
            time.sleep(0.3)
            assert server.stop(signal.SIGTERM) == 1
        assert "did not end in time and are killed" in server.written()


def test_a_hangup_replaces_all_workers_without_losing_a_request(tmp_path: Path) -> None:
    with running(supervised(tmp_path, count=2), tmp_path) as server:
        before = workers_of(server)
        with asking(port_of(server), REQUEST, clients=6, keep_alive=True) as account:
            account.wait_for(50)
            server.process.send_signal(signal.SIGHUP)
            assert becomes(lambda: len(workers_of(server)) == 2 and not set(workers_of(server)) & set(before))
            account.wait_for(50)
        assert account.counts["lost"] == account.counts["refused"] == 0, account.losses
        assert starts(tmp_path) == 4
        assert server.stop(signal.SIGTERM) == 0


# The real service


def test_two_workers_of_the_real_service_answer_and_stop_without_a_loss(
    samples_index: Path, tmp_path: Path
) -> None:
    body = b'{"question": "What helps against nausea?"}'
    request = (
        b"POST /ask HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    )
    with (
        running(serve_command(samples_index, "--workers", "2"), tmp_path) as server,
        asking(port_of(server), request, clients=4, keep_alive=True) as account,
    ):
        assert len(workers_of(server)) == 2
        account.wait_for(20)
        assert server.stop(signal.SIGTERM) == 0
        time.sleep(0.1)
        written = server.written()
    assert account.counts["lost"] == 0, account.losses
    assert set(account.statuses) == {200}
    assert written.count("Serving the index") == 1
    assert "Traceback" not in written


@pytest.mark.parametrize("workers", [1, 2, 64])
def test_workers_have_the_cores_between_them(workers: int) -> None:
    shared = _shared_out(load_settings(workers=workers))
    assert shared.threads == max(1, available_cores() // workers)
    assert _shared_out(load_settings(workers=workers, threads=3)).threads == 3
