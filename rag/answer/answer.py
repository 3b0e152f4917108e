"""A question to an answer: ranked passages, each with its citation and its exact place."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.answer.citation import Citation, cite
from rag.corpus.document import Link
from rag.index.backend import Backend, IndexInfo, StoredChunk
from rag.index.opening import open_index
from rag.search.retriever import DEFAULT_TOP_K, Retriever


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
    own keys that Citewell does not know.
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
    metadata: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What `/ask` answers. `timings_ms` has the stages `encode`, `search`, `cite` and their `total`."""

    request_id: str
    passages: tuple[Passage, ...]
    index: IndexInfo
    timings_ms: dict[str, float]


class Answerer:
    """Answers questions from one index. Safe to use from several threads."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever

    @classmethod
    def open(cls, root: Path | str, **options: Any) -> Answerer:
        """Open the current version of the index folder `root` (options as for `open_index`)."""
        opened = open_index(root, **options)
        return cls(Retriever(opened.backend, opened.encoder))

    @property
    def backend(self) -> Backend:
        """The index that answers."""
        return self._retriever.backend

    def ask(self, question: str, *, top_k: int = DEFAULT_TOP_K) -> Answer:
        """Answer `question` with at most `top_k` passages. Raises `InvalidRequest`."""
        started = time.perf_counter()
        ranking = self._retriever.search(question, top_k=top_k)
        cited = time.perf_counter()
        stored = self.backend.chunks([hit.chunk_id for hit in ranking.hits])
        passages = tuple(
            _passage(rank, hit.score, chunk)
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
            index=self.backend.info,
            timings_ms=timings,
        )


def _passage(rank: int, score: float, stored: StoredChunk) -> Passage:
    chunk = stored.chunk
    return Passage(
        rank=rank,
        score=score,
        chunk_id=chunk.chunk_id,
        text=chunk.text,
        markdown=chunk.markdown,
        heading_path=chunk.heading_path,
        links=chunk.links,
        citation=cite(stored, rank=rank),
        location=Location(chunk.doc_id, chunk.start, chunk.end, stored.sha256),
        metadata=dict(stored.metadata.extra),
    )
