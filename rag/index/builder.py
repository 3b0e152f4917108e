"""From a folder of documents to a published version of an index.

Everything is written aside; readers see a new version only when it is whole and on the disk.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rag.corpus.pipeline import ChunkedDocument, chunk_files
from rag.corpus.reader import FoundFile, find_files
from rag.encoders.base import Encoder, available_cores
from rag.encoders.source import sha256_of
from rag.errors import EmptyCorpus, IndexNotWritable, UnreadableDocument
from rag.index.local.chunk_writer import ChunkWriter, embedded_texts, lexical_rows
from rag.index.local.faiss_vectors import FaissVectors
from rag.index.local.layout import CHUNKS, LEXICAL, VECTORS, Layout, publish
from rag.index.local.lexical import LexicalWriter, artefacts
from rag.index.local.manifest import SCHEMA, SENTINELS, Manifest
from rag.index.plan import BuildOptions, BuildReport, Plan, same_as_current

Stage = Literal["reading", "encoding"]
# Called with the stage, how much of it is done and how much there is (files, then chunks).
OnProgress = Callable[[Stage, int, int], None]

_ENCODED_AT_ONCE = 512


def build_index(
    seeds: Path | str,
    root: Path | str,
    encoder: Encoder,
    *,
    options: BuildOptions | None = None,
    on_progress: OnProgress | None = None,
) -> BuildReport:
    """Index the markdown files below `seeds` and make the result the current version in `root`.

    A file that cannot be read is reported and left out, and the others go on. Nothing is built when
    the current version was already made from just these files in just this way.
    Raises `EmptyCorpus`, `IndexNotWritable`, and with `options.strict` the first
    `UnreadableDocument`; the current version then stays as it is.
    """
    options = options or BuildOptions()
    seeds, layout = Path(seeds), Layout(Path(root))
    files, ignored = find_files(seeds)
    plan = Plan.make(seeds, files, encoder, options)
    if not options.rebuild and (current := same_as_current(layout, plan)):
        if options.strict and current.problems:
            raise current.problems[0]
        return current
    with (
        _workshop(layout) as folder,
        closing(_Build(folder, plan, encoder, on_progress or _silent)) as build,
    ):
        build.read(files, options)
        build.encode()
        manifest = build.finish()
        published = publish(layout, folder, manifest.index_id)
    return BuildReport(
        manifest=manifest,
        folder=published,
        problems=tuple(build.problems),
        empty=tuple(build.empty),
        repaired=tuple(build.repaired),
        ignored=ignored,
        seconds=build.seconds,
    )


@contextmanager
def _workshop(layout: Layout) -> Iterator[Path]:
    """A folder beside the versions to build in; nothing of it is left when the build fails."""
    try:
        layout.versions.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".building-", dir=layout.versions))
    except OSError as error:
        raise IndexNotWritable(f"{layout.root} cannot be written: {error.strerror}") from None
    try:
        folder.chmod(0o755)
        yield folder
    except (OSError, sqlite3.OperationalError) as error:
        raise IndexNotWritable(f"{layout.root} cannot be written: {error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Build:
    """One build in its workshop: read, encode, finish."""

    def __init__(self, folder: Path, plan: Plan, encoder: Encoder, on_progress: OnProgress) -> None:
        self._folder, self._plan = folder, plan
        self._encoder, self._on_progress = encoder, on_progress
        self._writer = ChunkWriter(folder / CHUNKS)
        self.problems: list[UnreadableDocument] = []
        self.empty: list[str] = []
        self.repaired: list[str] = []
        self.seconds: dict[str, float] = {}

    def read(self, files: Sequence[FoundFile], options: BuildOptions) -> None:
        """Read, chunk and store every file."""
        started = time.perf_counter()
        outcomes = chunk_files(
            files,
            self._encoder.count_tokens,
            max_tokens=self._plan.chunker["max_tokens"],
            max_bytes=options.max_file_bytes,
            workers=available_cores(),
        )
        self._on_progress("reading", 0, len(files))
        for done, outcome in enumerate(outcomes, start=1):
            if isinstance(outcome, ChunkedDocument):
                self._store(outcome)
            elif options.strict:
                raise outcome
            else:
                self.problems.append(outcome)
            self._on_progress("reading", done, len(files))
        if not self._writer.chunks:
            raise EmptyCorpus(_nothing_to_index(self._plan.seeds, self.problems))
        self._writer.weigh_repetition()
        self._writer.commit()
        self._index_words()
        self.seconds["reading"] = time.perf_counter() - started

    def _store(self, chunked: ChunkedDocument) -> None:
        document = chunked.document
        self._writer.add(chunked)
        if not chunked.chunks:
            self.empty.append(document.doc_id)
        if "mojibake" in document.repairs:
            self.repaired.append(document.doc_id)

    def _index_words(self) -> None:
        words = LexicalWriter(self._folder / LEXICAL)
        with closing(lexical_rows(self._folder / CHUNKS)) as rows:
            words.add(rows)
        words.finish()

    def encode(self) -> None:
        """Encode every chunk and write the vectors."""
        started = time.perf_counter()
        vectors = FaissVectors.empty(self._encoder.dim)
        self._on_progress("encoding", 0, self._writer.chunks)
        with closing(embedded_texts(self._folder / CHUNKS, _ENCODED_AT_ONCE)) as batches:
            for texts in batches:
                vectors.add(self._encoder.encode_documents(texts))
                self._on_progress("encoding", len(vectors), self._writer.chunks)
        vectors.write(self._folder / VECTORS)
        self.seconds["encoding"] = time.perf_counter() - started

    def finish(self) -> Manifest:
        """Close the store and write the manifest."""
        self._writer.finish()
        now = datetime.now(UTC)
        corpus = self._plan.corpus_sha256
        manifest = Manifest(
            schema=SCHEMA,
            index_id=f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z-{corpus[:8]}",
            built_at=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
            built_by=f"citewell {version('citewell')}",
            encoder=self._plan.encoder,
            chunker=self._plan.chunker,
            corpus_sha256=corpus,
            files=self._plan.files,
            problems=[self._described(problem) for problem in self.problems],
            counts={"documents": self._writer.documents, "chunks": self._writer.chunks},
            artefacts={name: sha256_of(self._folder / name) for name in self._artefacts()},
            sentinels=self._encoder.encode_documents(SENTINELS).tolist(),
        )
        manifest.write(self._folder)
        return manifest

    def _artefacts(self) -> list[str]:
        words = artefacts(self._folder / LEXICAL)
        return [CHUNKS, VECTORS, *(f"{LEXICAL}/{name}" for name in words)]

    def close(self) -> None:
        """Hold no file any longer: a deleted file that is open still fills the disk."""
        self._writer.close()

    def _described(self, problem: UnreadableDocument) -> dict[str, Any]:
        path = problem.path.relative_to(self._plan.seeds).as_posix()
        return {"path": path, "line": problem.line, "reason": problem.reason}


def _silent(_stage: Stage, _done: int, _total: int) -> None:
    """Show no progress."""


def _nothing_to_index(seeds: Path, problems: Sequence[UnreadableDocument]) -> str:
    if not problems:
        return f"no document in {seeds} holds any text"
    return f"none of the {len(problems)} files in {seeds} can be read; the first: {problems[0]}"
