"""What a monitoring system may read: how much is asked, how fast it is answered, and which index serves.

No label has a value of a client's making, so the number of series is bounded.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from fastapi.responses import Response
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from rag.answer.confidence import Status
from rag.serve.live import LiveIndex
from rag.serve.telemetry.collectors import (
    IndexCollector,
    Notes,
    ProcessesCollector,
    Served,
    note_of,
    served,
)

# Set by the parent of several workers before they start: prometheus_client looks at it when it is imported.
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"

Reason = Literal["waiting_line", "time", "rate_limit", "key", "body"]

# An answer takes 5 to 50 ms; the steps are finest there, so that a quantile is off by a quarter at most.
_SECONDS = (
    *(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05),
    *(0.075, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)


class Metrics:
    """The metrics of one application, or of one worker of several that share a folder.

    Safe to use from several threads.
    """

    def __init__(self, live: LiveIndex) -> None:
        folder = os.environ.get(SHARED_FOLDER)
        self._live = live
        self._notes = Notes(Path(folder)) if folder else None
        self._own = None if folder else CollectorRegistry()
        self._line: tuple[Callable[[], int], Callable[[], int]] | None = None
        # They would double the number of series, and nothing here reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._install()
        if self._own is not None:
            self._register_collectors(self._own)
        self.refresh()

    def _install(self) -> None:
        own = self._own
        self._requests = Counter(
            "citewell_requests", "Requests that ended.", ["route", "method", "status"], registry=own
        )
        self._request_seconds = Histogram(
            "citewell_request_seconds",
            "Time from the head of a request to the end of its answer.",
            ["route"],
            registry=own,
            buckets=_SECONDS,
        )
        self._stage_seconds = Histogram(
            "citewell_stage_seconds",
            "Time of each stage of an answer.",
            ["stage"],
            registry=own,
            buckets=_SECONDS,
        )
        self._answers = Counter("citewell_answers", "Answers by their status.", ["status"], registry=own)
        self._notices = Counter("citewell_notices", "Notices in answers.", ["code"], registry=own)
        self._refusals = Counter("citewell_refusals", "Requests that were refused.", ["reason"], registry=own)
        self._cache = Counter("citewell_cache", "Looks into the cache of answers.", ["outcome"], registry=own)
        # The sum over the workers that live; what a dead one counted is gone with its requests.
        self._waiting = Gauge(
            "citewell_waiting", "Requests that wait for a thread.", registry=own, multiprocess_mode="livesum"
        )
        self._running = Gauge(
            "citewell_running", "Threads that work on answers.", registry=own, multiprocess_mode="livesum"
        )
        # A series that appears with its first event hides that event from `rate`.
        for reason in get_args(Reason):
            self._refusals.labels(reason)
        for status in Status:
            self._answers.labels(status.value)
        for outcome in ("hit", "miss"):
            self._cache.labels(outcome)

    def request(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """A request ended. `route` is a template, `method` a known one."""
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)
        if self._notes is not None:
            self.refresh()

    def answered(self, status: str, notices: Iterable[str], timings_ms: Mapping[str, float]) -> None:
        """An answer was given: its status, the codes of its notices, the milliseconds of its stages."""
        self._answers.labels(status).inc()
        for code in notices:
            self._notices.labels(code).inc()
        for stage, milliseconds in timings_ms.items():
            self._stage_seconds.labels(stage).observe(milliseconds / 1000)

    def looked_up(self, *, found: bool) -> None:
        """The cache of answers was asked."""
        self._cache.labels("hit" if found else "miss").inc()

    def refused(self, reason: Reason) -> None:
        """A request was refused."""
        self._refusals.labels(reason).inc()

    def follow_line(self, *, waiting: Callable[[], int], running: Callable[[], int]) -> None:
        """Where to read how many requests wait and how many threads work."""
        self._line = waiting, running
        self.refresh()

    def refresh(self) -> None:
        """Set what is read from elsewhere: the line, and with several workers the note for the others."""
        if self._line is not None:
            waiting, running = self._line
            self._waiting.set(waiting())
            self._running.set(running())
        if self._notes is not None:
            self._notes.write(served(self._live.status))

    def _fleet(self) -> dict[str, Served]:
        return {"": served(self._live.status)} if self._notes is None else self._notes.read()

    def registry(self) -> CollectorRegistry:
        """Where this moment's metrics are to be read; those of all workers where there are several."""
        self.refresh()
        if self._own is not None:
            return self._own
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        self._register_collectors(registry)
        return registry

    def _register_collectors(self, registry: CollectorRegistry) -> None:
        registry.register(IndexCollector(self._fleet))
        registry.register(ProcessesCollector(self._fleet))


def exposition(metrics: Metrics) -> Response:
    """The metrics in the text format of Prometheus."""
    return Response(generate_latest(metrics.registry()), media_type=CONTENT_TYPE_LATEST)


def forget_worker(folder: Path, pid: int) -> None:
    """To be called by the parent when a worker is dead: what it counted stays, what it held goes."""
    mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]
    note_of(folder, pid).unlink(missing_ok=True)
