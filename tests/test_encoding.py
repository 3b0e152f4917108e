"""Every chunk gets the vector of its own text, wherever that comes from, and no text is encoded twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyword_encoder import KeywordEncoder
from whole_index import Recording

from rag.index.encoding import TextsOf, VectorColumn
from rag.index.local.faiss_vectors import Codes, FaissVectors, encoded
from rag.index.local.keys import text_key
from rag.index.local.layout import Layout
from rag.index.local.past import KnownVectors

TEXTS = st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20).map(
    lambda letters: [f"fever {'pain ' * (ord(letter) - ord('a'))}" for letter in letters]
)
IN_A_NEW_FOLDER = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def column(texts: Sequence[str]) -> VectorColumn:
    return VectorColumn([text_key("", text) for text in texts], KeywordEncoder().dim)


def codes_of(texts: Sequence[str]) -> Codes:
    return encoded(KeywordEncoder().encode_documents(texts))


def knowing(texts: Sequence[str]) -> KnownVectors:
    """The vectors of these texts, among others."""
    return KnownVectors({text_key("", text): row for row, text in enumerate(texts)}, codes_of(texts))


def in_parts(texts: Sequence[str], size: int) -> TextsOf:
    def texts_of(rows: Sequence[int]) -> Iterable[list[str]]:
        for at in range(0, len(rows), size):
            yield [texts[row] for row in rows[at : at + size]]

    return texts_of


def silent(_done: int, _total: int) -> None:
    """Show no progress."""


@IN_A_NEW_FOLDER
@given(texts=TEXTS, past=TEXTS, journal=TEXTS, size=st.integers(1, 5))
def test_every_row_has_the_vector_of_its_text_and_only_what_is_unknown_is_encoded(
    tmp_path_factory: pytest.TempPathFactory,
    texts: list[str],
    past: list[str],
    journal: list[str],
    size: int,
) -> None:
    layout = Layout(tmp_path_factory.mktemp("column"))
    column(journal).encode(layout, KeywordEncoder(), in_parts(journal, 4), silent)
    encoder, made = Recording(), column(texts)
    made.take(knowing(past))
    number = made.encode(layout, encoder, in_parts(texts, size), silent)
    unknown = [text for text in dict.fromkeys(texts) if text not in {*past, *journal}]
    assert encoder.encoded == unknown, "in the order in which they come first"
    assert number == len(unknown)
    assert made.complete
    np.testing.assert_array_equal(made.codes, codes_of(texts))


@IN_A_NEW_FOLDER
@given(texts=TEXTS, size=st.integers(1, 5))
def test_what_was_encoded_before_a_fault_need_not_be_encoded_again(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], size: int
) -> None:
    layout = Layout(tmp_path_factory.mktemp("column"))
    whole = in_parts(texts, size)

    def only_the_first(rows: Sequence[int]) -> Iterable[list[str]]:
        yield next(iter(whole(rows)))
        raise RuntimeError("out of luck")

    first, rest = Recording(), Recording()
    with pytest.raises(RuntimeError):
        column(texts).encode(layout, first, only_the_first, silent)
    made = column(texts)
    made.encode(layout, rest, whole, silent)
    assert first.encoded == list(dict.fromkeys(texts))[:size]
    assert first.encoded + rest.encoded == list(dict.fromkeys(texts))
    np.testing.assert_array_equal(made.codes, codes_of(texts))


def test_when_all_is_known_no_encoder_is_asked_and_no_journal_begun(tmp_path: Path) -> None:
    encoder, made = Recording(), column(["fever", "pain", "fever"])
    made.take(knowing(["hair", "fever"]))
    complete = [made.complete]
    made.take(knowing(["hair", "pain"]))
    assert [*complete, made.complete] == [False, True]
    assert made.encode(Layout(tmp_path), encoder, in_parts([], 1), silent) == 0
    assert encoder.encoded == []
    assert list(tmp_path.iterdir()) == []
    np.testing.assert_array_equal(made.codes, codes_of(["fever", "pain", "fever"]))


def test_what_is_taken_first_stays(tmp_path: Path) -> None:
    made = column(["fever", "pain"])
    made.take(knowing(["fever"]))
    wrong = KnownVectors({text_key("", "fever"): 0}, codes_of(["hair"]))
    made.take(wrong)
    made.encode(Layout(tmp_path), KeywordEncoder(), in_parts(["fever", "pain"], 1), silent)
    np.testing.assert_array_equal(made.codes, codes_of(["fever", "pain"]))


def test_progress_counts_texts_to_encode_and_ends_at_their_number(tmp_path: Path) -> None:
    texts = ["fever", "pain", "fever", "hair", "lung", "sleep"]
    told: list[tuple[int, int]] = []
    made = column(texts)
    made.take(knowing(["lung"]))
    made.encode(
        Layout(tmp_path),
        KeywordEncoder(),
        in_parts(texts, 3),
        lambda done, total: told.append((done, total)),
    )
    assert told == [(0, 4), (3, 4), (4, 4)]


def test_the_codes_are_the_rows_of_the_index(tmp_path: Path) -> None:
    texts = ["fever and pain", "hair", "lung", "hair"]
    made = column(texts)
    made.encode(Layout(tmp_path), KeywordEncoder(), in_parts(texts, 2), silent)
    vectors = FaissVectors.of(made.codes, KeywordEncoder().dim)
    vectors.write(tmp_path / "vectors.faiss")
    np.testing.assert_array_equal(FaissVectors.read(tmp_path / "vectors.faiss").codes(), made.codes)
    query = KeywordEncoder().encode_queries(["pain, fever"])[0]
    rows, scores = vectors.search(query, 1)
    assert rows.tolist() == [0]
    np.testing.assert_allclose(scores, [1.0], atol=1e-3)


def test_texts_that_an_encoder_sees_alike_have_one_key_and_others_have_not() -> None:
    assert text_key("Fever", "Call.") == text_key("", "Fever\nCall.")
    keys = [text_key(*pair) for pair in (("", ""), ("", "a"), ("a", ""), ("a", "b"), ("a b", ""), ("", "é"))]
    assert len(set(keys)) == len(keys)
    assert {len(key) for key in keys} == {16}
    assert text_key("", "a") == hashlib.blake2b(b"a", digest_size=16).digest()
