"""Ask a retriever every question, judge what it ranks, measure it, and time it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from rag.errors import InvalidRequest
from rag.evaluate.judging import credit, judged_run
from rag.evaluate.measures import DEFAULT_MEASURES, calculate, check_measures, cutoff_of, mean
from rag.evaluate.questions import Question, digest_of, qrels_of
from rag.evaluate.trec import Run, ranked
from rag.index.backend import StoredChunk
from rag.search.ranking import Ranking

DEFAULT_DEPTH = 10

OnProgress = Callable[[int, int], None]


class ChunkSource(Protocol):
    """Gives chunks by their ids, as every backend does."""

    def chunks(self, chunk_ids: Sequence[str]) -> list[StoredChunk]:
        """The chunks with these ids, in this order."""


class Searcher(Protocol):
    """Ranks chunks for a question, as `Retriever` does."""

    @property
    def backend(self) -> ChunkSource:
        """Where the chunks are."""

    def search(self, question: str, *, top_k: int) -> Ranking:
        """The `top_k` best chunks for `question`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedHit:
    """A result and what it earned: `judged_id` is None when it earned no judged text."""

    rank: int
    chunk_id: str
    score: float
    relevance: int
    judged_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one question got: its hits, best first, its measures (none when it has no answer), its time."""

    query_id: str
    hits: tuple[JudgedHit, ...]
    kind: str | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    timings_ms: Mapping[str, float] = field(default_factory=dict)

    @property
    def first_relevant_rank(self) -> int | None:
        """The rank, from 1, of the first hit that helps; None when none does."""
        return next((hit.rank for hit in self.hits if hit.relevance > 0), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of one stage over all questions."""

    median_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A system measured on judged questions.

    `results` are of the population of the measures: the questions with a relevant text. `unanswerable`
    are of the others, which were asked and timed as well. `judgements` is the digest of the qrels.
    """

    measures: tuple[str, ...]
    depth: int
    judgements: str
    results: tuple[Result, ...]
    unanswerable: tuple[Result, ...]

    @property
    def population(self) -> tuple[str, ...]:
        """The query_ids that the means are over."""
        return tuple(result.query_id for result in self.results)

    @property
    def means(self) -> dict[str, float]:
        """Measure to its mean over the population."""
        return {name: mean(self.values(name).values()) for name in self.measures}

    @property
    def latency(self) -> dict[str, Latency]:
        """Stage to its latency over all questions; empty when nothing was timed."""
        timed = [result.timings_ms for result in (*self.results, *self.unanswerable)]
        stages = dict.fromkeys(stage for timings in timed for stage in timings)
        return {stage: _latency([times[stage] for times in timed if stage in times]) for stage in stages}

    @property
    def run(self) -> dict[str, dict[str, float]]:
        """Query_id to judged_id to score, for any tool beside `qrels_of(questions)`.

        What earned no judged text stands under its chunk_id. Scores count down and only hold the order.
        """
        results = (*self.results, *self.unanswerable)
        return judged_run(
            {one.query_id: [hit.judged_id or hit.chunk_id for hit in one.hits] for one in results}
        )

    def values(self, measure: str) -> dict[str, float]:
        """Query_id to the value of `measure`. Raises `InvalidRequest` when it was not measured."""
        if measure not in self.measures:
            raise InvalidRequest("measures", f"'{measure}' was not measured, only {', '.join(self.measures)}")
        return {result.query_id: result.measures[measure] for result in self.results}


def evaluate(
    retriever: Searcher,
    questions: Sequence[Question],
    *,
    depth: int = DEFAULT_DEPTH,
    measures: Sequence[str] = DEFAULT_MEASURES,
    on_progress: OnProgress | None = None,
) -> Evaluation:
    """Ask every question once and measure the first `depth` results.

    The first question is asked once more before, so that what loads lazily is not timed. Raises
    `InvalidRequest` for questions or measures that cannot be used, and whatever a search raises.
    """
    _check(questions, depth, measures)
    retriever.search(questions[0].question, top_k=depth)
    asked: list[Result] = []
    for question in questions:
        asked.append(ask(retriever, question, depth=depth))
        if on_progress:
            on_progress(len(asked), len(questions))
    return _measured(asked, questions, depth=depth, measures=measures)


def evaluate_run(
    run: Run,
    questions: Sequence[Question],
    *,
    depth: int | None = None,
    measures: Sequence[str] = DEFAULT_MEASURES,
) -> Evaluation:
    """Measure a run over judged_ids, such as `Evaluation.run` written to a file; nothing is timed.

    `depth` cuts each ranking; without it all of it counts. Raises `InvalidRequest`.
    """
    qrels = qrels_of(questions)
    _check(questions, depth, measures)
    results = [
        Result(
            query_id=one.query_id,
            kind=one.kind,
            hits=_hits_of_run(run.get(one.query_id, {}), qrels[one.query_id], depth),
        )
        for one in questions
    ]
    deepest = max((len(result.hits) for result in results), default=0)
    return _measured(results, questions, depth=depth or deepest, measures=measures)


def ask(retriever: Searcher, question: Question, *, depth: int) -> Result:
    """Search for one question and judge its hits; timed, not yet measured."""
    started = time.perf_counter()
    ranking = retriever.search(question.question, top_k=depth)
    total = (time.perf_counter() - started) * 1e3
    chunk_ids = [hit.chunk_id for hit in ranking.hits]
    if len(set(chunk_ids)) < len(chunk_ids):
        raise InvalidRequest("retriever", f"returned a chunk twice for the question '{question.query_id}'")
    stored = retriever.backend.chunks(chunk_ids)
    earned = credit(question, [one.chunk for one in stored])
    hits = tuple(
        JudgedHit(
            rank=rank,
            chunk_id=hit.chunk_id,
            score=hit.score,
            relevance=judged.relevance if judged else 0,
            judged_id=judged.judged_id if judged else None,
        )
        for rank, (hit, judged) in enumerate(zip(ranking.hits, earned, strict=True), start=1)
    )
    timings = {**ranking.timings_ms, "total": total}
    return Result(query_id=question.query_id, kind=question.kind, hits=hits, timings_ms=timings)


def _hits_of_run(
    scores: Mapping[str, float], judged: Mapping[str, int], depth: int | None
) -> tuple[JudgedHit, ...]:
    return tuple(
        JudgedHit(
            rank=rank,
            chunk_id=an_id,
            score=scores[an_id],
            relevance=judged.get(an_id, 0),
            judged_id=an_id if an_id in judged else None,
        )
        for rank, an_id in enumerate(ranked(scores)[:depth], start=1)
    )


def _measured(
    asked: Sequence[Result], questions: Sequence[Question], *, depth: int, measures: Sequence[str]
) -> Evaluation:
    qrels = qrels_of(questions)
    bare = Evaluation(
        measures=tuple(measures),
        depth=depth,
        judgements=digest_of(qrels),
        results=tuple(asked),
        unanswerable=(),
    )
    values = calculate(measures, qrels, bare.run)
    answerable = {question.query_id for question in questions if question.answerable}
    results = tuple(
        replace(one, measures={name: values[name][one.query_id] for name in measures})
        for one in asked
        if one.query_id in answerable
    )
    unanswerable = tuple(one for one in asked if one.query_id not in answerable)
    return replace(bare, results=results, unanswerable=unanswerable)


def _check(questions: Sequence[Question], depth: int | None, measures: Sequence[str]) -> None:
    qrels_of(questions)
    check_measures(measures)
    if not any(question.answerable for question in questions):
        raise InvalidRequest("questions", "none has a relevant text, so there is nothing to measure")
    for name in measures:
        cutoff = cutoff_of(name)
        if depth is not None and cutoff is not None and cutoff > depth:
            raise InvalidRequest("depth", f"is {depth}, but {name} looks at {cutoff} results")


def _latency(times: Sequence[float]) -> Latency:
    median, p95 = np.percentile(times, [50, 95])
    return Latency(median_ms=float(median), p95_ms=float(p95))
