"""Evaluations as JSON, and back, so that a later one can be compared with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from rag.errors import InvalidRequest
from rag.evaluate.ablation import Ablation
from rag.evaluate.comparison import Comparison
from rag.evaluate.evaluate import Evaluation, evaluate_run
from rag.evaluate.lines import fault, read_lines, write_lines
from rag.evaluate.questions import Question
from rag.evaluate.trec import read_run

_ADAPTER = TypeAdapter(Evaluation)


def as_object(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values, with its means and its latency for those who only read."""
    summary = {
        "means": evaluation.means,
        "questions": {"judged": len(evaluation.results), "unanswerable": len(evaluation.unanswerable)},
        "latency_ms": {
            stage: {"median": one.median_ms, "p95": one.p95_ms} for stage, one in evaluation.latency.items()
        },
    }
    stored: dict[str, Any] = _ADAPTER.dump_python(evaluation, mode="json")
    return summary | stored


def comparison_object(comparison: Comparison) -> dict[str, Any]:
    """A comparison as JSON values."""
    return {"difference": comparison.difference, **asdict(comparison)}


def ablation_object(row: Ablation) -> dict[str, Any]:
    """A system of an ablation as JSON values, without its rankings."""
    return {
        "name": row.name,
        "features": asdict(row.features),
        "means": row.evaluation.means,
        "median_ms": row.evaluation.latency["total"].median_ms,
        "comparison": comparison_object(row.comparison) if row.comparison else None,
    }


def write_evaluation(path: Path | str, evaluation: Evaluation) -> None:
    """Write what `read_evaluation` reads."""
    write_lines(Path(path), [json.dumps(as_object(evaluation), ensure_ascii=False, indent=1)])


def read_evaluation(path: Path | str) -> Evaluation:
    """The evaluation in a file of `rag evaluate --json`. Raises `InvalidRequest` naming file and field."""
    path = Path(path)
    try:
        return check_complete(_ADAPTER.validate_json(path.read_bytes()), path)
    except OSError as error:
        raise fault(path, None, "", f"cannot be read ({error.strerror}); name a file that exists") from None
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        expected = "expected what 'rag evaluate --json' prints"
        raise fault(path, None, field, f"{first['msg']}; {expected}") from None


def read_baseline(
    path: Path, questions: Sequence[Question], *, depth: int, measures: Sequence[str]
) -> Evaluation:
    """An evaluation of `questions` from JSON (it begins with '{') or from a TREC run over judged_ids.

    Raises `InvalidRequest`.
    """
    if any(text.lstrip().startswith("{") for _, text in islice(read_lines(path), 1)):
        return read_evaluation(path)
    run = read_run(path)
    if run.keys().isdisjoint(question.query_id for question in questions):
        raise InvalidRequest(str(path), "is a run of other questions: it has none of these query_ids")
    return evaluate_run(run, questions, depth=depth, measures=measures)


def check_complete(evaluation: Evaluation, path: Path) -> Evaluation:
    """The evaluation itself when every result has every measure. Raises `InvalidRequest`."""
    for place, result in enumerate(evaluation.results):
        if missing := [name for name in evaluation.measures if name not in result.measures]:
            raise fault(path, None, f"results.{place}.measures", f"lacks {missing[0]}")
    if not evaluation.results:
        raise fault(path, None, "results", "holds no question")
    if len(set(evaluation.population)) < len(evaluation.results):
        raise InvalidRequest(str(path), "results: a query_id comes twice")
    return evaluation
