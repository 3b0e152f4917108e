"""What every encoder must do; a test class for one encoder inherits `EncoderContract`."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations

import numpy as np
import pytest

from rag.encoders.base import Encoder

# In other company a text may be padded to another length and its sums taken in another order, which moves
# the last digits of a float32. It must move no more: a step of int8 arithmetic would be ten times this.
TOLERANCE = 1e-3

# Of very different lengths, neither sorted by them nor equal in any two vectors.
TEXTS = (
    "nausea",
    "fever " * 20 + "pain",
    "lung doctor",
    "sleep sleep sleep hair breast breast",
    "hair",
    "pain " * 12,
    "breast fever fever doctor",
    "doctor " * 7 + "nausea lung",
)


class EncoderContract(ABC):
    """A class for one encoder says which it is, and how to count tokens by other means than its own."""

    @pytest.fixture
    def encoder(self) -> Encoder:
        """The encoder under test."""
        raise NotImplementedError

    @abstractmethod
    def tokens(self, text: str) -> int:
        """The number of tokens of `text` as a document, special ones included and nothing cut."""

    def test_it_has_every_member_of_an_encoder(self, encoder: Encoder) -> None:
        assert isinstance(encoder, Encoder)
        assert encoder.name
        assert encoder.dim > 1
        assert len(bytes.fromhex(encoder.fingerprint)) == 32

    def test_vectors_are_float32_rows_of_unit_length(self, encoder: Encoder) -> None:
        for vectors in (encoder.encode_documents(TEXTS), encoder.encode_queries(TEXTS)):
            assert vectors.shape == (len(TEXTS), encoder.dim)
            assert vectors.dtype == np.float32
            np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_no_texts_give_no_rows_of_the_right_width(self, encoder: Encoder) -> None:
        for vectors in (encoder.encode_documents([]), encoder.encode_queries([])):
            assert vectors.shape == (0, encoder.dim)
            assert vectors.dtype == np.float32

    def test_a_text_without_a_word_still_has_a_direction(self, encoder: Encoder) -> None:
        vectors = encoder.encode_documents(["", " \n", "fever"])
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)

    def test_a_text_has_the_same_vector_alone_and_in_any_company(self, encoder: Encoder) -> None:
        alone = np.concatenate([encoder.encode_documents([text]) for text in TEXTS])
        for one, other in combinations(alone, 2):
            assert np.abs(one - other).max() > 20 * TOLERANCE, "two texts would pass for each other"
        np.testing.assert_allclose(encoder.encode_documents(TEXTS), alone, atol=TOLERANCE)
        several_batches = encoder.encode_documents(TEXTS * 6)
        np.testing.assert_allclose(several_batches, np.tile(alone, (6, 1)), atol=TOLERANCE)

    def test_rows_stand_in_the_order_of_the_texts(self, encoder: Encoder) -> None:
        order = np.random.default_rng(5).permutation(len(TEXTS))
        for encode in (encoder.encode_documents, encoder.encode_queries):
            shuffled = encode([TEXTS[at] for at in order])
            np.testing.assert_allclose(shuffled, encode(TEXTS)[order], atol=TOLERANCE)

    def test_a_tuple_of_texts_will_do(self, encoder: Encoder) -> None:
        as_list, as_tuple = encoder.encode_queries(list(TEXTS)), encoder.encode_queries(tuple(TEXTS))
        np.testing.assert_array_equal(as_list, as_tuple)

    def test_the_last_token_that_fits_counts_and_the_next_is_cut(self, encoder: Encoder) -> None:
        room = encoder.max_tokens - encoder.count_tokens([""])[0]
        full = " ".join(["pain"] * (room - 1) + ["nausea"])
        assert encoder.count_tokens([full]) == [encoder.max_tokens]
        longer = [full + " doctor", full + " fever" * 5000]
        first, *cut = encoder.encode_documents([full, *longer])
        np.testing.assert_allclose(cut, np.tile(first, (2, 1)), atol=TOLERANCE)
        other = encoder.encode_documents([full.removesuffix("nausea") + "sleep"])[0]
        assert np.abs(first - other).max() > TOLERANCE

    def test_a_long_question_is_cut_and_not_refused(self, encoder: Encoder) -> None:
        vectors = encoder.encode_queries(["fever " * 5000, "fever " * 6000])
        np.testing.assert_allclose(vectors[0], vectors[1], atol=TOLERANCE)

    def test_tokens_are_counted_with_the_special_ones(self, encoder: Encoder) -> None:
        texts = [*TEXTS, "", "fever, pain and Unbekanntes 28.6 %", "doctor\n" * 900]
        assert encoder.count_tokens(texts) == [self.tokens(text) for text in texts]
        assert encoder.count_tokens([]) == []

    def test_the_counter_of_tokens_travels_to_another_process(self, encoder: Encoder) -> None:
        travelled = pickle.loads(pickle.dumps(encoder.count_tokens))  # noqa: S301 - our own bytes
        assert travelled(TEXTS) == encoder.count_tokens(TEXTS)

    def test_several_threads_get_the_vectors_that_one_gets(self, encoder: Encoder) -> None:
        expected = encoder.encode_queries(TEXTS)
        with ThreadPoolExecutor(8) as pool:
            for vectors in pool.map(encoder.encode_queries, [list(TEXTS)] * 8):
                np.testing.assert_allclose(vectors, expected, atol=TOLERANCE)
