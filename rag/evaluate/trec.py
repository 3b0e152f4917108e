"""TREC files: qrels (`query_id iteration doc_id relevance`) and runs (`query_id Q0 doc_id rank score tag`).

A run orders by score and then by id; ranks count from 1 and are written for people, never read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from rag.errors import InvalidRequest
from rag.evaluate.lines import fault, read_lines, write_lines

Qrels = Mapping[str, Mapping[str, int]]
Run = Mapping[str, Mapping[str, float]]

TAG = "citewell"

_Value = TypeVar("_Value")


def ranked(scores: Mapping[str, float]) -> list[str]:
    """The ids of one query's results, best first: by (−score, id)."""
    return sorted(scores, key=lambda doc_id: (-scores[doc_id], doc_id))


def read_qrels(path: Path | str) -> dict[str, dict[str, int]]:
    """Query_id to doc_id to relevance. Raises `InvalidRequest` naming file and line."""
    path = Path(path)
    qrels: dict[str, dict[str, int]] = {}
    for line, (query_id, _, doc_id, grade) in _fields(path, "query_id iteration doc_id relevance"):
        try:
            relevance = int(grade)
        except ValueError:
            raise fault(path, line, "relevance", f"must be a whole number, found '{grade}'") from None
        _add(qrels, query_id, doc_id, relevance, path, line)
    return qrels


def write_qrels(path: Path | str, qrels: Qrels) -> None:
    """Write qrels, in order of ids. Raises `InvalidRequest` for an id that holds white space."""
    lines = [
        f"{_id(query_id, 'query_id')} 0 {_id(doc_id, 'doc_id')} {relevance}"
        for query_id, judged in sorted(qrels.items())
        for doc_id, relevance in sorted(judged.items())
    ]
    write_lines(Path(path), lines)


def read_run(path: Path | str) -> dict[str, dict[str, float]]:
    """Query_id to doc_id to score. Raises `InvalidRequest` naming file and line."""
    path = Path(path)
    run: dict[str, dict[str, float]] = {}
    for line, (query_id, _, doc_id, _, written, _) in _fields(path, "query_id Q0 doc_id rank score tag"):
        try:
            score = float(written)
        except ValueError:
            raise fault(path, line, "score", f"must be a number, found '{written}'") from None
        if not math.isfinite(score):
            raise fault(path, line, "score", f"must be finite to give an order, found '{written}'")
        _add(run, query_id, doc_id, score, path, line)
    return run


def write_run(path: Path | str, run: Run, *, tag: str = TAG) -> None:
    """Write a run, best first, scores in full. Raises `InvalidRequest` for an id that holds white space."""
    lines = [
        f"{_id(query_id, 'query_id')} Q0 {_id(doc_id, 'doc_id')} {rank} {float(scores[doc_id])!r} "
        f"{_id(tag, 'tag')}"
        for query_id, scores in sorted(run.items())
        for rank, doc_id in enumerate(ranked(scores), start=1)
    ]
    write_lines(Path(path), lines)


def _fields(path: Path, names: str) -> Iterator[tuple[int, list[str]]]:
    expected = len(names.split())
    for line, text in read_lines(path):
        fields = text.split()
        if len(fields) != expected:
            reason = f"{len(fields)} fields, expected {expected}: {names}"
            raise fault(path, line, "", reason)
        yield line, fields


def _add(
    table: dict[str, dict[str, _Value]], query_id: str, doc_id: str, value: _Value, path: Path, line: int
) -> None:
    row = table.setdefault(query_id, {})
    if doc_id in row:
        raise fault(path, line, "doc_id", f"'{doc_id}' comes twice for the query '{query_id}'")
    row[doc_id] = value


def _id(text: str, field: str) -> str:
    if text.split() != [text] or text.startswith("\ufeff"):
        raise InvalidRequest(
            field,
            f"'{text}' is empty or holds white space, which parts the fields of TREC files; use JSON instead",
        )
    return text
