"""Judged questions: what was asked, and which texts of which documents answer it.

A file holds one JSON object a line:

    {"query_id": "q1", "question": "…", "kind": "lay",
     "relevant": [{"doc_id": "…", "start": 120, "end": 480, "relevance": 2, "text": "…"}]}

`start` and `end` count code points of the document's text, `text` is the plain text of that span. A
judgement without these three is of the whole document (or of the chunk whose id `doc_id` is). `kind`
may be absent; other keys are let pass and not kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.errors import InvalidRequest
from rag.evaluate.lines import fault, number_of, read_objects, relevance_of, text_of, write_objects
from rag.evaluate.shingles import shingles
from rag.search.question import check_request


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedText:
    """A text and its grade: 0 does not answer, higher answers better. `end` is exclusive.

    Without `start`, `end` and `text` it stands for the whole document.
    """

    doc_id: str
    relevance: int
    start: int | None = None
    end: int | None = None
    text: str | None = None

    @property
    def judged_id(self) -> str:
        """What stands for this text in qrels and runs: 'drugs/a:120-480', or the document's own id."""
        return self.doc_id if self.text is None else f"{self.doc_id}:{self.start}-{self.end}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question and the texts that were judged for it."""

    query_id: str
    question: str
    relevant: tuple[JudgedText, ...] = ()
    kind: str | None = None

    @property
    def answerable(self) -> bool:
        """Whether some judged text answers it; only then can a ranking be right or wrong about it."""
        return any(judged.relevance > 0 for judged in self.relevant)


def qrels_of(questions: Iterable[Question]) -> dict[str, dict[str, int]]:
    """Query_id to judged_id to relevance, of every question. Raises `InvalidRequest` when one comes twice."""
    qrels: dict[str, dict[str, int]] = {}
    for question in questions:
        if question.query_id in qrels:
            raise InvalidRequest("query_id", f"'{question.query_id}' comes twice; each must be unique")
        qrels[question.query_id] = {judged.judged_id: judged.relevance for judged in question.relevant}
    return qrels


def digest_of(qrels: Mapping[str, Mapping[str, int]]) -> str:
    """SHA-256 (hex) of judgements, whatever their order: figures compare only under the same ones."""
    return hashlib.sha256(json.dumps(qrels, sort_keys=True).encode()).hexdigest()


def read_questions(path: Path | str) -> list[Question]:
    """The questions of a file, in order. Raises `InvalidRequest` naming file, line and field."""
    path = Path(path)
    questions: list[Question] = []
    lines: dict[str, int] = {}
    for line, value in read_objects(path):
        question = question_of(value, path, line)
        first = lines.setdefault(question.query_id, line)
        if first != line:
            raise fault(path, line, "query_id", f"'{question.query_id}' stands on line {first} already")
        questions.append(question)
    if not questions:
        raise fault(path, None, "", "holds no question; each line must be one JSON object")
    return questions


def write_questions(path: Path | str, questions: Sequence[Question]) -> None:
    """Write questions so that `read_questions` gives them back."""
    write_objects(Path(path), (_as_object(question) for question in questions))


def question_of(value: Mapping[str, Any], path: Path, line: int) -> Question:
    """The judged question of one line. Raises `InvalidRequest` naming file, line and field."""
    query_id = text_of(value.get("query_id"), path, line, "query_id")
    question = text_of(value.get("question"), path, line, "question")
    try:
        check_request(question, top_k=1)
    except InvalidRequest as error:
        raise fault(path, line, "question", error.reason) from None
    relevant = value.get("relevant")
    if not isinstance(relevant, list):
        raise fault(path, line, "relevant", "must be a list; an empty one says that nothing answers")
    judged = tuple(_judged(one, path, line, f"relevant[{place}]") for place, one in enumerate(relevant))
    _refuse_twice([one.judged_id for one in judged], path, line)
    kind = value.get("kind")
    return Question(
        query_id=query_id,
        question=question,
        relevant=judged,
        kind=None if kind is None else text_of(kind, path, line, "kind"),
    )


def _judged(value: object, path: Path, line: int, field: str) -> JudgedText:
    if not isinstance(value, dict):
        raise fault(path, line, field, "must be an object with doc_id and relevance")
    doc_id = text_of(value.get("doc_id"), path, line, f"{field}.doc_id")
    relevance = relevance_of(value.get("relevance"), path, line, f"{field}.relevance")
    if not value.keys() & {"start", "end", "text"}:
        return JudgedText(doc_id=doc_id, relevance=relevance)
    start = number_of(value.get("start"), path, line, f"{field}.start")
    end = number_of(value.get("end"), path, line, f"{field}.end")
    if end <= start:
        raise fault(path, line, f"{field}.end", f"is {end}; it must lie behind start, which is {start}")
    text = text_of(value.get("text"), path, line, f"{field}.text")
    if not shingles(text):
        raise fault(path, line, f"{field}.text", "has no word of letters a-z or digits to match passages by")
    return JudgedText(doc_id=doc_id, relevance=relevance, start=start, end=end, text=text)


def _refuse_twice(judged_ids: Sequence[str], path: Path, line: int) -> None:
    seen: set[str] = set()
    for place, judged_id in enumerate(judged_ids):
        if judged_id in seen:
            raise fault(path, line, f"relevant[{place}]", f"'{judged_id}' is judged twice")
        seen.add(judged_id)


def _as_object(question: Question) -> dict[str, Any]:
    value: dict[str, Any] = {"query_id": question.query_id, "question": question.question}
    if question.kind is not None:
        value["kind"] = question.kind
    return value | {"relevant": [_judged_as_object(judged) for judged in question.relevant]}


def _judged_as_object(judged: JudgedText) -> dict[str, Any]:
    span = {} if judged.text is None else {"start": judged.start, "end": judged.end}
    text = {} if judged.text is None else {"text": judged.text}
    return {"doc_id": judged.doc_id, **span, "relevance": judged.relevance, **text}
