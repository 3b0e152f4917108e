"""Two systems on the same questions: whether the difference is more than luck."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.errors import InvalidRequest
from rag.evaluate.evaluate import Evaluation
from rag.evaluate.measures import cutoff_of

DRAWS = 10_000
SEED = 20_260_101
CONFIDENCE_LEVEL = 0.95
# With this many differences all ways to flip their signs are fewer than the draws.
MOST_ENUMERATED = 12
_AT_ONCE = 1_000_000
# Sums of floats in another order may differ in the last digits; a tie must stay a tie.
_TOLERANCE = 1e-9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The paired difference of a measure, new minus baseline.

    `differences` is by query_id. `p_value` is two-sided. `low` and `high` bound the mean difference with
    95 % confidence.
    """

    measure: str
    baseline: float
    new: float
    differences: Mapping[str, float]
    wins: int
    ties: int
    losses: int
    p_value: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """The mean difference."""
        return self.new - self.baseline


def compare(
    new: Evaluation, baseline: Evaluation, *, measure: str, draws: int = DRAWS, seed: int = SEED
) -> Comparison:
    """Compare two evaluations in `measure`.

    Raises `InvalidRequest` when their questions, judgements or depths differ or one was not measured so.
    """
    if new.judgements != baseline.judgements and set(new.population) == set(baseline.population):
        raise InvalidRequest("compare", "the same questions were judged differently; measure both anew")
    if cutoff_of(measure) is None and new.depth != baseline.depth:
        depths = f"{new.depth} on one side and {baseline.depth} on the other"
        raise InvalidRequest("compare", f"{measure} looks at all results: {depths}; take {measure}@10")
    return compare_values(
        new.values(measure), baseline.values(measure), measure=measure, draws=draws, seed=seed
    )


def compare_values(
    new: Mapping[str, float],
    baseline: Mapping[str, float],
    *,
    measure: str,
    draws: int = DRAWS,
    seed: int = SEED,
) -> Comparison:
    """The same from values by query_id. Raises `InvalidRequest` when the populations differ."""
    _check_population(new, baseline)
    ids = sorted(new)
    after = np.array([new[query_id] for query_id in ids], dtype=np.float64)
    before = np.array([baseline[query_id] for query_id in ids], dtype=np.float64)
    differences = np.where(np.abs(after - before) <= _TOLERANCE, 0.0, after - before)
    low, high = bootstrap_interval(differences, draws=draws, seed=seed)
    return Comparison(
        measure=measure,
        baseline=float(before.mean()),
        new=float(after.mean()),
        differences=dict(zip(ids, differences.tolist(), strict=True)),
        wins=int((differences > 0).sum()),
        ties=int((differences == 0).sum()),
        losses=int((differences < 0).sum()),
        p_value=randomisation_p(differences, draws=draws, seed=seed),
        low=low,
        high=high,
    )


def randomisation_p(differences: Floats, *, draws: int = DRAWS, seed: int = SEED) -> float:
    """Two-sided p of the mean difference when each question's systems might have been swapped.

    `differences` is [questions]. Fisher's randomisation test (Smucker, Allan and Carterette, CIKM 2007):
    exact up to twelve differences; with more, (extreme + 1) / (draws + 1) over seeded draws.
    """
    moved = differences[differences != 0]
    observed = abs(float(moved.sum())) - _TOLERANCE
    if moved.size <= MOST_ENUMERATED:
        bits = np.arange(2**moved.size)[:, None] >> np.arange(moved.size) & 1
        return float(np.mean(np.abs((1 - 2 * bits) @ moved) >= observed))
    random = np.random.default_rng(seed)
    extreme = 0
    for rows in _blocks(draws, moved.size):
        signs = 1 - 2 * random.integers(0, 2, size=(rows, moved.size), dtype=np.int8)
        extreme += int((np.abs(signs @ moved) >= observed).sum())
    return (extreme + 1) / (draws + 1)


def bootstrap_interval(
    differences: Floats, *, draws: int = DRAWS, seed: int = SEED, level: float = CONFIDENCE_LEVEL
) -> tuple[float, float]:
    """Percentile bounds of the mean when the questions are drawn anew (Sakai, SIGIR 2006)."""
    random = np.random.default_rng(seed)
    size = differences.size
    means = [
        differences[random.integers(0, size, size=(rows, size))].mean(axis=1) for rows in _blocks(draws, size)
    ]
    outside = (1 - level) / 2
    low, high = np.quantile(np.concatenate(means), [outside, 1 - outside])
    return float(low), float(high)


def _blocks(draws: int, size: int) -> Iterator[int]:
    """Row counts that sum to `draws` and keep a block of `size` columns small."""
    at_once = max(1, _AT_ONCE // max(1, size))
    for start in range(0, draws, at_once):
        yield min(at_once, draws - start)


def _check_population(new: Mapping[str, float], baseline: Mapping[str, float]) -> None:
    if not new:
        raise InvalidRequest("compare", "there is no question to compare on")
    if odd := sorted(new.keys() ^ baseline.keys()):
        raise InvalidRequest(
            "compare",
            f"the questions differ: {len(odd)} are on one side only, '{odd[0]}' for one; "
            "a paired comparison needs the same questions on both",
        )
