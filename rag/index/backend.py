"""What the rest of Citewell may ask of an index, wherever it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from rag.corpus.document import Chunk, Document, Metadata
from rag.encoders.base import Vectors
from rag.index.filters import NO_FILTERS, Filters


class Hit(NamedTuple):
    """One result of a search. A higher score is better; scores only order, they are no probabilities."""

    chunk_id: str
    score: float


class Term(NamedTuple):
    """A word to search by, and how much it counts. The index brings it to its stem."""

    text: str
    weight: float = 1.0


class Occurrences(NamedTuple):
    """In how many chunks a phrase stands: `mentioned` anywhere, `titled` in their document's title."""

    mentioned: int
    titled: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a ranking weighs of chunks without reading them: parallel columns, one entry a chunk [n].

    `sections` numbers document and heading path together. `repeated` is the share of a text, 0 to 1,
    that stands in many documents. Chunks of equal `contents` say the same in the same words.
    """

    doc_ids: list[str]
    titles: list[str]
    professional: npt.NDArray[np.bool_]
    sections: npt.NDArray[np.int64]
    repeated: npt.NDArray[np.float32]
    bibliography: npt.NDArray[np.bool_]
    contents: npt.NDArray[np.int64]


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

    def search(self, vector: Vectors, k: int, filters: Filters = NO_FILTERS) -> list[Hit]:
        """The `k` chunks nearest to `vector` ([dim], unit length) that the filters let through.

        By (−score, chunk_id), fewer when fewer are let through. Scores are inner products.
        """

    def match(self, terms: Sequence[Term], k: int, filters: Filters = NO_FILTERS) -> list[Hit]:
        """The `k` chunks with the highest BM25 score for `terms` that the filters let through.

        By (−score, chunk_id), fewer when fewer hold any of the words. Scores are positive.
        """

    def similarities(self, vector: Vectors, chunk_ids: Sequence[str]) -> Vectors:
        """The inner products [n] of `vector` with these chunks' vectors. Raises `KeyError`."""

    def traits(self, chunk_ids: Sequence[str]) -> Traits:
        """The traits of these chunks, in this order. Raises `KeyError`."""

    def copies(self, chunk_id: str, filters: Filters = NO_FILTERS) -> list[str]:
        """The ids of the other documents, in order, that hold the same content and pass the filters."""

    def vocabulary(self) -> Mapping[str, int]:
        """Every stem of the texts with the number of chunks that hold it."""

    def stems(self, text: str) -> list[str]:
        """The stems of a text's words, in order."""

    def mentions(self, phrase: Sequence[str], chunk_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which of these chunks [n] hold the stems of `phrase` in a row, in text, headings or title."""

    def occurrences(self, phrase: Sequence[str]) -> Occurrences:
        """How many chunks mention `phrase` (stems), and how many of them stand under a title that does."""

    def chunks(self, chunk_ids: Sequence[str]) -> list[StoredChunk]:
        """The chunks with these ids, in this order. Raises `KeyError` for an unknown id."""

    def catalog(self) -> Sequence[tuple[str, Metadata]]:
        """Every document's id and metadata."""

    def document(self, doc_id: str) -> Document:
        """The document with its whole text. Raises `KeyError` for an unknown id."""

    def close(self) -> None:
        """Give back files and memory."""
