"""Paired comparisons: p values by hand, intervals with known ends, and what cannot be compared."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.errors import InvalidRequest
from rag.evaluate.comparison import bootstrap_interval, compare, compare_values, randomisation_p
from rag.evaluate.evaluate import Evaluation, Result


def p_of(*differences: float) -> float:
    return randomisation_p(np.array(differences, dtype=np.float64))


def by_enumeration(differences: list[float]) -> float:
    """All ways to flip the signs, written out."""
    observed = abs(sum(differences))
    sums = [
        abs(sum(sign * one for sign, one in zip(signs, differences, strict=True)))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(one >= observed - 1e-9 for one in sums) / len(sums)


def evaluation(
    values: dict[str, float], *, judgements: str = "j", depth: int = 10, name: str = "P@5"
) -> Evaluation:
    results = tuple(
        Result(query_id=an_id, hits=(), measures={name: value}) for an_id, value in values.items()
    )
    return Evaluation(measures=(name,), depth=depth, judgements=judgements, results=results, unanswerable=())


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ((1.0,), 1.0),
        ((1.0, 1.0), 0.5),
        ((1.0, 1.0, 1.0), 0.25),
        ((1.0, -1.0), 1.0),
        # Of 3, 1, −1 with sum 3 only the two flips to ±1 are less extreme.
        ((3.0, 1.0, -1.0), 0.75),
        ((1.0,) * 12, 2 / 4096),
        ((), 1.0),
        ((0.0, 0.0), 1.0),
        # Ties say nothing about the direction.
        ((1.0, 1.0, 1.0, 0.0, 0.0), 0.25),
    ],
)
def test_with_few_differences_the_p_value_is_exact(differences: tuple[float, ...], p: float) -> None:
    assert p_of(*differences) == p


@settings(deadline=None)
@given(st.lists(st.sampled_from([-1.0, -0.3, -0.1, 0.1, 0.2, 0.7]), min_size=1, max_size=9))
def test_exact_p_values_agree_with_the_enumeration(differences: list[float]) -> None:
    assert p_of(*differences) == by_enumeration(differences)


def test_any_number_of_ties_leaves_the_p_value_exact() -> None:
    assert p_of(1.0, 1.0, 1.0, *[0.0] * 40) == 0.25


def test_with_many_differences_the_p_value_is_near_the_enumeration() -> None:
    differences = [0.3, 0.1, -0.2, 0.5, 0.4, -0.1, 0.2, 0.3, -0.4, 0.1, 0.6, -0.3, 0.2, 0.1]
    assert p_of(*differences) == pytest.approx(by_enumeration(differences), abs=0.02)


def test_a_sampled_p_value_is_never_zero_and_the_same_each_time() -> None:
    ones = np.ones(60)
    assert randomisation_p(ones) == randomisation_p(ones) == 1 / 10_001
    assert randomisation_p(ones, draws=20_000) == 1 / 20_001


def test_many_questions_are_drawn_in_blocks_that_give_all_draws() -> None:
    # 30,000 columns leave 33 rows a block; the last block is smaller.
    assert randomisation_p(np.ones(30_000), draws=100) == 1 / 101
    assert bootstrap_interval(np.ones(30_000), draws=100) == (1.0, 1.0)


def test_swapping_the_systems_keeps_p_and_turns_everything_else() -> None:
    first = {f"q{n}": n / 20 for n in range(20)}
    second = {f"q{n}": (n * 7 % 20) / 20 + (0.1 if n % 3 else 0.0) for n in range(20)}
    one = compare_values(first, second, measure="P@5")
    other = compare_values(second, first, measure="P@5")
    assert one.p_value == pytest.approx(other.p_value, abs=0.02)
    assert (one.wins, one.ties, one.losses) == (other.losses, other.ties, other.wins)
    assert one.difference == pytest.approx(-other.difference)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low), abs=0.02)


def test_differences_are_counted_by_question() -> None:
    new = {"q1": 1.0, "q2": 0.5, "q3": 0.1 + 0.2}
    baseline = {"q3": 0.3, "q2": 0.75, "q1": 0.0}
    found = compare_values(new, baseline, measure="P@5")
    assert found.differences == {"q1": 1.0, "q2": -0.25, "q3": 0.0}
    assert (found.wins, found.ties, found.losses) == (1, 1, 1)
    assert (found.new, found.baseline) == pytest.approx((0.6, 0.35))
    assert found.difference == pytest.approx(0.25)


def test_a_constant_gain_has_an_interval_without_width() -> None:
    assert bootstrap_interval(np.full(9, 0.25)) == (0.25, 0.25)


def test_the_interval_holds_nineteen_of_twenty_means() -> None:
    # The mean of 400 fair coins lies within 1.96 · 0.5 / 20 of a half.
    low, high = bootstrap_interval(np.tile([0.0, 1.0], 200))
    assert (low, high) == pytest.approx((0.5 - 0.049, 0.5 + 0.049), abs=0.006)


def test_the_order_of_the_questions_changes_nothing() -> None:
    values = {f"q{n}": (n * 13 % 7) / 7 for n in range(30)}
    baseline = dict.fromkeys(values, 0.4)
    turned = dict(reversed(values.items()))
    assert compare_values(values, baseline, measure="P@5") == compare_values(turned, baseline, measure="P@5")


def test_different_questions_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"2 are on one side only, 'q1' for one"):
        compare(evaluation({"q1": 1.0, "q2": 1.0}), evaluation({"q2": 1.0, "q3": 1.0}), measure="P@5")
    with pytest.raises(InvalidRequest, match="no question to compare on"):
        compare_values({}, {}, measure="P@5")


def test_the_same_questions_under_other_judgements_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="judged differently"):
        compare(evaluation({"q": 1.0}), evaluation({"q": 1.0}, judgements="other"), measure="P@5")


def test_a_measure_of_the_whole_ranking_is_refused_at_different_depths() -> None:
    pair = (evaluation({"q": 1.0}, name="AP"), evaluation({"q": 1.0}, name="AP", depth=50))
    with pytest.raises(InvalidRequest, match="10 on one side and 50 on the other; take AP@10"):
        compare(*pair, measure="AP")
    assert compare(evaluation({"q": 1.0}), evaluation({"q": 0.0}, depth=50), measure="P@5").difference == 1.0


def test_a_measure_that_one_side_lacks_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="'P@6' was not measured, only P@5"):
        compare(evaluation({"q": 1.0}), evaluation({"q": 1.0}), measure="P@6")
