"""A calibration in tables, and as diagrams in Markdown (Mermaid, which code hosts draw)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from rag.answer.confidence import Status, status_of
from rag.answer.policy import AnswerPolicy
from rag.evaluate.calibrate import Measured
from rag.evaluate.reliability import reliability, risk_coverage
from rag.evaluate.report import Table

_FIGURE = "{:.3f}"


def tables_of(measured: Measured, policy: AnswerPolicy, *, how: str) -> list[Table]:
    """All that is told of a calibration; `how` says on which questions it was measured."""
    return [
        quality_table(measured, how=how),
        reliability_table(measured),
        risk_table(measured),
        status_table(measured, answered_from=policy.answered_from, uncertain_from=policy.uncertain_from),
    ]


def quality_table(measured: Measured, *, how: str) -> Table:
    """The three figures, and over how many questions."""
    answered = sum(measured.answered)
    answerable = sum(one.answerable for one in measured.questions)
    rows = (
        ("AUC, documents answer", _FIGURE.format(measured.auc_answerable)),
        ("AUC, top passages answer", _FIGURE.format(measured.auc_answered)),
        ("expected calibration error", _FIGURE.format(measured.calibration_error)),
    )
    counted = (
        f"{len(measured.questions)} questions, {how}: the documents answer {answerable}, and the top "
        f"passages {answered} of them."
    )
    return Table(title="Confidence", headers=("measure", "value"), rows=rows, notes=(counted,))


def reliability_table(measured: Measured) -> Table:
    """The reliability diagram: what was promised in each tenth, and what held."""
    rows = tuple(
        (
            f"{one.low:.1f}-{one.high:.1f}",
            str(one.count),
            _FIGURE.format(one.confidence),
            _FIGURE.format(one.accuracy),
        )
        for one in reliability(measured.answered, measured.confidences)
    )
    return Table(title="Reliability", headers=("confidence", "questions", "mean", "answered"), rows=rows)


def risk_table(measured: Measured) -> Table:
    """The risk-coverage curve: the more questions are answered, the more of the answers are none."""
    rows = tuple(
        (_FIGURE.format(coverage), _FIGURE.format(risk))
        for coverage, risk in risk_coverage(measured.answered, measured.confidences)
    )
    return Table(title="Risk and coverage", headers=("coverage", "not answered"), rows=rows)


def status_table(measured: Measured, *, answered_from: float, uncertain_from: float) -> Table:
    """How many questions of each kind get which status."""
    counts: dict[tuple[bool, str], dict[Status, int]] = defaultdict(lambda: dict.fromkeys(Status, 0))
    for one, confidence in zip(measured.questions, measured.confidences, strict=True):
        status = status_of(confidence, found=True, answered_from=answered_from, uncertain_from=uncertain_from)
        counts[not one.answerable, one.kind or "any"][status] += 1
    rows = tuple(
        ("no" if unanswerable else "yes", kind, *(str(found[status]) for status in Status))
        for (unanswerable, kind), found in sorted(counts.items())
    )
    return Table(
        title="Status",
        headers=("answerable", "kind", *(status.value for status in Status)),
        rows=rows,
        notes=(f"answered from {answered_from}, uncertain from {uncertain_from}.",),
    )


def diagrams(measured: Measured) -> str:
    """The reliability diagram and the risk-coverage curve."""
    bins = reliability(measured.answered, measured.confidences)
    curve = risk_coverage(measured.answered, measured.confidences)
    reliable = _chart(
        "Reliability: the bars should reach the line",
        ("confidence", [f"{one.low:.1f}" for one in bins]),
        "share answered",
        (("bar", [one.accuracy for one in bins]), ("line", [one.confidence for one in bins])),
    )
    risk = _chart(
        "Risk and coverage",
        ("coverage", [f"{coverage:.1f}" for coverage, _ in curve]),
        "share not answered",
        (("line", [risk for _, risk in curve]),),
    )
    return f"{reliable}\n\n{risk}"


def _chart(
    title: str, across: tuple[str, Sequence[str]], up: str, series: Sequence[tuple[str, Sequence[float]]]
) -> str:
    name, ticks = across
    lines = [
        "```mermaid",
        "xychart-beta",
        f'    title "{title}"',
        f'    x-axis "{name}" [{", ".join(ticks)}]',
        f'    y-axis "{up}" 0 --> 1',
        *(f"    {kind} [{', '.join(f'{value:.3f}' for value in values)}]" for kind, values in series),
        "```",
    ]
    return "\n".join(lines)
