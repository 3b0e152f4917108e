"""From a folder of documents to a published version of an index.

Everything is written aside; readers see a new version only when it is whole, verified and on the disk.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rag.corpus.pipeline import ChunkedDocument, KnownDocument, Outcome, chunk_files
from rag.corpus.reader import FoundFile, find_files
from rag.encoders.base import Encoder, available_cores
from rag.encoders.source import sha256_of
from rag.errors import EmptyCorpus, IndexFault, IndexNotWritable, UnreadableDocument
from rag.index.encoding import AT_ONCE, VectorColumn
from rag.index.local.chunk_writer import ChunkWriter
from rag.index.local.faiss_vectors import FaissVectors
from rag.index.local.finished import (
    document_keys,
    embedded_texts,
    empty_documents,
    lexical_rows,
    repaired_documents,
    text_keys,
)
from rag.index.local.holding import holding
from rag.index.local.journal import forget
from rag.index.local.layout import CHUNKS, LEXICAL, VECTORS, Layout
from rag.index.local.lexical import artefacts
from rag.index.local.lexical_writer import buckets_of, write_lexical
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import SCHEMA, Manifest
from rag.index.local.past import PastVersion
from rag.index.local.publishing import new_workshop, publish, settle, sweep
from rag.index.plan import BuildOptions, BuildReport, Plan
from rag.index.reuse import Reuse, compare, find_past, is_same
from rag.index.sentinels import encode_sentinels

Stage = Literal["reading", "encoding"]
# Called with the stage, how much of it is done and how much there is (files, then texts to encode).
OnProgress = Callable[[Stage, int, int], None]


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
        with closing(_Build(layout, folder, plan, past, encoder, on_progress or _silent)) as build:
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


class _Build:
    """One build in its workshop: read, index words, encode, finish."""

    def __init__(
        self,
        layout: Layout,
        folder: Path,
        plan: Plan,
        past: PastVersion | None,
        encoder: Encoder,
        on_progress: OnProgress,
    ) -> None:
        self._layout, self._folder = layout, folder
        self._plan, self._past = plan, past
        self._encoder, self._on_progress = encoder, on_progress
        self._chunks = folder / CHUNKS
        self._writer = ChunkWriter(self._chunks, past.chunks if past else None)
        self.encoded = 0
        self.problems: list[UnreadableDocument] = []
        self.seconds: dict[str, float] = {}

    def read(self, files: Sequence[FoundFile], options: BuildOptions) -> None:
        """Read, chunk and store every file, or take it over as it was."""
        with self._timed("reading"):
            reuse = Reuse(self._past, self._plan, files)
            outcomes = self._outcomes([file for file in files if not reuse.unchanged(file)], reuse, options)
            self._on_progress("reading", 0, len(files))
            for done, file in enumerate(files, start=1):
                if past := reuse.unchanged(file):
                    self._writer.copy(past)
                else:
                    self._store(file, next(outcomes), reuse, options)
                self._on_progress("reading", done, len(files))
            if not self._writer.chunks:
                raise EmptyCorpus(_nothing_to_index(self._plan.seeds, self.problems))
            self._writer.weigh_repetition()
            self._writer.finish()

    def _outcomes(self, files: Sequence[FoundFile], reuse: Reuse, options: BuildOptions) -> Iterator[Outcome]:
        return chunk_files(
            files,
            self._encoder.count_tokens,
            max_tokens=self._plan.chunker["max_tokens"],
            max_bytes=options.max_file_bytes,
            workers=available_cores(),
            known=reuse.known_keys(files),
        )

    def _store(self, file: FoundFile, outcome: Outcome, reuse: Reuse, options: BuildOptions) -> None:
        if isinstance(outcome, ChunkedDocument):
            self._writer.add(outcome)
            digest = outcome.document.sha256
        elif isinstance(outcome, KnownDocument):
            self._writer.add_known(outcome, reuse.source(outcome))
            digest = outcome.document.sha256
        elif options.strict:
            raise outcome
        else:
            self.problems.append(outcome)
            digest = outcome.sha256 or outcome.reason
        # The file may have changed since the plan was made; what counts is what was read.
        self._plan = self._plan.having_read(file, digest)

    def index_words(self) -> None:
        """Write the lexical index."""

        def rows(doc_ids: Sequence[str]) -> Iterable[Any]:
            return lexical_rows(self._chunks, doc_ids)

        with self._timed("words"):
            documents = [(one.doc_id, one.chunks_key) for one in document_keys(self._chunks)]
            buckets = buckets_of(documents, self._writer.chunks, self._plan.recipe)
            past = self._past.lexical if self._past else None
            write_lexical(self._folder / LEXICAL, buckets, rows, past)

    def encode(self) -> None:
        """Find or make the vector of every chunk and write them all."""
        with self._timed("encoding"):
            column = VectorColumn(text_keys(self._chunks), self._encoder.dim)
            if self._past and self._past.manifest.encoder["fingerprint"] == self._encoder.fingerprint:
                column.take(self._past.vectors())
            self.encoded = column.encode(
                self._layout,
                self._encoder,
                lambda rows: embedded_texts(self._chunks, rows, AT_ONCE),
                lambda done, total: self._on_progress("encoding", done, total),
            )
            FaissVectors.of(column.codes, self._encoder.dim).write(self._folder / VECTORS)

    def finish(self, previous: str | None) -> Manifest:
        """Write the manifest; the version is whole then."""
        now = datetime.now(UTC)
        corpus = self._plan.corpus_sha256
        manifest = Manifest(
            schema=SCHEMA,
            index_id=f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{corpus[:8]}",
            previous=previous,
            built_at=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            built_by=f"citewell {version('citewell')}",
            encoder=self._plan.encoder,
            chunker=self._plan.chunker,
            corpus_sha256=corpus,
            files=self._plan.files,
            problems=[self._described(problem) for problem in self.problems],
            counts={"documents": self._writer.documents, "chunks": self._writer.chunks},
            artefacts={name: sha256_of(self._folder / name) for name in self._artefacts()},
            sentinels=encode_sentinels(self._encoder),
        )
        manifest.write(self._folder)
        return manifest

    def _artefacts(self) -> list[str]:
        words = artefacts(self._folder / LEXICAL)
        return [CHUNKS, VECTORS, *(f"{LEXICAL}/{name}" for name in words)]

    def close(self) -> None:
        """Hold no file any longer: a deleted file that is open still fills the disk."""
        self._writer.close()

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - started

    def _described(self, problem: UnreadableDocument) -> dict[str, Any]:
        path = problem.path.relative_to(self._plan.seeds).as_posix()
        return {"path": path, "line": problem.line, "reason": problem.reason}


def _silent(_stage: Stage, _done: int, _total: int) -> None:
    """Show no progress."""


def _nothing_to_index(seeds: Path, problems: Sequence[UnreadableDocument]) -> str:
    if not problems:
        return f"no document in {seeds} holds any text"
    return f"none of the {len(problems)} files in {seeds} can be read; the first: {problems[0]}"
