"""BEIR folders come back as they were written; their judgements are of whole documents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rag.errors import InvalidRequest
from rag.evaluate.beir import Beir, BeirDocument, read_beir, read_beir_questions, splits, write_beir
from rag.evaluate.questions import JudgedText, Question

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
NOT_BLANK = TEXTS.filter(lambda text: bool(text.strip()))
IDS = NOT_BLANK.filter(lambda text: not set(text) & set("\t\r\n") and text[0] != "\ufeff")
FOLDERS = st.builds(
    Beir,
    corpus=st.dictionaries(IDS, st.builds(BeirDocument, TEXTS, TEXTS)),
    queries=st.dictionaries(IDS, NOT_BLANK),
    qrels=st.dictionaries(
        st.sampled_from(["test", "dev", "train"]),
        st.dictionaries(IDS, st.dictionaries(IDS, st.integers(-1, 10), min_size=1)),
    ),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FOLDERS)
def test_a_folder_comes_back_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, beir: Beir) -> None:
    folder = tmp_path_factory.mktemp("beir")
    write_beir(folder, beir)
    assert read_beir(folder) == beir


def written(folder: Path, *, qrels: dict[str, str] | None = None) -> Path:
    (folder / "qrels").mkdir()
    (folder / "corpus.jsonl").write_text('{"_id": "a", "title": "A", "text": "x", "metadata": {}}\n')
    queries = [{"_id": "q2", "text": "two?"}, {"_id": "q1", "text": "one?"}, {"_id": "q3", "text": "three?"}]
    (folder / "queries.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    for split, rows in (qrels or {"test": "q1\ta\t2\nq1\tb\t0\nq2\tb\t-1\n"}).items():
        (folder / "qrels" / f"{split}.tsv").write_text(f"query-id\tcorpus-id\tscore\n{rows}")
    return folder


def test_only_queries_that_are_judged_in_the_split_become_questions(tmp_path: Path) -> None:
    assert read_beir_questions(written(tmp_path)) == [
        Question(query_id="q2", question="two?", relevant=(JudgedText(doc_id="b", relevance=0),)),
        Question(
            query_id="q1",
            question="one?",
            relevant=(JudgedText(doc_id="a", relevance=2), JudgedText(doc_id="b", relevance=0)),
        ),
    ]


def test_the_split_test_is_taken_unless_another_is_named_or_the_only_one(tmp_path: Path) -> None:
    folder = written(tmp_path, qrels={"dev": "q1\ta\t1\n", "test": "q2\ta\t1\n"})
    assert splits(folder) == ["dev", "test"]
    assert [one.query_id for one in read_beir_questions(folder)] == ["q2"]
    assert [one.query_id for one in read_beir_questions(folder, split="dev")] == ["q1"]
    (folder / "qrels" / "test.tsv").unlink()
    assert [one.query_id for one in read_beir_questions(folder)] == ["q1"]


def test_a_split_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    folder = written(tmp_path, qrels={"dev": "", "train": ""})
    with pytest.raises(InvalidRequest, match=r"split: 'test' is not in .*; there is: dev, train"):
        read_beir_questions(folder)
    with pytest.raises(InvalidRequest, match="'x' is not in"):
        read_beir_questions(folder, split="x")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("q1\ta", "test.tsv:3: 2 fields between tabs, expected 3: query-id, corpus-id, score"),
        ("q1\ta\thigh", "test.tsv:3: score: must be a whole number, found 'high'"),
        ("q1\ta\t11", "test.tsv:3: score: is 11; grades go up to 10"),
        ("q0\ta\t1", "test.tsv:3: _id: 'a' comes twice"),
        ("query-id\tcorpus-id\tscore", "test.tsv:3: score: must be a whole number, found 'score'"),
        ("\ta\t1", "test.tsv:3: query-id: is empty"),
        ("q9\ta\t1", "test.tsv: query-id: 'q0' is not in queries.jsonl (2 such)"),
    ],
)
def test_a_malformed_row_of_judgements_is_named(row: str, reason: str, tmp_path: Path) -> None:
    folder = written(tmp_path, qrels={"test": f"q0\ta\t1\n{row}\n"})
    with pytest.raises(InvalidRequest) as caught:
        read_beir_questions(folder)
    assert str(caught.value).endswith(reason)


@pytest.mark.parametrize(
    ("name", "line", "reason"),
    [
        ("corpus.jsonl", "{", ":2: not JSON"),
        ("corpus.jsonl", "[]", ":2: a JSON list"),
        ("corpus.jsonl", '{"_id": "a", "text": "x"}', ":2: _id: 'a' comes twice"),
        ("corpus.jsonl", '{"_id": "b"}', ":2: text: must be a text, found nothing"),
        ("queries.jsonl", '{"_id": "q1", "text": "x"}', ":4: _id: 'q1' comes twice"),
        ("queries.jsonl", '{"_id": 7, "text": "x"}', ":4: _id: must be a text, found 7"),
        ("queries.jsonl", '{"_id": "q7", "text": " "}', ":4: text: is empty"),
        ("queries.jsonl", '{"_id": "q7", "text": "\\ud800"}', ":4: text: is not valid Unicode text"),
    ],
)
def test_a_malformed_line_is_named(name: str, line: str, reason: str, tmp_path: Path) -> None:
    folder = written(tmp_path)
    with (folder / name).open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InvalidRequest) as caught:
        read_beir(folder)
    assert f"{folder / name}{reason}" in str(caught.value)


def test_a_question_that_no_search_takes_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path)
    with (folder / "queries.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "long", "text": "x" * 2001}) + "\n")
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nlong\ta\t1\n")
    with pytest.raises(InvalidRequest, match=r"the text of 'long': has 2,001 characters"):
        read_beir_questions(folder)


@pytest.mark.parametrize("an_id", ["a\tb", "a\nb", " ", ""])
def test_an_id_that_would_break_the_row_is_refused(an_id: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="part fields"):
        write_beir(tmp_path, Beir(qrels={"test": {"q": {an_id: 1}}}))
