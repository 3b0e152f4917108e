"""Measures agree with their definitions, written out here a second time."""

from __future__ import annotations

import math
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import InvalidRequest
from rag.evaluate.measures import DEFAULT_MEASURES, MEANINGS, calculate, check_measures, cutoff_of, mean
from rag.evaluate.trec import Qrels, Run

IDS = st.sampled_from([f"d{number}" for number in range(14)])
QUERIES = st.sampled_from(["q1", "q2", "q3", "q4"])
QRELS = st.dictionaries(QUERIES, st.dictionaries(IDS, st.integers(0, 3), max_size=14))
# Few different scores make many ties.
RUNS = st.dictionaries(QUERIES, st.dictionaries(IDS, st.sampled_from([0.0, 0.25, 0.5, 1e-9, -3.0])))

NAMES = (*DEFAULT_MEASURES, "nDCG", "nDCG@3", "RR", "AP@4", "P@1", "R@1", "Rprec", "Judged@5")


def oracle(name: str, judged: dict[str, int], scores: dict[str, float]) -> float:
    """The measure of one query, by definition."""
    kind, _, cutoff = name.partition("@")
    order = sorted(scores, key=lambda doc_id: (-scores[doc_id], doc_id))
    grades = [judged.get(doc_id, 0) for doc_id in order]
    relevant = sum(grade > 0 for grade in judged.values())
    k = int(cutoff) if cutoff else (relevant if kind == "Rprec" else len(order))
    top = grades[:k]
    if kind == "nDCG":
        ideal = sorted(judged.values(), reverse=True)[: k if cutoff else None]
        return gain(top) / gain(ideal)
    precisions = [sum(g > 0 for g in top[:rank]) / rank for rank, g in enumerate(top, 1) if g > 0]
    values = {
        "RR": next((1 / rank for rank, grade in enumerate(top, 1) if grade > 0), 0.0),
        "Success": float(any(top)),
        "P": sum(g > 0 for g in top) / max(1, k),
        "Rprec": sum(g > 0 for g in top) / max(1, k),
        "R": sum(g > 0 for g in top) / relevant,
        "AP": sum(precisions) / relevant,
        "Judged": sum(doc_id in judged for doc_id in order[:k]) / max(1, min(k, len(order))),
    }
    return values[kind]


def gain(grades: list[int]) -> float:
    return sum((2.0**grade - 1) / math.log2(rank + 1) for rank, grade in enumerate(grades, 1))


@settings(deadline=None)
@given(QRELS, RUNS)
def test_every_measure_agrees_with_its_definition(
    qrels: dict[str, dict[str, int]], run: dict[str, dict[str, float]]
) -> None:
    found = calculate(NAMES, qrels, run)
    population = {query_id for query_id, judged in qrels.items() if any(judged.values())}
    for name in NAMES:
        wanted = {query_id: oracle(name, qrels[query_id], run.get(query_id, {})) for query_id in population}
        assert found[name] == pytest.approx(wanted, abs=1e-9), name


def test_a_measure_computed_by_hand() -> None:
    qrels: Qrels = {"q": {"a": 2, "b": 1}}
    run: Run = {"q": {"x": 3.0, "a": 2.0, "b": 1.0}}
    found = calculate(("nDCG@10", "RR@10", "P@5", "AP"), qrels, run)
    # Gains 0, 3, 1 at ranks 1 to 3 over gains 3, 1.
    wanted = (3 / math.log2(3) + 1 / 2) / (3 + 1 / math.log2(3))
    assert found["nDCG@10"]["q"] == pytest.approx(wanted, abs=1e-12)
    assert [found[name]["q"] for name in ("RR@10", "P@5", "AP")] == pytest.approx([1 / 2, 2 / 5, 7 / 12])


def test_dropping_a_query_from_a_run_lowers_the_mean() -> None:
    qrels: Qrels = {"q1": {"a": 1}, "q2": {"b": 1}}
    whole: Run = {"q1": {"a": 1.0}, "q2": {"b": 1.0}}
    for name, values in calculate(DEFAULT_MEASURES, qrels, whole).items():
        less = calculate([name], qrels, {"q1": whole["q1"]})[name]
        assert mean(less.values()) == mean(values.values()) / 2


def test_a_query_with_an_empty_ranking_counts_as_zero() -> None:
    assert calculate(["nDCG@10", "AP"], {"q": {"a": 1}}, {"q": {}}) == {
        "nDCG@10": {"q": 0.0},
        "AP": {"q": 0.0},
    }


def test_a_query_without_a_relevant_text_is_in_no_mean() -> None:
    qrels: Qrels = {"q1": {"a": 1}, "q2": {"b": 0}, "q3": {}}
    assert calculate(["P@1"], qrels, {"q2": {"b": 1.0}, "q9": {"z": 1.0}}) == {"P@1": {"q1": 0.0}}


def test_a_tie_is_broken_by_id_in_ascending_order() -> None:
    run: Run = {"q": {"b": 1.0, "a": 1.0}}
    assert calculate(["P@1"], {"q": {"a": 1}}, run)["P@1"]["q"] == 1.0
    assert calculate(["P@1"], {"q": {"b": 1}}, run)["P@1"]["q"] == 0.0


def test_scores_that_differ_in_their_last_digit_only_still_order() -> None:
    run: Run = {"q": {"a": 1.0, "b": math.nextafter(1.0, 2.0)}}
    assert calculate(["P@1"], {"q": {"b": 1}}, run)["P@1"]["q"] == 1.0


def test_a_negative_grade_is_not_relevant() -> None:
    found = calculate(["nDCG@10", "R@10"], {"q": {"a": -1, "b": 1}}, {"q": {"a": 2.0, "b": 1.0}})
    assert found["R@10"]["q"] == 1.0
    assert found["nDCG@10"]["q"] == pytest.approx(1 / math.log2(3))


def test_the_input_is_left_as_it_was() -> None:
    qrels, run = {"q": {"a": -1, "b": 1}}, {"q": {"b": 1.0, "a": 1.0}}
    calculate(DEFAULT_MEASURES, qrels, run)
    assert (qrels, run) == ({"q": {"a": -1, "b": 1}}, {"q": {"b": 1.0, "a": 1.0}})
    assert list(run["q"]) == ["b", "a"]


@pytest.mark.parametrize(
    "name",
    [
        "nDCG@0",
        "nDCG@-1",
        "nDCG@1.5",
        "nDCG@",
        "ndcg@10",
        "P",
        "Success",
        "R",
        "Rprec@5",
        "",
        "ERR@10",
        "P@5 P@6",
    ],
)
def test_a_name_that_is_no_measure_is_refused_before_anything_is_computed(name: str) -> None:
    with pytest.raises(InvalidRequest, match="measures: "):
        check_measures([name])


def test_a_measure_that_is_named_twice_or_not_at_all_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="twice"):
        check_measures(["P@5", "P@5"])
    with pytest.raises(InvalidRequest, match="at least one"):
        check_measures([])


def test_a_grade_that_would_exhaust_the_memory_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="grades go up to 10"):
        calculate(["P@5"], {"q": {"a": 2**40}}, {"q": {"a": 1.0}})


def test_the_cutoff_stands_in_the_name() -> None:
    assert [cutoff_of(name) for name in ("nDCG@10", "Success@1", "AP", "RR")] == [10, 1, None, None]


def test_every_measure_has_a_meaning_and_can_be_computed() -> None:
    names = [name if name in ("nDCG", "RR", "AP", "Rprec") else f"{name}@5" for name in MEANINGS]
    assert list(calculate(names, {"q": {"a": 1}}, {})) == names


def test_nothing_to_average_is_an_error_and_no_zero() -> None:
    with pytest.raises(InvalidRequest, match="nothing to average"):
        mean([])


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(InvalidRequest, match=r"pip install 'citewell\[evaluate\]'"):
        calculate(["P@5"], {}, {})
