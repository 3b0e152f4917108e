"""The gold set says what it claims: exact spans, whole judgements, questions that people would type.

How well the retriever does on it is measured elsewhere; here only the set itself is on trial.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from rag.corpus.document import Document
from rag.corpus.plaintext import plain_text
from rag.corpus.reader import read_documents

GOLD = Path(__file__).parent / "gold" / "seeds.jsonl"
README = GOLD.with_name("README.md")
ANSWERABLE = {"lay", "keyword", "misspelled", "entity", "brand", "long"}
UNANSWERABLE = {
    f"unanswerable:{name}"
    for name in (
        *("own_records", "other_medicine", "off_topic"),
        *("made_up_drug", "not_in_documents", "injected_instruction"),
    )
}
SIMILAR = (
    ("cancers/small-cell-lung-cancer", "cancers/non-small-cell-lung-cancer"),
    ("cancers/small-cell-lung-cancer", "professionals/small-cell-lung-cancer-treatment"),
    ("cancers/colorectal-cancer", "tests/colorectal-cancer-screening"),
    ("cancers/prostate-cancer", "tests/psa-test"),
    ("cancers/breast-cancer", "tests/mammograms"),
    ("cancers/breast-cancer", "drugs/tamoxifen"),
    ("drugs/pembrolizumab", "drugs/tarlatamab"),
)
COMMON = """
about after also and any are because been but can could did does doing done for from get getting got had has
have her him his how into its just like not now off one our out she should some still than that the their
them then there they this too was what when where which who why will with would you your
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    doc_id: str
    start: int
    end: int
    relevance: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    query_id: str
    question: str
    kind: str
    relevant: tuple[Judged, ...]

    def documents(self, *, relevance: int = 1) -> set[str]:
        return {judged.doc_id for judged in self.relevant if judged.relevance >= relevance}


def asked(value: dict[str, Any]) -> Asked:
    """A line of the file; a key too many or too few is an error."""
    return Asked(**(value | {"relevant": tuple(Judged(**judged) for judged in value["relevant"])}))


def spans(questions: Iterable[Asked]) -> list[tuple[str, Judged]]:
    return [(question.query_id, judged) for question in questions for judged in question.relevant]


def words(text: str) -> set[str]:
    """The telling words, cut to five letters so that 'nausea' meets 'nauseous'."""
    found = re.findall(r"[a-z0-9]+", re.sub("['\u2019]", "", text.casefold()))
    return {word[:5] for word in found if len(word) > 2 and word not in COMMON.split()}


def repeated_share(question: Asked) -> float:
    """The greatest share of a question's words that one answering passage holds."""
    own = words(question.question)
    answers = [words(judged.text) for judged in question.relevant if judged.relevance == 2]
    return max((len(own & answer) / len(own) for answer in answers), default=0.0)


@pytest.fixture(scope="module")
def gold() -> list[Asked]:
    return [asked(json.loads(line)) for line in GOLD.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def answerable(gold: list[Asked]) -> list[Asked]:
    return [question for question in gold if question.relevant]


@pytest.fixture(scope="module")
def samples(seeds_folder: Path) -> Mapping[str, Document]:
    return {item.doc_id: item for item in read_documents(seeds_folder) if isinstance(item, Document)}


def test_a_judged_text_is_what_its_span_renders_to(
    answerable: list[Asked], samples: Mapping[str, Document]
) -> None:
    differing = [
        (query_id, judged.doc_id, judged.start)
        for query_id, judged in spans(answerable)
        if plain_text(samples[judged.doc_id].text[judged.start : judged.end]) != judged.text
    ]
    assert differing == []


def test_a_span_lies_in_the_body_of_its_document(
    answerable: list[Asked], samples: Mapping[str, Document]
) -> None:
    outside = [
        (query_id, judged.doc_id, judged.start)
        for query_id, judged in spans(answerable)
        for document in (samples[judged.doc_id],)
        if not document.body_start <= judged.start < judged.end <= len(document.text)
    ]
    assert outside == []


def test_a_span_takes_whole_lines_and_no_heading(
    answerable: list[Asked], samples: Mapping[str, Document]
) -> None:
    ragged = []
    for query_id, judged in spans(answerable):
        text = samples[judged.doc_id].text
        markdown = text[judged.start : judged.end]
        edges = text[judged.start - 1] + text[judged.end :][:1]
        if edges != "\n\n" or markdown != markdown.strip() or re.search("^#", markdown, re.MULTILINE):
            ragged.append((query_id, judged.doc_id, judged.start))
    assert ragged == []


def test_no_two_spans_of_a_question_overlap(answerable: list[Asked]) -> None:
    overlapping = []
    for question in answerable:
        ordered = sorted(question.relevant, key=lambda judged: (judged.doc_id, judged.start))
        for first, second in pairwise(ordered):
            if first.doc_id == second.doc_id and second.start < first.end:
                overlapping.append((question.query_id, first.doc_id))
    assert overlapping == []


def test_a_grade_is_one_or_two(answerable: list[Asked]) -> None:
    assert {judged.relevance for _, judged in spans(answerable)} == {1, 2}


def test_an_answerable_question_has_a_passage_that_answers_it_whole(answerable: list[Asked]) -> None:
    assert [q.query_id for q in answerable if not q.documents(relevance=2)] == []


def test_no_question_is_asked_twice(gold: list[Asked]) -> None:
    asked_as = Counter(" ".join(re.findall(r"\w+", question.question.casefold())) for question in gold)
    assert [question for question, count in asked_as.items() if count > 1] == []


def test_ids_count_up_from_one_in_the_order_of_the_file(gold: list[Asked]) -> None:
    assert [q.query_id for q in gold] == [f"gold-{n:03d}" for n in range(1, len(gold) + 1)]


def test_there_are_enough_questions_to_notice_a_loss(gold: list[Asked], answerable: list[Asked]) -> None:
    assert len(answerable) >= 120
    assert len(gold) - len(answerable) >= 20


def test_every_known_kind_is_asked_and_no_other(gold: list[Asked]) -> None:
    assert {q.kind for q in gold} == ANSWERABLE | UNANSWERABLE


def test_exactly_the_unanswerable_kinds_have_no_passage(gold: list[Asked]) -> None:
    assert [q.query_id for q in gold if (q.kind in UNANSWERABLE) == bool(q.relevant)] == []


def test_every_active_document_answers_three_questions_and_no_other_document_any(
    answerable: list[Asked], samples: Mapping[str, Document]
) -> None:
    answers = Counter(doc_id for q in answerable for doc_id in q.documents(relevance=2))
    active = {name for name, sample in samples.items() if sample.metadata.status == "active"}
    assert sorted(name for name in active if answers[name] < 3) == []
    assert {judged.doc_id for _, judged in spans(answerable)} <= active


def test_the_readme_states_the_denominators(gold: list[Asked], answerable: list[Asked]) -> None:
    stated = dict(re.findall(r"^\| [`*]+([\w:]+)[`*]+ \| \**(\d+)", README.read_text("utf-8"), re.MULTILINE))
    sums = {"answerable": len(answerable), "unanswerable": len(gold) - len(answerable)}
    assert {name: int(count) for name, count in stated.items()} == Counter(q.kind for q in gold) | sums
    grades = Counter(judged.relevance for _, judged in spans(answerable))
    passages = f"{grades.total()} judged passages: {grades[2]} of grade 2 and {grades[1]} of grade 1"
    assert passages in README.read_text("utf-8")


@pytest.mark.parametrize("pair", SIMILAR, ids="-".join)
def test_similar_documents_answer_different_questions(answerable: list[Asked], pair: tuple[str, str]) -> None:
    judged = [q.documents() & {*pair} for q in answerable]
    assert min(judged.count({name}) for name in pair) >= 3


def test_some_questions_need_two_documents(answerable: list[Asked]) -> None:
    assert sum(len(q.documents(relevance=2)) > 1 for q in answerable) >= 15


def test_at_most_a_quarter_of_the_questions_say_mostly_what_a_passage_says(answerable: list[Asked]) -> None:
    repeating = [q.query_id for q in answerable if repeated_share(q) > 0.5]
    assert len(repeating) <= len(answerable) / 4, repeating
