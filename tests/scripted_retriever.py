"""A retriever that ranks what it was told to, over chunks that were made by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rag.corpus.document import Chunk, Metadata
from rag.index.backend import StoredChunk
from rag.search.ranking import RankedHit, Ranking


class ChunkText(NamedTuple):
    """A chunk with no more than judging needs."""

    chunk_id: str
    doc_id: str
    text: str


def stored(chunk_id: str, text: str) -> StoredChunk:
    """A chunk whose document is named before the '#'."""
    doc_id = chunk_id.partition("#")[0]
    chunk = Chunk(chunk_id, doc_id, 0, len(text), text, text, (), "")
    return StoredChunk(chunk=chunk, metadata=Metadata(title=doc_id), sha256="", fragment="")


class ScriptedRetriever:
    """Is its own backend. `rankings` names chunk_ids by question; what it does not name finds nothing."""

    def __init__(self, texts: Mapping[str, str], rankings: Mapping[str, Sequence[str]]) -> None:
        self._stored = {chunk_id: stored(chunk_id, text) for chunk_id, text in texts.items()}
        self._rankings = rankings
        self.asked: list[tuple[str, int]] = []

    @property
    def backend(self) -> ScriptedRetriever:
        return self

    def chunks(self, chunk_ids: Sequence[str]) -> list[StoredChunk]:
        return [self._stored[chunk_id] for chunk_id in chunk_ids]

    def search(self, question: str, *, top_k: int) -> Ranking:
        self.asked.append((question, top_k))
        found = self._rankings.get(question, ())[:top_k]
        # All scores tie: only the order of the ranking counts.
        return Ranking(
            tuple(RankedHit(chunk_id=chunk_id, score=0.5) for chunk_id in found),
            {"encode": 2.0, "search": 1.0},
        )
