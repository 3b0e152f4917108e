"""A question to a ranking of chunks: dense search over the index that the retriever was given."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rag.encoders.base import Encoder
from rag.errors import InvalidRequest
from rag.index.backend import Backend, Hit

MAX_QUESTION = 2000
MAX_TOP_K = 50
DEFAULT_TOP_K = 5


@dataclass(frozen=True, slots=True)
class Ranking:
    """Hits in order, best first, and the milliseconds that finding them took, stage by stage."""

    hits: tuple[Hit, ...]
    timings_ms: dict[str, float]


@dataclass(frozen=True, slots=True)
class Retriever:
    """Ranks chunks for a question. Stateless, so one serves all threads."""

    backend: Backend
    encoder: Encoder

    def search(self, question: str, *, top_k: int = DEFAULT_TOP_K) -> Ranking:
        """Return the `top_k` best chunks for `question`. Raises `InvalidRequest`."""
        question = question.strip()
        check_request(question, top_k)
        started = time.perf_counter()
        vector = self.encoder.encode_queries([question])[0]
        encoded = time.perf_counter()
        hits = self.backend.search(vector, top_k)
        searched = time.perf_counter()
        timings = {"encode": (encoded - started) * 1e3, "search": (searched - encoded) * 1e3}
        return Ranking(tuple(hits), timings)


def check_request(question: str, top_k: int) -> None:
    """Raise `InvalidRequest`, naming the field, unless both are within bounds."""
    if not question.strip():
        raise InvalidRequest("question", "is empty; ask something")
    if len(question) > MAX_QUESTION:
        raise InvalidRequest("question", f"has {len(question):,} characters; the limit is {MAX_QUESTION:,}")
    try:
        question.encode()
    except UnicodeEncodeError:
        raise InvalidRequest("question", "is not valid Unicode text") from None
    if not 1 <= top_k <= MAX_TOP_K:
        raise InvalidRequest("top_k", f"is {top_k}; it must be from 1 to {MAX_TOP_K}")
