"""How good probabilities are: areas against brute force over all pairs, bins and curves by hand."""

from __future__ import annotations

import random
from dataclasses import astuple
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.evaluate.reliability import auc, calibration_error, reliability, risk_coverage

# Few values, so that ties are the rule.
COARSE = st.sampled_from([0.0, 0.1, 0.25, 0.3, 0.5, 0.7, 0.999, 1.0])
FINE = st.floats(0, 1)
SCORED = st.lists(st.tuples(st.booleans(), COARSE | FINE), min_size=1, max_size=60)


def apart(scored: list[tuple[bool, float]]) -> tuple[list[bool], list[float]]:
    return [label for label, _ in scored], [score for _, score in scored]


def with_both(scored: list[tuple[bool, float]]) -> bool:
    return len({label for label, _ in scored}) == 2


# Area under the ROC curve


@given(SCORED.filter(with_both))
def test_the_area_is_the_share_of_pairs_in_the_right_order(scored: list[tuple[bool, float]]) -> None:
    true = [score for label, score in scored if label]
    false = [score for label, score in scored if not label]
    won = sum((one > other) + (one == other) / 2 for one, other in product(true, false))
    assert auc(*apart(scored)) == pytest.approx(won / (len(true) * len(false)))


@given(SCORED.filter(with_both))
def test_turning_the_labels_round_turns_the_area_round(scored: list[tuple[bool, float]]) -> None:
    labels, scores = apart(scored)
    assert auc([not label for label in labels], scores) == pytest.approx(1 - auc(labels, scores))


def test_an_order_without_a_fault_has_the_area_1_and_no_order_a_half() -> None:
    labels = [True, False, True, False]
    assert auc(labels, [0.9, 0.1, 0.8, 0.7]) == 1.0
    assert auc(labels, [0.1, 0.9, 0.2, 0.8]) == 0.0
    assert auc(labels, [0.4] * 4) == 0.5
    assert auc(labels, [0.9, 0.1, 0.5, 0.5]) == 0.875


@pytest.mark.parametrize("labels", [[], [True, True], [False]])
def test_labels_of_one_kind_have_no_area(labels: list[bool]) -> None:
    with pytest.raises(ValueError, match="needs true and false ones"):
        auc(labels, [0.5] * len(labels))


# The reliability diagram

LABELS = [True, False, True, True, False, True]
CONFIDENCES = [0.05, 0.0, 0.3, 0.38, 0.95, 1.0]


def test_the_bins_are_those_a_hand_would_fill() -> None:
    found = [astuple(one) for one in reliability(LABELS, CONFIDENCES)]
    expected = [(0.0, 0.1, 2, 0.025, 0.5), (0.3, 0.4, 2, 0.34, 1.0), (0.9, 1.0, 2, 0.975, 0.5)]
    assert found == [pytest.approx(one) for one in expected]


@pytest.mark.parametrize("tenth", range(10))
def test_a_confidence_on_the_border_belongs_to_the_upper_bin(tenth: int) -> None:
    (only,) = reliability([True], [tenth / 10])
    assert (only.low, only.high) == (tenth / 10, (tenth + 1) / 10)


def test_certainty_is_in_the_last_bin_and_nothing_has_no_bins() -> None:
    (only,) = reliability([True, False], [1.0, 1.0])
    assert (only.low, only.high, only.count, only.accuracy) == (0.9, 1.0, 2, 0.5)
    assert reliability([], []) == []


@given(SCORED)
def test_every_question_is_in_one_bin_that_its_confidence_lies_in(scored: list[tuple[bool, float]]) -> None:
    bins = reliability(*apart(scored))
    assert sum(one.count for one in bins) == len(scored)
    assert sum(one.count * one.accuracy for one in bins) == pytest.approx(sum(label for label, _ in scored))
    assert all(one.low - 1e-9 <= one.confidence <= one.high + 1e-9 for one in bins)
    assert [one.low for one in bins] == sorted({one.low for one in bins})


def test_the_calibration_error_is_the_mean_gap_weighted_by_questions() -> None:
    # Gaps of .475, .66 and .475, two questions each.
    assert calibration_error(LABELS, CONFIDENCES) == pytest.approx((0.475 + 0.66 + 0.475) / 3)
    # A gap of .1 over eight questions and one of .4 over two.
    assert calibration_error([True] * 8 + [True, False], [0.9] * 8 + [0.1] * 2) == pytest.approx(0.16)


def test_promises_that_are_kept_have_no_error_and_broken_ones_all() -> None:
    assert calibration_error([True, False, False, False], [0.25] * 4) == 0.0
    assert calibration_error([True, False], [0.0, 1.0]) == 1.0
    assert calibration_error([], []) == 0.0


# Risk and coverage


def test_the_curve_is_that_a_hand_would_draw() -> None:
    confidences = [0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    labels = [True, True, False, True, False, True, False, False, False, False]
    wrong = [0, 0, 1, 1, 2, 2, 3, 4, 5, 6]
    expected = [(size / 10, missed / size) for size, missed in enumerate(wrong, start=1)]
    backwards = risk_coverage(labels[::-1], confidences[::-1])
    for curve in (risk_coverage(labels, confidences), backwards):
        assert [at for at, _ in curve] == [at for at, _ in expected]
        assert [risk for _, risk in curve] == pytest.approx([risk for _, risk in expected])


def test_questions_that_do_not_fill_tenths_are_told_by_what_is_covered() -> None:
    curve = risk_coverage([True, False, True], [0.9, 0.8, 0.7])
    assert curve[0] == (1 / 3, 0.0)
    assert {at for at, _ in curve} == {1 / 3, 2 / 3, 1.0}
    assert dict(curve) == pytest.approx({1 / 3: 0.0, 2 / 3: 0.5, 1.0: 1 / 3})


def test_equal_confidences_have_the_same_risk_whatever_is_covered() -> None:
    """The order of a file, the answered ones first, must not pass for a good order."""
    curve = risk_coverage([True] * 6 + [False] * 4, [0.5] * 10)
    assert [risk for _, risk in curve] == pytest.approx([0.4] * 10)


@given(SCORED, st.randoms(use_true_random=False))
def test_the_order_of_the_questions_does_not_matter(
    scored: list[tuple[bool, float]], chance: random.Random
) -> None:
    orders = scored, chance.sample(scored, len(scored))
    bins = [[(one.low, one.count) for one in reliability(*apart(order))] for order in orders]
    assert bins[0] == bins[1]
    risks = [[risk for _, risk in risk_coverage(*apart(order))] for order in orders]
    assert risks[0] == pytest.approx(risks[1])


@given(SCORED)
def test_whoever_answers_everything_has_the_risk_of_all(scored: list[tuple[bool, float]]) -> None:
    labels, scores = apart(scored)
    coverage, risk = risk_coverage(labels, scores)[-1]
    assert coverage == 1.0
    assert risk == pytest.approx(labels.count(False) / len(labels))
