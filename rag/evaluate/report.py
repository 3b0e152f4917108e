"""Evaluations as tables, for a terminal and as Markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.evaluate.ablation import Ablation
from rag.evaluate.comparison import Comparison
from rag.evaluate.evaluate import Evaluation
from rag.evaluate.measures import mean
from rag.evaluate.misses import Miss, Place

_EXCERPT = 100
_TOP_HITS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells under headers; the notes say what the figures do not."""

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Aligned columns for a terminal; numbers to the right."""
        lines = [tuple(_one_line(cell) for cell in row) for row in (self.headers, *self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        right = [_is_numeric(column) for column in zip(*lines[1:], strict=True)] or [False] * len(widths)
        body = [
            "  ".join(
                cell.rjust(width) if to_right else cell.ljust(width)
                for cell, width, to_right in zip(line, widths, right, strict=True)
            ).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, "", *body, *self.notes])

    def markdown(self) -> str:
        """A table of GitHub's Markdown under a heading."""
        right = [_is_numeric(column) for column in zip(*self.rows, strict=True)] or [False] * len(
            self.headers
        )
        rule = ["---:" if to_right else "---" for to_right in right]
        lines = [
            f"| {' | '.join(cells)} |"
            for cells in (
                [_escaped(cell) for cell in self.headers],
                rule,
                *([_escaped(cell) for cell in row] for row in self.rows),
            )
        ]
        return "\n".join([f"### {self.title}", "", *lines, *(f"\n{_escaped(note)}" for note in self.notes)])


def means_table(evaluation: Evaluation, *, ceilings: Mapping[str, float] | None = None) -> Table:
    """The mean of every measure, and who was counted."""
    rows = [(name, _figure(value)) for name, value in evaluation.means.items()]
    if ceilings:
        rows.append(("best nDCG@10 possible", _figure(mean(ceilings.values()))))
    counted = f"Means over {len(evaluation.results)} judged questions; one without a result counts as zero."
    apart = f" Without an answer, and so apart: {len(evaluation.unanswerable)}."
    return Table(
        title="Quality",
        headers=("measure", "mean"),
        rows=tuple(rows),
        notes=(counted + apart if evaluation.unanswerable else counted,),
    )


def kind_tables(evaluation: Evaluation) -> list[Table]:
    """The means of each kind of question; nothing when no question has a kind."""
    kinds = sorted({one.kind for one in evaluation.results if one.kind})
    if not kinds:
        return []
    rows = []
    for kind in kinds:
        own = [one for one in evaluation.results if one.kind == kind]
        means = (_figure(mean(one.measures[name] for one in own)) for name in evaluation.measures)
        rows.append((kind, str(len(own)), *means))
    headers = ("kind", "questions", *evaluation.measures)
    return [Table(title="Quality by kind of question", headers=headers, rows=tuple(rows))]


def latency_table(evaluation: Evaluation) -> Table:
    """Median and 95th percentile of every stage."""
    return Table(
        title="Latency of a search",
        headers=("stage", "median ms", "p95 ms"),
        rows=tuple(
            (stage, f"{one.median_ms:.2f}", f"{one.p95_ms:.2f}") for stage, one in evaluation.latency.items()
        ),
    )


def question_table(evaluation: Evaluation) -> Table:
    """One row a question in their order: measures, rank of the first relevant hit, the first hits."""
    results = (*evaluation.results, *evaluation.unanswerable)
    return Table(
        title="Questions",
        headers=("query_id", *evaluation.measures, "first relevant", "hits (relevance)"),
        rows=tuple(
            (
                one.query_id,
                *(_figure(one.measures[name]) if one.measures else "-" for name in evaluation.measures),
                str(one.first_relevant_rank or "-"),
                " ".join(f"{hit.chunk_id} ({hit.relevance})" for hit in one.hits[:_TOP_HITS]),
            )
            for one in results
        ),
    )


def comparison_table(comparisons: Sequence[Comparison], *, baseline: str) -> Table:
    """One row a measure: both means, the difference with its interval, wins, ties, losses and p."""
    return Table(
        title=f"Difference to {baseline}",
        headers=("measure", "baseline", "now", "difference", "95 % from", "to", "won", "tied", "lost", "p"),
        rows=tuple(
            (
                one.measure,
                _figure(one.baseline),
                _figure(one.new),
                _signed(one.difference),
                _signed(one.low),
                _signed(one.high),
                str(one.wins),
                str(one.ties),
                str(one.losses),
                f"{one.p_value:.4f}",
            )
            for one in comparisons
        ),
        notes=("p: two-sided randomisation test; interval: bootstrap over questions.",),
    )


def changes_tables(comparisons: Sequence[Comparison]) -> list[Table]:
    """For each measure the questions that it moved, losses first; nothing where none moved."""
    tables = []
    for one in comparisons:
        if moved := sorted((gain, query_id) for query_id, gain in one.differences.items() if gain):
            rows = tuple((query_id, _signed(gain)) for gain, query_id in moved)
            title = f"Questions that changed in {one.measure}"
            tables.append(Table(title=title, headers=("query_id", "difference"), rows=rows))
    return tables


def ablation_table(rows: Sequence[Ablation], measures: Sequence[str]) -> Table:
    """One row a system: its means, the difference to all features with its p, and its median latency."""
    decided = next((row.comparison.measure for row in rows if row.comparison), "")
    return Table(
        title="Ablation",
        headers=("system", *measures, f"Δ {decided}", "p", "median ms"),
        rows=tuple(
            (
                row.name,
                *(_figure(row.evaluation.means[name]) for name in measures),
                _signed(row.comparison.difference) if row.comparison else "-",
                f"{row.comparison.p_value:.4f}" if row.comparison else "-",
                f"{row.evaluation.latency['total'].median_ms:.2f}",
            )
            for row in rows
        ),
        notes=("Δ: system minus all features; p: two-sided randomisation test over the questions.",),
    )


def places_table(misses: Sequence[Miss]) -> Table:
    """How many questions have their first relevant text where."""
    counts = Counter(miss.place for miss in misses)
    return Table(
        title="Where the first relevant text stands",
        headers=("place", "questions", "share"),
        rows=tuple(
            (place.value, str(counts[place]), _figure(counts[place] / len(misses))) for place in Place
        ),
    )


def miss_tables(misses: Sequence[Miss]) -> list[Table]:
    """One table a question: what was wanted and what was found, to be read."""
    return [_miss_table(miss) for miss in misses]


def _miss_table(miss: Miss) -> Table:
    text = miss.wanted.text or "(the whole document)"
    wanted = ("wanted", str(miss.wanted.relevance), _excerpt(text), miss.wanted.judged_id)
    found = (
        (str(seen.hit.rank), str(seen.hit.relevance), _excerpt(seen.text), seen.hit.chunk_id)
        for seen in miss.seen
    )
    return Table(
        title=f"{miss.query_id}, {_figure(miss.value)}, {miss.place}: {_one_line(miss.question)}",
        headers=("rank", "relevance", "text", "id"),
        rows=(wanted, *found),
    )


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}"


def _excerpt(text: str) -> str:
    line = _one_line(text)
    return line if len(line) <= _EXCERPT else line[: _EXCERPT - 1] + "…"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _escaped(cell: str) -> str:
    return _one_line(cell).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _is_numeric(column: Sequence[str]) -> bool:
    return all(cell == "-" or cell.lstrip("+-").replace(".", "", 1).isdigit() for cell in column)
