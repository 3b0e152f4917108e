"""`rag evaluate`: figures, floors, comparisons and files, over the index of the samples."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from rag.answer.answerer import Answerer
from rag.cli import app
from rag.config import Settings
from rag.evaluate.ablation import systems
from rag.evaluate.beir import Beir, write_beir
from rag.evaluate.evaluate import evaluate
from rag.evaluate.measures import DEFAULT_MEASURES
from rag.evaluate.questions import JudgedText, Question, qrels_of, write_questions
from rag.evaluate.trec import read_run
from rag.index.opening import open_index
from rag.search.retriever import Retriever

ASKED = {
    "sores": "What helps against mouth sores?",
    "tired": "why am I so tired all the time",
    "hair": "will my hair grow back",
}
SORES = "side-effects/mouth-sores"
FIGURES = re.compile(r"^(\S+) +([\d.]+)$", re.MULTILINE)


class Result(NamedTuple):
    """How a call ended and what it wrote."""

    status: int
    out: str
    err: str


Evaluate = Callable[..., Result]


@pytest.fixture(scope="module")
def questions(samples_index: Path) -> list[Question]:
    """The third passage of each ranking is the one that answers, so nothing is perfect; one has no answer."""
    answerer = Answerer.open(samples_index)
    found = []
    for query_id, question in ASKED.items():
        passage = answerer.ask(question, top_k=3).passages[2]
        place = passage.location
        judged = JudgedText(
            doc_id=place.doc_id, start=place.start, end=place.end, relevance=2, text=passage.text
        )
        found.append(Question(query_id=query_id, question=question, relevant=(judged,), kind="lay"))
    answerer.backend.close()
    return [*found, Question(query_id="none", question="when is my appointment?")]


@pytest.fixture
def call(
    tmp_path: Path, samples_index: Path, questions: list[Question], monkeypatch: pytest.MonkeyPatch
) -> Evaluate:
    """Call the command in a folder that holds `questions.jsonl`."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"RAG_{name.upper()}", raising=False)
    write_questions("questions.jsonl", questions)

    def call(*arguments: str, asked: str = "questions.jsonl") -> Result:
        arguments = ("evaluate", asked, "--index", str(samples_index), *arguments)
        result = CliRunner().invoke(app, arguments)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    return call


def as_json(call: Evaluate, *arguments: str) -> Any:
    result = call("--json", *arguments)
    assert (result.status, result.err) == (0, "")
    return json.loads(result.out)


# Figures


def test_the_figures_are_those_of_the_library(
    call: Evaluate, questions: list[Question], samples_index: Path
) -> None:
    opened = open_index(samples_index)
    means = evaluate(Retriever(opened.backend, opened.encoder), questions).means
    opened.backend.close()
    result = call()
    assert (result.status, result.err) == (0, "")
    shown = dict(FIGURES.findall(result.out))
    assert {name: shown[name] for name in DEFAULT_MEASURES} == {
        name: f"{value:.3f}" for name, value in means.items()
    }
    assert as_json(call)["means"] == means
    assert means["RR@10"] == pytest.approx(1 / 3)


def test_the_usual_measures_are_those_that_the_help_names() -> None:
    text = " ".join(CliRunner().invoke(app, ["evaluate", "--help"]).stdout.split())
    assert f"[default: {','.join(DEFAULT_MEASURES)}]" in text


def test_questions_without_an_answer_the_index_and_the_ceiling_are_told(call: Evaluate) -> None:
    out = call().out
    assert "Means over 3 judged questions" in out
    assert "Without an answer, and so apart: 1." in out
    value = as_json(call)
    assert value["ceiling"] == {"nDCG@10": 1.0}
    assert value["questions"] == {"judged": 3, "unanswerable": 1}
    assert value["index"]["index_id"] in out


def test_latency_stands_beside_quality(call: Evaluate) -> None:
    value = as_json(call)
    assert set(value["latency_ms"]) >= {"encode", "total"}
    assert all(one["median"] <= one["p95"] for one in value["latency_ms"].values())
    assert re.search(r"^total +[\d.]+ +[\d.]+$", call().out, re.MULTILINE)


def test_the_chosen_measures_are_printed_and_no_other(call: Evaluate) -> None:
    assert list(as_json(call, "--measures", "AP, P@3")["means"]) == ["AP", "P@3"]


def test_a_deeper_measure_searches_deeper(call: Evaluate) -> None:
    value = as_json(call, "--measures", "R@20")
    assert value["depth"] == 20
    assert all(len(one["hits"]) == 20 for one in value["results"])


def test_every_question_has_a_row_when_asked_for(call: Evaluate) -> None:
    out = call("--per-question").out.partition("Questions\n")[2]
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["sores", "tired", "hair", "none"]


def test_the_worst_questions_are_shown_with_their_texts(call: Evaluate, questions: list[Question]) -> None:
    result = call("--misses", "2", "--markdown")
    assert result.out.count("| wanted | 2 |") == 2
    assert "Where the first relevant text stands" in result.out
    shown = as_json(call, "--misses", "1")["misses"]
    assert [one["first_relevant_rank"] for one in shown] == [3]
    assert shown[0]["question"] in {question.question for question in questions}


def test_a_question_that_was_answered_in_full_is_no_miss(call: Evaluate) -> None:
    documents = Question(
        query_id="x", question=ASKED["sores"], relevant=(JudgedText(doc_id=SORES, relevance=1),)
    )
    write_questions("easy.jsonl", [documents])
    value = json.loads(call("--json", "--misses", "5", asked="easy.jsonl").out)
    assert (value["means"]["nDCG@10"], value["misses"]) == (1.0, [])
    assert len(as_json(call, "--misses", "5")["misses"]) == 3


def test_markdown_has_the_same_figures(call: Evaluate) -> None:
    shown = dict(FIGURES.findall(call().out))
    rows = dict(re.findall(r"^\| (\S+) \| ([\d.]+) \|$", call("--markdown").out, re.MULTILINE))
    assert {name: rows[name] for name in DEFAULT_MEASURES} == {name: shown[name] for name in DEFAULT_MEASURES}


def test_an_ablation_measures_every_system(call: Evaluate) -> None:
    value = as_json(call, "--ablation", "--measures", "nDCG@10")
    assert [row["name"] for row in value["ablation"]] == list(systems())
    assert value["ablation"][0]["means"] == value["means"]
    assert all(row["median_ms"] > 0 for row in value["ablation"])
    assert value["ablation"][1]["means"] != value["means"], "dense only ranks as all features do"


def test_filters_shut_out_documents_and_lower_the_ceiling(call: Evaluate, questions: list[Question]) -> None:
    wanted = questions[0].relevant[0].doc_id
    value = as_json(call, "--filter", f"doc_id={wanted}")
    found = {hit["chunk_id"].partition("#")[0] for one in value["results"] for hit in one["hits"]}
    assert found == {wanted}
    share = sum(one.relevant[0].doc_id == wanted for one in questions if one.relevant) / 3
    assert value["ceiling"]["nDCG@10"] == pytest.approx(share)
    assert value["means"]["nDCG@10"] <= share < 1
    assert call("--filter", "colour=red").err.startswith("rag: filters.colour: is no filter")


def test_a_reranker_that_is_not_there_is_told(call: Evaluate) -> None:
    result = call("--reranker", "./none")
    assert (result.status, result.out) == (2, "")
    assert "reranker" in result.err


# Floors


def test_a_floor_that_is_reached_changes_nothing(call: Evaluate) -> None:
    result = call("--floor", "RR@10=.33", "--floor", "Success@5=1")
    assert (result.status, result.err) == (0, "")


def test_a_floor_that_is_missed_ends_with_one_and_says_by_how_much(call: Evaluate) -> None:
    result = call("--floor", "RR@10=.34", "--floor", "Success@5=1", "--floor", "Success@2=.1")
    assert result.status == 1
    assert result.err.splitlines() == [
        "rag: RR@10 is 0.3333, below the floor 0.34",
        "rag: Success@2 is 0.0000, below the floor 0.1",
    ]
    assert "Success@2" in result.out


# Comparisons


def test_an_index_does_not_differ_from_itself(call: Evaluate, tmp_path: Path) -> None:
    value = as_json(call, "--run-out", "before.run")
    (tmp_path / "before.json").write_text(json.dumps(value))
    for name in ("before.json", "before.run"):
        compared = as_json(call, "--compare", name)["comparison"]
        assert [one["measure"] for one in compared] == list(DEFAULT_MEASURES)
        assert {(one["wins"], one["ties"], one["losses"], one["p_value"]) for one in compared} == {
            (0, 3, 0, 1.0)
        }


def test_a_better_run_is_shown_as_losses(call: Evaluate, questions: list[Question], tmp_path: Path) -> None:
    perfect = [f"{one.query_id} Q0 {one.relevant[0].judged_id} 1 1.0 x" for one in questions if one.relevant]
    (tmp_path / "perfect.run").write_text("\n".join(perfect) + "\n")
    compared = as_json(call, "--compare", "perfect.run", "--measures", "RR@10")["comparison"][0]
    assert (compared["baseline"], compared["losses"], compared["p_value"]) == (1.0, 3, 0.25)
    out = call("--compare", "perfect.run", "--measures", "RR@10").out
    assert "Questions that changed in RR@10" in out
    assert out.count("-0.667") == 6


def test_other_questions_cannot_be_compared(
    call: Evaluate, questions: list[Question], tmp_path: Path
) -> None:
    (tmp_path / "before.json").write_text(json.dumps(as_json(call)))
    write_questions("fewer.jsonl", questions[:2])
    result = call("--compare", "before.json", asked="fewer.jsonl")
    assert result.status == 2
    assert result.err.startswith("rag: compare: the questions differ: 1 are on one side only, 'hair' for one")


def test_no_shared_measure_cannot_be_compared(call: Evaluate, tmp_path: Path) -> None:
    (tmp_path / "before.json").write_text(json.dumps(as_json(call, "--measures", "AP")))
    result = call("--compare", "before.json", "--measures", "P@5")
    assert (result.status, result.err) == (2, "rag: compare: has none of the measures P@5\n")


def test_the_run_that_is_written_holds_judged_texts(
    call: Evaluate, questions: list[Question], tmp_path: Path
) -> None:
    call("--run-out", "out.run")
    run = read_run(tmp_path / "out.run")
    judged = qrels_of(questions)
    for query_id in ASKED:
        assert len(run[query_id]) == 10
        assert [run[query_id][judged_id] for judged_id in judged[query_id]] == [8.0]


# BEIR


def test_a_beir_folder_is_judged_by_document(
    call: Evaluate, questions: list[Question], tmp_path: Path
) -> None:
    qrels = {one.query_id: {one.relevant[0].doc_id: 1} for one in questions if one.relevant}
    folder = tmp_path / "beir"
    write_beir(folder, Beir(queries={one.query_id: one.question for one in questions}, qrels={"dev": qrels}))
    value = json.loads(call("--json", asked="beir").out)
    assert value["questions"] == {"judged": 3, "unanswerable": 0}
    assert value["means"]["Success@5"] == 1.0
    assert call("--split", "test", asked="beir").err.startswith("rag: split: 'test' is not in beir/qrels")
    assert call("--split", "test").err.startswith("rag: split: is for BEIR folders")


# Failures


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--measures", "ndcg@10"], "measures: there is no 'ndcg@10'; known are nDCG, "),
        (["--measures", ""], "measures: there is no ''"),
        (["--measures", "R@51"], "measures: 'R@51' looks at 51 results; a search gives at most 50"),
        (["--floor", "nDCG@10"], "floor: 'nDCG@10' is not a measure with a number"),
        (["--compare", "none"], "none: cannot be read (No such file or directory)"),
        (["--compare", "questions.jsonl"], "questions.jsonl: "),
        (["--run-out", "none/run"], "run_out: there is no folder none; make it, or name another"),
        (["--index", "none"], "no index in none; build one with: rag index --index none"),
    ],
)
def test_a_failure_is_one_line_that_names_what_mends_it(
    arguments: list[str], line: str, call: Evaluate
) -> None:
    result = call(*arguments)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith(f"rag: {line}")
    assert result.err.count("\n") == 1


def test_a_fault_in_the_questions_is_one_line_with_file_line_and_field(
    call: Evaluate, tmp_path: Path
) -> None:
    with (tmp_path / "questions.jsonl").open("a") as file:
        file.write('{"query_id": "x", "question": "?"}\n')
    result = call()
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("rag: questions.jsonl:5: relevant: must be a list")
    assert call(asked="none.jsonl").err.startswith("rag: none.jsonl: cannot be read")


def test_questions_for_other_documents_are_refused(call: Evaluate) -> None:
    write_questions("foreign.jsonl", [judged_by("not/here")])
    refused = call(asked="foreign.jsonl")
    assert (refused.status, refused.out) == (2, "")
    assert refused.err.startswith("rag: questions: none of the 1 judged documents can be found, 'not/here'")


@pytest.mark.parametrize("doc_id", ["not/here", "living/herbal-supplements-withdrawn"])
def test_documents_that_no_search_can_find_are_counted(
    doc_id: str, call: Evaluate, questions: list[Question]
) -> None:
    write_questions("mixed.jsonl", [*questions, judged_by(doc_id)])
    judged = len({one.relevant[0].doc_id for one in questions if one.relevant})
    out = call(asked="mixed.jsonl").out
    assert f"1 of {judged + 1} judged documents cannot be found (absent, not active or filtered out)" in out
    assert f"'{doc_id}' for one" in out
    assert "best nDCG@10 possible  0.750" in out


def judged_by(doc_id: str) -> Question:
    return Question(query_id="x", question="?", relevant=(JudgedText(doc_id=doc_id, relevance=1),))
