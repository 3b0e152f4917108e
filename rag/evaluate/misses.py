"""Where the first relevant text of each question ended up, and the worst questions to read.

An unjudged passage counts as wrong though it may answer; only a reader can tell, so its text is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from rag.evaluate.ceiling import ChunksOf, earnable
from rag.evaluate.evaluate import Evaluation, JudgedHit, Result, Searcher, ask
from rag.evaluate.questions import JudgedText, Question
from rag.search.question import MAX_TOP_K

DEEPEST = min(100, MAX_TOP_K)
_READ = 3


class Place(StrEnum):
    """Where the first relevant text stands, best first."""

    FIRST = "ranked 1"
    NEAR = "ranked 2 to 10"
    LOW = f"ranked 11 to {DEEPEST}"
    NOT_RETRIEVED = f"not in the top {DEEPEST}"
    OUT_OF_REACH = "in no chunk of the index"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A hit with its text, to be read by a person."""

    hit: JudgedHit
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A question with the value of the deciding measure, and what was found where what was wanted.

    `first_relevant_rank` counts from 1 and goes down to `DEEPEST`.
    """

    query_id: str
    question: str
    value: float
    place: Place
    first_relevant_rank: int | None
    wanted: JudgedText
    seen: tuple[Seen, ...]


def find_misses(
    retriever: Searcher,
    questions: Sequence[Question],
    evaluation: Evaluation,
    *,
    measure: str,
    chunks_of: ChunksOf | None = None,
) -> list[Miss]:
    """Every answerable question, worst value first, then by query_id.

    Questions without a relevant hit are searched again, deeper. Only `chunks_of` can tell what no chunk
    holds. Raises `InvalidRequest` when `measure` was not measured.
    """
    asked = {question.query_id: question for question in questions}
    values = evaluation.values(measure)
    found = [
        _miss(retriever, asked[result.query_id], result, values[result.query_id], chunks_of)
        for result in evaluation.results
    ]
    return sorted(found, key=lambda miss: (miss.value, miss.query_id))


def _miss(
    retriever: Searcher, question: Question, result: Result, value: float, chunks_of: ChunksOf | None
) -> Miss:
    rank = result.first_relevant_rank
    if rank is None:
        rank = ask(retriever, question, depth=DEEPEST).first_relevant_rank
    place = _place(rank)
    if place is Place.NOT_RETRIEVED and chunks_of and not earnable(question, chunks_of):
        place = Place.OUT_OF_REACH
    hits = result.hits[:_READ]
    texts = [one.chunk.text for one in retriever.backend.chunks([hit.chunk_id for hit in hits])]
    return Miss(
        query_id=question.query_id,
        question=question.question,
        value=value,
        place=place,
        first_relevant_rank=rank,
        wanted=max(question.relevant, key=lambda judged: judged.relevance),
        seen=tuple(Seen(hit=hit, text=text) for hit, text in zip(hits, texts, strict=True)),
    )


def _place(rank: int | None) -> Place:
    if rank is None or rank > DEEPEST:
        return Place.NOT_RETRIEVED
    if rank == 1:
        return Place.FIRST
    return Place.NEAR if rank <= 10 else Place.LOW
