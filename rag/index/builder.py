"""From a folder of documents to a published version of an index.

Everything is written aside; readers see a new version only when it is whole, verified and on the disk.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from rag.corpus.reader import FoundFile, find_files
from rag.encoders.base import Encoder
from rag.errors import IndexFault, IndexNotWritable, UnreadableDocument
from rag.index.building import Build, OnProgress, Stage
from rag.index.local.finished import document_keys, empty_documents, repaired_documents
from rag.index.local.holding import holding
from rag.index.local.journal import forget
from rag.index.local.layout import CHUNKS, Layout, reason_of
from rag.index.local.local_index import LocalIndex
from rag.index.local.past import PastVersion
from rag.index.local.publishing import leftovers, new_workshop, publish, settle, sweep
from rag.index.plan import BuildOptions, BuildReport, Plan
from rag.index.reuse import compare, find_past, is_same


def build_index(
    seeds: Path | str,
    root: Path | str,
    encoder: Encoder,
    *,
    options: BuildOptions | None = None,
    on_progress: OnProgress | None = None,
) -> BuildReport:
    """Index the markdown files below `seeds` and make the result the current version in `root`.

    What the current version holds already is taken from it, and so are the finished batches of a build
    that was killed; the result is the same as from nothing. Nothing is built when the current version
    was made from just these files in just this way. A file that cannot be read is reported and left
    out, and the others go on.
    Raises `EmptyCorpus`, `IndexLocked`, `IndexNotWritable`, and with `options.strict` the first
    `UnreadableDocument`; the current version then stays as it is.
    """
    layout = Layout(Path(root))
    order = _Order(Path(seeds), layout, encoder, options or BuildOptions())
    before = layout.current_id()
    task = order.look()
    if task.done:
        _tidy(layout)
        return _unchanged(task.done, task, order.options)
    with holding(layout, "building"), _workshop(layout) as folder:
        if layout.current_id() != before:
            task = order.look()  # somebody was faster, perhaps with newer documents
            if task.done:
                return _unchanged(task.done, task, order.options)
        return _built(order, task, folder, on_progress or _silent)


@dataclass(frozen=True, slots=True)
class _Order:
    """What was asked for."""

    seeds: Path
    layout: Layout
    encoder: Encoder
    options: BuildOptions

    def look(self) -> _Task:
        """Find out what there is to do now."""
        files, ignored = find_files(self.seeds)
        plan = Plan.make(self.seeds, files, self.encoder, self.options)
        past, fault = (None, None) if self.options.rebuild else find_past(self.layout, self.encoder)
        done = past if past and is_same(past, plan) else None
        if done:
            try:
                LocalIndex.open_named(done.folder).close()
            except IndexFault as error:
                past, fault, done = None, reason_of(error), None
        return _Task(files, ignored, plan, past, fault, done)


@dataclass(frozen=True, slots=True)
class _Task:
    """What is to be built, and the version to go on from or the fault that forbids it.

    `done` is that version when it is just what was asked for.
    """

    files: list[FoundFile]
    ignored: int
    plan: Plan
    past: PastVersion | None
    fault: str | None
    done: PastVersion | None


def _built(order: _Order, task: _Task, folder: Path, on_progress: OnProgress) -> BuildReport:
    """Build in the workshop `folder`, verify, publish."""
    layout, past = order.layout, task.past
    with closing(Build(layout, folder, task.plan, past, order.encoder, on_progress)) as build:
        build.read(task.files, order.options)
        build.index_words()
        build.encode()
        manifest = build.finish(layout.current_id())
    settle(folder)
    LocalIndex.open_version(folder).close()
    published = publish(layout, folder, manifest.index_id)
    forget(layout)
    return BuildReport(
        manifest=manifest,
        folder=published,
        changes=compare(past.documents, document_keys(published / CHUNKS)) if past else None,
        encoded=build.encoded,
        not_reused=task.fault,
        problems=tuple(build.problems),
        empty=empty_documents(published / CHUNKS),
        repaired=repaired_documents(published / CHUNKS),
        ignored=task.ignored,
        seconds=build.seconds,
    )


def _tidy(layout: Layout) -> None:
    """Remove what a build that nobody will finish has left, unless another one is going on."""
    if layout.unfinished.exists() or leftovers(layout):
        with suppress(IndexFault), holding(layout, "tidying"):
            sweep(layout)
            forget(layout)


def _unchanged(past: PastVersion, task: _Task, options: BuildOptions) -> BuildReport:
    """A report on the version that is there. Raises `UnreadableDocument` as a build would."""
    problems = tuple(
        UnreadableDocument(task.plan.seeds / problem["path"], problem["reason"], line=problem["line"])
        for problem in past.manifest.problems
    )
    if options.strict and problems:
        raise problems[0]
    return BuildReport(
        manifest=past.manifest,
        folder=past.folder,
        problems=problems,
        empty=empty_documents(past.chunks),
        repaired=repaired_documents(past.chunks),
        ignored=task.ignored,
        unchanged=True,
    )


@contextmanager
def _workshop(layout: Layout) -> Iterator[Path]:
    """A folder beside the versions to build in; nothing of it is left when the build fails."""
    try:
        sweep(layout)
        folder = new_workshop(layout)
    except OSError as error:
        raise IndexNotWritable(f"{layout.root} cannot be written: {error.strerror}") from None
    try:
        yield folder
    except (OSError, sqlite3.OperationalError) as error:
        raise IndexNotWritable(f"{layout.root} cannot be written: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _silent(_stage: Stage, _done: int, _total: int) -> None:
    """Show no progress."""
