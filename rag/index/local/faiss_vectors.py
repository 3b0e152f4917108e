"""Vectors on disk: a flat FAISS index of fp16 codes, compared by inner product.

Row `i` is the vector of chunk row `i`. A small index compares every row. In a large one short codes
find the candidates (`short_codes`) and only these are compared, so every score is exact all the same.
The file is mapped into memory: all processes that read it share its pages.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from rag.encoders.base import Vectors
from rag.errors import ArtefactCorrupt
from rag.index.local.layout import rebuild_command
from rag.index.local.short_codes import ShortCodes, candidates
from rag.index.local.vector_plan import EXACT_SHARE, EXACT_UP_TO

Rows = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]


class FaissVectors:
    """Vectors as fp16 codes. Made whole or read from a file; nothing is added later."""

    def __init__(self, index: faiss.Index, short: ShortCodes | None = None) -> None:
        self._index, self._short = index, short
        self._refined: Any = short.refined_by(index) if short else None

    @classmethod
    def of(cls, codes: Codes, dim: int) -> FaissVectors:
        """The index of these codes [n, bytes], as `encoded` makes them."""
        index = _empty(dim)
        index.add_sa_codes(np.ascontiguousarray(codes))
        return cls(index)

    @classmethod
    def read(cls, path: Path) -> FaissVectors:
        """Map what `write` has written. Raises `ArtefactCorrupt`."""
        try:
            return cls(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))
        except RuntimeError as error:
            reason = str(error).splitlines()[-1]
            raise ArtefactCorrupt(
                f"{path} holds no vectors ({reason}); {rebuild_command(path.parent)}"
            ) from error

    def found_by(self, short: ShortCodes) -> FaissVectors:
        """The same vectors, searched by way of their short codes."""
        return FaissVectors(self._index, short)

    def write(self, path: Path) -> None:
        """Write all rows to one file. Raises `OSError`."""
        # Not by faiss.write_index, which says nothing when the disk is full at the last page.
        path.write_bytes(faiss.serialize_index(self._index).data)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        """Number of components."""
        return int(self._index.d)

    def codes(self) -> Codes:
        """The codes of all rows [n, bytes], a copy."""
        index: Any = self._index  # the stubs leave the codes out
        codes: Codes = faiss.vector_to_array(index.codes).reshape(len(self), -1)
        return codes

    def vectors(self, start: int, end: int) -> Vectors:
        """The rows from `start` up to `end` as float32 [n, dim]."""
        rows: Vectors = self._index.reconstruct_n(start, end - start)
        return rows

    def search(self, vector: Vectors, k: int, allowed: Mask | None = None) -> tuple[Rows, Scores]:
        """The nearest `k` rows to `vector` ([dim]) among the allowed ones, best first.

        Fewer come back when fewer are allowed. Rows of equal score come in no set order.
        """
        searchable = len(self) if allowed is None else int(np.count_nonzero(allowed))
        k = min(k, searchable)
        if k < 1:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        query = np.ascontiguousarray(vector[None, :], dtype=np.float32)
        selector = None if allowed is None else _only(allowed)
        fewest = max(EXACT_UP_TO, len(self) // EXACT_SHARE, 2 * candidates(k))
        if self._short and searchable > fewest:
            parameters = self._short.parameters(query, k, allowed, selector)
            scores, rows = self._refined.search(query, k, params=parameters)
            # Lists that hold too little send the search on to all rows.
            if rows[0, -1] >= 0:
                return rows[0], scores[0]
        return self._compared(query, k, selector)

    def _compared(self, query: Vectors, k: int, selector: Any) -> tuple[Rows, Scores]:
        """The search over all rows that the selector lets through."""
        library: Any = faiss  # the stubs describe the C++ constructors, not these
        parameters = library.SearchParameters(sel=selector) if selector is not None else None
        scores, rows = self._index.search(query, k, params=parameters)
        found = rows[0] >= 0
        return rows[0][found], scores[0][found]

    def similarities(self, vector: Vectors, rows: Rows) -> Vectors:
        """The inner products [n] of `vector` ([dim]) with these rows."""
        if not len(rows):
            return np.empty(0, dtype=np.float32)
        products: Vectors = self._index.reconstruct_batch(rows) @ vector.astype(np.float32)
        return products


def encoded(vectors: Vectors) -> Codes:
    """Vectors [n, dim] as they are stored, [n, bytes]."""
    codes: Codes = _empty(vectors.shape[1]).sa_encode(np.ascontiguousarray(vectors, dtype=np.float32))
    return codes


def code_size(dim: int) -> int:
    """How many bytes a vector takes."""
    return int(_empty(dim).sa_code_size())


def _empty(dim: int) -> Any:
    kind = faiss.ScalarQuantizer.QT_fp16
    return faiss.IndexScalarQuantizer(dim, kind, faiss.METRIC_INNER_PRODUCT)


def _only(allowed: Mask) -> Any:
    library: Any = faiss
    return library.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
