"""The best that any ranking of an index's chunks could reach: what is lost before a search begins.

A passage earns one judged text, so chunks that hold two of them, or half of none, cap every measure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np

from rag.corpus.document import Chunk
from rag.evaluate.judging import Judgeable, matcher
from rag.evaluate.questions import JudgedText, Question
from rag.index.backend import Backend
from rag.index.filters import NO_FILTERS, Filters

CUTOFF = 10


ChunksOf = Callable[[str], Sequence[Judgeable]]


def ceilings(questions: Iterable[Question], chunks_of: ChunksOf) -> dict[str, float]:
    """Query_id to the highest nDCG@10 that a ranking of the chunks can reach, of answerable questions.

    `chunks_of` gives all chunks of a document that can be found. A largest set of judged texts that
    chunks can earn, the best grades first, is found by augmenting paths; since such sets form a matroid
    no other is better at any rank, and ranking its chunks by grade earns it.
    """
    return {question.query_id: _ceiling(question, chunks_of) for question in questions if question.answerable}


def _ceiling(question: Question, chunks_of: ChunksOf) -> float:
    earned = [judged.relevance for judged in earnable(question, chunks_of)]
    ideal = sorted((judged.relevance for judged in question.relevant), reverse=True)
    return dcg(earned) / dcg(ideal)


def earnable(question: Question, chunks_of: ChunksOf) -> list[JudgedText]:
    """The judged texts that one ranking could earn together, best grade first."""
    candidates = _candidates(question, chunks_of)
    owner: dict[str, str] = {}
    by_id = {judged.judged_id: judged for judged in question.relevant}

    def claim(judged_id: str, tried: set[str]) -> bool:
        for chunk_id in candidates[judged_id]:
            if chunk_id in tried:
                continue
            tried.add(chunk_id)
            if chunk_id not in owner or claim(owner[chunk_id], tried):
                owner[chunk_id] = judged_id
                return True
        return False

    best_first = sorted(question.relevant, key=lambda judged: -judged.relevance)
    return [by_id[one.judged_id] for one in best_first if one.relevance > 0 and claim(one.judged_id, set())]


def absent_documents(questions: Iterable[Question], chunks_of: ChunksOf) -> tuple[list[str], int]:
    """The judged doc_ids without a chunk that can be found, sorted, and how many were judged."""
    judged = sorted({one.doc_id for question in questions for one in question.relevant})
    absent = [one for one in judged if not chunks_of(one) and not chunks_of(_document_of(one))]
    return absent, len(judged)


def _document_of(judged_id: str) -> str:
    """'drugs/a' for the chunk 'drugs/a#uses-1'; '' for what is no chunk."""
    return judged_id.rpartition("#")[0]


def _candidates(question: Question, chunks_of: ChunksOf) -> Mapping[str, list[str]]:
    """Judged_id to the chunks that could earn it."""
    found: dict[str, list[str]] = {judged.judged_id: [] for judged in question.relevant}
    matches = matcher(question)
    doc_ids = {judged.doc_id for judged in question.relevant}
    for doc_id in sorted(doc_ids | {_document_of(doc_id) for doc_id in doc_ids}):
        for chunk in chunks_of(doc_id):
            for judged in matches(chunk):
                found[judged.judged_id].append(chunk.chunk_id)
    return found


def dcg(grades: Sequence[int]) -> float:
    """Σ (2^grade − 1) / log2(rank + 1) over the first ten ranks (Burges et al., ICML 2005)."""
    return sum((2.0**grade - 1) / math.log2(rank + 1) for rank, grade in enumerate(grades[:CUTOFF], start=1))


def chunks_of_index(backend: Backend, *, dim: int, filters: Filters = NO_FILTERS) -> ChunksOf:
    """The chunks of a document that a search with these filters could return.

    `dim` is that of the index's vectors: a search for all that one document has lists its chunks, in
    every backend.
    """
    anywhere = np.full(dim, dim**-0.5, dtype=np.float32)
    chosen = {one.casefold() for one in filters.doc_id}

    @cache
    def chunks_of(doc_id: str) -> list[Chunk]:
        if not doc_id or (chosen and doc_id.casefold() not in chosen):
            return []
        hits = backend.search(anywhere, backend.info.chunks, replace(filters, doc_id=(doc_id,)))
        return [one.chunk for one in backend.chunks([hit.chunk_id for hit in hits])]

    return chunks_of
