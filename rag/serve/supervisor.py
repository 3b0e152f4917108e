"""Watches over the processes that serve on one address.

uvicorn's own supervisor is not used: it starts what dies at once again and again, knows no moment at which
all are ready, waits without a bound when it stops, leaves its workers behind when it is killed, and ends
workers that are slow to answer its pings, which those that load an index are.
"""

from __future__ import annotations

import logging
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import connection
from typing import TYPE_CHECKING

from rag.errors import CitewellError
from rag.serve.server import GRACE_SECONDS, HANDSHAKE_SECONDS, hold_back
from rag.serve.telemetry.logs import Form
from rag.serve.workers import MORE_SECONDS, Build, Failed, Post, Worker

if TYPE_CHECKING:
    from rag.index.backend import IndexInfo

# A worker that lived for less makes the next one wait, twice as long each time.
_STEADY_SECONDS = 60.0
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0

_log = logging.getLogger(__name__)


class Supervisor:
    """Keeps `count` workers on one listener.

    SIGTERM and SIGINT stop it, a second one at once; SIGHUP replaces all workers, one after another and
    without a pause. A worker that ends by itself is replaced.
    """

    def __init__(
        self,
        build: Build,
        listener: socket.socket,
        *,
        count: int,
        grace_seconds: float = GRACE_SECONDS,
        log: Form = "json",
    ) -> None:
        self._build, self._listener, self._count = build, listener, count
        self._grace, self._log = grace_seconds, log
        self._workers: list[Worker] = []
        self._generation = 0
        self._delay = self._not_before = 0.0
        self._stop_signals: list[int] = []
        self._index: IndexInfo | None = None
        self._all_served = False

    def run(self, on_ready: Callable[[IndexInfo], None]) -> None:
        """Start the workers, call `on_ready` when all of them serve, and watch over them until the end.

        Raises `CitewellError` when one of the first cannot serve; none is left then.
        """
        with tempfile.TemporaryDirectory(prefix="citewell-") as folder, _signals() as self._signals:
            self._post = Post(
                build=self._build,
                listener=self._listener,
                metrics=folder,
                grace_seconds=self._grace,
                log=self._log,
            )
            try:
                self._workers = [Worker(self._post, self._generation) for _ in range(self._count)]
                while not self._stop_signals:
                    self._look(self._keep_up())
                    if self._index and not self._all_served and all(one.ready for one in self._workers):
                        self._all_served = True
                        on_ready(self._index)
                self._stop()
            finally:
                self._kill()

    def _keep_up(self) -> float | None:
        """Start a worker where one is missing; returns in how many seconds to look again."""
        fresh = [one for one in self._workers if not one.leaving and one.generation == self._generation]
        # One at a time: the others need the processor for their questions.
        if len(fresh) >= self._count or not all(one.ready for one in fresh):
            return None
        wait = self._not_before - time.monotonic()
        if wait > 0:
            return wait
        self._workers.append(Worker(self._post, self._generation))
        return None

    def _look(self, seconds: float | None) -> None:
        """Wait for a signal or for what a worker has to say, and see to it."""
        speaking = {worker.channel: worker for worker in self._workers}
        for handle in connection.wait([self._signals, *speaking], seconds):
            if not isinstance(handle, connection.Connection):
                self._heed(self._signals.recv(64))
                continue
            worker = speaking[handle]
            told = worker.hear()
            if told is None or isinstance(told, Failed):
                self._on_end(worker, told)
            else:
                self._index = told
                self._on_ready(worker)

    def _heed(self, signals: bytes) -> None:
        for number in signals:
            if number == signal.SIGHUP:
                self._generation += 1
            else:
                self._stop_signals.append(number)

    def _on_ready(self, worker: Worker) -> None:
        worker.ready = True
        staying = [one for one in self._workers if not one.leaving]
        old = [one for one in staying if one.generation < self._generation]
        if old and len(staying) > self._count:
            old[0].leave()

    def _on_end(self, worker: Worker, failed: Failed | None) -> None:
        self._workers.remove(worker)
        seconds, how = worker.seconds, worker.bury()
        _forget(self._post.metrics, worker.pid)
        if worker.leaving:
            return
        reason = failed.reason if failed else f"a worker process ended by itself ({how})"
        if not self._all_served:
            raise CitewellError(reason)
        self._delay = (
            0.0 if seconds > _STEADY_SECONDS else min(max(_FIRST_DELAY, 2 * self._delay), _LONGEST_DELAY)
        )
        self._not_before = time.monotonic() + self._delay
        shown = "".join(char if char.isprintable() else "\ufffd" for char in reason)
        _log.error("%s; another one is started in %.1f s", shown, self._delay)

    def _stop(self) -> None:
        """Let the workers answer all that was sent; kill those that take too long, or on a second signal."""
        hold_back(self._listener)
        time.sleep(HANDSHAKE_SECONDS)
        # From now on the last worker that closes it has taken whoever waited.
        self._listener.close()
        for worker in self._workers:
            worker.leave()
        end = time.monotonic() + self._grace + MORE_SECONDS
        while self._workers and len(self._stop_signals) < 2 and (left := end - time.monotonic()) > 0:
            self._look(left)
        if len(self._stop_signals) > 1:
            raise SystemExit(128 + self._stop_signals[1])
        if self._workers:
            _log.error("%d workers did not end in time and are killed", len(self._workers))
            raise SystemExit(1)

    def _kill(self) -> None:
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.bury()
        self._workers.clear()


def _forget(metrics: str, pid: int) -> None:
    """Take what a process measured of itself out of the metrics; what it counted stays."""
    from prometheus_client import multiprocess

    multiprocess.mark_process_dead(pid, metrics)  # type: ignore[no-untyped-call]


@contextmanager
def _signals() -> Iterator[socket.socket]:
    """A socket from which the numbers of the signals can be read that would end this process."""
    here, there = socket.socketpair()
    there.settimeout(0)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    handlers = {number: signal.signal(number, lambda *_: None) for number in numbers}
    before = signal.set_wakeup_fd(there.fileno(), warn_on_full_buffer=False)
    try:
        yield here
    finally:
        signal.set_wakeup_fd(before)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        here.close()
        there.close()
