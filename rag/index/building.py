"""One build in its workshop: what did not change is taken over, the rest is made."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from rag.corpus.pipeline import ChunkedDocument, KnownDocument, Outcome, chunk_files
from rag.corpus.reader import FoundFile
from rag.encoders.base import Encoder, available_cores
from rag.encoders.source import sha256_of
from rag.errors import EmptyCorpus, UnreadableDocument
from rag.index.encoding import AT_ONCE, VectorColumn
from rag.index.local.chunk_writer import ChunkWriter
from rag.index.local.faiss_vectors import FaissVectors
from rag.index.local.finished import document_keys, embedded_texts, lexical_rows, text_keys
from rag.index.local.layout import CHUNKS, LEXICAL, SHORT_CODES, VECTORS, Layout
from rag.index.local.lexical import artefacts
from rag.index.local.lexical_writer import buckets_of, write_lexical
from rag.index.local.manifest import SCHEMA, Manifest
from rag.index.local.past import PastVersion
from rag.index.local.short_codes import ShortCodes
from rag.index.local.vector_plan import VectorPlan
from rag.index.plan import BuildOptions, Plan
from rag.index.reuse import Reuse
from rag.index.sentinels import encode_sentinels

Stage = Literal["reading", "encoding", "arranging"]
# Called with the stage, how much of it is done and how much there is (files, texts to encode, vectors).
OnProgress = Callable[[Stage, int, int], None]


class Build:
    """Fills the workshop `folder`: read, index words, encode, finish, in this order."""

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
        self._vector_plan = VectorPlan()
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
                    self._store(file, next(outcomes), reuse)
                self._on_progress("reading", done, len(files))
            if options.strict and self.problems:
                raise self.problems[0]
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

    def _store(self, file: FoundFile, outcome: Outcome, reuse: Reuse) -> None:
        if isinstance(outcome, ChunkedDocument):
            self._writer.add(outcome)
            digest = outcome.document.sha256
        elif isinstance(outcome, KnownDocument):
            self._writer.add_known(outcome, reuse.source(outcome))
            digest = outcome.document.sha256
        else:
            self.problems.append(outcome)
            digest = outcome.sha256 or outcome.reason
        # The file may have changed since the plan was made; what counts is what was read.
        self._plan = self._plan.having_read(file, digest)

    def index_words(self) -> None:
        """Write the lexical index."""
        with self._timed("words"):
            documents = [(one.doc_id, one.chunks_key) for one in document_keys(self._chunks)]
            buckets = buckets_of(documents, self._writer.chunks, self._plan.recipe)
            past = self._past.lexical if self._past else None
            write_lexical(self._folder / LEXICAL, buckets, partial(lexical_rows, self._chunks), past)

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
            vectors = FaissVectors.of(column.codes, self._encoder.dim)
            vectors.write(self._folder / VECTORS)
        self._arrange(vectors)

    def _arrange(self, vectors: FaissVectors) -> None:
        """Write what finds the vectors where there are too many to compare them all."""
        self._vector_plan = plan = VectorPlan.of(len(vectors))
        if plan.kind == "exact":
            return
        with self._timed("arranging"):
            short = ShortCodes.of(
                len(vectors),
                vectors.dim,
                vectors.vectors,
                plan,
                lambda done, total: self._on_progress("arranging", done, total),
            )
            short.write(self._folder / SHORT_CODES)

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
            vectors=self._vector_plan.content(),
        )
        manifest.write(self._folder)
        return manifest

    def _artefacts(self) -> list[str]:
        words = artefacts(self._folder / LEXICAL)
        codes = [SHORT_CODES] if self._vector_plan.kind == "codes" else []
        return [CHUNKS, VECTORS, *codes, *(f"{LEXICAL}/{name}" for name in words)]

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


def _nothing_to_index(seeds: Path, problems: Sequence[UnreadableDocument]) -> str:
    if not problems:
        return f"no document in {seeds} holds any text"
    return f"none of the {len(problems)} files in {seeds} can be read; the first: {problems[0]}"
