"""Progress of an evaluation: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from rag.evaluate.command import Watch


@contextmanager
def shown_questions(console: Console) -> Iterator[Watch]:
    """A callback that shows on `console` how many questions of each system are done."""
    if not console.is_terminal:
        yield _in_silence
        return
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        tasks: dict[str, TaskID] = {}

        def show(label: str, done: int, total: int) -> None:
            if label not in tasks:
                tasks[label] = progress.add_task(label, total=total)
            progress.update(tasks[label], completed=done)

        yield show


def _in_silence(_label: str, _done: int, _total: int) -> None:
    """Files and pipes get the tables alone."""
