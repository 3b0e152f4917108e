"""What the local index keeps in memory of every chunk and document: ids, traits, and which filters let
which rows through.

Rows and documents count from 0 in the order in which they were written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from tantivy import Query

from rag.corpus.document import Metadata
from rag.corpus.policy import is_professional
from rag.index.backend import Traits
from rag.index.filters import LIST_FILTERS, Filters
from rag.index.local.faiss_vectors import Mask, Rows, Scores
from rag.index.local.lexical import Keys, only_documents
from rag.index.local.store import RankedRow

_REMEMBERED_FILTERS = 64


class Allowed(NamedTuple):
    """What a filter lets through, for each of the two searches; None lets everything through."""

    rows: Mask | None
    documents: Query | None
    searchable: int


class RowTable:
    """Columns over rows and documents. Nothing changes after it is made."""

    def __init__(self, rows: Sequence[RankedRow], documents: Sequence[tuple[str, Metadata]]) -> None:
        self.chunk_ids = [row.chunk_id for row in rows]
        self.documents = documents
        self._row_of = {chunk_id: number for number, chunk_id in enumerate(self.chunk_ids)}
        # Which place a row has among the sorted ids: numbers are compared sooner than texts.
        self._by_id = np.empty(len(rows), dtype=np.int64)
        self._by_id[sorted(range(len(rows)), key=self.chunk_ids.__getitem__)] = np.arange(len(rows))
        self._doc = np.array([row.doc for row in rows], dtype=np.int64)
        self._repeated = np.array([row.repeated for row in rows], dtype=np.float32)
        self._bibliography = np.array([row.is_bibliography for row in rows], dtype=np.bool_)
        # A withdrawn copy never stands for an active one.
        status = [metadata.status for _, metadata in documents]
        self._contents = _numbered([(row.content_key, status[row.doc]) for row in rows])
        self._sections = _numbered([(row.doc, row.heading_path) for row in rows])
        keys = np.array([row.word_key for row in rows], dtype=np.int64)
        self._by_key = np.argsort(keys)
        self._keys = keys[self._by_key]
        self._doc_ids = [doc_id for doc_id, _ in documents]
        self._titles = [metadata.short_title for _, metadata in documents]
        self._professional = np.array(
            [is_professional(metadata.audience) for _, metadata in documents], dtype=np.bool_
        )
        self._copies = _groups(self._contents)
        # Over an object of its own: a cache over a method of this one would keep it alive for ever.
        self.allowed = lru_cache(_REMEMBERED_FILTERS)(_Conditions(self._doc, documents).allowed)

    def __len__(self) -> int:
        return len(self.chunk_ids)

    def rows(self, chunk_ids: Sequence[str]) -> Rows:
        """The rows of these chunks. Raises `KeyError`."""
        return np.fromiter(map(self._row_of.__getitem__, chunk_ids), np.int64, len(chunk_ids))

    def in_order(self, rows: Rows, scores: Scores) -> npt.NDArray[np.intp]:
        """The places of these rows by (−score, chunk_id)."""
        return np.lexsort((self._by_id[rows], -scores))

    def with_keys(self, keys: Keys) -> Rows:
        """The rows that have these keys in the lexical index, in this order."""
        rows: Rows = self._by_key[np.searchsorted(self._keys, keys)]
        return rows

    def traits(self, rows: Rows) -> Traits:
        """The traits of these rows."""
        docs = self._doc[rows]
        numbers = docs.tolist()
        return Traits(
            doc_ids=list(map(self._doc_ids.__getitem__, numbers)),
            titles=list(map(self._titles.__getitem__, numbers)),
            professional=self._professional[docs],
            sections=self._sections[rows],
            repeated=self._repeated[rows],
            bibliography=self._bibliography[rows],
            contents=self._contents[rows],
        )

    def copies(self, chunk_id: str, filters: Filters) -> list[str]:
        """The ids of the other allowed documents with the same content."""
        row = self._row_of[chunk_id]
        same = self._copies.get(int(self._contents[row]))
        if same is None:
            return []
        allowed = self.allowed(filters).rows
        docs = {int(self._doc[other]) for other in same if allowed is None or allowed[other]}
        return sorted(self._doc_ids[doc] for doc in docs - {int(self._doc[row])})


class _Conditions:
    """What filters look at: each document's values, and which rows are whose."""

    def __init__(self, doc_of_row: npt.NDArray[np.int64], documents: Sequence[tuple[str, Metadata]]) -> None:
        self._doc_of_row = doc_of_row
        self._doc_ids = [doc_id for doc_id, _ in documents]
        self._values = _values(documents)
        self._reviewed = np.array(
            [m.last_reviewed.toordinal() if m.last_reviewed else 0 for _, m in documents], dtype=np.int64
        )

    def allowed(self, filters: Filters) -> Allowed:
        """What these filters let through."""
        documents = np.ones(len(self._doc_ids), dtype=np.bool_)
        for name in LIST_FILTERS:
            if wanted := getattr(filters, name):
                meets = np.zeros_like(documents)
                for value in wanted:
                    meets[self._values[name].get(value.casefold(), [])] = True
                documents &= meets
        if filters.last_reviewed_after:
            documents &= self._reviewed > filters.last_reviewed_after.toordinal()
        rows = documents[self._doc_of_row]
        if rows.all():
            return Allowed(None, None, len(rows))
        return Allowed(rows, only_documents(self._doc_ids, documents), int(rows.sum()))


def _values(documents: Sequence[tuple[str, Metadata]]) -> dict[str, dict[str, list[int]]]:
    """For each filter the documents that have a value."""
    found: dict[str, dict[str, list[int]]] = {name: defaultdict(list) for name in LIST_FILTERS}
    for doc, (doc_id, metadata) in enumerate(documents):
        for name in LIST_FILTERS:
            value = doc_id if name == "doc_id" else getattr(metadata, name)
            for one in (value,) if isinstance(value, str) else value or ():
                found[name][one.casefold()].append(doc)
    return found


def _numbered(keys: Sequence[tuple[int, str]]) -> npt.NDArray[np.int64]:
    numbers: dict[tuple[int, str], int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)


def _groups(keys: npt.NDArray[np.int64]) -> dict[int, Rows]:
    """The rows of every key that stands in more than one."""
    order = np.argsort(keys, kind="stable").astype(np.int64)
    values, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    return {int(values[at]): order[starts[at] : starts[at] + counts[at]] for at in np.flatnonzero(counts > 1)}
