"""An evaluation asks each question once, states its denominators, and can be stored and taken apart."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import pytest
from conftest import WriteSeed
from keyword_encoder import KeywordEncoder
from scripted_retriever import ChunkText, ScriptedRetriever

from rag.errors import InvalidRequest
from rag.evaluate.ablation import ALL, ablate, systems
from rag.evaluate.ceiling import chunks_of_index
from rag.evaluate.evaluate import Evaluation, Latency, Result, Searcher, evaluate, evaluate_run
from rag.evaluate.misses import DEEPEST, Place, find_misses
from rag.evaluate.questions import JudgedText, Question, qrels_of
from rag.evaluate.storing import as_object, read_baseline, read_evaluation, write_evaluation
from rag.evaluate.trec import read_run, write_run
from rag.index.builder import build_index
from rag.index.filters import NO_FILTERS, Filters
from rag.index.opening import open_index
from rag.search.features import FEATURE_NAMES, Features

TEXTS = {
    "rice#1": "Eat small meals of plain rice when you feel sick after treatment.",
    "rice#2": "Ask your nurse which medicine helps against feeling sick at night.",
    "hair#1": "Your hair begins to grow back two or three months after chemotherapy.",
    "pain#1": "Tell your doctor how strong the pain is on a scale from one to ten.",
} | {
    f"other#{number}": f"Nothing of note stands in this paragraph number {number}."
    for number in range(DEEPEST + 10)
}
OTHERS = tuple(chunk_id for chunk_id in TEXTS if chunk_id.startswith("other"))


def judged(chunk_id: str, *, relevance: int = 1) -> JudgedText:
    text = TEXTS[chunk_id]
    return JudgedText(
        doc_id=chunk_id.partition("#")[0], relevance=relevance, start=0, end=len(text), text=text
    )


SICK = Question(
    query_id="sick", question="sick?", kind="lay", relevant=(judged("rice#1", relevance=2), judged("rice#2"))
)
HAIR = Question(query_id="hair", question="hair?", relevant=(judged("hair#1"),))
PAIN = Question(query_id="pain", question="pain?", relevant=(judged("pain#1"),))
NONE = Question(query_id="none", question="none?")
QUESTIONS = (SICK, HAIR, PAIN, NONE)


def scripted(**rankings: tuple[str, ...]) -> ScriptedRetriever:
    """Finds these chunks for each question, named without its question mark."""
    return ScriptedRetriever(TEXTS, {f"{name}?": chunk_ids for name, chunk_ids in rankings.items()})


def usual() -> ScriptedRetriever:
    return scripted(sick=("rice#2", "other#1", "rice#1"), hair=("other#1", "hair#1"), none=("other#2",))


# What is measured


def test_an_evaluation_is_what_a_person_computes() -> None:
    found = evaluate(usual(), QUESTIONS)
    sick = (1 + 3 / math.log2(4)) / (3 + 1 / math.log2(3))
    assert found.values("nDCG@10") == pytest.approx({"sick": sick, "hair": 1 / math.log2(3), "pain": 0.0})
    assert found.values("RR@10") == {"sick": 1.0, "hair": 0.5, "pain": 0.0}
    assert found.means["Success@1"] == pytest.approx(1 / 3)
    assert [result.first_relevant_rank for result in found.results] == [1, 2, None]


def test_a_judged_question_without_a_result_lowers_the_mean() -> None:
    both = evaluate(usual(), [SICK, HAIR, PAIN]).means
    for name, value in evaluate(usual(), [SICK, HAIR]).means.items():
        assert both[name] == pytest.approx(value * 2 / 3)


def test_questions_without_an_answer_are_asked_and_stand_apart() -> None:
    found = evaluate(usual(), QUESTIONS)
    assert found.population == ("sick", "hair", "pain")
    assert [result.query_id for result in found.unanswerable] == ["none"]
    assert [hit.chunk_id for hit in found.unanswerable[0].hits] == ["other#2"]
    assert found.means == evaluate(usual(), QUESTIONS[:3]).means


def test_a_hit_keeps_what_was_ranked_and_what_it_earned() -> None:
    hits = evaluate(usual(), QUESTIONS).results[0].hits
    ids = [(hit.rank, hit.chunk_id, hit.relevance, hit.judged_id) for hit in hits]
    end = len(TEXTS["rice#1"])
    assert ids[1:] == [(2, "other#1", 0, None), (3, "rice#1", 2, f"rice:0-{end}")]
    assert {hit.score for hit in hits} == {0.5}


def test_the_run_beside_the_qrels_gives_the_same_measures() -> None:
    found = evaluate(usual(), QUESTIONS)
    again = evaluate_run(found.run, QUESTIONS)
    assert again.means == found.means
    assert set(found.run) == set(qrels_of(QUESTIONS))
    assert again.latency == {}
    assert [one.kind for one in again.results] == [one.kind for one in found.results] == ["lay", None, None]


def test_each_question_is_asked_once_after_one_to_warm_up() -> None:
    retriever = usual()
    seen: list[tuple[int, int]] = []
    evaluate(retriever, QUESTIONS, depth=12, on_progress=lambda done, total: seen.append((done, total)))
    assert retriever.asked == [(f"{name}?", 12) for name in ("sick", "sick", "hair", "pain", "none")]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_latency_is_over_all_questions_and_by_stage() -> None:
    found = evaluate(usual(), QUESTIONS)
    assert list(found.latency) == ["encode", "search", "total"]
    assert (found.latency["encode"].median_ms, found.latency["encode"].p95_ms) == (2.0, 2.0)
    totals = [result.timings_ms["total"] for result in (*found.results, *found.unanswerable)]
    assert min(totals) <= found.latency["total"].median_ms <= found.latency["total"].p95_ms <= max(totals)


def test_the_percentiles_of_a_stage_are_of_every_question_that_has_it() -> None:
    results = [Result(query_id=str(n), hits=(), timings_ms={"total": float(n)}) for n in range(1, 102)]
    rare = Result(query_id="rare", hits=(), timings_ms={"rerank": 9.0})
    timed = Evaluation(
        measures=(), depth=10, judgements="", results=(*results[:60], rare), unanswerable=tuple(results[60:])
    )
    assert timed.latency == {
        "total": Latency(median_ms=51.0, p95_ms=96.0),
        "rerank": Latency(median_ms=9.0, p95_ms=9.0),
    }


def test_evaluating_leaves_the_questions_as_they_were() -> None:
    questions = list(QUESTIONS)
    before = copy.deepcopy(questions)
    evaluate(usual(), questions)
    assert questions == before


@pytest.mark.parametrize(
    ("questions", "depth", "reason"),
    [
        ([], 10, "questions: none has a relevant text"),
        ([NONE], 10, "questions: none has a relevant text"),
        ([SICK, SICK], 10, "query_id: 'sick' comes twice"),
        ([SICK], 5, "depth: is 5, but nDCG@10 looks at 10 results"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_asked(
    questions: list[Question], depth: int, reason: str
) -> None:
    retriever = usual()
    with pytest.raises(InvalidRequest, match=f"^{reason}"):
        evaluate(retriever, questions, depth=depth)
    assert retriever.asked == []


def test_a_retriever_that_returns_a_chunk_twice_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="a chunk twice for the question 'hair'"):
        evaluate(scripted(hair=("other#1", "other#1")), [HAIR])


def test_a_run_is_cut_at_the_depth_and_unknown_questions_do_not_count() -> None:
    run = {"hair": {"other#1": 2.0, qrels_id(HAIR): 1.0}, "nobody": {"x": 1.0}}
    assert evaluate_run(run, [HAIR, PAIN], measures=["RR"]).means["RR"] == 0.25
    assert evaluate_run(run, [HAIR, PAIN], depth=1, measures=["RR"]).means["RR"] == 0.0


def qrels_id(question: Question) -> str:
    return question.relevant[0].judged_id


# Stored and read again


def test_an_evaluation_comes_back_from_json(tmp_path: Path) -> None:
    found = evaluate(usual(), QUESTIONS)
    write_evaluation(tmp_path / "evaluation.json", found)
    assert read_evaluation(tmp_path / "evaluation.json") == found
    assert json.loads((tmp_path / "evaluation.json").read_text())["means"] == found.means


def test_a_baseline_is_json_or_a_trec_run(tmp_path: Path) -> None:
    found = evaluate(usual(), QUESTIONS)
    write_evaluation(tmp_path / "a", found)
    write_run(tmp_path / "b", found.run)
    assert read_run(tmp_path / "b") == {query_id: scores for query_id, scores in found.run.items() if scores}
    for name in ("a", "b"):
        again = read_baseline(tmp_path / name, QUESTIONS, depth=10, measures=found.measures)
        assert again.means == found.means
        assert again.population == found.population


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"measures": None}, "measures: Input should be a valid"),
        ({"results": []}, "results: holds no question"),
        ({"depth": "deep"}, "depth: Input should be a valid integer"),
        ({"measures": ["P@5", "P@6"]}, "results.0.measures: lacks P@6"),
    ],
)
def test_a_stored_evaluation_that_was_changed_is_refused_by_field(
    change: dict[str, object], reason: str, tmp_path: Path
) -> None:
    value = as_object(evaluate(usual(), [HAIR], measures=["P@5"]))
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(value | change))
    with pytest.raises(InvalidRequest) as caught:
        read_evaluation(path)
    assert str(caught.value).startswith(f"{path}: {reason}")


def test_a_question_that_is_stored_twice_is_refused(tmp_path: Path) -> None:
    value = as_object(evaluate(usual(), [HAIR], measures=["P@5"]))
    (tmp_path / "x").write_text(json.dumps(value | {"results": value["results"] * 2}))
    with pytest.raises(InvalidRequest, match="a query_id comes twice"):
        read_evaluation(tmp_path / "x")


@pytest.mark.parametrize("text", ["{", "", "[]"])
def test_a_file_that_is_no_evaluation_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text(text)
    with pytest.raises(InvalidRequest, match="rag evaluate --json"):
        read_evaluation(tmp_path / "x")


# Ablation


def test_the_systems_are_all_each_list_alone_both_and_each_feature_off() -> None:
    found = systems()
    assert list(found)[:3] == [ALL, "dense only", "lexical only"]
    assert list(found)[3:5] == ["dense + lexical", "dense + lexical by ranks"]
    assert list(found)[5:] == [f"without {name}" for name in FEATURE_NAMES]
    assert found[ALL] == Features()
    on = {name: {one for one in FEATURE_NAMES if getattr(features, one)} for name, features in found.items()}
    assert (on["dense only"], on["lexical only"]) == ({"dense"}, {"lexical"})
    assert on["dense + lexical"] == {"dense", "lexical", "convex"}
    assert on["dense + lexical by ranks"] == {"dense", "lexical"}
    for name in FEATURE_NAMES:
        assert on[f"without {name}"] == set(FEATURE_NAMES) - {name}


def test_an_ablation_shows_what_a_feature_is_worth() -> None:
    def make(features: Features) -> Searcher:
        return scripted(hair=("hair#1",) if features.lexical else ("other#1", "hair#1"), sick=("rice#1",))

    seen: set[str] = set()
    rows = ablate(make, [SICK, HAIR], on_system=lambda name, _done, _total: seen.add(name))
    assert [row.name for row in rows] == list(systems())
    assert seen == set(systems())
    assert rows[0].comparison is None
    for row in rows[1:]:
        assert row.comparison
        worth = (1 - 1 / math.log2(3)) / 2
        assert row.comparison.difference == pytest.approx(0.0 if row.features.lexical else -worth)
        assert row.comparison.p_value == 1.0


def test_only_the_chosen_systems_are_measured_and_the_deciding_measure_always_is() -> None:
    rows = ablate(
        lambda _: usual(),
        [HAIR],
        measures=["P@5"],
        measure="RR@10",
        chosen={"mine": Features(spelling=False)},
    )
    assert [row.name for row in rows] == [ALL, "mine"]
    assert list(rows[0].evaluation.means) == ["P@5", "RR@10"]
    assert rows[1].comparison
    assert rows[1].comparison.measure == "RR@10"


# The chunks of an index


def test_the_chunks_of_a_document_are_those_that_a_search_with_the_filters_could_return(
    write_seed: WriteSeed, keywords: KeywordEncoder, tmp_path: Path
) -> None:
    write_seed("sick", "Sip water against nausea.\n\n## Pain\n\nTell your doctor.", cancerTypes="[lung]")
    write_seed("sickness", "Nausea goes away.")
    write_seed("old", "Nausea was treated so.", status="withdrawn")
    build_index(tmp_path / "seeds", tmp_path / "index", keywords)
    backend = open_index(tmp_path / "index", encoder=keywords).backend

    def found(doc_id: str, filters: Filters = NO_FILTERS) -> list[str]:
        chunks_of = chunks_of_index(backend, dim=keywords.dim, filters=filters)
        return sorted(chunk.text for chunk in chunks_of(doc_id))

    lung = Filters(cancer_types=("lung",))
    assert found("sick") == ["Sip water against nausea.", "Tell your doctor."]
    assert found("sick", lung) == found("sick")
    assert found("sickness") == ["Nausea goes away."]
    assert found("old", Filters(status=("withdrawn",))) == ["Nausea was treated so."]
    assert found("sickness", lung) == found("sick", Filters(doc_id=("sickness",))) == []
    assert found("old") == found("none") == found("") == []
    backend.close()


# Misses


HAIR_CHUNKS = [ChunkText("hair#1", "hair", TEXTS["hair#1"])]


@pytest.mark.parametrize(
    ("ranking", "chunks", "place", "rank"),
    [
        (("hair#1",), HAIR_CHUNKS, Place.FIRST, 1),
        (("other#1", "hair#1"), HAIR_CHUNKS, Place.NEAR, 2),
        ((*OTHERS[:9], "hair#1"), HAIR_CHUNKS, Place.NEAR, 10),
        ((*OTHERS[:10], "hair#1"), HAIR_CHUNKS, Place.LOW, 11),
        ((*OTHERS[: DEEPEST - 1], "hair#1"), HAIR_CHUNKS, Place.LOW, DEEPEST),
        ((*OTHERS[:DEEPEST], "hair#1"), HAIR_CHUNKS, Place.NOT_RETRIEVED, None),
        (OTHERS, [], Place.OUT_OF_REACH, None),
        ((), HAIR_CHUNKS, Place.NOT_RETRIEVED, None),
    ],
)
def test_a_question_is_placed_by_its_first_relevant_text(
    ranking: tuple[str, ...], chunks: list[ChunkText], place: Place, rank: int | None
) -> None:
    retriever = scripted(hair=ranking)
    evaluation = evaluate(retriever, [HAIR])
    (miss,) = find_misses(retriever, [HAIR], evaluation, measure="nDCG@10", chunks_of=lambda _: chunks)
    assert (miss.place, miss.first_relevant_rank) == (place, rank)


def test_the_worst_question_comes_first_with_what_was_wanted_and_found() -> None:
    retriever = usual()
    evaluation = evaluate(retriever, QUESTIONS)
    misses = find_misses(retriever, QUESTIONS, evaluation, measure="nDCG@10")
    assert [miss.query_id for miss in misses] == ["pain", "hair", "sick"]
    assert misses[0].place is Place.NOT_RETRIEVED
    assert misses[2].wanted == SICK.relevant[0]
    assert [seen.text for seen in misses[1].seen] == [TEXTS["other#1"], TEXTS["hair#1"]]
    assert [seen.hit.relevance for seen in misses[1].seen] == [0, 1]


def test_only_questions_without_a_relevant_hit_are_searched_again() -> None:
    retriever = usual()
    evaluation = evaluate(retriever, QUESTIONS)
    retriever.asked.clear()
    find_misses(retriever, QUESTIONS, evaluation, measure="nDCG@10")
    assert retriever.asked == [("pain?", DEEPEST)]
