"""The first pass of a search among many vectors: short codes that find the candidates to be compared.

A vector is a row of 4-bit product codes, one for every two components, an eighth of its fp16 code;
they are compared by tables that stay in registers (FAISS "fast scan", after André, Kermarrec and
Le Scouarnec, 2015). Beyond some size the codes lie in lists of which a search reads those nearest to it.
They are derived from the fp16 codes and are no place to take a vector from.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from rag.encoders.base import Vectors
from rag.errors import ArtefactCorrupt
from rag.index.local.layout import rebuild_command
from rag.index.local.vector_plan import VectorPlan

Mask = npt.NDArray[np.bool_]
OnDone = Callable[[int, int], None]
# Gives the vectors [n, dim] of rows from the first number on, up to the second.
VectorsOf = Callable[[int, int], Vectors]

# Of the rows asked for so many times as many are compared again, and never fewer than these.
_CANDIDATES_A_ROW = 6
_FEWEST_CANDIDATES = 1_200
_TRAINED_ON = 4_096
_TRAINED_ON_A_LIST = 64
_ROUNDS_OF_CODES, _ROUNDS_OF_LISTS = 4, 10
_AT_ONCE = 50_000


class ShortCodes:
    """The short codes of all rows. Made whole or read from a file; nothing is added later."""

    def __init__(self, index: Any, probes: int) -> None:
        self._index, self._probes = index, probes
        self._counted: dict[int, tuple[weakref.ref[Mask], npt.NDArray[np.int64]]] = {}

    @classmethod
    def of(cls, rows: int, dim: int, vectors_of: VectorsOf, plan: VectorPlan, on_done: OnDone) -> ShortCodes:
        """Train on some of the rows and code them all; the same vectors give the same codes."""
        index = _empty(dim, plan.lists)
        on_done(0, rows)
        _train(index, _sampled(rows, vectors_of, max(_TRAINED_ON, _TRAINED_ON_A_LIST * plan.lists)))
        for start in range(0, rows, _AT_ONCE):
            end = min(start + _AT_ONCE, rows)
            index.add(np.ascontiguousarray(vectors_of(start, end)))
            on_done(end, rows)
        return cls(index, plan.probes)

    @classmethod
    def read(cls, path: Path, plan: VectorPlan) -> ShortCodes:
        """Read what `write` has written. Raises `ArtefactCorrupt`."""
        try:
            index = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ArtefactCorrupt(_no_codes(path, str(error).splitlines()[-1])) from None
        if not isinstance(index, faiss.IndexIVFPQFastScan) or index.nlist != plan.lists:
            raise ArtefactCorrupt(_no_codes(path, f"it is no index of {plan.lists} lists"))
        return cls(index, plan.probes)

    def write(self, path: Path) -> None:
        """Write all rows to one file. Raises `OSError`."""
        path.write_bytes(faiss.serialize_index(self._index).data)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def dim(self) -> int:
        """Number of components of the vectors."""
        return int(self._index.d)

    def refined_by(self, exact: faiss.Index) -> Any:
        """An index that finds candidates here and compares them by `exact`."""
        return faiss.IndexRefine(self._index, exact)

    def parameters(self, query: Vectors, k: int, allowed: Mask | None, selector: Any) -> Any:
        """For a search of `refined_by` for `query` ([1, dim]) among the allowed rows, all when None."""
        library: Any = faiss  # the stubs describe the C++ constructors, not these
        probes = self._probes if allowed is None else self._probes_for(query, allowed)
        inner = library.SearchParametersIVF(nprobe=probes, sel=selector)
        return library.IndexRefineSearchParameters(k_factor=candidates(k) / k, base_index_params=inner)

    def _probes_for(self, query: Vectors, allowed: Mask) -> int:
        """How many lists hold as many allowed rows as are looked at without a filter.

        A filter may forbid just what is near: the lists nearest to the query then hold little.
        """
        lists = int(self._index.nlist)
        if lists == 1:
            return 1
        held = self._held(allowed)
        _, nearest = self._index.quantizer.search(query, lists)
        wanted = len(self) * self._probes // lists
        return min(lists, 1 + int(np.searchsorted(held[nearest[0]].cumsum(), wanted)))

    def _held(self, allowed: Mask) -> npt.NDArray[np.int64]:
        """How many allowed rows each list holds; counted once for a mask that comes again."""
        known = self._counted.get(id(allowed))
        if known and known[0]() is allowed:
            return known[1]
        held = np.bincount(self._list_of[allowed], minlength=self._index.nlist)
        key = id(allowed)
        gone = weakref.ref(allowed, lambda _: self._counted.pop(key, None))
        self._counted[key] = gone, held
        return held

    @cached_property
    def _list_of(self) -> npt.NDArray[np.int32]:
        """For each row the list that holds its code."""
        lists = np.empty(len(self), dtype=np.int32)
        inverted = self._index.invlists
        for number in range(self._index.nlist):
            if size := inverted.list_size(number):
                lists[faiss.rev_swig_ptr(inverted.get_ids(number), size)] = number
        return lists


def candidates(k: int) -> int:
    """How many rows are compared again to find the best `k`."""
    return max(k * _CANDIDATES_A_ROW, _FEWEST_CANDIDATES)


def _no_codes(path: Path, reason: str) -> str:
    return f"{path} holds no short codes ({reason}); {rebuild_command(path.parent)}"


def _empty(dim: int, lists: int) -> Any:
    coarse = faiss.IndexFlatIP(dim)
    parts = dim // 2 if dim % 2 == 0 else dim
    index: Any = faiss.IndexIVFPQFastScan(coarse, dim, lists, parts, 4, faiss.METRIC_INNER_PRODUCT)
    # Tables that are the same for every list, so that a search of many lists stays cheap.
    index.by_residual = False
    return index


def _train(index: Any, sample: Vectors) -> None:
    for clustering, rounds in ((index.cp, _ROUNDS_OF_LISTS), (index.pq.cp, _ROUNDS_OF_CODES)):
        clustering.niter = rounds
        clustering.min_points_per_centroid = 1
    index.cp.spherical = True
    index.cp.max_points_per_centroid = len(sample)
    with _one_thread():
        index.train(sample)


def _sampled(rows: int, vectors_of: VectorsOf, size: int) -> Vectors:
    """Some `size` rows, one after every so many."""
    step = max(1, rows // size)
    # Copied, because a view would keep all the rows that were passed over.
    return np.concatenate(
        [vectors_of(start, min(start + _AT_ONCE, rows))[::step].copy() for start in range(0, rows, _AT_ONCE)]
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other in turns of microseconds are slower than one, and less repeatable."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)
