"""Two rankings become one, by numbers worked out by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rag.search.fusion import Scores, convex, reciprocal_rank, shares

Fuse = Callable[[Scores, Scores], Scores]
BOTH = pytest.mark.parametrize("fuse", [convex, reciprocal_rank])


def column(*values: float) -> Scores:
    return np.array(values, dtype=np.float32)


def columns(smallest: float) -> st.SearchStrategy[Scores]:
    """Numbers that float32 holds exactly and far enough from each other for their order to survive."""
    return arrays(np.float32, 6, elements=st.integers(int(smallest * 64), 64).map(lambda n: n / 64))


@pytest.mark.parametrize(
    ("dense", "lexical", "fused"),
    [
        # 5/6 of the inner product, 1/6 of the share of the best match.
        ((0.6, 0.3, 0.0), (2.0, 8.0, 0.0), (13 / 24, 5 / 12, 0.0)),
        # Equal scores stay equal.
        ((0.5, 0.5), (4.0, 4.0), (7 / 12, 7 / 12)),
        # No word of the question stands anywhere: nothing is divided by zero.
        ((0.6, -0.3), (0.0, 0.0), (0.5, -0.25)),
        # A negative inner product takes away.
        ((-0.6,), (3.0,), (-1 / 3,)),
        ((), (), ()),
    ],
)
def test_a_convex_combination_is_what_a_person_would_work_out(
    dense: tuple[float, ...], lexical: tuple[float, ...], fused: tuple[float, ...]
) -> None:
    assert convex(column(*dense), column(*lexical)).tolist() == pytest.approx(fused)


@pytest.mark.parametrize(
    ("dense", "lexical", "fused"),
    [
        # (2 / (60 + dense rank) + 1 / (60 + lexical rank)) x 61 / 3
        ((0.9, 0.5, 0.1), (1.0, 7.0, 3.0), ((2 / 61 + 1 / 63), (2 / 62 + 1 / 61), (2 / 63 + 1 / 62))),
        # Two that tie share the better rank, and the one behind them comes third.
        ((0.5, 0.5, 0.1), (2.0, 1.0, 2.0), ((2 / 61 + 1 / 61), (2 / 61 + 1 / 63), (2 / 63 + 1 / 61))),
        # Without a matching word the lexical list gives nothing.
        ((0.9, 0.5), (0.0, 5.0), (2 / 61, 2 / 62 + 1 / 61)),
        ((0.9, 0.5), (0.0, 0.0), (2 / 61, 2 / 62)),
        ((), (), ()),
    ],
)
def test_reciprocal_ranks_add_up_to_what_a_person_would_work_out(
    dense: tuple[float, ...], lexical: tuple[float, ...], fused: tuple[float, ...]
) -> None:
    wanted = [score * 61 / 3 for score in fused]
    assert reciprocal_rank(column(*dense), column(*lexical)).tolist() == pytest.approx(wanted)


@BOTH
def test_the_first_of_both_lists_has_one(fuse: Fuse) -> None:
    assert fuse(column(1.0, 0.2), column(9.0, 1.0))[0] == pytest.approx(1.0)


def test_a_share_is_that_of_the_best_match() -> None:
    assert shares(column(5.0, 2.5, 0.0)).tolist() == [1.0, 0.5, 0.0]
    assert shares(column(0.0, 0.0)).tolist() == [0.0, 0.0]
    assert shares(column()).tolist() == []


@BOTH
@given(columns(-1), columns(0))
def test_what_both_lists_put_first_comes_first(fuse: Fuse, dense: Scores, lexical: Scores) -> None:
    fused = fuse(dense, lexical)
    assert fused.dtype == np.float32
    for one in range(len(fused)):
        for other in range(len(fused)):
            if dense[one] > dense[other] and lexical[one] >= lexical[other]:
                assert fused[one] > fused[other]
            if dense[one] == dense[other] and lexical[one] == lexical[other]:
                assert fused[one] == fused[other]


@BOTH
@given(columns(-1), columns(0), st.permutations(range(6)))
def test_the_order_in_which_chunks_come_changes_no_score(
    fuse: Fuse, dense: Scores, lexical: Scores, order: list[int]
) -> None:
    assert fuse(dense[order], lexical[order]).tolist() == fuse(dense, lexical)[order].tolist()


@BOTH
@given(columns(-1), columns(0))
def test_fusion_leaves_what_it_was_given_alone(fuse: Fuse, dense: Scores, lexical: Scores) -> None:
    before = dense.copy(), lexical.copy()
    fuse(dense, lexical)
    assert np.array_equal(dense, before[0])
    assert np.array_equal(lexical, before[1])


@given(columns(-1), columns(0))
def test_only_ranks_count_for_reciprocal_ranks(dense: Scores, lexical: Scores) -> None:
    stretched = reciprocal_rank(dense * 3, lexical * 100)
    assert stretched.tolist() == reciprocal_rank(dense, lexical).tolist()


@given(columns(-1), columns(0))
def test_the_unit_of_the_lexical_scores_does_not_count_for_the_convex_combination(
    dense: Scores, lexical: Scores
) -> None:
    assert convex(dense, lexical * 128).tolist() == convex(dense, lexical).tolist()
