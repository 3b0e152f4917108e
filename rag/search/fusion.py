"""Two rankings made one. Which way is better was measured on the development questions (docs/quality.md).

Both ways take inner products [n] and BM25 scores [n] (0 where no word matches) of the same chunks and
give scores [n].
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Scores = npt.NDArray[np.float32]

DENSE_WEIGHT = 5 / 6
# The constant of Cormack, Clarke and Büttcher (SIGIR 2009), and the weight of the dense list.
_RRF_K = 60
_RRF_DENSE = 2.0


def convex(dense: Scores, lexical: Scores) -> Scores:
    """A convex combination: inner products as they are, BM25 as a share of the best match's score."""
    return np.asarray(DENSE_WEIGHT * dense + (1 - DENSE_WEIGHT) * shares(lexical), dtype=np.float32)


def shares(lexical: Scores) -> Scores:
    """BM25 scores [n] as shares of the best one, 0 to 1."""
    best = lexical.max(initial=0.0)
    return lexical / best if best > 0 else lexical


def reciprocal_rank(dense: Scores, lexical: Scores) -> Scores:
    """Reciprocal rank fusion: each list gives 1 / (60 + rank), the dense one counting twice.

    Scaled so that the first of both lists has 1. A chunk without a matching word gets nothing of the
    lexical list.
    """
    by_word = np.where(lexical > 0, 1 / (_RRF_K + _ranks(lexical)), 0.0)
    fused = _RRF_DENSE / (_RRF_K + _ranks(dense)) + by_word
    return np.asarray(fused * (_RRF_K + 1) / (_RRF_DENSE + 1), dtype=np.float32)


def _ranks(scores: Scores) -> npt.NDArray[np.int64]:
    """Ranks from 1; equal scores share the best of their ranks."""
    ordered = np.sort(-scores)
    return np.searchsorted(ordered, -scores, side="left") + 1
