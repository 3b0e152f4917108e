"""The vectors of a build: taken from where they are at hand, and only the rest is encoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt

from rag.encoders.base import Encoder
from rag.index.local.faiss_vectors import Codes, code_size, encoded
from rag.index.local.journal import Journal
from rag.index.local.layout import Layout
from rag.index.local.past import KnownVectors

# A journal is behind by so many texts at the most, some seconds of work.
AT_ONCE = 512

# Gives the texts of rows, `AT_ONCE` at a time.
TextsOf = Callable[[Sequence[int]], Iterable[list[str]]]
OnEncoded = Callable[[int, int], None]


class VectorColumn:
    """The codes of all chunks of a build, by their `text_key`, in the order of rows."""

    def __init__(self, keys: Sequence[bytes], dim: int) -> None:
        self._keys = keys
        self.codes: Codes = np.zeros((len(keys), code_size(dim)), dtype=np.uint8)
        self._lacking = np.ones(len(keys), dtype=np.bool_)

    @property
    def complete(self) -> bool:
        """Whether every chunk has its vector."""
        return not self._lacking.any()

    def take(self, known: KnownVectors) -> None:
        """Take what is known of what is lacking."""
        lacking = np.flatnonzero(self._lacking)
        rows = known.find([self._keys[row] for row in lacking.tolist()])
        found = lacking[rows >= 0]
        self.codes[found] = known.codes[rows[rows >= 0]]
        self._lacking[found] = False

    def encode(self, layout: Layout, encoder: Encoder, texts_of: TextsOf, on_encoded: OnEncoded) -> int:
        """Encode what is lacking, noting each batch for a next build; returns how many texts that were.

        Raises `OSError`.
        """
        if self.complete:
            return 0
        with closing(Journal.open(layout, encoder)) as journal:
            self.take(journal.known)
            lacking = np.flatnonzero(self._lacking)
            first = self._first_rows(lacking)
            rows, done = list(first.values()), 0
            if rows:
                on_encoded(0, len(rows))
            for texts in texts_of(rows):
                part = rows[done : done + len(texts)]
                self.codes[part] = encoded(encoder.encode_documents(texts))
                journal.append([self._keys[row] for row in part], self.codes[part])
                done += len(part)
                on_encoded(done, len(rows))
        self.codes[lacking] = self.codes[[first[self._keys[row]] for row in lacking.tolist()]]
        self._lacking[:] = False
        return len(rows)

    def _first_rows(self, rows: npt.NDArray[np.int64]) -> dict[bytes, int]:
        """The first row of each text: one that stands in many places is encoded once."""
        first: dict[bytes, int] = {}
        for row in rows.tolist():
            first.setdefault(self._keys[row], row)
        return first
