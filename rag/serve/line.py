"""The waiting line before the threads that answer: bounded, so that a flood slows nobody down.

A request takes a place; whoever finds none free is told so at once and may come back. A question that
waited or worked for too long is given up, and its thread counts as busy until it has really ended.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from threading import Lock
from time import perf_counter
from typing import Generic, Literal, TypeVar

from starlette.exceptions import HTTPException

from rag.encoders.base import available_cores

DEFAULT_WAITING = 64
DEFAULT_SECONDS = 10.0

Reason = Literal["waiting_line", "time"]
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Done(Generic[_T]):
    """What came of a piece of work, and how many milliseconds it waited for a thread."""

    result: _T
    waited_ms: float


@dataclass(frozen=True, slots=True)
class _Failed:
    error: BaseException


class Busy(HTTPException):
    """503 with `Retry-After`: no place is free, or the time is over."""

    def __init__(self, reason: Reason, detail: str, *, retry_after: int) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, detail, headers={"Retry-After": str(retry_after)})
        self.reason = reason


class Line:
    """So many pieces of work run at once and so many requests wait. To be used from one event loop."""

    def __init__(
        self,
        *,
        running: int | None = None,
        waiting: int = DEFAULT_WAITING,
        seconds: float = DEFAULT_SECONDS,
    ) -> None:
        self._threads = running or default_running()
        self._places = self._threads + waiting
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="answer")
        self._taken = self._working = 0
        self._lock = Lock()
        # How long a piece of work takes, in seconds; tells when to come back.
        self._typical = 0.0

    @property
    def threads(self) -> int:
        """How many pieces of work run at once."""
        return self._threads

    @property
    def running(self) -> int:
        """How many threads are at work now."""
        return min(self._working, self._threads)

    @property
    def waiting(self) -> int:
        """How many requests have a place and no thread."""
        return max(0, max(self._taken, self._working) - self._threads)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """A place in the line, for one request. Raises `Busy` when there is none."""
        if max(self._taken, self._working) >= self._places:
            raise Busy("waiting_line", "Too many questions are waiting.", retry_after=self._retry_after())
        self._taken += 1
        try:
            yield
        finally:
            self._taken -= 1

    async def run(self, work: Callable[[], _T]) -> Done[_T]:
        """Run `work` in a thread, from a place in the line. Raises `Busy` when it takes too long."""
        asked = perf_counter()
        started = asked

        def timed() -> _T | _Failed:
            nonlocal started
            started = perf_counter()
            try:
                return work()
            except BaseException as error:  # noqa: BLE001 - a panic of the search library is no Exception
                # Not as the future's own: asyncio cannot pass on every error, and would wait for ever.
                return _Failed(error)

        future = self._submitted(timed)
        outcome = asyncio.wrap_future(future)
        await asyncio.wait([outcome], timeout=self._seconds)
        if not outcome.done():
            # Its thread cannot be stopped; one that has not begun never will.
            future.cancel()
            raise Busy(
                "time", f"The answer took longer than {self._seconds:g} s.", retry_after=self._retry_after()
            )
        result = outcome.result()
        if isinstance(result, _Failed):
            raise result.error
        self._typical += 0.1 * (perf_counter() - started - self._typical)
        return Done(result, (started - asked) * 1000)

    def close(self) -> None:
        """Take no more work; what runs is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _submitted(self, work: Callable[[], _T]) -> Future[_T]:
        future = self._pool.submit(work)
        self._count(1)
        future.add_done_callback(lambda _: self._count(-1))
        return future

    def _count(self, change: int) -> None:
        # What was given up ends in its thread, long after the request.
        with self._lock:
            self._working += change

    def _retry_after(self) -> int:
        """Whole seconds until the line will be through, at least one."""
        return max(1, math.ceil(self._typical * self._places / self._threads))


def default_running() -> int:
    """One thread more than there are cores, so that none is idle while an answer is put into words."""
    return available_cores() + 1
