"""Logistic regression with a ridge, fitted by Newton's method.

The penalty is on the weights and not on the intercept, against the sum (not the mean) of the losses.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]

_STEPS = 100
_SETTLED = 1e-9
# Keeps the curvature positive where every probability is 0 or 1.
_LEAST_CURVATURE = 1e-9
# The mean of equal numbers may differ from them by rounding: that is no spread to divide by.
_ROUNDING = 1e-9


class Fitted(NamedTuple):
    """A fitted regression: `weights` [d] and intercept of the log-odds."""

    weights: Matrix
    intercept: float

    def odds(self, rows: Matrix) -> Matrix:
        """The log-odds [n] of rows [n, d]."""
        return rows @ self.weights + self.intercept


def fit_logistic(rows: Matrix, labels: Matrix, *, ridge: float) -> Fitted:
    """Fit labels [n], 0 or 1, by rows [n, d]; `ridge` above 0 makes the fit unique."""
    design = np.column_stack([rows, np.ones(len(rows))])
    penalty = np.append(np.full(rows.shape[1], ridge), 0.0)
    solution = np.zeros(design.shape[1])
    for _ in range(_STEPS):
        chance = logistic(design @ solution)
        curvature = chance * (1 - chance) + _LEAST_CURVATURE
        hessian = (design * curvature[:, None]).T @ design + np.diag(penalty)
        step = np.linalg.solve(hessian, design.T @ (chance - labels) + penalty * solution)
        # A whole step may overshoot while the fit is still far off.
        solution -= step / max(1.0, float(np.abs(step).max()) / 5)
        if np.abs(step).max() < _SETTLED:
            break
    return Fitted(solution[:-1], float(solution[-1]))


def logistic(odds: Matrix) -> Matrix:
    """Probabilities of log-odds, without overflow."""
    return np.asarray(0.5 * (1 + np.tanh(odds / 2)))


def standardised(rows: Matrix) -> tuple[Matrix, Matrix]:
    """Mean and scale [d] of each column; a column that never changes has the scale 1."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    changes = scale > _ROUNDING * np.maximum(1.0, np.abs(mean))
    return mean, np.where(changes, scale, 1.0)
