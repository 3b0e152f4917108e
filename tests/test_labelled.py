"""Questions labelled by whether an answer can be given: both forms of a line, and every fault by name."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.errors import InvalidRequest
from rag.evaluate.labelled import LabelledQuestion, read_labelled

MOUTH = {
    "doc_id": "mouth",
    "start": 10,
    "end": 60,
    "relevance": 2,
    "text": "rinse with salt water after meals",
}


@dataclass(frozen=True)
class Passage:
    """A passage as a ranking has it."""

    doc_id: str
    text: str

    @property
    def chunk_id(self) -> str:
        return f"{self.doc_id}#0"


RINSE = Passage("mouth", "You can rinse with salt water after meals and at night.")
OTHER = Passage("mouth", "Call your doctor when you cannot drink anything at all.")


def write(folder: Path, *lines: dict[str, Any] | str, name: str = "questions.jsonl") -> Path:
    path = folder / name
    written = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(written), encoding="utf-8")
    return path


def labelled(number: int = 1, **keys: Any) -> dict[str, Any]:
    return {"query_id": f"q{number}", "question": f"Question {number}?", **keys}


def read_one(folder: Path, line: dict[str, Any]) -> LabelledQuestion:
    (one,) = read_labelled([write(folder, line)])
    return one


def test_a_question_without_a_second_label_is_answered_when_it_can_be(tmp_path: Path) -> None:
    for answerable in (True, False):
        one = read_one(tmp_path, labelled(answerable=answerable))
        assert (one.answerable, one.answered) == (answerable, answerable)
        assert one.is_answered_by([]) is answerable


def test_the_second_label_decides_whatever_the_passages_say(tmp_path: Path) -> None:
    one = read_one(tmp_path, labelled(answerable=True, answered=False, relevant=[MOUTH], kind="lay"))
    assert (one.answerable, one.answered, one.kind) == (True, False, "lay")
    assert one.judged.relevant == ()
    judged = read_one(tmp_path, labelled(relevant=[MOUTH]))
    assert not replace(judged, answered=False).is_answered_by([RINSE])
    assert replace(judged, answered=True).is_answered_by([])


def test_a_judged_question_is_answered_when_a_top_passage_earns_one_of_its_texts(tmp_path: Path) -> None:
    one = read_one(tmp_path, labelled(relevant=[MOUTH]))
    assert (one.answerable, one.answered) == (True, None)
    assert one.is_answered_by([OTHER, RINSE])
    assert not one.is_answered_by([OTHER])
    assert not one.is_answered_by([])
    assert not one.is_answered_by([Passage("teeth", RINSE.text)])


def test_a_text_of_grade_0_answers_nothing(tmp_path: Path) -> None:
    irrelevant = {"doc_id": "mouth", "relevance": 0}
    only = read_one(tmp_path, labelled(relevant=[irrelevant]))
    assert (only.answerable, only.answered) == (False, False)
    beside = read_one(tmp_path, labelled(relevant=[irrelevant, MOUTH | {"doc_id": "teeth"}]))
    assert beside.answerable
    assert not beside.is_answered_by([RINSE])


def test_an_empty_list_of_judgements_says_that_nothing_answers(tmp_path: Path) -> None:
    one = read_one(tmp_path, labelled(relevant=[]))
    assert (one.answerable, one.answered) == (False, False)
    assert not one.is_answered_by([RINSE])


def test_files_are_read_in_order_and_both_forms_may_be_mixed(tmp_path: Path) -> None:
    first = write(tmp_path, labelled(3, answerable=True), "", labelled(1, relevant=[]), name="a.jsonl")
    second = write(tmp_path, labelled(2, answerable=False), name="b.jsonl")
    assert [one.query_id for one in read_labelled([second, first])] == ["q2", "q3", "q1"]
    assert read_labelled([]) == []


def test_an_id_that_comes_twice_is_refused_even_in_another_file(tmp_path: Path) -> None:
    one, same = labelled(answerable=True), labelled(answerable=False, question="Another one?")
    together = [write(tmp_path, one, same)]
    apart = [write(tmp_path, one, name="a.jsonl"), write(tmp_path, same, name="b.jsonl")]
    for paths, line in ((together, 2), (apart, 1)):
        with pytest.raises(InvalidRequest) as error:
            read_labelled(paths)
        expected = "query_id: 'q1' comes twice; each must be unique"
        assert str(error.value) == f"{paths[-1]}:{line}: {expected}"


def test_a_question_that_comes_twice_under_two_ids_is_refused(tmp_path: Path) -> None:
    """The two could fall into different folds, and one be measured by a fit on the other."""
    path = write(
        tmp_path,
        labelled(1, question="Will my hair grow back?", answerable=True),
        labelled(2, question="  will MY hair\tgrow back? ", answerable=True),
    )
    with pytest.raises(InvalidRequest, match=r"2: question: is that of 'q1'"):
        read_labelled([path])


FAULTS: list[tuple[dict[str, Any], str, str]] = [
    (labelled(answerable="yes"), "answerable", "must be true or false, found 'yes'"),
    (labelled(answerable=1), "answerable", "must be true or false, found 1"),
    (labelled(answerable=None), "answerable", "must be true or false, found None"),
    (labelled(answerable=True, answered=0), "answered", "must be true or false, found 0"),
    (labelled(answerable=True, answered=None), "answered", "must be true or false, found None"),
    (labelled(answerable=False, answered=True), "answered", "is true though 'answerable' is false"),
    (labelled(), "relevant", "must be a list"),
    (labelled(answered=True), "relevant", "must be a list"),
    ({"question": "Why?", "answerable": True}, "query_id", "must be a text, found nothing"),
    ({"query_id": "q", "answerable": True}, "question", "must be a text, found nothing"),
    (labelled(question=" ", answerable=True), "question", "is empty"),
    (labelled(question="x" * 2001, answerable=True), "question", ""),
    (labelled(answerable=True, kind=3), "kind", "must be a text, found 3"),
]


@pytest.mark.parametrize(("line", "field", "reason"), FAULTS, ids=[f"{f}-{r[:20]}" for _, f, r in FAULTS])
def test_a_fault_is_named_by_file_line_and_field(
    line: dict[str, Any], field: str, reason: str, tmp_path: Path
) -> None:
    path = write(tmp_path, labelled(9, answerable=True), line)
    with pytest.raises(InvalidRequest) as error:
        read_labelled([path])
    assert str(error.value).startswith(f"{path}:2: {field}: {reason}")


@pytest.mark.parametrize("line", ["{", "[]", "true", '"answerable"'])
def test_what_is_no_json_object_is_refused(line: str, tmp_path: Path) -> None:
    path = write(tmp_path, line)
    with pytest.raises(InvalidRequest, match="each line must be one JSON object"):
        read_labelled([path])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match=r"none\.jsonl: cannot be read"):
        read_labelled([tmp_path / "none.jsonl"])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30))
def test_every_label_comes_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, labels: list[tuple[bool, bool]]
) -> None:
    lines = [
        labelled(number, answerable=answerable, answered=answerable and answered)
        for number, (answerable, answered) in enumerate(labels)
    ]
    found = read_labelled([write(tmp_path_factory.mktemp("labels"), *lines)])
    assert [(one.query_id, one.question, one.answerable, one.answered) for one in found] == [
        (line["query_id"], line["question"], line["answerable"], line["answered"]) for line in lines
    ]
