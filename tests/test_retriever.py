"""A question becomes the exact ranking that an unhurried person would compute."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyword_encoder import WORDS, KeywordEncoder

from rag.corpus.chunker import Chunker
from rag.corpus.document import Chunk, Document
from rag.corpus.reader import read_documents
from rag.encoders.base import Vectors
from rag.errors import InvalidRequest
from rag.index.builder import build_index
from rag.index.opening import open_index
from rag.search.question import DEFAULT_TOP_K, MAX_QUESTION, MAX_TOP_K
from rag.search.retriever import Retriever

# Bodies in words of the encoder: each number of a word is what its axis counts.
BODIES = {
    "fever": "fever fever fever doctor",
    "nausea": "nausea nausea sleep",
    "twin-a": "pain hair",
    "twin-b": "pain hair",
    "twin-c": "pain hair",
    "lungs": "lung lung lung",
    "breast": "breast lung",
    "rest": "sleep sleep sleep pain",
    "nothing": "none of these is known",
    "two-parts": "doctor doctor fever\n\n## Later\n\nnausea hair",
}
WITHDRAWN = {"old-fever": "fever fever fever", "old-hair": "hair hair hair"}
# fp16 keeps eleven bits of a number below 1, and a score is a sum of nine products.
TOLERANCE = 9 / 2**11


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keywords") / "seeds"
    folder.mkdir()
    for name, body in {**BODIES, **WITHDRAWN}.items():
        status = "withdrawn" if name in WITHDRAWN else "active"
        (folder / f"{name}.md").write_text(f"---\ntitle: Page\nstatus: {status}\n---\n\n{body}\n")
    return folder


@pytest.fixture(scope="module")
def retriever(corpus: Path) -> Retriever:
    encoder = KeywordEncoder()
    root = corpus.parent / "index"
    build_index(corpus, root, encoder)
    opened = open_index(root, encoder=encoder)
    return Retriever(opened.backend, opened.encoder)


@pytest.fixture(scope="module")
def active_chunks(corpus: Path) -> list[Chunk]:
    documents = [item for item in read_documents(corpus) if isinstance(item, Document)]
    chunker = Chunker(KeywordEncoder().count_tokens)
    return [
        chunk
        for document in documents
        if document.metadata.status == "active"
        for chunk in chunker.chunk(document)
    ]


def exact_scores(question: str, chunks: Sequence[Chunk]) -> dict[str, float]:
    encoder = KeywordEncoder()
    vectors = encoder.encode_documents([chunk.embedded_text for chunk in chunks])
    scores = vectors @ encoder.encode_queries([question])[0]
    return {chunk.chunk_id: float(score) for chunk, score in zip(chunks, scores, strict=True)}


class UntouchableEncoder(KeywordEncoder):
    """Refuses to be asked."""

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        raise AssertionError(f"asked to encode {len(texts)} questions")


@settings(deadline=None)
@given(
    question=st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join),
    top_k=st.integers(1, MAX_TOP_K),
)
def test_the_ranking_is_that_of_brute_force(
    question: str, top_k: int, retriever: Retriever, active_chunks: list[Chunk]
) -> None:
    exact = exact_scores(question, active_chunks)
    hits = retriever.search(question, top_k=top_k).hits
    assert len({hit.chunk_id for hit in hits}) == len(hits) == min(top_k, len(exact))
    assert all(hit.score == pytest.approx(exact[hit.chunk_id], abs=TOLERANCE) for hit in hits)
    assert list(hits) == sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
    left_out = exact.keys() - {hit.chunk_id for hit in hits}
    assert all(exact[chunk_id] <= hits[-1].score + TOLERANCE for chunk_id in left_out)


@pytest.mark.parametrize("word", ["fever", "hair"])
def test_a_withdrawn_document_is_not_found_by_its_own_words(word: str, retriever: Retriever) -> None:
    hits = retriever.search(word, top_k=MAX_TOP_K).hits
    assert [hit.chunk_id for hit in hits if hit.chunk_id.startswith("old-")] == []


def test_chunks_of_equal_score_come_in_the_order_of_their_ids(retriever: Retriever) -> None:
    hits = retriever.search("pain hair", top_k=3).hits
    assert [hit.chunk_id.partition("#")[0] for hit in hits] == ["twin-a", "twin-b", "twin-c"]
    assert len({hit.score for hit in hits}) == 1


def test_a_tie_at_the_cut_is_decided_by_the_id(retriever: Retriever) -> None:
    (hit,) = retriever.search("pain hair", top_k=1).hits
    assert hit.chunk_id.startswith("twin-a#")


def test_asking_for_more_than_there_is_returns_every_active_chunk(
    retriever: Retriever, active_chunks: list[Chunk]
) -> None:
    hits = retriever.search("doctor", top_k=MAX_TOP_K).hits
    assert {hit.chunk_id for hit in hits} == {chunk.chunk_id for chunk in active_chunks}


def test_a_perfect_match_scores_one(retriever: Retriever) -> None:
    assert retriever.search("lung").hits[0].score == pytest.approx(1.0, abs=TOLERANCE)


def test_without_a_number_the_five_best_come_back(retriever: Retriever) -> None:
    assert DEFAULT_TOP_K == 5
    assert len(retriever.search("fever").hits) == 5


def test_blanks_around_a_question_do_not_change_its_ranking(retriever: Retriever) -> None:
    assert retriever.search("\n\t fever pain\u00a0 ").hits == retriever.search("fever pain").hits


def test_blanks_around_a_question_do_not_count_as_characters(retriever: Retriever) -> None:
    question = "fever" + "x" * (MAX_QUESTION - 5)
    assert retriever.search(f"   {question}   ").hits


@pytest.mark.parametrize(
    "question", ["", " ", "\n\t\r\n", "\u00a0\u2003", "x" * 2001, "🙂" * 2001, "a\ud800b"]
)
def test_a_question_out_of_bounds_never_reaches_the_encoder(question: str, retriever: Retriever) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Retriever(retriever.backend, UntouchableEncoder()).search(question)
    assert refused.value.field == "question"


@pytest.mark.parametrize("top_k", [0, -1, 51, 10**9])
def test_a_number_of_passages_out_of_bounds_never_reaches_the_encoder(
    top_k: int, retriever: Retriever
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Retriever(retriever.backend, UntouchableEncoder()).search("fever", top_k=top_k)
    assert refused.value.field == "top_k"
    assert str(top_k) in str(refused.value)


@pytest.mark.parametrize("question", ["x", "x" * 2000, "🙂" * 2000, "\x00", "-", "発熱", "fever\u202e"])
def test_a_question_within_bounds_is_answered(question: str, retriever: Retriever) -> None:
    assert len(retriever.search(question).hits) == DEFAULT_TOP_K


def test_the_message_of_a_refusal_does_not_repeat_the_question(retriever: Retriever) -> None:
    with pytest.raises(InvalidRequest) as refused:
        retriever.search("secret " * 400)
    assert "secret" not in str(refused.value)
    assert "2,799 characters" in str(refused.value)


def test_each_stage_is_timed_in_milliseconds(retriever: Retriever) -> None:
    timings = retriever.search("fever").timings_ms
    assert set(timings) == {"encode", "search"}
    assert all(0 <= milliseconds < 60_000 for milliseconds in timings.values())


def test_one_retriever_serves_many_threads(retriever: Retriever) -> None:
    questions = [f"{first} {second}" for first in WORDS for second in WORDS]
    alone = [retriever.search(question).hits for question in questions]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda question: retriever.search(question).hits, questions))
    assert together == alone


def test_a_ranking_does_not_change_the_index(retriever: Retriever) -> None:
    first = retriever.search("sleep pain", top_k=9).hits
    for word in WORDS:
        retriever.search(word)
    assert retriever.search("sleep pain", top_k=9).hits == first
    assert all(np.isfinite(hit.score) for hit in first)
