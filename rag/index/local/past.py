"""The current version as a source for the next one: what need not be read, cut or encoded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rag.errors import CountMismatch
from rag.index.local.faiss_vectors import Codes, FaissVectors
from rag.index.local.finished import query, text_keys
from rag.index.local.layout import CHUNKS, LEXICAL, VECTORS, Layout
from rag.index.local.manifest import Manifest, check_artefacts, read_manifest


class PastDocument(NamedTuple):
    """A document of an earlier version. Its chunks are the rows from `row` on."""

    doc: int
    doc_id: str
    sha256: str
    chunks_key: str
    body_start: int
    row: int
    chunks: int


@dataclass(frozen=True, slots=True)
class KnownVectors:
    """Vectors by the `text_key` of what they were made of: `codes[rows[key]]` as the index stores them."""

    rows: dict[bytes, int]
    codes: Codes

    def find(self, keys: Sequence[bytes]) -> npt.NDArray[np.int64]:
        """For each key the row of its code, -1 where there is none. Shape [n]."""
        return np.array([self.rows.get(key, -1) for key in keys], dtype=np.int64)


class PastVersion:
    """One verified version of an index folder, read for what it holds."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self.documents = {one.doc_id: one for one in self._documents()}
        self._vectors = FaissVectors.read(folder / VECTORS)
        chunks = sum(one.chunks for one in self.documents.values())
        found = {"documents": len(self.documents), "chunks": chunks, "vectors": len(self._vectors)}
        expected = manifest.counts | {"vectors": manifest.counts["chunks"]}
        if found != expected:
            raise CountMismatch(f"{folder} holds {found}, its manifest says {expected}")

    @classmethod
    def open(cls, layout: Layout) -> PastVersion:
        """Open the current version. Raises what opening it to search would raise, its words not looked at."""
        folder = layout.current_version()
        manifest = read_manifest(folder)
        check_artefacts(manifest, folder)
        return cls(folder, manifest)

    @property
    def chunks(self) -> Path:
        """Its file of documents and chunks."""
        return self.folder / CHUNKS

    @property
    def lexical(self) -> Path:
        """The folder of its lexical index."""
        return self.folder / LEXICAL

    def vectors(self) -> KnownVectors:
        """All its vectors."""
        rows = {key: row for row, key in enumerate(text_keys(self.chunks))}
        return KnownVectors(rows, self._vectors.codes())

    def _documents(self) -> list[PastDocument]:
        found = query(
            self.chunks,
            "SELECT doc, doc_id, sha256, chunks_key, body_start, (SELECT count(*) FROM chunks c "
            "WHERE c.doc = d.doc) FROM documents d ORDER BY doc",
        )
        documents, row = [], 0
        for doc, doc_id, sha256, key, body_start, chunks in found:
            documents.append(PastDocument(doc, doc_id, sha256, key, body_start, row, chunks))
            row += chunks
        return documents
