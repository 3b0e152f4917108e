"""Logistic regression against closed forms, and the laws of an optimum on generated data."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rag.evaluate.regression import Fitted, Matrix, fit_logistic, logistic, standardised

SEEDS = st.integers(0, 2**32 - 1)


def log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def labels_of(*groups: tuple[int, int]) -> Matrix:
    """For each (size, ones): so many labels, the ones first."""
    return np.concatenate([np.arange(size) < ones for size, ones in groups]).astype(np.float64)


def some_data(seed: int, *, scale: float = 1.0) -> tuple[Matrix, Matrix]:
    random = np.random.default_rng(seed)
    count, dim = int(random.integers(2, 60)), int(random.integers(1, 12))
    rows = random.normal(size=(count, dim)) * scale
    return rows, (rows[:, 0] + random.normal(size=count) * random.integers(0, 3) > 0).astype(np.float64)


def gradient(fitted: Fitted, rows: Matrix, labels: Matrix, ridge: float) -> Matrix:
    """Of the sum of the losses and the penalty, written out."""
    error = 1 / (1 + np.exp(-fitted.odds(rows))) - labels
    return np.append(rows.T @ error + ridge * fitted.weights, error.sum())


def test_two_groups_are_told_apart_by_their_log_odds() -> None:
    """Without a penalty to speak of, the fit of one indicator is the table itself."""
    rows = np.array([[0.0]] * 10 + [[1.0]] * 20)
    fitted = fit_logistic(rows, labels_of((10, 3), (20, 16)), ridge=1e-9)
    assert fitted.intercept == pytest.approx(log_odds(0.3), abs=1e-7)
    assert fitted.weights == pytest.approx([log_odds(0.8) - log_odds(0.3)], abs=1e-7)


@pytest.mark.parametrize("weight", [0.1, 0.7, 1.9])
def test_a_penalised_weight_is_that_of_the_closed_form(weight: float) -> None:
    """With 40 rows at 1, of which 36 are true, and their mirror image, ridge · w = 2 (36 − 40 σ(w))."""
    rows = np.array([[1.0]] * 40 + [[-1.0]] * 40)
    ridge = 2 * (36 - 40 / (1 + math.exp(-weight))) / weight
    fitted = fit_logistic(rows, labels_of((40, 36), (40, 4)), ridge=ridge)
    assert fitted.weights == pytest.approx([weight], abs=1e-8)
    assert fitted.intercept == pytest.approx(0, abs=1e-8)


def test_without_a_feature_the_intercept_is_the_log_odds_of_the_share() -> None:
    fitted = fit_logistic(np.zeros((8, 0)), labels_of((8, 2)), ridge=3.0)
    assert fitted.weights.shape == (0,)
    assert fitted.intercept == pytest.approx(log_odds(0.25), abs=1e-8)


def test_the_penalty_shrinks_the_weights_and_never_the_intercept() -> None:
    rows, _ = some_data(5)
    labels = np.arange(len(rows)) < 0.8 * len(rows)
    fitted = fit_logistic(rows, labels.astype(np.float64), ridge=1e9)
    assert np.abs(fitted.weights).max() < 1e-6
    assert fitted.intercept == pytest.approx(log_odds(float(labels.mean())), abs=1e-5)


@settings(deadline=None)
@given(seed=SEEDS, ridge=st.floats(0.05, 50), scale=st.sampled_from([0.05, 1.0, 20.0]))
def test_the_gradient_is_zero_at_the_optimum(seed: int, ridge: float, scale: float) -> None:
    rows, labels = some_data(seed, scale=scale)
    if 0 < labels.sum() < len(labels):
        fitted = fit_logistic(rows, labels, ridge=ridge)
        assert gradient(fitted, rows, labels, ridge) == pytest.approx(0, abs=1e-6)


@settings(deadline=None)
@given(seed=SEEDS)
def test_twice_the_data_under_twice_the_ridge_gives_the_same_fit(seed: int) -> None:
    """The penalty is against the sum of the losses, not their mean."""
    rows, labels = some_data(seed)
    if 0 < labels.sum() < len(labels):
        once = fit_logistic(rows, labels, ridge=0.5)
        twice = fit_logistic(np.tile(rows, (2, 1)), np.tile(labels, 2), ridge=1.0)
        assert twice.weights == pytest.approx(once.weights, abs=1e-6)
        assert twice.intercept == pytest.approx(once.intercept, abs=1e-6)


@settings(deadline=None)
@given(seed=SEEDS)
def test_the_order_of_the_rows_does_not_matter(seed: int) -> None:
    rows, labels = some_data(seed)
    order = np.random.default_rng(seed).permutation(len(rows))
    if 0 < labels.sum() < len(labels):
        one, other = (fit_logistic(rows[at], labels[at], ridge=1.0) for at in (np.arange(len(rows)), order))
        assert other.weights == pytest.approx(one.weights, abs=1e-7)
        assert other.intercept == pytest.approx(one.intercept, abs=1e-7)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_kind_give_a_finite_fit_that_says_so(label: float) -> None:
    rows, labels = some_data(3)
    fitted = fit_logistic(rows, np.full_like(labels, label), ridge=1.0)
    assert np.isfinite([*fitted.weights, fitted.intercept]).all()
    assert logistic(fitted.odds(rows)) == pytest.approx(label, abs=1e-4)


def test_odds_are_weighed_rows_and_the_intercept() -> None:
    fitted = Fitted(np.array([2.0, -1.0]), 0.5)
    assert fitted.odds(np.array([[1.0, 1.0], [0.0, 3.0]])).tolist() == [1.5, -2.5]


@given(st.floats(-500, 500))
def test_the_logistic_function_is_its_definition(odds: float) -> None:
    expected = 1 / (1 + math.exp(-odds))
    assert float(logistic(np.array(odds))) == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_the_logistic_function_does_not_overflow() -> None:
    assert logistic(np.array([-1e308, -1e4, 0.0, 1e4, 1e308])).tolist() == [0, 0, 0.5, 1, 1]


@given(SEEDS)
def test_standardised_columns_have_mean_0_and_spread_1(seed: int) -> None:
    rows, _ = some_data(seed, scale=7.0)
    mean, scale = standardised(rows + 3.0)
    scaled = (rows + 3.0 - mean) / scale
    assert scaled.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert (scaled**2).mean(axis=0) == pytest.approx(1)


@given(value=st.floats(-1e6, 1e6), count=st.integers(2, 700))
def test_a_column_that_never_changes_has_scale_1_whatever_rounding_does(value: float, count: int) -> None:
    """The mean of 500 times log(118) is not log(118); divided by that difference, a later index of another
    size would be quadrillions of scales away.
    """
    mean, scale = standardised(np.full((count, 1), value))
    assert scale.tolist() == [1.0]
    assert mean == pytest.approx([value])


def test_a_small_change_is_still_a_change() -> None:
    _, scale = standardised(np.array([[1.0, 1e-7], [1.001, 2e-7]]))
    assert scale[0] == pytest.approx(0.0005)
    assert 0 < scale[1] < 1
