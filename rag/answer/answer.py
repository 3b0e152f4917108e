"""A question to an answer: ranked passages, each with its citation and its exact place."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.answer.citation import Citation, cite
from rag.corpus.document import Link
from rag.encoders.base import Encoder
from rag.index.backend import Backend, IndexInfo, StoredChunk
from rag.index.filters import NO_FILTERS, Filters
from rag.index.opening import open_index
from rag.search.question import DEFAULT_TOP_K
from rag.search.ranking import RankedHit
from rag.search.reranker import CrossEncoderReranker, Reranker
from rag.search.retriever import Retriever


@dataclass(frozen=True, slots=True)
class Location:
    """Where a passage stands: `text[start:end]` of the document whose file has this SHA-256."""

    doc_id: str
    start: int
    end: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """A chunk in an answer. `rank` counts from 1; `score` only orders. `metadata` holds the document's
    own keys that Citewell does not know. `also_in` are the other documents with the same content,
    `missing` the names in the question (a cancer, a drug, a topic) that the passage does not mention.
    """

    rank: int
    score: float
    chunk_id: str
    text: str
    markdown: str
    heading_path: tuple[str, ...]
    links: tuple[Link, ...]
    citation: Citation
    location: Location
    also_in: tuple[str, ...]
    missing: tuple[str, ...]
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What `/ask` answers.

    `corrections` maps words of the question that look misspelled to the words searched beside them.
    `timings_ms` has the stages `read`, `encode`, `search`, `rank`, `cite` and their `total` (and `rerank`
    where a reranker is at work).
    """

    request_id: str
    passages: tuple[Passage, ...]
    corrections: Mapping[str, str]
    index: IndexInfo
    timings_ms: dict[str, float]


class Answerer:
    """Answers questions from one index. Safe to use from several threads."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    @classmethod
    def open(cls, root: Path | str, *, reranker: Reranker | str | None = None, **options: Any) -> Answerer:
        """Open the current version of the index folder `root` (options as for `open_index`).

        `reranker` is or names a cross-encoder that orders the best hits anew. Raises `EncoderNotFound` or
        `EncoderUnusable` for one that cannot be loaded.
        """
        judge = CrossEncoderReranker(reranker) if isinstance(reranker, str) else reranker
        opened = open_index(root, **options)
        return cls(Retriever(opened.backend, opened.encoder, reranker=judge))

    @property
    def backend(self) -> Backend:
        """The index that answers."""
        return self._retriever.backend

    @property
    def encoder(self) -> Encoder:
        """What encodes the questions."""
        return self._retriever.encoder

    def close(self) -> None:
        """Close the index; nothing may be asked any more."""
        self.backend.close()

    def ask(
        self,
        question: str,
        *,
        top_k: int = DEFAULT_TOP_K,
        filters: Filters = NO_FILTERS,
        history: Sequence[str] = (),
    ) -> Answer:
        """Answer `question` with at most `top_k` passages of the documents that `filters` let through.

        `history` are the person's earlier questions, oldest first. Raises `InvalidRequest`.
        """
        started = time.perf_counter()
        ranking = self._retriever.search(question, top_k=top_k, filters=filters, history=history)
        cited = time.perf_counter()
        stored = self.backend.chunks([hit.chunk_id for hit in ranking.hits])
        passages = tuple(
            _passage(rank, hit, chunk)
            for rank, (hit, chunk) in enumerate(zip(ranking.hits, stored, strict=True), start=1)
        )
        finished = time.perf_counter()
        timings = {
            **ranking.timings_ms,
            "cite": (finished - cited) * 1e3,
            "total": (finished - started) * 1e3,
        }
        return Answer(
            request_id=uuid.uuid4().hex,
            passages=passages,
            corrections=ranking.corrections,
            index=self.backend.info,
            timings_ms=timings,
        )


def _passage(rank: int, hit: RankedHit, stored: StoredChunk) -> Passage:
    chunk = stored.chunk
    return Passage(
        rank=rank,
        score=hit.score,
        chunk_id=chunk.chunk_id,
        text=chunk.text,
        markdown=chunk.markdown,
        heading_path=chunk.heading_path,
        links=chunk.links,
        citation=cite(stored, rank=rank),
        location=Location(chunk.doc_id, chunk.start, chunk.end, stored.sha256),
        also_in=hit.also_in,
        missing=hit.missing,
        metadata=dict(stored.metadata.extra),
    )
