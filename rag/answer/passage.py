"""A passage: a chunk in an answer, with its citation and its exact place."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from rag.answer.citation import Citation, cite
from rag.answer.extract import Highlights
from rag.answer.provenance import Provenance
from rag.corpus.document import Link
from rag.index.backend import StoredChunk
from rag.search.ranking import RankedHit


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
    own keys that Citewell does not know. `highlights` are (start, end) of the sentences in `text` that
    answer best. `also_in` are the other documents with the same content, `missing` the names in the
    question (a cancer, a drug, a topic) that the passage does not mention.
    """

    rank: int
    score: float
    chunk_id: str
    text: str
    markdown: str
    heading_path: tuple[str, ...]
    highlights: Highlights
    links: tuple[Link, ...]
    citation: Citation
    location: Location
    also_in: tuple[str, ...]
    missing: tuple[str, ...]
    metadata: dict[str, Any]


def make_passage(
    rank: int,
    hit: RankedHit,
    stored: StoredChunk,
    highlights: Highlights,
    *,
    provenance: Provenance,
    as_of: date,
) -> Passage:
    """The passage of a hit."""
    chunk = stored.chunk
    return Passage(
        rank=rank,
        score=hit.score,
        chunk_id=chunk.chunk_id,
        text=chunk.text,
        markdown=chunk.markdown,
        heading_path=chunk.heading_path,
        highlights=highlights,
        links=chunk.links,
        citation=cite(stored, rank=rank, provenance=provenance, as_of=as_of),
        location=Location(chunk.doc_id, chunk.start, chunk.end, stored.sha256),
        also_in=hit.also_in,
        missing=hit.missing,
        metadata=dict(stored.metadata.extra),
    )
