"""An encoder whose vectors a person can work out: one axis a word, counted, scaled to length 1."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from rag.encoders.base import Vectors, unit_rows

WORDS = ("fever", "nausea", "pain", "hair", "lung", "breast", "doctor", "sleep")


def count_words(texts: Sequence[str]) -> list[int]:
    """One token a word, and two special ones."""
    return [len(re.findall(r"\w+", text)) + 2 for text in texts]


class KeywordEncoder:
    """Axis `i` counts `words[i]`; the last axis is 1 when a text has none of them."""

    name = "keywords"
    max_tokens = 256

    def __init__(self, words: Sequence[str] = WORDS) -> None:
        self._words = tuple(words)
        self.dim = len(words) + 1
        self.fingerprint = hashlib.sha256(" ".join(words).encode()).hexdigest()
        self.count_tokens = count_words

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts)

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        rows = np.zeros((len(texts), self.dim), dtype=np.float32)
        for row, text in zip(rows, texts, strict=True):
            found = re.findall(r"\w+", text.lower())[: self.max_tokens - 2]
            row[:-1] = [found.count(word) for word in self._words]
            row[-1] = 0.0 if row.any() else 1.0
        return unit_rows(rows)
