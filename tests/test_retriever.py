"""A question becomes the exact ranking that an unhurried person would compute.

Most tests leave out what weighs a score anew, so that brute force can say what it must be; each of those
parts has its tests elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keyword_encoder import WORDS, KeywordEncoder
from little_index import fillers, little_index, page

from rag.corpus.chunker import Chunker
from rag.corpus.document import Chunk, Document
from rag.corpus.reader import read_documents
from rag.encoders.base import Vectors
from rag.errors import InvalidRequest
from rag.index.backend import Backend, Term
from rag.index.builder import build_index
from rag.index.filters import Filters
from rag.index.opening import open_index
from rag.search import retriever as module
from rag.search.features import Features
from rag.search.fusion import DENSE_WEIGHT
from rag.search.question import DEFAULT_TOP_K, MAX_HISTORY, MAX_QUESTION, MAX_TOP_K, QuestionReader
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
# Both searches and their fusion, and nothing that weighs or folds what they find.
FUSED = Features(
    synonyms=False,
    spelling=False,
    entities=False,
    audience=False,
    boilerplate=False,
    copies=False,
    diversity=False,
)
DENSE_ONLY = replace(FUSED, lexical=False)
LEXICAL_ONLY = replace(FUSED, dense=False)
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
def dense_only(retriever: Retriever) -> Retriever:
    return Retriever(retriever.backend, KeywordEncoder(), features=DENSE_ONLY)


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


QUESTIONS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=6).map(" ".join)


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
@given(question=QUESTIONS, top_k=st.integers(1, MAX_TOP_K))
def test_the_dense_ranking_is_that_of_brute_force(
    question: str, top_k: int, dense_only: Retriever, active_chunks: list[Chunk]
) -> None:
    exact = exact_scores(question, active_chunks)
    hits = dense_only.search(question, top_k=top_k).hits
    assert len({hit.chunk_id for hit in hits}) == len(hits) == min(top_k, len(exact))
    assert all(hit.score == pytest.approx(exact[hit.chunk_id], abs=TOLERANCE) for hit in hits)
    assert list(hits) == sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
    left_out = exact.keys() - {hit.chunk_id for hit in hits}
    assert all(exact[chunk_id] <= hits[-1].score + TOLERANCE for chunk_id in left_out)
    assert all(hit.dense == hit.score and hit.lexical is None for hit in hits)


def bm25_scores(question: str, index: Backend) -> dict[str, float]:
    """Of every active chunk, 0 where no word matches; that they are right is the backend's contract."""
    terms = [Term(word) for word in question.split()]
    return dict.fromkeys(all_chunk_ids(index), 0.0) | dict(index.match(terms, 10_000))


def all_chunk_ids(index: Backend) -> list[str]:
    return [hit.chunk_id for hit in index.search(np.eye(1, 9, dtype=np.float32)[0], 10_000)]


def rank_of(chunk_id: str, scores: Mapping[str, float]) -> int:
    """From 1; how many are better, and one."""
    return 1 + sum(score > scores[chunk_id] for score in scores.values())


@settings(deadline=None)
@given(question=QUESTIONS, top_k=st.integers(1, MAX_TOP_K))
def test_the_fused_score_is_five_parts_of_vectors_and_one_of_words(
    question: str, top_k: int, retriever: Retriever, active_chunks: list[Chunk]
) -> None:
    exact, words = exact_scores(question, active_chunks), bm25_scores(question, retriever.backend)
    best = max(words.values())
    hits = Retriever(retriever.backend, KeywordEncoder(), features=FUSED).search(question, top_k=top_k).hits
    wanted = {
        chunk_id: DENSE_WEIGHT * exact[chunk_id] + (1 - DENSE_WEIGHT) * words[chunk_id] / best
        for chunk_id in exact
    }
    assert len(hits) == min(top_k, len(wanted))
    for hit in hits:
        assert hit.score == pytest.approx(wanted[hit.chunk_id], abs=TOLERANCE)
        assert hit.dense == pytest.approx(exact[hit.chunk_id], abs=TOLERANCE)
        assert (hit.lexical or 0.0) == pytest.approx(words[hit.chunk_id], rel=1e-5)
        assert hit.lexical != 0
    assert list(hits) == sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
    left_out = wanted.keys() - {hit.chunk_id for hit in hits}
    assert all(wanted[chunk_id] <= hits[-1].score + TOLERANCE for chunk_id in left_out)


@settings(deadline=None)
@given(question=QUESTIONS)
def test_reciprocal_ranks_are_those_of_the_two_searches(question: str, retriever: Retriever) -> None:
    index = retriever.backend
    near = {
        hit.chunk_id: hit.score for hit in index.search(KeywordEncoder().encode_queries([question])[0], 99)
    }
    words = bm25_scores(question, index)
    features = replace(FUSED, convex=False)
    for hit in Retriever(index, KeywordEncoder(), features=features).search(question, top_k=50).hits:
        by_word = 1 / (60 + rank_of(hit.chunk_id, words)) if words[hit.chunk_id] else 0.0
        fused = 2 / (60 + rank_of(hit.chunk_id, near)) + by_word
        assert hit.score == pytest.approx(fused * 61 / 3, rel=1e-5)


@settings(deadline=None)
@given(question=QUESTIONS, top_k=st.integers(1, MAX_TOP_K))
def test_by_words_alone_only_what_holds_one_is_found(question: str, top_k: int, retriever: Retriever) -> None:
    words = bm25_scores(question, retriever.backend)
    found = sorted((c for c in words if words[c]), key=lambda c: (-words[c], c))
    untouchable = Retriever(retriever.backend, UntouchableEncoder(), features=LEXICAL_ONLY)
    hits = untouchable.search(question, top_k=top_k).hits
    assert [hit.chunk_id for hit in hits] == found[:top_k]
    assert [hit.score for hit in hits] == pytest.approx([words[c] / words[found[0]] for c in found[:top_k]])
    assert all(hit.dense is None for hit in hits)


def test_by_words_alone_a_question_without_any_finds_nothing(retriever: Retriever) -> None:
    untouchable = Retriever(retriever.backend, UntouchableEncoder(), features=LEXICAL_ONLY)
    assert untouchable.search("🙂").hits == ()
    assert untouchable.search("zyx").hits == ()


def test_copies_fold_into_the_first_and_say_where_else_they_stand(retriever: Retriever) -> None:
    hits = retriever.search("pain hair", top_k=MAX_TOP_K).hits
    twins = [hit for hit in hits if hit.chunk_id.startswith("twin-")]
    assert [hit.chunk_id.partition("#")[0] for hit in twins] == ["twin-a"]
    assert twins[0].also_in == ("twin-b", "twin-c")
    assert all(hit.also_in == () for hit in hits if hit not in twins)


def test_where_copies_do_not_fold_none_is_named(dense_only: Retriever) -> None:
    assert {hit.also_in for hit in dense_only.search("pain hair").hits} == {()}


@pytest.mark.parametrize("copies", [201, 450])
def test_top_k_is_reached_though_copies_crowd_out_everything_else(copies: int, tmp_path: Path) -> None:
    assert copies > module._POOL
    pages = {f"copy-{number:03}": page("Fever.") for number in range(copies)}
    pages |= {f"other-{number}": page(f"Hair and a fever {'now and then ' * number}.") for number in range(9)}
    retriever = Retriever(little_index(tmp_path, pages), KeywordEncoder())
    hits = retriever.search("fever", top_k=10).hits
    assert [hit.chunk_id.partition("#")[0] for hit in hits[:1]] == ["copy-000"]
    assert hits[0].also_in == tuple(f"copy-{number:03}" for number in range(1, copies))
    assert {hit.chunk_id.partition("#")[0] for hit in hits[1:]} == {f"other-{n}" for n in range(9)}
    assert retriever.search("fever", top_k=50).hits == hits


def test_what_only_words_found_is_weighed_with_its_true_inner_product(tmp_path: Path) -> None:
    """Three hundred nearer pages keep it out of what the dense search brings up."""
    pages = {f"near-{number:03}": page(f"Fever {number}.") for number in range(300)}
    pages["far"] = page("Fever fever fever, fever hair: zebras.")
    retriever = Retriever(little_index(tmp_path, pages), KeywordEncoder())
    far = retriever.search("fever zebras").hits[0]
    assert far.chunk_id.startswith("far#")
    assert far.dense == pytest.approx(4 / 17**0.5, abs=TOLERANCE)
    assert far.score == pytest.approx(DENSE_WEIGHT * 4 / 17**0.5 + 1 - DENSE_WEIGHT, abs=TOLERANCE)


def test_without_the_lexical_search_no_terms_are_made(retriever: Retriever) -> None:
    reader = QuestionReader(retriever.backend, DENSE_ONLY)
    assert reader.read("fever and pain").terms == ()


def test_filters_hold_in_both_searches_and_in_the_copies_that_are_named(tmp_path: Path) -> None:
    """The nearest three hundred are all of another language."""
    pages = {f"es-{number:03}": page(f"Fever fever {number}.", language="es") for number in range(300)}
    pages |= {
        "en": page("Pain.", language="en", lastReviewed="2026-01-02"),
        "en-old": page("Hair.", language="en", lastReviewed="2026-01-01"),
        "en-withdrawn": page("Pain.", language="en", status="withdrawn"),
        "es-copy": page("Pain.", language="es"),
    }
    retriever = Retriever(little_index(tmp_path, pages), KeywordEncoder())

    def found(filters: Filters, question: str = "fever") -> list[str]:
        hits = retriever.search(question, top_k=50, filters=filters).hits
        return sorted(hit.chunk_id.partition("#")[0] for hit in hits)

    assert found(Filters(language=("en",))) == ["en", "en-old"]
    assert found(Filters(language=("EN",), last_reviewed_after=date(2026, 1, 1))) == ["en"]
    both = Filters(language=("en",), status=("withdrawn", "active"))
    assert found(both) == ["en", "en-old", "en-withdrawn"]
    assert found(Filters(doc_id=("es-007", "en"))) == ["en", "es-007"]
    assert found(Filters(language=("fr",))) == []
    (pain,) = retriever.search("pain", filters=Filters(doc_id=("en",))).hits
    assert pain.also_in == ()
    (pain,) = retriever.search("pain", filters=Filters(doc_id=("en", "es-copy"))).hits
    assert pain.also_in == ("es-copy",)


@pytest.mark.parametrize("features", [Features(), DENSE_ONLY, LEXICAL_ONLY, replace(FUSED, convex=False)])
def test_filters_that_let_nothing_through_are_answered_with_nothing(
    features: Features, retriever: Retriever
) -> None:
    asked = Retriever(retriever.backend, KeywordEncoder(), features=features)
    assert asked.search("fever", filters=Filters(source=("nobody",))).hits == ()


@settings(deadline=None)
@given(question=QUESTIONS)
def test_what_lowers_a_passage_hides_none(question: str, retriever: Retriever) -> None:
    features = Features(copies=False)
    weighed = Retriever(retriever.backend, KeywordEncoder(), features=features)
    plain = Retriever(retriever.backend, KeywordEncoder(), features=FUSED)
    found = [{hit.chunk_id for hit in one.search(question, top_k=50).hits} for one in (weighed, plain)]
    assert found[0] == found[1] == set(all_chunk_ids(retriever.backend))


@settings(deadline=None)
@given(question=QUESTIONS, top_k=st.integers(1, 11))
def test_a_shorter_ranking_is_the_beginning_of_a_longer_one(
    question: str, top_k: int, retriever: Retriever
) -> None:
    assert retriever.search(question, top_k=top_k).hits == retriever.search(question, top_k=50).hits[:top_k]


def test_another_retriever_over_the_same_index_ranks_the_same(retriever: Retriever, corpus: Path) -> None:
    again = open_index(corpus.parent / "index", encoder=KeywordEncoder())
    other = Retriever(again.backend, again.encoder)
    for word in WORDS:
        assert other.search(word, top_k=50).hits == retriever.search(word, top_k=50).hits


@pytest.mark.parametrize(
    ("history", "field"),
    [
        (["x"] * (MAX_HISTORY + 1), "history"),
        (["fever", "x" * (MAX_QUESTION + 1)], "history.1"),
        (["a\ud800b"], "history.0"),
    ],
)
def test_a_history_out_of_bounds_never_reaches_the_encoder(
    history: list[str], field: str, retriever: Retriever
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        Retriever(retriever.backend, UntouchableEncoder()).search("fever", history=history)
    assert refused.value.field == field


def test_a_history_within_bounds_is_taken(retriever: Retriever) -> None:
    history = ["x" * MAX_QUESTION, "", " \n"] + ["🙂"] * (MAX_HISTORY - 3)
    assert retriever.search("and it?", history=history).hits == retriever.search("and it?").hits


def test_a_ranking_says_what_it_set_right_and_what_it_took_the_question_to_be_about(tmp_path: Path) -> None:
    pages = {f"with-{n}": page(f"Xerostomia {n}.", title=f"Page {n}") for n in range(2)}
    pages |= {"named": page("Drink.", title="Pale mouth"), **fillers(30)}
    ranking = Retriever(little_index(tmp_path, pages), KeywordEncoder()).search("pale mouth, xerostomai")
    assert ranking.corrections == {"xerostomai": "xerostomia"}
    assert ranking.names == ("pale mouth",)
    lacking = {hit.chunk_id.partition("#")[0] for hit in ranking.hits if hit.missing}
    assert "named" not in lacking
    assert {hit.missing for hit in ranking.hits} == {(), ("pale mouth",)}


@pytest.mark.parametrize("word", ["fever", "hair"])
def test_a_withdrawn_document_is_not_found_by_its_own_words(word: str, retriever: Retriever) -> None:
    hits = retriever.search(word, top_k=MAX_TOP_K).hits
    assert [hit.chunk_id for hit in hits if hit.chunk_id.startswith("old-")] == []


def test_chunks_of_equal_score_come_in_the_order_of_their_ids(dense_only: Retriever) -> None:
    hits = dense_only.search("pain hair", top_k=3).hits
    assert [hit.chunk_id.partition("#")[0] for hit in hits] == ["twin-a", "twin-b", "twin-c"]
    assert len({hit.score for hit in hits}) == 1


def test_a_tie_at_the_cut_is_decided_by_the_id(retriever: Retriever) -> None:
    (hit,) = retriever.search("pain hair", top_k=1).hits
    assert hit.chunk_id.startswith("twin-a#")


def test_asking_for_more_than_there_is_returns_every_active_chunk(
    dense_only: Retriever, active_chunks: list[Chunk]
) -> None:
    hits = dense_only.search("doctor", top_k=MAX_TOP_K).hits
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
    assert set(timings) == {"read", "encode", "search", "rank"}
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


def test_nothing_of_a_question_is_remembered_but_what_stands_in_titles(tmp_path: Path) -> None:
    backend = little_index(tmp_path, {"fever": page("Fever and pain.", title="Fever"), "pain": page("Pain.")})
    Retriever(backend, KeywordEncoder()).search("My name is Jane Doe, is fever pain bad for Jane?")
    remembered = {stem for phrase in backend._titled for stem in phrase}
    assert "fever" in remembered
    assert remembered.isdisjoint({"jane", "doe", "name", "bad"})


# Remembered vectors


class CountingEncoder(KeywordEncoder):
    """Notes what it is asked to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def encode_queries(self, texts: Sequence[str]) -> Vectors:
        self.asked += texts
        return super().encode_queries(texts)


def test_a_question_is_encoded_once_as_long_as_it_is_remembered(retriever: Retriever) -> None:
    encoder = CountingEncoder()
    remembering = Retriever(retriever.backend, encoder, remember=2)
    for question in ("fever", "pain", "fever", "hair", "pain"):
        found, oracle = remembering.search(question), retriever.search(question)
        assert found.hits == oracle.hits
        assert found.vector is not None
        assert found.vector.tolist() == KeywordEncoder().encode_queries([question])[0].tolist()
    assert encoder.asked == ["fever", "pain", "hair", "pain"]


def test_by_itself_a_retriever_remembers_nothing(retriever: Retriever) -> None:
    encoder = CountingEncoder()
    forgetful = Retriever(retriever.backend, encoder)
    forgetful.search("fever")
    forgetful.search("fever")
    assert encoder.asked == ["fever"] * 2
