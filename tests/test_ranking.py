"""Candidates become a ranking: copies fold into the best, sections take turns, nothing is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.index.backend import Traits
from rag.search.features import Features
from rag.search.ranking import MAX_PER_SECTION, Candidates, distinct, pick

PLAIN = Features(copies=False, diversity=False)
COPIES = Features(diversity=False)
DIVERSITY = Features(copies=False)

# (score, section, content) of a chunk; few different values, so that all of them collide.
CHUNK = st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(0, 5))
CHUNKS = st.lists(CHUNK, max_size=14)
Chunks = Sequence[tuple[int, int, int]]
# Which of the names in a question each chunk lacks, [names, n].
Missing = npt.NDArray[np.bool_] | None


def candidates(chunks: Chunks, missing: Missing = None) -> Candidates:
    """Chunks whose ids run against their order."""
    count = len(chunks)
    return Candidates(
        chunk_ids=[f"c{count - at:02}" for at in range(count)],
        dense=None,
        lexical=None,
        traits=Traits(
            doc_ids=["d"] * count,
            titles=["Page"] * count,
            professional=np.zeros(count, dtype=np.bool_),
            sections=np.array([section for _, section, _ in chunks], dtype=np.int64),
            repeated=np.zeros(count, dtype=np.float32),
            bibliography=np.zeros(count, dtype=np.bool_),
            contents=np.array([content for _, _, content in chunks], dtype=np.int64),
        ),
        missing=np.zeros((0, count), dtype=np.bool_) if missing is None else missing,
    )


def picked(chunks: Chunks, features: Features) -> list[int]:
    scores = np.array([score for score, _, _ in chunks], dtype=np.float32)
    return [at for at, _ in pick(candidates(chunks), scores, features)]


def by_score_and_id(chunks: Chunks) -> list[int]:
    """Ids run against the order, so of equal scores the last chunk comes first."""
    return sorted(range(len(chunks)), key=lambda at: (-chunks[at][0], -at))


@given(CHUNKS)
def test_without_folding_and_diversity_the_order_is_that_of_score_and_id(chunks: Chunks) -> None:
    assert picked(chunks, PLAIN) == by_score_and_id(chunks)


@given(CHUNKS)
def test_scores_fall_with_the_rank_though_a_surplus_comes_behind(chunks: Chunks) -> None:
    # Fused scores lie between -1 and 1.
    scores = np.array([score / 2 - 1 for score, _, _ in chunks], dtype=np.float32)
    found = [score for _, score in pick(candidates(chunks), scores, DIVERSITY)]
    assert found == sorted(found, reverse=True)


@given(CHUNKS)
def test_copies_fold_into_the_best_of_them(chunks: Chunks) -> None:
    order = by_score_and_id(chunks)
    contents = [chunks[at][2] for at in order]
    assert picked(chunks, COPIES) == [at for n, at in enumerate(order) if contents[n] not in contents[:n]]


@given(CHUNKS)
def test_what_a_section_has_too_many_of_comes_behind_and_nothing_is_lost(chunks: Chunks) -> None:
    order, result = by_score_and_id(chunks), picked(chunks, DIVERSITY)
    assert sorted(result) == sorted(order)
    sizes = Counter(chunks[at][1] for at in order)
    front = sum(min(size, MAX_PER_SECTION) for size in sizes.values())
    in_front = Counter(chunks[at][1] for at in result[:front])
    assert all(count <= MAX_PER_SECTION for count in in_front.values())
    # In front as behind, chunks stand by score and id.
    for part in (result[:front], result[front:]):
        assert part == [at for at in order if at in part]


@given(CHUNKS)
def test_the_best_chunk_is_always_first(chunks: Chunks) -> None:
    assert picked(chunks, Features())[:1] == by_score_and_id(chunks)[:1]


@given(CHUNKS)
def test_a_copy_takes_no_place_of_its_section(chunks: Chunks) -> None:
    folded = picked(chunks, COPIES)
    alone = [chunks[at] for at in sorted(folded)]
    places = sorted(folded)
    assert picked(chunks, Features()) == [places[at] for at in picked(alone, DIVERSITY)]


@given(CHUNKS, st.booleans())
def test_the_number_of_hits_is_known_before_they_are_picked(chunks: Chunks, copies: bool) -> None:  # noqa: FBT001
    features = Features(copies=copies)
    assert distinct(candidates(chunks), features) == len(picked(chunks, features))


def test_the_fourth_passage_of_a_section_comes_behind_a_worse_one_of_another() -> None:
    assert MAX_PER_SECTION == 3
    chunks = [(9, 0, 0), (8, 0, 1), (7, 0, 2), (6, 0, 3), (5, 0, 4), (1, 1, 5)]
    assert picked(chunks, Features()) == [0, 1, 2, 5, 3, 4]
    assert picked(chunks, Features(diversity=False)) == [0, 1, 2, 3, 4, 5]


def test_a_copy_under_the_title_that_was_asked_for_does_not_fold_into_another() -> None:
    lacks = np.array([[True, False, True]])
    chosen = pick(
        candidates([(2, 0, 7), (1, 1, 7), (0, 2, 7)], lacks), np.array([2, 1, 0], dtype=np.float32), COPIES
    )
    assert [at for at, _ in chosen] == [0, 1]


def test_of_two_copies_the_better_one_stands_and_of_equals_the_first_by_id() -> None:
    assert picked([(1, 0, 7), (2, 1, 7), (0, 2, 8)], COPIES) == [1, 2]
    assert picked([(1, 0, 7), (1, 1, 7)], COPIES) == [1]


def test_picking_waits_until_it_is_asked() -> None:
    chosen = pick(candidates([(1, 0, 0), (2, 0, 1)]), np.array([1, 2], dtype=np.float32), Features())
    assert next(chosen) == (1, 2.0)
    assert next(chosen) == (0, 1.0)
    with pytest.raises(StopIteration):
        next(chosen)
