"""From a folder of documents to a published version of an index.

Everything is written aside; readers see a new version only when it is whole, verified and on the disk.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from rag.corpus.reader import find_files
from rag.encoders.base import Encoder
from rag.errors import IndexFault, IndexNotWritable, UnreadableDocument
from rag.index.building import Build, OnProgress, Stage
from rag.index.local.finished import document_keys, empty_documents, repaired_documents
from rag.index.local.holding import holding
from rag.index.local.journal import forget
from rag.index.local.layout import CHUNKS, Layout
from rag.index.local.local_index import LocalIndex
from rag.index.local.past import PastVersion
from rag.index.local.publishing import new_workshop, publish, settle, sweep
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
    options = options or BuildOptions()
    seeds, layout = Path(seeds), Layout(Path(root))
    files, ignored = find_files(seeds)
    plan = Plan.make(seeds, files, encoder, options)
    past, fault = (None, None) if options.rebuild else find_past(layout, encoder)
    if past and is_same(past, plan):
        _tidy(layout)
        return _unchanged(past, plan, ignored, options)
    with holding(layout, "building"), _workshop(layout) as folder:
        previous = layout.current_id()
        if past and past.folder.name != previous:
            past, fault = find_past(layout, encoder)  # somebody was faster
        with closing(Build(layout, folder, plan, past, encoder, on_progress or _silent)) as build:
            build.read(files, options)
            build.index_words()
            build.encode()
            manifest = build.finish(previous)
        settle(folder)
        LocalIndex.open_version(folder).close()
        published = publish(layout, folder, manifest.index_id)
        forget(layout)
        return BuildReport(
            manifest=manifest,
            folder=published,
            changes=compare(past.documents, document_keys(published / CHUNKS)) if past else None,
            encoded=build.encoded,
            not_reused=fault,
            problems=tuple(build.problems),
            empty=empty_documents(published / CHUNKS),
            repaired=repaired_documents(published / CHUNKS),
            ignored=ignored,
            seconds=build.seconds,
        )


def _tidy(layout: Layout) -> None:
    """Forget an unfinished build that nobody will finish, unless another one is going on."""
    if layout.unfinished.exists():
        with suppress(IndexFault), holding(layout, "tidying"):
            forget(layout)


def _unchanged(past: PastVersion, plan: Plan, ignored: int, options: BuildOptions) -> BuildReport:
    """A report on the version that is there. Raises `UnreadableDocument` as a build would."""
    problems = tuple(
        UnreadableDocument(plan.seeds / problem["path"], problem["reason"], line=problem["line"])
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
        ignored=ignored,
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
