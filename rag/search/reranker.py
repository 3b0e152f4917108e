"""Reranking: a slower model reads question and passage together and orders the best hits anew.

Off unless a model is named. Any object with `scores` fits.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from rag.errors import EncoderNotFound, EncoderUnusable

# How many hits are read again. A cross-encoder takes some milliseconds for each.
DEPTH = 30


class Reranker(Protocol):
    """Judges how well each text answers a question."""

    def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One score a text, higher is better; they only order."""


class CrossEncoderReranker:
    """A sentence-transformers cross-encoder, by hub name or by the path of its folder."""

    def __init__(self, name: str) -> None:
        """Load it. Raises `EncoderNotFound` or `EncoderUnusable`."""
        from sentence_transformers import CrossEncoder

        looks_like_a_path = os.sep in name and not Path(name).exists() and name.startswith((".", os.sep))
        if looks_like_a_path:
            raise EncoderNotFound(
                f"there is no reranker in {name}; set RAG_RERANKER to a folder or a hub name"
            )
        try:
            self._model = CrossEncoder(name, device="cpu")
        except OSError as error:
            reason = str(error).strip().splitlines()[0]
            raise EncoderNotFound(
                f"no reranker '{name}' can be loaded ({reason}); set RAG_RERANKER to a folder or a hub name"
            ) from error
        except Exception as error:
            raise EncoderUnusable(f"the reranker '{name}' cannot be loaded: {error}") from error
        self.name = name

    def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """See `Reranker`."""
        if not texts:
            return []
        pairs = [(question, text) for text in texts]
        return [float(score) for score in self._model.predict(pairs, show_progress_bar=False)]
