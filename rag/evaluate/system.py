"""The system that is measured: a retriever as it would serve, with filters and a reranker or without."""

from __future__ import annotations

from dataclasses import dataclass

from rag.index.backend import Backend
from rag.index.filters import NO_FILTERS, Filters
from rag.index.opening import OpenIndex
from rag.search.features import Features
from rag.search.ranking import Ranking
from rag.search.reranker import Reranker
from rag.search.retriever import Retriever


@dataclass(frozen=True, slots=True)
class Filtered:
    """A retriever that is always asked with the same filters."""

    retriever: Retriever
    filters: Filters

    @property
    def backend(self) -> Backend:
        """Where the chunks are."""
        return self.retriever.backend

    def search(self, question: str, *, top_k: int) -> Ranking:
        """The `top_k` best chunks for `question` that the filters let through."""
        return self.retriever.search(question, top_k=top_k, filters=self.filters)


def make_system(
    opened: OpenIndex,
    features: Features | None = None,
    *,
    filters: Filters = NO_FILTERS,
    reranker: Reranker | None = None,
) -> Filtered:
    """The retriever of an open index, with all features when None are given."""
    return Filtered(Retriever(opened.backend, opened.encoder, features=features, reranker=reranker), filters)
