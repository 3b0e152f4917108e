"""What documents repeat of each other: the share of a text that stands in many of them.

A publisher's standing text ("About this page") is recognised by that, in any language.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# A shingle is boilerplate when so large a part of the documents has it, and so many at the least.
_SHARE = 0.08
_FEWEST = 5


def repeated_shares(
    sketches: Sequence[npt.NDArray[np.uint32]], documents: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """For each chunk the share, 0 to 1, of its shingles that many documents have.

    `sketches[i]` are the shingles of chunk `i`, `documents[i]` the number of its document. Returns [n].
    """
    lengths = np.array([len(sketch) for sketch in sketches], dtype=np.int64)
    shares = np.zeros(len(sketches), dtype=np.float32)
    if not lengths.sum():
        return shares
    chunk = np.repeat(np.arange(len(sketches)), lengths)
    shingles = np.concatenate(list(sketches)).astype(np.uint64)
    fewest = max(_FEWEST, math.ceil(_SHARE * len(np.unique(documents))))
    many = _in_many(shingles, documents[chunk].astype(np.uint64), fewest)
    repeated = np.bincount(chunk, weights=np.isin(shingles, many), minlength=len(sketches))
    filled = lengths > 0
    shares[filled] = repeated[filled] / lengths[filled]
    return shares


def _in_many(
    shingles: npt.NDArray[np.uint64], documents: npt.NDArray[np.uint64], fewest: int
) -> npt.NDArray[np.uint64]:
    """The shingles that `fewest` documents or more have."""
    # Sorted as one number each, which is many times faster than numpy's unique over this many.
    pairs = np.sort((shingles << np.uint64(32)) | documents)
    # Each shingle counts once a document, however often the document says it.
    distinct = pairs[np.append([True], pairs[1:] != pairs[:-1])] >> np.uint64(32)
    starts = np.flatnonzero(np.append([True], distinct[1:] != distinct[:-1]))
    counts = np.diff(np.append(starts, len(distinct)))
    many: npt.NDArray[np.uint64] = distinct[starts[counts >= fewest]]
    return many
