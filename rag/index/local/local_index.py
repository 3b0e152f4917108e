"""The local backend: one published version of an index folder, opened and verified."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rag.corpus.document import Document, Metadata
from rag.encoders.base import Vectors
from rag.errors import ArtefactCorrupt, CountMismatch, IndexFault
from rag.index.backend import Hit, IndexInfo, Occurrences, StoredChunk, Term, Traits
from rag.index.filters import NO_FILTERS, Filters
from rag.index.local.faiss_vectors import FaissVectors, Mask, Rows, Scores
from rag.index.local.layout import CHUNKS, LEXICAL, SHORT_CODES, VECTORS, Layout, rebuild_command
from rag.index.local.lexical import Lexical
from rag.index.local.manifest import Manifest, check_artefacts, read_manifest
from rag.index.local.rows import RowTable
from rag.index.local.short_codes import ShortCodes
from rag.index.local.store import ChunkStore
from rag.index.local.vector_plan import VectorPlan

_REMEMBERED_PHRASES = 4096


class LocalIndex:
    """Implements `Backend` over files. Safe to search from several threads."""

    def __init__(
        self, manifest: Manifest, store: ChunkStore, vectors: FaissVectors, lexical: Lexical
    ) -> None:
        self.manifest = manifest
        self._store, self._vectors, self._lexical = store, vectors, lexical
        self._table = RowTable(store.ranked_rows(), store.documents())
        # No method of this object: the cache would keep a closed index in memory.
        self._mentioning = lru_cache(_REMEMBERED_PHRASES)(partial(_packed_mentions, lexical, self._table))
        self._titled: dict[tuple[str, ...], Occurrences] = {}
        self.info = _info(manifest)

    @classmethod
    def open(cls, root: Path) -> LocalIndex:
        """Open the current version of the index folder `root`.

        Raises `IndexNotFound`, `SchemaMismatch`, `ArtefactCorrupt` or `CountMismatch`; each says what
        mends it.
        """
        layout = Layout(root)
        while True:
            named = layout.current_id()
            try:
                return cls.open_named(layout.current_version())
            except IndexFault:
                # Published over and deleted while it was read: nothing is wrong with the one after it.
                if layout.current_id() == named:
                    raise

    @classmethod
    def open_named(cls, folder: Path) -> LocalIndex:
        """Open a published version, whose folder has its name."""
        index = cls.open_version(folder)
        if index.info.index_id != folder.name:
            index.close()
            raise ArtefactCorrupt(
                f"{folder} holds the version {index.info.index_id}, expected {folder.name}; "
                f"{rebuild_command(folder)}"
            )
        return index

    @classmethod
    def open_version(cls, folder: Path) -> LocalIndex:
        """Open one version by its folder, published or not."""
        manifest = read_manifest(folder)
        check_artefacts(manifest, folder)
        store = ChunkStore(folder / CHUNKS)
        try:
            vectors = _vectors(manifest, folder)
            lexical = Lexical(folder / LEXICAL)
            found = store.counts() | {"vectors": len(vectors), "words": len(lexical), "dim": vectors.dim}
            _check_counts(manifest, found, folder)
            return cls(manifest, store, vectors, lexical)
        except BaseException:
            store.close()
            raise

    def search(self, vector: Vectors, k: int, filters: Filters = NO_FILTERS) -> list[Hit]:
        """See `Backend`."""
        allowed = self._table.allowed(filters)
        return self._best(
            lambda count: self._vectors.search(vector, count, allowed.rows), k, allowed.searchable
        )

    def match(self, terms: Sequence[Term], k: int, filters: Filters = NO_FILTERS) -> list[Hit]:
        """See `Backend`."""
        allowed = self._table.allowed(filters)

        def search(count: int) -> tuple[Rows, Scores]:
            keys, scores = self._lexical.search(terms, count, allowed.documents)
            return self._table.with_keys(keys), scores

        return self._best(search, k, allowed.searchable)

    def similarities(self, vector: Vectors, chunk_ids: Sequence[str]) -> Vectors:
        """See `Backend`."""
        return self._vectors.similarities(vector, self._table.rows(chunk_ids))

    def traits(self, chunk_ids: Sequence[str]) -> Traits:
        """See `Backend`."""
        return self._table.traits(self._table.rows(chunk_ids))

    def copies(self, chunk_id: str, filters: Filters = NO_FILTERS) -> list[str]:
        """See `Backend`."""
        return self._table.copies(chunk_id, filters)

    def vocabulary(self) -> Mapping[str, int]:
        """See `Backend`."""
        return self._lexical.vocabulary

    def stems(self, text: str) -> list[str]:
        """See `Backend`."""
        return self._lexical.stems(text)

    def mentions(self, phrase: Sequence[str], chunk_ids: Sequence[str]) -> Mask:
        """See `Backend`."""
        rows = self._table.rows(chunk_ids)
        bits = self._mentioning(tuple(phrase))
        held: Mask = (bits[rows >> 3] >> (rows & 7) & 1).astype(np.bool_)
        return held

    def occurrences(self, phrase: Sequence[str]) -> Occurrences:
        """See `Backend`."""
        key = tuple(phrase)
        if key in self._titled:
            return self._titled[key]
        titled = self._lexical.count(key, "title")
        found = Occurrences(mentioned=self._lexical.count(key, "body"), titled=titled)
        # Only what stands in a title is remembered: anything else may be a part of somebody's question.
        if titled:
            self._titled[key] = found
        return found

    def chunks(self, chunk_ids: Sequence[str]) -> list[StoredChunk]:
        """See `Backend`."""
        return self._store.chunks(chunk_ids)

    def catalog(self) -> Sequence[tuple[str, Metadata]]:
        """See `Backend`."""
        return self._table.documents

    def document(self, doc_id: str) -> Document:
        """See `Backend`."""
        return self._store.document(doc_id)

    def close(self) -> None:
        """See `Backend`."""
        self._store.close()
        self._lexical.close()
        self._mentioning.cache_clear()

    def _best(self, search: Callable[[int], tuple[Rows, Scores]], k: int, searchable: int) -> list[Hit]:
        """The first `k` of a search that returns as many rows as it is asked for."""
        fetched = k
        while True:
            # Rows that tie with the last one might come before it by id, so fetch past the tie.
            fetched = min(fetched + 16, searchable)
            rows, scores = search(fetched)
            if len(rows) < fetched or fetched == searchable or scores[-1] < scores[min(k, len(rows)) - 1]:
                break
            fetched *= 2
        best = self._table.in_order(rows, scores)[:k]
        ids = map(self._table.chunk_ids.__getitem__, rows[best].tolist())
        return list(map(Hit, ids, scores[best].tolist()))


def _packed_mentions(lexical: Lexical, table: RowTable, phrase: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    """A bit for each row: a byte for eight of them keeps thousands of phrases in little memory."""
    mask = np.zeros(len(table), dtype=np.bool_)
    mask[table.with_keys(lexical.holding(phrase))] = True
    return np.packbits(mask, bitorder="little")


def _vectors(manifest: Manifest, folder: Path) -> FaissVectors:
    vectors = FaissVectors.read(folder / VECTORS)
    plan = VectorPlan.recorded(manifest.vectors)
    if plan.kind == "exact":
        return vectors
    short = ShortCodes.read(folder / SHORT_CODES, plan)
    found, expected = (len(short), short.dim), (len(vectors), vectors.dim)
    if found != expected:
        raise CountMismatch(
            f"{folder / SHORT_CODES} holds codes of {found[0]} vectors of {found[1]} components, expected "
            f"{expected[0]} of {expected[1]}; {rebuild_command(folder)}"
        )
    return vectors.found_by(short)


def _info(manifest: Manifest) -> IndexInfo:
    return IndexInfo(
        index_id=manifest.index_id,
        built_at=manifest.built_at,
        encoder=manifest.encoder["name"],
        encoder_fingerprint=manifest.encoder["fingerprint"],
        documents=manifest.counts["documents"],
        chunks=manifest.counts["chunks"],
    )


def _check_counts(manifest: Manifest, found: dict[str, int], folder: Path) -> None:
    chunks = manifest.counts["chunks"]
    expected = manifest.counts | {"vectors": chunks, "words": chunks, "dim": manifest.encoder["dim"]}
    if found != expected:
        raise CountMismatch(
            f"{folder} holds {found}, its manifest says {expected}; {rebuild_command(folder)}"
        )
