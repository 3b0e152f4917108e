"""What `rag evaluate` does; the command line reads its options and prints what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rag.errors import InvalidRequest
from rag.evaluate.ablation import DECIDING, MakeRetriever, ablate
from rag.evaluate.beir import read_beir_questions
from rag.evaluate.ceiling import ChunksOf, absent_documents, ceilings, chunks_of_index
from rag.evaluate.comparison import compare
from rag.evaluate.evaluate import DEFAULT_DEPTH, Evaluation, evaluate
from rag.evaluate.measures import DEFAULT_MEASURES, check_measures, cutoff_of, mean
from rag.evaluate.misses import find_misses
from rag.evaluate.questions import Question, read_questions
from rag.evaluate.report import (
    Table,
    ablation_table,
    changes_tables,
    comparison_table,
    kind_tables,
    latency_table,
    means_table,
    miss_tables,
    places_table,
    question_table,
)
from rag.evaluate.storing import ablation_object, as_object, comparison_object, read_baseline
from rag.evaluate.system import make_system
from rag.evaluate.trec import write_run
from rag.index.backend import IndexInfo
from rag.index.filters import NO_FILTERS, Filters
from rag.index.opening import open_index
from rag.search.features import Features
from rag.search.question import MAX_TOP_K
from rag.search.reranker import CrossEncoderReranker

# Label, done, total.
Watch = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command line asks for. `floors` are measures with the least mean that will do."""

    questions: Path
    split: str | None = None
    measures: tuple[str, ...] = DEFAULT_MEASURES
    floors: tuple[tuple[str, float], ...] = ()
    per_question: bool = False
    misses: int = 0
    ablation: bool = False
    baseline: Path | None = None
    run_out: Path | None = None
    filters: Filters = NO_FILTERS
    reranker: str | None = None

    @property
    def all_measures(self) -> tuple[str, ...]:
        """The measures, and those that only a floor names."""
        return tuple(dict.fromkeys([*self.measures, *(name for name, _ in self.floors)]))

    @property
    def deciding(self) -> str:
        """The measure that misses are sorted by."""
        return DECIDING if DECIDING in self.all_measures else self.all_measures[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Tables for a person, the same as JSON values, and a line for every floor that was not reached."""

    tables: list[Table] = field(default_factory=list)
    value: dict[str, Any] = field(default_factory=dict)
    below: list[str] = field(default_factory=list)


def carry_out(request: Request, root: Path, *, threads: int | None, watch: Watch) -> Outcome:
    """Evaluate the index folder `root` as asked. Raises `InvalidRequest` and whatever opening raises."""
    questions = _questions(request)
    _check_run_out(request.run_out, questions)
    depth = _depth(request.all_measures)
    baseline = _baseline(request, questions, depth)
    reranker = CrossEncoderReranker(request.reranker) if request.reranker else None
    opened = open_index(root, threads=threads)
    try:
        parts = _Parts(
            request=request,
            questions=questions,
            depth=depth,
            index=opened.backend.info,
            make=lambda features: make_system(opened, features, filters=request.filters, reranker=reranker),
            chunks_of=chunks_of_index(opened.backend, dim=opened.encoder.dim, filters=request.filters),
            watch=watch,
        )
        evaluation = parts.measure()
        if baseline:
            parts.compare(evaluation, baseline)
        if request.ablation:
            parts.ablate()
        if request.misses:
            parts.find_misses(evaluation)
    finally:
        opened.backend.close()
    if request.per_question:
        parts.outcome.tables.append(question_table(evaluation))
    if request.run_out:
        write_run(request.run_out, evaluation.run)
    return parts.outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """The parts of a report, each added to the outcome when it is asked for."""

    request: Request
    questions: Sequence[Question]
    depth: int
    index: IndexInfo
    make: MakeRetriever
    chunks_of: ChunksOf
    watch: Watch
    outcome: Outcome = field(default_factory=Outcome)

    def measure(self) -> Evaluation:
        """Quality and latency of the index, and which floors they miss."""
        absent = _absent_note(self.questions, self.chunks_of)
        label = self.request.questions.name
        evaluation = evaluate(
            self.make(Features()),
            self.questions,
            depth=self.depth,
            measures=self.request.all_measures,
            on_progress=lambda done, total: self.watch(label, done, total),
        )
        best = ceilings(self.questions, self.chunks_of)
        quality = means_table(evaluation, ceilings=best)
        notes = (*quality.notes, *absent, f"Index {self.index.index_id}.")
        self.outcome.tables.extend(
            [replace(quality, notes=notes), *kind_tables(evaluation), latency_table(evaluation)]
        )
        self.outcome.value.update(as_object(evaluation))
        self.outcome.value["ceiling"] = {DECIDING: mean(best.values())}
        self.outcome.value["index"] = asdict(self.index)
        self.outcome.below.extend(_below(evaluation, self.request.floors))
        return evaluation

    def compare(self, evaluation: Evaluation, baseline: Evaluation) -> None:
        """The difference to an evaluation that was stored."""
        shared = [name for name in evaluation.measures if name in baseline.measures]
        if not shared:
            raise InvalidRequest("compare", f"has none of the measures {', '.join(evaluation.measures)}")
        found = [compare(evaluation, baseline, measure=name) for name in shared]
        self.outcome.tables.extend(
            [
                comparison_table(found, baseline=str(self.request.baseline)),
                *changes_tables(found[:1]),
            ]
        )
        self.outcome.value["comparison"] = [comparison_object(one) for one in found]

    def ablate(self) -> None:
        """The same questions with parts of the search left out."""
        measures = self.request.all_measures
        rows = ablate(
            self.make,
            self.questions,
            depth=self.depth,
            measures=measures,
            on_system=self.watch,
        )
        self.outcome.tables.append(ablation_table(rows, measures))
        self.outcome.value["ablation"] = [ablation_object(row) for row in rows]

    def find_misses(self, evaluation: Evaluation) -> None:
        """Where the first relevant texts stand, and the worst questions."""
        found = find_misses(
            self.make(Features()),
            self.questions,
            evaluation,
            measure=self.request.deciding,
            chunks_of=self.chunks_of,
        )
        worst = [miss for miss in found[: self.request.misses] if miss.value < 1]
        self.outcome.tables.extend([places_table(found), *miss_tables(worst)])
        self.outcome.value["misses"] = [asdict(miss) for miss in worst]


def _check_run_out(run_out: Path | None, questions: Sequence[Question]) -> None:
    """Raise `InvalidRequest` before the work, not after it, when the run could not be written."""
    if run_out is None:
        return
    if run_out.is_dir():
        raise InvalidRequest("run_out", f"{run_out} is a folder; name a file in it")
    if not run_out.parent.is_dir():
        raise InvalidRequest("run_out", f"there is no folder {run_out.parent}; make it, or name another")
    if blank := next((one.query_id for one in questions if len(one.query_id.split()) != 1), None):
        raise InvalidRequest("run_out", f"a run has no place for white space in the query_id '{blank}'")


def _questions(request: Request) -> list[Question]:
    if request.questions.is_dir():
        return read_beir_questions(request.questions, split=request.split)
    if request.split is not None:
        raise InvalidRequest("split", f"is for BEIR folders, and {request.questions} is none")
    return read_questions(request.questions)


def _depth(measures: Sequence[str]) -> int:
    check_measures(measures)
    cutoffs = {name: cutoff_of(name) or 0 for name in measures}
    deepest = max(cutoffs, key=lambda name: cutoffs[name])
    if cutoffs[deepest] > MAX_TOP_K:
        reason = f"'{deepest}' looks at {cutoffs[deepest]} results; a search gives at most {MAX_TOP_K}"
        raise InvalidRequest("measures", reason)
    return max(DEFAULT_DEPTH, cutoffs[deepest])


def _baseline(request: Request, questions: Sequence[Question], depth: int) -> Evaluation | None:
    if request.baseline is None:
        return None
    return read_baseline(request.baseline, questions, depth=depth, measures=request.all_measures)


def _absent_note(questions: Sequence[Question], chunks_of: ChunksOf) -> tuple[str, ...]:
    """Says how many judged documents cannot be found at all. Raises `InvalidRequest` when none can."""
    absent, judged = absent_documents(questions, chunks_of)
    if absent and len(absent) == judged:
        raise InvalidRequest(
            "questions",
            f"none of the {judged} judged documents can be found, '{absent[0]}' for one; a doc_id is the "
            "path below the folder that was indexed, without suffix",
        )
    if not absent:
        return ()
    why = "absent, not active or filtered out"
    return (f"{len(absent)} of {judged} judged documents cannot be found ({why}), '{absent[0]}' for one.",)


def _below(evaluation: Evaluation, floors: Sequence[tuple[str, float]]) -> list[str]:
    means = evaluation.means
    return [
        f"{name} is {means[name]:.4f}, below the floor {floor:g}"
        for name, floor in floors
        if means[name] < floor
    ]
