"""Fitting the confidence, and measuring it on questions that it was not fitted on.

That no question is measured by a calibration fitted on it is shown exactly: its own label may be anything
and its confidence stays the same.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keyword_encoder import WORDS, KeywordEncoder
from little_index import fillers, little_index, page

from rag.answer.confidence import Calibration
from rag.answer.evidence import EVIDENCE_NAMES, Evidence, EvidenceReader
from rag.errors import InvalidRequest
from rag.evaluate.calibrate import (
    FEWEST,
    FOLDS,
    Measured,
    Observations,
    calibrate,
    cross_validate,
    folds_of,
    joined,
    measure,
    observe,
)
from rag.evaluate.calibration_report import (
    diagrams,
    quality_table,
    reliability_table,
    risk_table,
    status_table,
)
from rag.evaluate.labelled import LabelledQuestion
from rag.evaluate.questions import JudgedText, Question
from rag.evaluate.regression import Matrix
from rag.search.retriever import Retriever

ENCODER = KeywordEncoder()


def question(query_id: str, text: str, *, answerable: bool, answered: bool | None = None) -> LabelledQuestion:
    """A question that is answered when it can be, unless the labels differ."""
    return LabelledQuestion(
        query_id=query_id,
        question=text,
        answerable=answerable,
        answered=answerable if answered is None else answered,
        kind=None,
        judged=Question(query_id=query_id, question=text),
    )


def observations(evidence: Matrix, vectors: Matrix, answered: Matrix) -> Observations:
    questions = [
        question(f"q{at}", f"Question {at}?", answerable=bool(one)) for at, one in enumerate(answered)
    ]
    return Observations(questions=questions, evidence=evidence, vectors=vectors, answered=answered)


def random_observations(count: int, *, signal: float, dim: int = 6, seed: int = 1) -> Observations:
    """Evidence and vectors whose first number tells the label as far as `signal` goes; the rest is noise."""
    random = np.random.default_rng(seed)
    answered = (np.arange(count) % 2).astype(np.float64)
    evidence = random.normal(size=(count, len(EVIDENCE_NAMES)))
    vectors = random.normal(size=(count, dim))
    evidence[:, 0] += signal * answered
    vectors[:, 0] += signal * answered
    return observations(evidence, vectors, answered)


def memorable(count: int = 150, seed: int = 2) -> Observations:
    """Noise for labels and evidence; every question has an axis of its own to be remembered by."""
    random = np.random.default_rng(seed)
    evidence = random.normal(size=(count, len(EVIDENCE_NAMES)))
    return observations(evidence, np.eye(count) * 5, (random.random(count) < 0.5).astype(np.float64))


def fitted(seen: Observations) -> Calibration:
    return calibrate(seen, ENCODER, cross_validate(seen, ENCODER))


# Folds


def test_the_fold_of_a_question_comes_from_its_id_and_from_nothing_else() -> None:
    ids = [f"q{number}" for number in range(100)]
    folds = dict(zip(ids, folds_of(ids).tolist(), strict=True))
    assert dict(zip(ids[::-3], folds_of(ids[::-3]).tolist(), strict=True)).items() <= folds.items()
    for query_id, fold in folds.items():
        digest = hashlib.blake2b(query_id.encode(), digest_size=4).hexdigest()
        assert fold == int(digest, 16) % 5


def test_the_folds_are_about_equally_large() -> None:
    sizes = Counter(folds_of([f"q{number}" for number in range(5000)]).tolist())
    assert set(sizes) == set(range(FOLDS))
    assert all(900 < size < 1100 for size in sizes.values())


def test_the_same_question_in_two_indexes_stays_in_one_fold() -> None:
    large, small = random_observations(60, signal=1.0), random_observations(60, signal=1.0, seed=9)
    both = joined([large, small])
    folds = folds_of([one.query_id for one in both.questions])
    assert (folds[:60] == folds[60:]).all()
    in_large = np.arange(120) < 60
    for fold in range(FOLDS):
        # What the large index says of a question is no part of the fit that measures it in the small one.
        changed = np.where((folds == fold) & in_large, 1 - both.answered, both.answered)
        before, after = (
            np.array(cross_validate(seen, ENCODER).confidences)[(folds == fold) & ~in_large]
            for seen in (both, replace(both, answered=changed))
        )
        assert (before == after).all()


# No question is measured by a calibration that was fitted on it


@pytest.mark.parametrize("fold", range(FOLDS))
def test_the_labels_of_a_fold_do_not_touch_its_own_confidences(fold: int) -> None:
    seen = random_observations(100, signal=1.0)
    own = folds_of([one.query_id for one in seen.questions]) == fold
    flipped = replace(seen, answered=np.where(own, 1 - seen.answered, seen.answered))
    before = np.array(cross_validate(seen, ENCODER).confidences)
    after = np.array(cross_validate(flipped, ENCODER).confidences)
    assert own.any()
    assert (before[own] == after[own]).all()
    assert (before[~own] != after[~own]).all()


def test_a_wild_question_does_not_touch_how_the_rest_of_its_fold_is_measured() -> None:
    seen = random_observations(100, signal=1.0)
    folds = folds_of([one.query_id for one in seen.questions])
    evidence, vectors = seen.evidence.copy(), seen.vectors.copy()
    evidence[0], vectors[0] = 1e6, -1e6
    others = np.flatnonzero(folds == folds[0])[1:]
    wild = cross_validate(replace(seen, evidence=evidence, vectors=vectors), ENCODER).confidences
    assert (np.array(wild)[others] == np.array(cross_validate(seen, ENCODER).confidences)[others]).all()


@pytest.mark.parametrize("seed", [2, 3])
def test_labels_that_are_noise_are_not_foretold(seed: int) -> None:
    """The fit could remember every one of these questions; that must not be taken for knowledge."""
    measured = cross_validate(memorable(seed=seed), ENCODER)
    assert 0.35 < measured.auc_answered < 0.62


def test_a_vector_is_trusted_only_as_far_as_it_foretells_questions_not_seen() -> None:
    """Fitted on its own log-odds, the second regression would believe whatever the first remembers."""
    noise = fitted(memorable()).meaning.share
    known = fitted(random_observations(300, signal=2.0)).meaning.share
    assert abs(noise.weight) < 0.3
    assert known.weight > 0.8


def test_what_can_be_known_is_found() -> None:
    measured = cross_validate(random_observations(400, signal=3.0), ENCODER)
    assert measured.auc_answered > 0.97
    assert measured.calibration_error < 0.05


def test_the_order_of_the_questions_does_not_matter() -> None:
    seen = random_observations(80, signal=1.0)
    order = np.random.default_rng(0).permutation(80)
    one, other = (cross_validate(some, ENCODER) for some in (seen, seen.take(order)))
    assert [each.query_id for each in other.questions] == [f"q{at}" for at in order]
    assert other.confidences == pytest.approx([one.confidences[at] for at in order], abs=1e-9)


def test_an_index_of_another_size_is_no_news_to_who_has_seen_one_size_only() -> None:
    """Whatever rounding does to the mean of a number that never changed, it weighs nothing."""
    seen = random_observations(500, signal=1.0)
    evidence, corpus = seen.evidence.copy(), EVIDENCE_NAMES.index("corpus")
    evidence[:, corpus] = np.log1p(117)
    made = fitted(replace(seen, evidence=evidence))
    grown = evidence.copy()
    grown[:, corpus] = np.log1p(13_000)
    confidences = [measure(replace(seen, evidence=some), made).confidences for some in (evidence, grown)]
    assert confidences[0] == pytest.approx(confidences[1], abs=1e-6)


# What a calibration holds


def test_the_confidence_of_an_answer_is_the_one_that_was_measured() -> None:
    seen = random_observations(60, signal=1.0)
    made = fitted(seen)
    read_again = Calibration.model_validate_json(made.model_dump_json())
    alone = [
        read_again.probability(Evidence(**dict(zip(EVIDENCE_NAMES, row.tolist(), strict=True))), vector)
        for row, vector in zip(seen.evidence, seen.vectors, strict=True)
    ]
    assert alone == pytest.approx(measure(seen, made).confidences, abs=1e-12)


def test_a_calibration_tells_where_it_comes_from() -> None:
    random = random_observations(61, signal=1.0)
    measured = cross_validate(random, ENCODER)
    made = calibrate(random, ENCODER, measured)
    assert (made.encoder, made.encoder_fingerprint) == (ENCODER.name, ENCODER.fingerprint)
    assert made.fitted_on == {"answered": 30, "not_answered": 31}
    assert made.measured == {
        "auc_answered": round(measured.auc_answered, 4),
        "auc_answerable": round(measured.auc_answerable, 4),
        "calibration_error": round(measured.calibration_error, 4),
    }
    assert list(made.evidence) == list(EVIDENCE_NAMES)
    assert len(made.meaning.weights) == 6


@pytest.mark.parametrize("name", EVIDENCE_NAMES)
def test_each_number_of_the_evidence_is_weighed_under_its_own_name(name: str) -> None:
    seen = random_observations(200, signal=0.0)
    evidence = seen.evidence.copy()
    evidence[:, EVIDENCE_NAMES.index(name)] += 3 * seen.answered
    weights = {key: one.weight for key, one in fitted(replace(seen, evidence=evidence)).evidence.items()}
    assert max(weights, key=lambda key: abs(weights[key])) == name
    assert weights[name] > 1


def test_a_question_that_can_be_answered_and_was_not_counts_for_one_area_and_not_for_the_other() -> None:
    measured = Measured(
        questions=[
            question("a", "a", answerable=True),
            question("b", "b", answerable=True, answered=False),
            question("c", "c", answerable=False),
        ],
        answered=[True, False, False],
        confidences=[0.5, 0.9, 0.1],
    )
    assert (measured.auc_answered, measured.auc_answerable) == (0.5, 1.0)
    assert measured.calibration_error == pytest.approx((0.5 + 0.9 + 0.1) / 3)
    part = measured.take([2, 0])
    assert [one.query_id for one in part.questions] == ["c", "a"]
    assert (part.answered, part.confidences) == ([False, True], [0.1, 0.5])


@given(st.lists(st.integers(0, 19), max_size=25))
def test_taking_some_observations_keeps_each_with_its_own(places: list[int]) -> None:
    seen = random_observations(20, signal=1.0)
    part = seen.take(np.array(places, dtype=np.int64))
    assert [one.query_id for one in part.questions] == [f"q{place}" for place in places]
    assert (part.evidence == seen.evidence[places]).all()
    assert (part.vectors == seen.vectors[places]).all()
    assert (part.answered == seen.answered[places]).all()


def test_joined_observations_stand_one_behind_the_other() -> None:
    parts = random_observations(4, signal=1.0), random_observations(6, signal=1.0, seed=5)
    both = joined(parts)
    for part, places in zip(parts, (range(4), range(4, 10)), strict=True):
        again = both.take(np.array(places))
        assert again.questions == part.questions
        assert (again.evidence == part.evidence).all()
        assert (again.vectors == part.vectors).all()
        assert (again.answered == part.answered).all()


# The report


def test_the_tables_hold_what_a_hand_would_count() -> None:
    measured = Measured(
        questions=[
            question("a", "a", answerable=True),
            question("b", "b", answerable=True, answered=False),
            replace(question("c", "c", answerable=False), kind="off_topic"),
        ],
        answered=[True, False, False],
        confidences=[0.5, 0.9, 0.1],
    )
    quality = quality_table(measured, how="by hand")
    assert [value for _, value in quality.rows] == ["1.000", "0.500", "0.500"]
    counted = "3 questions, by hand: the documents answer 2, and the top passages 1 of them."
    assert quality.notes == (counted,)
    assert reliability_table(measured).rows == (
        ("0.1-0.2", "1", "0.100", "0.000"),
        ("0.5-0.6", "1", "0.500", "1.000"),
        ("0.9-1.0", "1", "0.900", "0.000"),
    )
    expected = {("0.333", "1.000"), ("0.667", "0.500"), ("1.000", "0.667")}
    assert set(risk_table(measured).rows) == expected
    assert status_table(measured, answered_from=0.9, uncertain_from=0.5).rows == (
        ("yes", "any", "1", "1", "0"),
        ("no", "off_topic", "0", "0", "1"),
    )
    drawn = diagrams(measured)
    assert "bar [0.000, 1.000, 0.000]\n    line [0.100, 0.500, 0.900]" in drawn
    assert "line [1.000, 1.000, 1.000, 1.000, 0.500, 0.500, 0.500, 0.500, 0.667, 0.667]" in drawn


# Asking


@pytest.fixture(scope="module")
def retriever(tmp_path_factory: pytest.TempPathFactory) -> Retriever:
    """A page for each word, its text long enough to be judged by."""
    pages = {
        word: page(f"What we know of {word} is told on this page and no other.", title=word.title())
        for word in WORDS
    }
    return Retriever(little_index(tmp_path_factory.mktemp("little"), pages | fillers()), ENCODER)


def asked(answered: int, unanswered: int) -> list[LabelledQuestion]:
    texts = [f"What of {word} on day {day}?" for day in range(10) for word in WORDS]
    good = [question(f"yes-{at}", text, answerable=True) for at, text in enumerate(texts[:answered])]
    bad = [question(f"no-{at}", f"Wages of clerk {at}?", answerable=False) for at in range(unanswered)]
    return [*good, *bad]


def test_what_is_noted_of_a_question_is_what_an_answer_is_judged_by(retriever: Retriever) -> None:
    questions, told = asked(FEWEST, FEWEST), list[tuple[int, int]]()
    seen = observe(retriever, questions, on_progress=lambda done, total: told.append((done, total)))
    reader = EvidenceReader(retriever.backend)
    for at in (0, 7, FEWEST, 2 * FEWEST - 1):
        # An answer asks for another number of passages; its foremost hits are the same.
        ranking = retriever.search(questions[at].question, top_k=9)
        stored = retriever.backend.chunks([hit.chunk_id for hit in ranking.foremost])
        expected = reader.read(questions[at].question, ranking, stored)
        assert seen.evidence[at].tolist() == expected.vector().tolist()
        assert seen.vectors[at] == pytest.approx(ENCODER.encode_queries([questions[at].question])[0])
    assert seen.questions == questions
    assert seen.answered.tolist() == [1.0] * FEWEST + [0.0] * FEWEST
    assert told == [(done, 2 * FEWEST) for done in range(1, 2 * FEWEST + 1)]


def judged_by(document: str) -> LabelledQuestion:
    """Nothing but this document answers."""
    one = question(f"judged-{document}", f"And what of hair? {document}", answerable=True)
    judged = replace(one.judged, relevant=(JudgedText(doc_id=document, relevance=2),))
    return replace(one, answered=None, judged=judged)


def test_a_judged_question_is_answered_by_the_first_five_passages_and_by_no_sixth(
    retriever: Retriever,
) -> None:
    text = judged_by("it").question
    ranked = [hit.chunk_id.partition("#")[0] for hit in retriever.search(text, top_k=6).hits]
    asked_for = [replace(judged_by(doc_id), question=text) for doc_id in ranked]
    seen = observe(retriever, [*asked(FEWEST, FEWEST), *asked_for])
    assert seen.answered[-6:].tolist() == [1.0] * 5 + [0.0]


def test_a_page_for_professionals_answers_no_question_here_either(tmp_path: Path) -> None:
    """Nor does an answer give it to a patient who asks."""
    pages = {word: page(f"All about {word}.", title=word.title()) for word in WORDS}
    strict = page("And what of hair? Hair, hair.", title="Hair", audienceLevel="professional")
    opened = Retriever(little_index(tmp_path, pages | fillers() | {"strict": strict}), ENCODER)
    ranked = opened.search(judged_by("strict").question, top_k=5).hits
    assert "strict" in {hit.chunk_id.partition("#")[0] for hit in ranked}
    seen = observe(opened, [*asked(FEWEST, FEWEST), judged_by("strict"), judged_by("hair")])
    assert seen.answered[-2:].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("answered", "unanswered", "told"),
    [
        (FEWEST - 1, FEWEST, f"hold {FEWEST - 1} that are answered by the top passages"),
        (FEWEST, FEWEST - 1, f"hold {FEWEST - 1} that are not answered by the top passages"),
        (0, 0, "hold 0 that are answered"),
    ],
)
def test_too_few_questions_of_a_kind_are_refused(
    answered: int, unanswered: int, told: str, retriever: Retriever
) -> None:
    with pytest.raises(InvalidRequest, match=told) as error:
        observe(retriever, asked(answered, unanswered))
    assert f"it takes {FEWEST} at the least" in str(error.value)


def test_the_fewest_questions_are_enough_for_every_fold(retriever: Retriever) -> None:
    seen = observe(retriever, asked(FEWEST, FEWEST))
    measured = cross_validate(seen, ENCODER)
    assert measured.auc_answered > 0.9
    assert all(0 <= one <= 1 for one in measured.confidences)
