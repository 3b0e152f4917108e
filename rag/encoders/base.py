"""What an encoder is to the rest of Citewell, and what makes two encoders the same.

Nothing here loads a model.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]


@runtime_checkable
class Encoder(Protocol):
    """Turns texts into vectors. Any object with these members will do.

    Both `encode_*` methods return float32 of shape [n, dim] with rows of unit length, in the order of
    the texts; no texts give shape [0, dim]. A text longer than `max_tokens` is cut there.
    """

    @property
    def name(self) -> str:
        """What a person calls it: 'bundled', a model name or a path."""

    @property
    def fingerprint(self) -> str:
        """Equal for two encoders exactly when their vectors may share an index."""

    @property
    def dim(self) -> int:
        """Number of components of a vector."""

    @property
    def max_tokens(self) -> int:
        """Longest text that is encoded whole, in tokens, prompt and special tokens included."""

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        """Encode questions."""

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        """Encode passages."""

    @property
    def count_tokens(self) -> Callable[[Sequence[str]], list[int]]:
        """Counts tokens as `encode_documents` sees each text, prompt and special ones included.

        Chunking runs in several processes when this can be pickled.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """All that decides the vectors of an encoder; its digest is the fingerprint.

    `weights` and `tokenizer` are SHA-256 hex digests, `precision` names the arithmetic
    ('float32', 'ctranslate2-int8').
    """

    weights: str
    tokenizer: str
    pooling: str
    query_prompt: str
    document_prompt: str
    max_tokens: int
    precision: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the recipe, hex."""
        canonical = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()


def unit_rows(vectors: npt.NDArray[np.floating]) -> Vectors:
    """Scale each row to length 1; a row of zeros stays as it is."""
    rows = np.asarray(vectors, dtype=np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths == 0, 1, lengths)).astype(np.float32)


def available_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
