"""Questions of which it is known whether an answer can be given, for calibrating the confidence.

A file holds one JSON object a line, in either of two forms:

    {"query_id": "q1", "question": "…", "answerable": true, "answered": false, "kind": "lay"}
    {"query_id": "q2", "question": "…", "relevant": [{"doc_id": "…", …}]}

`answerable` says whether the documents answer the question, `answered` whether the top passages did when
someone read them (absent: the same). The second form is that of judged questions: an empty list says that
nothing answers, and whether the top passages do is judged by its texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.evaluate.judging import Judgeable, credit
from rag.evaluate.lines import fault, read_objects
from rag.evaluate.questions import Question, question_of


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledQuestion:
    """A question with its labels. `answered` is None where `judged` decides it."""

    query_id: str
    question: str
    answerable: bool
    answered: bool | None
    kind: str | None
    judged: Question

    def is_answered_by(self, passages: Sequence[Judgeable]) -> bool:
        """Whether the top passages answer the question."""
        if self.answered is not None:
            return self.answered
        return any(earned and earned.relevance > 0 for earned in credit(self.judged, passages))


def read_labelled(paths: Iterable[Path]) -> list[LabelledQuestion]:
    """The questions of all files, in order. Raises `InvalidRequest` naming file, line and field."""
    found: list[LabelledQuestion] = []
    seen: set[str] = set()
    asked: dict[str, str] = {}
    for path in paths:
        for line, value in read_objects(path):
            one = _labelled(value, path, line)
            if one.query_id in seen:
                raise fault(path, line, "query_id", f"'{one.query_id}' comes twice; each must be unique")
            seen.add(one.query_id)
            # In another fold it would be measured by a calibration that was fitted on it.
            other = asked.setdefault(" ".join(one.question.casefold().split()), one.query_id)
            if other != one.query_id:
                raise fault(path, line, "question", f"is that of '{other}'; each must be unique")
            found.append(one)
    return found


def _labelled(value: Mapping[str, Any], path: Path, line: int) -> LabelledQuestion:
    if "answerable" not in value:
        judged = question_of(value, path, line)
        decided = None if judged.answerable else False
        return _with_labels(judged, answerable=judged.answerable, answered=decided)
    answerable = _truth(value, "answerable", path, line)
    answered = _truth(value, "answered", path, line) if "answered" in value else answerable
    if answered and not answerable:
        raise fault(path, line, "answered", "is true though 'answerable' is false")
    asked = question_of({**value, "relevant": []}, path, line)
    return _with_labels(asked, answerable=answerable, answered=answered)


def _with_labels(asked: Question, *, answerable: bool, answered: bool | None) -> LabelledQuestion:
    return LabelledQuestion(
        query_id=asked.query_id,
        question=asked.question,
        answerable=answerable,
        answered=answered,
        kind=asked.kind,
        judged=asked,
    )


def _truth(value: Mapping[str, Any], field: str, path: Path, line: int) -> bool:
    if not isinstance(value[field], bool):
        raise fault(path, line, field, f"must be true or false, found {value[field]!r:.60}")
    return bool(value[field])
