"""The local backend: one published version of an index folder, opened and verified."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rag.corpus.document import Document
from rag.encoders.base import Vectors
from rag.errors import ArtefactCorrupt
from rag.index.backend import Hit, IndexInfo, StoredChunk
from rag.index.local.faiss_vectors import FaissVectors, Mask
from rag.index.local.layout import CHUNKS, VECTORS, Layout, rebuild_command
from rag.index.local.manifest import Manifest, check_artefacts, read_manifest
from rag.index.local.store import ChunkStore

# Only these documents are found unless a search asks for others.
SEARCHED_STATUS = "active"


class LocalIndex:
    """Implements `Backend` over files. Safe to search from several threads."""

    def __init__(self, manifest: Manifest, store: ChunkStore, vectors: FaissVectors) -> None:
        self.manifest = manifest
        self._store = store
        self._vectors = vectors
        self._active = _active_rows(store, len(vectors))
        self.info = _info(manifest)

    @classmethod
    def open(cls, root: Path) -> LocalIndex:
        """Open the current version of the index folder `root`.

        Raises `IndexNotFound`, `SchemaMismatch` or `ArtefactCorrupt`; each says what mends it.
        """
        return cls.open_version(Layout(root).current_version())

    @classmethod
    def open_version(cls, folder: Path) -> LocalIndex:
        """Open one version by its folder."""
        manifest = read_manifest(folder)
        check_artefacts(manifest, folder)
        store = ChunkStore(folder / CHUNKS)
        try:
            vectors = FaissVectors.read(folder / VECTORS)
            _check_counts(manifest, store.counts(), vectors, folder)
            return cls(manifest, store, vectors)
        except BaseException:
            store.close()
            raise

    def search(self, vector: Vectors, k: int) -> list[Hit]:
        """See `Backend`."""
        allowed = None if self._active.all() else self._active
        searchable = int(self._active.sum())
        fetched = k
        while True:
            # Rows that tie with the last one might come before it by id, so fetch past the tie.
            fetched = min(fetched + 16, searchable)
            rows, scores = self._vectors.search(vector, fetched, allowed)
            if fetched == searchable or scores[-1] < scores[min(k, len(scores)) - 1]:
                break
            fetched *= 2
        ids = self._store.chunk_ids(rows.tolist())
        hits = [Hit(chunk_id, float(score)) for chunk_id, score in zip(ids, scores, strict=True)]
        return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:k]

    def chunks(self, chunk_ids: Sequence[str]) -> list[StoredChunk]:
        """See `Backend`."""
        return self._store.chunks(chunk_ids)

    def document(self, doc_id: str) -> Document:
        """See `Backend`."""
        return self._store.document(doc_id)

    def close(self) -> None:
        """See `Backend`."""
        self._store.close()


def _active_rows(store: ChunkStore, count: int) -> Mask:
    active = np.zeros(count, dtype=np.bool_)
    active[store.rows_where_status(SEARCHED_STATUS)] = True
    return active


def _info(manifest: Manifest) -> IndexInfo:
    return IndexInfo(
        index_id=manifest.index_id,
        built_at=manifest.built_at,
        encoder=manifest.encoder["name"],
        encoder_fingerprint=manifest.encoder["fingerprint"],
        documents=manifest.counts["documents"],
        chunks=manifest.counts["chunks"],
    )


def _check_counts(manifest: Manifest, stored: dict[str, int], vectors: FaissVectors, folder: Path) -> None:
    found = stored | {"vectors": len(vectors), "dim": vectors.dim}
    expected = manifest.counts | {"vectors": manifest.counts["chunks"], "dim": manifest.encoder["dim"]}
    if found != expected:
        raise ArtefactCorrupt(
            f"{folder} holds {found}, its manifest says {expected}; {rebuild_command(folder)}"
        )
