"""What the rest of Citewell may ask of an index, wherever it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rag.corpus.document import Chunk, Document, Metadata
from rag.encoders.base import Vectors


class Hit(NamedTuple):
    """One result of a search. A higher score is better; scores only order, they are no probabilities."""

    chunk_id: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexInfo:
    """Which index answers: its version, when it was built (ISO 8601, UTC) and from what."""

    index_id: str
    built_at: str
    encoder: str
    encoder_fingerprint: str
    documents: int
    chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredChunk:
    """A chunk with what an answer needs to cite it.

    `fragment` is the text fragment that finds it in the page ('' when there is none), `sha256` the
    digest of the document's file.
    """

    chunk: Chunk
    metadata: Metadata
    sha256: str
    fragment: str


class Backend(Protocol):
    """Stores documents, chunks and vectors, and finds the nearest chunks."""

    @property
    def info(self) -> IndexInfo:
        """Which index this is."""

    def search(self, vector: Vectors, k: int) -> list[Hit]:
        """The `k` active chunks nearest to `vector` ([dim], unit length), by (−score, chunk_id).

        Fewer when the index holds fewer. Scores are inner products.
        """

    def chunks(self, chunk_ids: Sequence[str]) -> list[StoredChunk]:
        """The chunks with these ids, in this order. Raises `KeyError` for an unknown id."""

    def document(self, doc_id: str) -> Document:
        """The document with its whole text. Raises `KeyError` for an unknown id."""

    def close(self) -> None:
        """Give back files and memory."""
