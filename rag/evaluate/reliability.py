"""How good probabilities are: whether they order, whether they hold what they promise, what caution costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]

BINS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Bin:
    """The questions whose confidence lies between two tenths: their mean confidence and how often it held."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def auc(labels: Sequence[bool], scores: Sequence[float]) -> float:
    """The area under the ROC curve: how often a true one scores above a false one, a tie counting half.

    Source: Mann and Whitney (1947). Raises `ValueError` unless there are both kinds.
    """
    truth, values = np.asarray(labels, dtype=np.bool_), np.asarray(scores, dtype=np.float64)
    true, false = np.sort(values[truth]), np.sort(values[~truth])
    if not len(true) or not len(false):
        raise ValueError("an area under the ROC curve needs true and false ones")
    below = np.searchsorted(false, true, side="left")
    tied = np.searchsorted(false, true, side="right") - below
    return float((below + tied / 2).sum() / (len(true) * len(false)))


def reliability(labels: Sequence[bool], confidences: Sequence[float]) -> list[Bin]:
    """The bins of a reliability diagram that hold any question, of equal width; 1.0 is in the last one."""
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(confidences, dtype=np.float64)
    places = np.minimum((values * BINS).astype(np.int64), BINS - 1)
    return [
        Bin(
            low=at / BINS,
            high=(at + 1) / BINS,
            count=int(held.sum()),
            confidence=float(values[held].mean()),
            accuracy=float(truth[held].mean()),
        )
        for at in range(BINS)
        if (held := places == at).any()
    ]


def calibration_error(labels: Sequence[bool], confidences: Sequence[float]) -> float:
    """The expected calibration error: the mean gap of the bins, each weighted by its questions.

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015.
    """
    bins = reliability(labels, confidences)
    gaps = sum(one.count * abs(one.confidence - one.accuracy) for one in bins)
    return gaps / max(1, len(labels))


def risk_coverage(labels: Sequence[bool], confidences: Sequence[float]) -> list[tuple[float, float]]:
    """Coverage and risk: among the most confident tenth, two tenths and so on, the share that is wrong.

    Equal confidences have no order: each of them counts as the mean of all.
    Source: El-Yaniv and Wiener, JMLR 2010.
    """
    wrong = 1 - np.asarray(labels, dtype=np.float64)
    _, tied, counts = np.unique(
        -np.asarray(confidences, dtype=np.float64), return_inverse=True, return_counts=True
    )
    shared = np.repeat(np.bincount(tied, weights=wrong) / counts, counts)
    risks = np.cumsum(shared) / np.arange(1, len(shared) + 1)
    sizes = [max(1, round(len(shared) * tenth / BINS)) for tenth in range(1, BINS + 1)]
    return [(size / len(shared), float(risks[size - 1])) for size in sizes]
