"""Progress of a build for a person to watch: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from rag.index.building import OnProgress, Stage

_LABELS: dict[Stage, tuple[str, str]] = {
    "reading": ("Reading and chunking", "files"),
    "encoding": ("Encoding", "chunks"),
    "arranging": ("Arranging vectors", "chunks"),
}
_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shown_progress(console: Console) -> Iterator[OnProgress]:
    """A callback for `build_index` that shows each stage on `console`."""
    if not console.is_terminal:
        yield _PlainLines(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, _Rate(), TimeRemainingColumn(), console=console) as progress:
        tasks: dict[Stage, TaskID] = {}

        def show(stage: Stage, done: int, total: int) -> None:
            if stage not in tasks:
                label, unit = _LABELS[stage]
                tasks[stage] = progress.add_task(label, total=total, unit=unit)
            progress.update(tasks[stage], completed=done)

        yield show


class _Rate(ProgressColumn):
    """How many a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} {task.fields['unit']}/s" if speed else "")


class _PlainLines:
    """A line at the start, now and then, and at the end of each stage."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started: dict[Stage, float] = {}
        self._last = 0.0

    def __call__(self, stage: Stage, done: int, total: int) -> None:
        now = time.monotonic()
        started = self._started.setdefault(stage, now)
        if 0 < done < total and now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last = now
        label, unit = _LABELS[stage]
        rate = done / (now - started) if done and now > started else 0.0
        left = f", {(total - done) / rate:,.0f} s left" if rate and done < total else ""
        speed = f" ({rate:,.0f} {unit}/s{left})" if rate else ""
        self._console.print(f"{label}: {done:,} of {total:,} {unit}{speed}", highlight=False)
