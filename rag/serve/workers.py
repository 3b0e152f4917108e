"""One of several processes that serve on one address: what it does, and how its supervisor sees it.

A worker is started afresh, not forked: threads and the locks of libraries do not survive a fork. It ignores
Ctrl-C, which a terminal sends to all processes at once, and ends when its supervisor does, however that ends.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from rag.errors import CitewellError
from rag.serve.server import run
from rag.serve.telemetry.logs import Form, configure_logging

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from rag.index.backend import IndexInfo
    from rag.serve.live import LiveIndex

# Makes the application, in the worker; it has to be picklable.
Build = Callable[[], "AbstractContextManager[tuple[ASGIApp, LiveIndex]]"]

# The name is that of prometheus-client, which looks for it when it is imported.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

# What a worker may take beyond its grace period before it is killed.
MORE_SECONDS = 5.0

_spawning = get_context("spawn")


@dataclass(frozen=True, slots=True)
class Failed:
    """What a worker that cannot serve sends in place of the index it serves."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What a worker needs to serve. `metrics` is the folder that the workers share."""

    build: Build
    listener: socket.socket
    metrics: str
    grace_seconds: float
    log: Form


class Worker:
    """A worker's process as its supervisor sees it. `generation` counts how often all were replaced."""

    def __init__(self, post: Post, generation: int) -> None:
        self.generation = generation
        self.ready = self.leaving = False
        self._started = time.monotonic()
        self.channel, other_end = _spawning.Pipe()
        self._process = _spawning.Process(target=work, args=(post, other_end), daemon=True)
        # Until the worker ignores Ctrl-C by itself.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        other_end.close()
        self.pid = self._process.pid or 0

    @property
    def seconds(self) -> float:
        """For how long it has lived."""
        return time.monotonic() - self._started

    def hear(self) -> IndexInfo | Failed | None:
        """What it has to say: the index that it serves from now on, why it cannot, None that it ended."""
        try:
            told: IndexInfo | Failed = self.channel.recv()
        except (EOFError, OSError):
            return None
        return told

    def leave(self) -> None:
        """Ask it to answer what it has and to end."""
        self.leaving = True
        self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def bury(self) -> str:
        """Wait for its end, which has begun, and say how it ended."""
        self._process.join()
        code = self._process.exitcode or 0
        self._process.close()
        self.channel.close()
        return f"signal {-code}" if code < 0 else f"status {code}"


def work(post: Post, channel: Connection[object, object]) -> None:
    """Serve until the supervisor says or ends; tell it the index once ready, or why there is none."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    # Before anything imports the library of the metrics.
    os.environ[METRICS_FOLDER] = post.metrics
    threading.Thread(
        target=_follow, args=(channel, post.grace_seconds), name="supervisor", daemon=True
    ).start()
    configure_logging(post.log)
    try:
        with post.build() as (app, live):
            ready = partial(channel.send, live.status.index)
            run(app, post.listener, grace_seconds=post.grace_seconds, alone=False, on_ready=ready)
    except CitewellError as error:
        channel.send(Failed(str(error)))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - a panic of the search library is no Exception
        # Its message is not told: it may hold a question.
        sys.stderr.writelines(traceback.format_tb(error.__traceback__))
        channel.send(Failed(f"unforeseen {type(error).__name__}, see above; please report it"))


def _follow(channel: Connection[object, object], grace_seconds: float) -> None:
    """Stop when the supervisor has ended: nobody else would stop this process."""
    try:
        channel.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGTERM)
        # And there is nobody to kill it where that does not end it.
        time.sleep(max(0.0, grace_seconds) + MORE_SECONDS)
        os._exit(1)
