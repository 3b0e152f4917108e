"""Reranking: a slower model reads question and passage together and orders the best hits anew.

Off unless a model is named. Any object with `scores` fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from rag.encoders.source import find_model
from rag.errors import EncoderNotFound, EncoderUnusable

# How many hits are read again. A cross-encoder takes some milliseconds for each.
DEPTH = 30
_JUDGES = ("ForSequenceClassification", "ForCausalLM")
_MENDED = "set RAG_RERANKER to the folder or hub name of a cross-encoder"


class Reranker(Protocol):
    """Judges how well each text answers a question."""

    def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """One score a text, higher is better; they only order."""


class CrossEncoderReranker:
    """A sentence-transformers cross-encoder, by hub name or by the path of its folder."""

    def __init__(self, name: str) -> None:
        """Load it. Raises `EncoderNotFound` or `EncoderUnusable`."""
        self._model = _load(name)
        self.name = name

    def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """See `Reranker`."""
        if not texts:
            return []
        pairs = [(question, text) for text in texts]
        return [float(score) for score in self._model.predict(pairs, show_progress_bar=False)]


def _load(name: str) -> Any:
    """The model, once it is known to give a pair one score that it has learned."""
    from sentence_transformers import CrossEncoder
    from transformers.utils import logging

    # The library's own bars and notes would stand between ours.
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        folder = find_model(name).folder
    except EncoderNotFound as error:
        raise EncoderNotFound(f"there is no reranker '{name}' ({error}); {_MENDED}") from None
    try:
        model = CrossEncoder(str(folder), device="cpu")
    except Exception as error:  # the library raises whatever its layers raise
        raise EncoderUnusable(f"the reranker '{name}' cannot be loaded: {error}; {_MENDED}") from error
    if model.num_labels != 1:
        raise EncoderUnusable(f"'{name}' gives a pair {model.num_labels} scores instead of one; {_MENDED}")
    # For any other kind of model the library makes up a head, whose scores would be chance.
    kinds = model.config.architectures or ()
    if not any(kind.endswith(_JUDGES) for kind in kinds):
        found = ", ".join(kinds) or "of no kind"
        raise EncoderUnusable(f"'{name}' is {found}, which was never taught to judge pairs; {_MENDED}")
    return model
