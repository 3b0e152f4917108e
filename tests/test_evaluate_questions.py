"""Judged questions come back as they were written, and every fault in a file is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.errors import InvalidRequest
from rag.evaluate.questions import (
    JudgedText,
    Question,
    digest_of,
    qrels_of,
    read_questions,
    write_questions,
)

NOT_BLANK = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(
    lambda text: bool(text.strip())
)
GRADES = st.integers(0, 10)
DOCUMENTS = st.builds(JudgedText, doc_id=NOT_BLANK, relevance=GRADES)
SPANS = st.builds(
    lambda doc_id, relevance, start, length, text: JudgedText(
        doc_id=doc_id, relevance=relevance, start=start, end=start + length, text=f"{text} word"
    ),
    NOT_BLANK,
    GRADES,
    st.integers(0, 9999),
    st.integers(1, 999),
    NOT_BLANK,
)
QUESTIONS = st.lists(
    st.builds(
        Question,
        query_id=NOT_BLANK,
        question=NOT_BLANK,
        relevant=st.lists(DOCUMENTS | SPANS, max_size=4, unique_by=lambda one: one.judged_id).map(tuple),
        kind=st.none() | NOT_BLANK,
    ),
    min_size=1,
    unique_by=lambda question: question.query_id,
)

SPAN = {"doc_id": "a", "start": 3, "end": 9, "relevance": 2, "text": "sip water"}
GOOD: dict[str, Any] = {"query_id": "q1", "question": "what?", "relevant": [SPAN]}


def fault_in(path: Path, value: object) -> str:
    """What is said of a file whose third line is this value."""
    other = json.dumps(GOOD | {"query_id": "q0"})
    path.write_text(
        f"{other}\n\n{value if isinstance(value, str) else json.dumps(value)}\n", encoding="utf-8"
    )
    with pytest.raises(InvalidRequest) as caught:
        read_questions(path)
    return str(caught.value)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(QUESTIONS)
def test_questions_come_back_as_they_were_written(tmp_path: Path, questions: list[Question]) -> None:
    write_questions(tmp_path / "questions.jsonl", questions)
    assert read_questions(tmp_path / "questions.jsonl") == questions


def test_keys_that_are_not_ours_are_let_pass(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    line = GOOD | {"author": "me", "relevant": [SPAN | {"note": "first"}], "kind": "lay"}
    path.write_text(json.dumps(line) + "\n", encoding="utf-8-sig")
    judged = JudgedText(doc_id="a", start=3, end=9, relevance=2, text="sip water")
    assert read_questions(path) == [Question(query_id="q1", question="what?", relevant=(judged,), kind="lay")]


@pytest.mark.parametrize("name", ["lay-dev", "pdq-dev"])
def test_the_shared_questions_are_read_without_loss(name: str) -> None:
    path = SHARED / "eval" / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"{path} is not here")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    questions = read_questions(path)
    assert [one.query_id for one in questions] == [line["query_id"] for line in lines]
    for question, line in zip(questions, lines, strict=True):
        keys = ("doc_id", "start", "end", "relevance", "text")
        found = [tuple(getattr(one, key) for key in keys) for one in question.relevant]
        assert found == [tuple(one[key] for key in keys) for one in line["relevant"]]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"query_id": None}, "query_id: must be a text, found nothing"),
        ({"query_id": 7}, "query_id: must be a text, found 7"),
        ({"query_id": " "}, "query_id: is empty"),
        ({"query_id": "q0"}, "query_id: 'q0' stands on line 1 already"),
        ({"question": ""}, "question: is empty"),
        ({"question": "x" * 2001}, "question: has 2,001 characters; the limit is 2,000"),
        ({"question": "\ud800"}, "question: is not valid Unicode text"),
        ({"relevant": None}, "relevant: must be a list"),
        ({"relevant": {}}, "relevant: must be a list"),
        ({"relevant": ["a"]}, "relevant[0]: must be an object"),
        ({"relevant": [SPAN, SPAN]}, "relevant[1]: 'a:3-9' is judged twice"),
        ({"kind": 3}, "kind: must be a text, found 3"),
    ],
)
def test_a_fault_of_a_question_is_named_by_file_line_and_field(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    assert fault_in(path, GOOD | change).startswith(f"{path}:3: {reason}")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"doc_id": None}, "doc_id: must be a text, found nothing"),
        ({"relevance": None}, "relevance: must be a whole number from 0"),
        ({"relevance": "2"}, "relevance: must be a whole number from 0"),
        ({"relevance": True}, "relevance: must be a whole number from 0"),
        ({"relevance": -1}, "relevance: must be a whole number from 0"),
        ({"relevance": 11}, "relevance: must be a whole number from 0 (does not answer) to 10, found 11"),
        ({"start": -1}, "start: must be a whole number from 0, found -1"),
        ({"start": True}, "start: must be a whole number from 0, found True"),
        ({"start": 1.5}, "start: must be a whole number from 0, found 1.5"),
        ({"end": None}, "end: must be a whole number from 0, found nothing"),
        ({"end": 3}, "end: is 3; it must lie behind start, which is 3"),
        ({"text": None}, "text: must be a text, found nothing"),
        ({"text": "\n"}, "text: is empty"),
        ({"text": "…"}, "text: has no word of letters a-z or digits"),
    ],
)
def test_a_fault_of_a_judgement_is_named_by_its_place(
    change: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "questions.jsonl"
    faulty = {"relevant": [SPAN | {"doc_id": "b"}, SPAN | change]}
    assert fault_in(path, GOOD | faulty).startswith(f"{path}:3: relevant[1].{reason}")


@pytest.mark.parametrize(
    ("line", "reason"), [("{", "not JSON"), ("[1]", "a JSON list"), ("[" * 99_999, "not JSON")]
)
def test_a_line_that_is_no_object_is_named(line: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    assert fault_in(path, line).startswith(f"{path}:3: {reason}")


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_file_without_a_question_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(text)
    with pytest.raises(InvalidRequest, match="holds no question"):
        read_questions(tmp_path / "empty")


def test_a_folder_is_no_file_of_questions(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be read"):
        read_questions(tmp_path)


def test_a_judged_text_is_named_by_its_place_and_a_document_by_itself() -> None:
    spans = Question(
        query_id="q", question="?", relevant=(JudgedText(doc_id="a", start=1, end=2, relevance=0, text="x"),)
    )
    whole = Question(query_id="r", question="?", relevant=(JudgedText(doc_id="a", relevance=1),))
    assert qrels_of([spans, whole]) == {"q": {"a:1-2": 0}, "r": {"a": 1}}
    assert (spans.answerable, whole.answerable) == (False, True)


def test_a_question_that_comes_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'q' comes twice"):
        qrels_of([Question(query_id="q", question="a"), Question(query_id="q", question="b")])


def test_the_digest_follows_the_judgements_and_not_their_order() -> None:
    qrels = {"q": {"a": 1, "b": 2}, "r": {}}
    assert digest_of(qrels) == digest_of({"r": {}, "q": {"b": 2, "a": 1}})
    assert digest_of(qrels) != digest_of({"q": {"a": 2, "b": 2}, "r": {}})
    assert digest_of(qrels) != digest_of({"q": {"a": 1, "b": 2}})
