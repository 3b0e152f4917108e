"""What a passage earns, and the best that any ranking could earn."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
import random
import sys
from types import ModuleType
from typing import Any

import pytest
from conftest import SHARED
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_retriever import ChunkText

from rag.evaluate.ceiling import ceilings, dcg, earnable
from rag.evaluate.evaluate import evaluate_run
from rag.evaluate.judging import credit, judged_run
from rag.evaluate.questions import JudgedText, Question, read_questions
from rag.evaluate.shingles import share_half, shingles

WORDS = "one two three four five six seven eight nine ten eleven twelve"


def judged(text: str, *, relevance: int = 1, doc_id: str = "a", start: int = 0) -> JudgedText:
    return JudgedText(doc_id=doc_id, relevance=relevance, start=start, end=start + 1, text=text)


def asked(*relevant: JudgedText) -> Question:
    return Question(query_id="q", question="?", relevant=relevant)


def passage(text: str, *, doc_id: str = "a", number: int = 0) -> ChunkText:
    return ChunkText(f"{doc_id}#{number}", doc_id, text)


def grades(question: Question, *texts: str) -> list[int]:
    """The relevance that each text of document 'a' earns."""
    passages = [passage(text, number=number) for number, text in enumerate(texts)]
    return [one.relevance if one else 0 for one in credit(question, passages)]


# Shingles


def test_words_are_compared_without_case_and_signs() -> None:
    assert shingles("One, TWO-three\nfour (five)") == {("one", "two", "three", "four", "five")}


def test_a_short_text_is_one_shingle_and_a_wordless_one_none() -> None:
    assert shingles("Sip water.") == {("sip", "water")}
    assert shingles("… –") == frozenset()


@pytest.mark.parametrize(("words", "shared"), [(8, 4), (7, 3)])
def test_half_of_the_shorter_ones_shingles_is_enough_and_less_is_not(words: int, shared: int) -> None:
    whole = shingles(WORDS)
    part = shingles(" ".join([*WORDS.split()[:words], *"abcdefgh"]))
    assert (len(whole), len(whole & part)) == (8, shared)
    assert share_half(whole, part) is share_half(part, whole) is (shared == 4)


def test_nothing_shares_half_of_nothing() -> None:
    assert not share_half(shingles(""), shingles(""))


# Credit


def test_a_passage_earns_the_text_that_it_holds_or_is_held_by() -> None:
    question = asked(judged("two three four five six seven"))
    assert grades(question, WORDS) == [1]
    assert grades(question, "three four five six seven") == [1]


def test_the_same_words_in_another_document_earn_nothing() -> None:
    question = asked(judged(WORDS))
    assert credit(question, [passage(WORDS, doc_id="b")]) == [None]


def test_a_text_is_earned_once_by_the_first_passage() -> None:
    assert grades(asked(judged(WORDS)), "unrelated words", WORDS, WORDS) == [0, 1, 0]


def test_a_passage_earns_one_text_the_highest_grade_first() -> None:
    low, high = judged("one two three four five", relevance=1), judged(WORDS, relevance=2, start=5)
    assert grades(asked(low, high), WORDS, WORDS, WORDS) == [2, 1, 0]


def test_of_equal_grades_the_one_judged_first_is_earned_first() -> None:
    first, second = judged(WORDS, start=7), judged(WORDS, start=3)
    assert credit(asked(first, second), [passage(WORDS)]) == [first]


def test_a_whole_document_is_earned_by_any_passage_of_it_once() -> None:
    question = asked(JudgedText(doc_id="a", relevance=2))
    assert grades(question, "anything", "else") == [2, 0]


def test_a_judgement_of_a_chunk_is_earned_by_that_chunk_alone() -> None:
    question = asked(JudgedText(doc_id="a#1", relevance=2))
    assert grades(question, "anything", "else") == [0, 2]


def test_a_run_keeps_the_order_whatever_the_ids() -> None:
    run = judged_run({"q": ["z", "a", "m"], "r": []})
    assert run == {"q": {"z": 3.0, "a": 2.0, "m": 1.0}, "r": {}}


PIECES = st.lists(
    st.sampled_from(["ab cd ef gh ij kl", "kl mn op", "qr st uv wx yz", "ab cd"]), min_size=1, max_size=3
)
TEXTS = PIECES.map(" ".join)
DOC_IDS = st.sampled_from(["a", "b"])
JUDGED = st.lists(st.tuples(TEXTS, st.integers(0, 3), DOC_IDS), min_size=1, max_size=4).map(
    lambda rows: tuple(
        judged(text, relevance=grade, doc_id=doc_id, start=place)
        for place, (text, grade, doc_id) in enumerate(rows)
    )
)
PASSAGES = st.lists(st.tuples(TEXTS, DOC_IDS), max_size=5).map(
    lambda rows: [passage(text, doc_id=doc_id, number=n) for n, (text, doc_id) in enumerate(rows)]
)


@settings(deadline=None)
@given(JUDGED, PASSAGES)
def test_credit_earns_what_the_rule_says_step_by_step(
    relevant: tuple[JudgedText, ...], passages: list[ChunkText]
) -> None:
    left, wanted = list(relevant), []
    for one in passages:
        best = None
        for candidate in left:
            if candidate.doc_id != one.doc_id or not overlap(candidate.text or "", one.text):
                continue
            if best is None or candidate.relevance > best.relevance:
                best = candidate
        if best:
            left.remove(best)
        wanted.append(best)
    assert credit(asked(*relevant), passages) == wanted


def overlap(one: str, other: str) -> bool:
    sets = []
    for text in (one, other):
        words = text.split()
        sets.append({" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))})
    return len(sets[0] & sets[1]) / min(len(sets[0]), len(sets[1])) >= 0.5


# The ceiling


@settings(deadline=None)
@given(JUDGED, PASSAGES)
def test_the_ceiling_is_what_the_best_of_all_rankings_earns(
    relevant: tuple[JudgedText, ...], passages: list[ChunkText]
) -> None:
    question = asked(*relevant)
    if not question.answerable:
        return
    best = max(
        dcg([one.relevance if one else 0 for one in credit(question, list(order))])
        for order in itertools.permutations(passages)
    )
    ideal = dcg(sorted((one.relevance for one in relevant), reverse=True))
    found = ceilings([question], lambda doc_id: [one for one in passages if one.doc_id == doc_id])
    assert found == {"q": pytest.approx(best / ideal, abs=1e-12)}


def test_one_chunk_with_two_judged_texts_caps_the_score() -> None:
    question = asked(judged("one two three four five"), judged("eight nine ten eleven twelve", start=9))
    found = ceilings([question], lambda _: [passage(WORDS)])
    assert found["q"] == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_a_text_gives_up_its_chunk_when_another_chunk_will_do() -> None:
    # Both texts stand in the first chunk; only the early one stands in the second as well.
    early, late = judged("one two three four five", start=1), judged("eight nine ten eleven twelve", start=2)
    chunks = [passage(WORDS, number=0), passage("one two three four five", number=1)]
    for relevant in ((early, late), (late, early)):
        assert set(earnable(asked(*relevant), lambda _: chunks)) == {early, late}


def test_a_text_that_does_not_answer_is_nothing_to_earn() -> None:
    assert earnable(asked(judged(WORDS, relevance=0)), lambda _: [passage(WORDS)]) == []


def test_only_the_first_ten_ranks_count() -> None:
    texts = [" ".join(f"w{n}{letter}" for letter in "abcde") for n in range(12)]
    question = asked(*(judged(text, start=n) for n, text in enumerate(texts)))
    chunks = [passage(text, number=n) for n, text in enumerate(texts)]
    for count, ceiling in ((12, 1.0), (10, 1.0), (9, dcg([1] * 9) / dcg([1] * 10))):
        assert ceilings([question], lambda _, count=count: chunks[:count]) == {"q": ceiling}  # type: ignore[misc]


def test_the_ceiling_of_a_question_without_an_answer_is_not_asked_for() -> None:
    assert ceilings([asked(), asked(judged(WORDS, relevance=0))], lambda _: []) == {}


# Parity with the shared scorer


@pytest.fixture(scope="module")
def scoring() -> ModuleType:
    """The scorer that comes with the shared questions; skipped where ../shared is absent."""
    path = SHARED / "eval" / "scoring.py"
    if not path.is_file():
        pytest.skip(f"the shared scorer is not here: {path} is missing")
    spec = importlib.util.spec_from_file_location("shared_scoring", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = writes
    return module


def shuffled_passages(
    line: dict[str, Any], distractors: list[dict[str, Any]], chance: random.Random
) -> list[ChunkText]:
    """Judged texts whole, halved, joined and repeated, among texts of other questions."""
    texts = [(one["doc_id"], one["text"]) for one in line["relevant"]]
    halves = [(doc_id, text[: len(text) * chance.randint(2, 8) // 10]) for doc_id, text in texts]
    joined = [(doc_id, text + " " + other) for (doc_id, text), (_, other) in itertools.pairwise(texts)]
    others = [(one["doc_id"], one["text"]) for one in distractors]
    pool = [*texts, *halves, *joined, *others, *texts[:1]]
    chance.shuffle(pool)
    return [passage(text, doc_id=doc_id, number=n) for n, (doc_id, text) in enumerate(pool[:10])]


@pytest.mark.parametrize("name", ["lay-dev", "pdq-dev"])
def test_the_shared_scorer_gives_the_same_figures(name: str, scoring: ModuleType) -> None:
    path = SHARED / "eval" / f"{name}.jsonl"
    questions = read_questions(path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    chance = random.Random(20260101)  # noqa: S311 - any rankings will do
    ranked = {
        line["query_id"]: shuffled_passages(line, other["relevant"][:3], chance)
        for line, other in zip(lines, lines[1:] + lines[:1], strict=True)
    }
    ranked[lines[0]["query_id"]] = []
    theirs = scoring.score(
        lines,
        {
            query_id: [{"doc_id": one.doc_id, "text": one.text} for one in row]
            for query_id, row in ranked.items()
        },
    )
    ids: dict[str, list[str]] = {}
    for question in questions:
        row = ranked[question.query_id]
        earned = credit(question, row)
        ids[question.query_id] = [
            judged.judged_id if judged else one.chunk_id for one, judged in zip(row, earned, strict=True)
        ]
    names = ("nDCG@10", "RR@10", "Success@1", "Success@5")
    ours = evaluate_run(judged_run(ids), questions, measures=names)
    assert ours.means == pytest.approx({name: theirs[name] for name in names}, abs=1e-9)
    assert 0.2 < ours.means["nDCG@10"] < 0.95
