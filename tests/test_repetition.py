"""Standing text is told by how many documents have it, whatever it says and however often each says it."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rag.corpus.traits import text_traits
from rag.index.repetition import repeated_shares

# A chunk: the number of its document and its shingles.
Chunks = Sequence[tuple[int, set[int]]]


def shares(chunks: Chunks) -> npt.NDArray[np.float32]:
    sketches = [np.array(sorted(shingles), dtype=np.uint32) for _, shingles in chunks]
    return repeated_shares(sketches, np.array([doc for doc, _ in chunks], dtype=np.int64))


def brute_force(chunks: Chunks) -> list[float]:
    """Boilerplate is what at least 8 % of the documents have, and five of them at the least."""
    documents = {doc for doc, _ in chunks}

    def stands_in_many(shingle: int) -> bool:
        holding = {doc for doc, shingles in chunks if shingle in shingles}
        return len(holding) >= 5 and Fraction(len(holding), len(documents)) >= Fraction(8, 100)

    return [sum(map(stands_in_many, shingles)) / len(shingles) if shingles else 0.0 for _, shingles in chunks]


# Few values for the first shingles, so that they are shared; the whole range of 32 bits for the others.
SHINGLES = st.sets(st.integers(0, 4) | st.sampled_from([2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1))
CHUNKS = st.lists(st.tuples(st.integers(0, 12), SHINGLES), max_size=40)


@given(CHUNKS)
def test_shares_are_those_that_counting_by_hand_gives(chunks: Chunks) -> None:
    found = shares(chunks)
    assert (found.dtype.name, found.shape) == ("float32", (len(chunks),))
    np.testing.assert_array_equal(found, np.array(brute_force(chunks), dtype=np.float32))


@pytest.mark.parametrize("documents", [1, 4, 5, 62, 63, 75, 87, 88, 150, 175, 300])
@pytest.mark.parametrize("holding", [1, 4, 5, 6, 7, 8, 12, 13, 14, 15, 24, 25])
def test_the_threshold_is_a_share_of_the_documents_and_five_at_the_least(
    documents: int, holding: int
) -> None:
    chunks = [(doc, {7, 1000 + doc} if doc < holding else {1000 + doc}) for doc in range(documents)]
    np.testing.assert_array_equal(shares(chunks), np.array(brute_force(chunks), dtype=np.float32))


def test_what_one_document_says_often_is_no_standing_text() -> None:
    assert shares([(0, {1, 2})] * 50 + [(1, {3}), (2, {3})]).tolist() == [0.0] * 52


def test_documents_are_counted_and_not_their_chunks() -> None:
    chunks = [(at % 6, {1000 + at} if at % 6 == 5 or at >= 6 else {1, 1000 + at}) for at in range(300)]
    assert shares(chunks).tolist() == [0.5] * 5 + [0.0] * 295


def test_documents_need_no_numbers_in_a_row() -> None:
    """Documents without a chunk leave gaps; they have no text that could be counted."""
    chunks = [(doc, {1, 100 + at}) for at, doc in enumerate((3, 900, 70_000, 2**20, 2**31))]
    assert shares(chunks).tolist() == [0.5] * 5


def test_the_order_of_the_chunks_changes_nothing() -> None:
    chunks = [(at % 9, {at % 4, at % 7 + 10, at + 100}) for at in range(45)]
    turned = shares(chunks[::-1])[::-1]
    np.testing.assert_array_equal(shares(chunks), turned)
    assert 0 < float(turned.max()) < 1


@pytest.mark.parametrize("chunks", [[], [(0, set())], [(0, set()), (1, set())]])
def test_without_a_shingle_nothing_repeats(chunks: Chunks) -> None:
    assert shares(chunks).tolist() == [0.0] * len(chunks)


def test_a_chunk_without_shingles_is_passed_over_among_others() -> None:
    chunks: Chunks = [(doc, set() if doc == 2 else {1}) for doc in range(6)]
    assert shares(chunks).tolist() == [1, 1, 0, 1, 1, 1]


@pytest.mark.parametrize(
    "language", ["About this page, and how to reach us", "このページについて お問い合わせ先"]
)
def test_standing_text_is_told_in_any_language_and_own_text_is_not(language: str) -> None:
    standing = " ".join(f"{language} {at}" for at in range(30))
    texts = [f"{standing} {' '.join(f'own{doc}x{at}' for at in range(40))}" for doc in range(8)]
    texts += [standing] * 8 + [" ".join(f"other{at}" for at in range(60))]
    sketches = [np.frombuffer(text_traits(text).sketch.tobytes(), dtype=np.uint32) for text in texts]
    found = repeated_shares(sketches, np.arange(len(texts)))
    assert found[8:].tolist() == [1.0] * 8 + [0.0]
    assert ((found[:8] > 0.3) & (found[:8] < 1)).all()
