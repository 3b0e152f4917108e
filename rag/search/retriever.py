"""A question to a ranking of chunks: a dense and a lexical search, fused, weighed and picked from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import numpy.typing as npt

from rag.encoders.base import Encoder, Vectors
from rag.errors import EncoderUnusable
from rag.index.backend import Backend, Hit
from rag.index.filters import NO_FILTERS, Filters
from rag.search.clock import Clock
from rag.search.demotion import demotions
from rag.search.features import Features
from rag.search.fusion import Scores, convex, reciprocal_rank, shares
from rag.search.question import DEFAULT_TOP_K, Question, QuestionReader, check_request
from rag.search.ranking import FOREMOST, Candidates, RankedHit, Ranking, distinct, pick
from rag.search.remembering import Remembered
from rag.search.reranker import DEPTH, Reranker

# Each search brings up so many chunks at first; beyond them a fused score changes nothing (docs/quality.md).
_POOL = 200


class Retriever:
    """Ranks chunks for a question. It keeps no question, and one serves all threads."""

    def __init__(
        self,
        backend: Backend,
        encoder: Encoder,
        *,
        features: Features | None = None,
        reranker: Reranker | None = None,
        remember: int = 0,
    ) -> None:
        """`remember` is the number of questions whose vectors are kept, under a keyed hash."""
        self.backend, self.encoder = backend, encoder
        self.features = features or Features()
        self._fuse = convex if self.features.convex else reciprocal_rank
        self._reranker = reranker
        self._vectors: Remembered[Vectors] = Remembered(remember)
        self._reader = QuestionReader(backend, self.features)

    def search(
        self,
        question: str,
        *,
        top_k: int = DEFAULT_TOP_K,
        filters: Filters = NO_FILTERS,
        history: Sequence[str] = (),
    ) -> Ranking:
        """Return the `top_k` best chunks for `question` among those that the filters let through.

        `history` are the person's earlier questions, oldest first; they matter only to a question that
        leans on them. Raises `InvalidRequest`.
        """
        check_request(question, top_k, history)
        clock = Clock()
        asked = self._reader.read(question.strip(), history)
        clock.lap("read")
        vector = self._encoded(asked) if self.features.dense else None
        clock.lap("encode")
        candidates = self._candidates(asked, vector, max(top_k, FOREMOST), filters)
        clock.lap("search")
        hits = self._ranked(asked, candidates, filters, max(top_k, DEPTH if self._reranker else FOREMOST))
        clock.lap("rank")
        if self._reranker:
            hits = self._reranked(self._reranker, asked, hits)
            clock.lap("rerank")
        return Ranking(
            hits=tuple(hits[:top_k]),
            timings_ms=clock.laps,
            names=tuple(name.text for name in asked.names),
            corrections=asked.corrections,
            unknown=asked.unknown,
            leaned=asked.leaned,
            filters=filters,
            terms=asked.terms,
            vector=vector,
            foremost=tuple(hits[:FOREMOST]),
        )

    def _encoded(self, asked: Question) -> Vectors:
        key = self._vectors.key_of(asked.text)
        vector = self._vectors.get(key)
        if vector is None:
            vector = self._freshly_encoded(asked)
            self._vectors.put(key, vector)
        return vector

    def _freshly_encoded(self, asked: Question) -> Vectors:
        vector: Vectors = self.encoder.encode_queries([asked.text])[0]
        if not np.isfinite(vector).all():
            raise EncoderUnusable(
                f"the encoder '{self.encoder.name}' gives vectors that are no numbers; check its weights"
            )
        return vector

    def _candidates(
        self, asked: Question, vector: Vectors | None, top_k: int, filters: Filters
    ) -> Candidates:
        """Both searches over; deeper ones where copies leave fewer than `top_k` different chunks."""
        depth = _POOL
        while True:
            candidates, exhausted = self._pool(asked, vector, depth, filters)
            if exhausted or distinct(candidates, self.features) >= top_k:
                return candidates
            depth *= 4

    def _pool(
        self, asked: Question, vector: Vectors | None, depth: int, filters: Filters
    ) -> tuple[Candidates, bool]:
        """The best `depth` of each search, and whether there are no more."""
        near = self.backend.search(vector, depth, filters) if vector is not None else []
        worded = self.backend.match(asked.terms, depth, filters) if asked.terms else []
        lexical = dict(worded)
        # The near ones come first, as they were found.
        chunk_ids = list(dict.fromkeys((*(hit.chunk_id for hit in near), *lexical)))
        candidates = Candidates(
            chunk_ids=chunk_ids,
            dense=self._dense(vector, near, chunk_ids[len(near) :]) if vector is not None else None,
            lexical=_column(lexical, chunk_ids) if self.features.lexical else None,
            traits=self.backend.traits(chunk_ids),
            missing=self._reader.missing(asked.names, chunk_ids),
        )
        return candidates, len(near) < depth and len(worded) < depth

    def _dense(self, vector: Vectors, near: Sequence[Hit], others: Sequence[str]) -> Scores:
        products = self.backend.similarities(vector, others).tolist()
        return np.array([*(hit.score for hit in near), *products], dtype=np.float32)

    def _ranked(
        self, asked: Question, candidates: Candidates, filters: Filters, count: int
    ) -> list[RankedHit]:
        amounts = demotions(asked.text, candidates.traits, candidates.missing, filters, self.features)
        scores = self._fused(candidates) - amounts
        picked = islice(pick(candidates, scores, self.features), count)
        return [self._hit(asked, candidates, score, at, filters) for at, score in picked]

    def _fused(self, candidates: Candidates) -> Scores:
        dense, lexical = candidates.dense, candidates.lexical
        if dense is not None and lexical is not None:
            return self._fuse(dense, lexical)
        if dense is not None:
            return dense
        return shares(lexical) if lexical is not None else np.zeros(0, dtype=np.float32)

    def _hit(
        self,
        asked: Question,
        candidates: Candidates,
        score: float,
        at: int,
        filters: Filters,
    ) -> RankedHit:
        chunk_id = candidates.chunk_ids[at]
        lexical = candidates.lexical
        also_in = self.backend.copies(chunk_id, filters) if self.features.copies else ()
        return RankedHit(
            chunk_id=chunk_id,
            score=score,
            dense=None if candidates.dense is None else float(candidates.dense[at]),
            lexical=float(lexical[at]) if lexical is not None and lexical[at] else None,
            also_in=tuple(also_in),
            missing=_absent(asked, candidates.missing[:, at]),
        )

    def _reranked(self, reranker: Reranker, asked: Question, hits: Sequence[RankedHit]) -> list[RankedHit]:
        read = hits[:DEPTH]
        stored = self.backend.chunks([hit.chunk_id for hit in read])
        scores = reranker.scores(asked.text, [one.chunk.embedded_text for one in stored])
        judged = [replace(hit, score=score) for hit, score in zip(read, scores, strict=True)]
        ordered = sorted(judged, key=lambda hit: (-hit.score, hit.chunk_id))
        # What was not read again stays behind, in its order.
        lowest = min((hit.score for hit in judged), default=0.0)
        behind = [replace(hit, score=lowest - place) for place, hit in enumerate(hits[DEPTH:], start=1)]
        return [*ordered, *behind]


def _absent(asked: Question, missing: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """The names that a person would look for in vain."""
    return tuple(name.text for name, lacks in zip(asked.names, missing, strict=True) if lacks and name.proper)


def _column(scores: dict[str, float], chunk_ids: Sequence[str]) -> Scores:
    return np.fromiter((scores.get(chunk_id, 0.0) for chunk_id in chunk_ids), np.float32, len(chunk_ids))
