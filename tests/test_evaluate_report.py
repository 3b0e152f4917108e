"""Tables say what was measured, aligned for a terminal and as Markdown."""

from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console
from scripted_retriever import ScriptedRetriever

from rag.errors import InvalidRequest
from rag.evaluate.ablation import ablate
from rag.evaluate.comparison import compare
from rag.evaluate.evaluate import evaluate
from rag.evaluate.measures import DEFAULT_MEASURES
from rag.evaluate.misses import Place, find_misses
from rag.evaluate.options import parse_floors, parse_measures
from rag.evaluate.questions import JudgedText, Question
from rag.evaluate.report import (
    Table,
    ablation_table,
    changes_tables,
    comparison_table,
    kind_tables,
    latency_table,
    means_table,
    miss_tables,
    places_table,
    question_table,
)
from rag.evaluate.watching import shown_questions
from rag.search.features import Features

TEXTS = {"a#1": "alpha beta gamma", "b#1": "delta | <b>", "c#1": "long words " * 40}
QUESTIONS = [
    Question(query_id="q1", question="one?", kind="lay", relevant=(JudgedText(doc_id="a", relevance=1),)),
    Question(query_id="q2", question="two?", kind="drug", relevant=(JudgedText(doc_id="b", relevance=2),)),
    Question(query_id="q3", question="three?"),
]
MEASURES = ("nDCG@10", "Success@1")


def retriever(first: str = "a#1") -> ScriptedRetriever:
    return ScriptedRetriever(TEXTS, {"one?": (first, "c#1"), "two?": ("a#1", "c#1"), "three?": ("c#1",)})


GOOD = evaluate(retriever(), QUESTIONS, measures=MEASURES)
BAD = evaluate(retriever("b#1"), QUESTIONS, measures=MEASURES)


def test_columns_are_aligned_and_numbers_stand_right() -> None:
    table = Table(
        title="T",
        headers=("name", "value"),
        rows=(("a", "0.5"), ("longer", "-12.25"), ("x", "-")),
        notes=("A note.",),
    )
    assert table.text().splitlines() == [
        "T",
        "",
        "name     value",
        "a          0.5",
        "longer  -12.25",
        "x            -",
        "A note.",
    ]


def test_markdown_keeps_cells_apart_whatever_they_hold() -> None:
    table = Table(title="T", headers=("a", "n"), rows=(("x | y\nz <b> \\", "1"),), notes=("N.",))
    assert table.markdown().splitlines() == [
        "### T",
        "",
        "| a | n |",
        "| --- | ---: |",
        "| x \\| y z &lt;b> \\\\ | 1 |",
        "",
        "N.",
    ]


def test_a_table_without_rows_still_has_its_headers() -> None:
    table = Table(title="T", headers=("a", "b"), rows=())
    assert table.text().splitlines() == ["T", "", "a  b"]
    assert table.markdown().splitlines() == ["### T", "", "| a | b |", "| --- | --- |"]


def test_the_means_name_their_denominator_and_the_ceiling() -> None:
    table = means_table(GOOD, ceilings={"q1": 1.0, "q2": 0.5})
    assert table.rows == (("nDCG@10", "0.500"), ("Success@1", "0.500"), ("best nDCG@10 possible", "0.750"))
    (note,) = table.notes
    assert note.startswith("Means over 2 judged questions; one without a result counts as zero.")
    assert note.endswith(" Without an answer, and so apart: 1.")
    assert "apart" not in means_table(evaluate(retriever(), QUESTIONS[:2], measures=MEASURES)).notes[0]


def test_every_kind_of_question_has_its_means() -> None:
    (table,) = kind_tables(GOOD)
    assert table.rows == (("drug", "1", "0.000", "0.000"), ("lay", "1", "1.000", "1.000"))
    bare = [Question(query_id="q", question="one?", relevant=QUESTIONS[0].relevant)]
    assert kind_tables(evaluate(retriever(), bare, measures=MEASURES)) == []


def test_every_stage_has_its_latency() -> None:
    rows = latency_table(GOOD).rows
    assert rows[:2] == (("encode", "2.00", "2.00"), ("search", "1.00", "1.00"))
    assert [row[0] for row in rows] == ["encode", "search", "total"]


def test_every_question_has_a_row_with_its_first_hits() -> None:
    assert question_table(GOOD).rows == (
        ("q1", "1.000", "1.000", "1", "a#1 (1) c#1 (0)"),
        ("q2", "0.000", "0.000", "-", "a#1 (0) c#1 (0)"),
        ("q3", "-", "-", "-", "c#1 (0)"),
    )


def test_a_comparison_shows_direction_and_counts() -> None:
    comparison = compare(BAD, GOOD, measure="nDCG@10")
    (row,) = comparison_table([comparison], baseline="before").rows
    assert row == ("nDCG@10", "0.500", "0.000", "-0.500", "-1.000", "+0.000", "0", "1", "1", "1.0000")
    (changes,) = changes_tables([comparison])
    assert changes.rows == (("q1", "-1.000"),)
    assert changes_tables([compare(GOOD, GOOD, measure="nDCG@10")]) == []


def test_an_ablation_has_a_row_a_system() -> None:
    rows = ablate(
        lambda features: retriever("a#1" if features.dense else "b#1"), QUESTIONS, measures=MEASURES
    )
    table = ablation_table(rows, MEASURES)
    cells = {row[0]: row[1:5] for row in table.rows}
    assert table.headers == ("system", *MEASURES, "Δ nDCG@10", "p", "median ms")
    assert cells["all features"] == ("0.500", "0.500", "-", "-")
    assert cells["without dense"] == ("0.000", "0.000", "-0.500", "1.0000")
    assert cells["without lexical"] == ("0.500", "0.500", "+0.000", "1.0000")
    assert len(rows) == len({str(row.features) for row in rows})
    assert rows[0].features == Features()


def test_the_places_add_up_and_a_miss_can_be_read() -> None:
    misses = find_misses(retriever(), QUESTIONS, GOOD, measure="nDCG@10")
    places = places_table(misses).rows
    assert sum(int(count) for _, count, _ in places) == 2
    assert places[0] == ("ranked 1", "1", "0.500")
    (table, *_) = miss_tables(misses)
    assert table.title == f"q2, 0.000, {Place.NOT_RETRIEVED}: two?"
    assert table.rows[0] == ("wanted", "2", "(the whole document)", "b")
    assert table.rows[1] == ("1", "0", "alpha beta gamma", "a#1")
    assert table.rows[2][2].endswith("…")
    assert len(table.rows[2][2]) == 100


# Options


def test_measures_are_parted_by_commas_or_blanks() -> None:
    assert parse_measures("nDCG@10, RR@10 AP,") == ("nDCG@10", "RR@10", "AP")
    assert parse_measures(None) == DEFAULT_MEASURES


@pytest.mark.parametrize(
    ("text", "floor"), [("nDCG@10=.70", 0.7), ("nDCG@10=0.7", 0.7), ("nDCG@10=1", 1.0), ("nDCG@10=0", 0.0)]
)
def test_a_floor_is_a_measure_with_a_number(text: str, floor: float) -> None:
    assert parse_floors([text, "AP=.5"]) == (("nDCG@10", floor), ("AP", 0.5))


@pytest.mark.parametrize(
    "text", ["nDCG@10", "nDCG@10=", "nDCG@10=high", "=.7", "nDCG@10=-1", "nDCG@10=70", "foo=.7"]
)
def test_a_floor_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_floors([text])


# Progress


def test_a_terminal_sees_how_many_questions_are_done_and_a_file_nothing() -> None:
    seen = []
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
        with shown_questions(console) as watch:
            for label, done in itertools.product(("mine", "other [b]"), (1, 2)):
                watch(label, done, 2)
        assert isinstance(console.file, io.StringIO)
        seen.append(console.file.getvalue())
    assert "mine" in seen[0]
    assert "other [b]" in seen[0]
    assert "2/2" in seen[0]
    assert seen[1] == ""
