"""What every backend must do; a test class for one backend inherits `BackendContract`.

The oracle is brute force. Most vectors here are drawn so that every product and sum is exact in float32
and survives fp16 (see `exact_rows`): scores, order and ties are then compared without a tolerance.
Words are weighed by BM25 over every chunk there is, whatever the filters; texts are kept below 40 words,
up to which engines that keep a length in one byte keep it exactly.
"""

from __future__ import annotations

import hashlib
import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from keyword_encoder import KeywordEncoder, count_words

from rag.corpus.chunker import Chunker
from rag.corpus.document import Chunk, Document, Link, Metadata
from rag.corpus.fragments import text_fragments
from rag.corpus.pipeline import ChunkedDocument
from rag.corpus.reader import read_documents
from rag.corpus.traits import text_traits
from rag.encoders.base import Vectors, unit_rows
from rag.errors import UnreadableDocument
from rag.index.backend import Backend, Hit, Occurrences, Term
from rag.index.filters import LIST_FILTERS, Filters

DIM = 64

# Each is its own stem, and none is a word that an engine might leave out.
WORDS = ("alpha", "bravo", "kilo", "tango", "zulu", "mambo", "lima", "tosca", "rondo", "polka")

_VALUES = ("Lung", "lung", "LUNG", "breast", "Straße", "STRASSE", "small cell lung", "ä, ö", "z")
_SOME_VALUES = st.lists(st.sampled_from(_VALUES), max_size=3).map(tuple)
_ONE_VALUE = st.none() | st.sampled_from(_VALUES)
_DAYS = st.none() | st.dates(date(2025, 12, 28), date(2026, 1, 3))
_STATUS = st.sampled_from(("active", "Active", "withdrawn", "draft"))

METADATA = st.builds(
    Metadata,
    title=st.just("A title"),
    source=_ONE_VALUE,
    source_type=_ONE_VALUE,
    license=_ONE_VALUE,
    language=_ONE_VALUE,
    status=_STATUS,
    audience=st.sampled_from(("patient", "professional")),
    cancer_types=_SOME_VALUES,
    tags=_SOME_VALUES,
    last_reviewed=_DAYS,
)
_CONDITIONS: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(LIST_FILTERS, _SOME_VALUES),
    "status": st.lists(_STATUS, min_size=1, max_size=3).map(tuple),
    "audience": st.sampled_from((("Patient",), ("professional", "patient"), ("nobody",))),
    "doc_id": st.lists(st.sampled_from(("d/0", "D/1", "d/2", "elsewhere")), max_size=3).map(tuple),
    "last_reviewed_after": _DAYS,
}
# Three conditions at most: a document that meets ten at once would hardly ever be drawn.
FILTERS = (
    st.sets(st.sampled_from(sorted(_CONDITIONS)), max_size=3)
    .flatmap(lambda names: st.fixed_dictionaries({name: _CONDITIONS[name] for name in names}))
    .map(lambda chosen: Filters(**chosen))
)

# A document for every kind of condition, each of one chunk.
SHELF = {
    "a": Metadata(
        title="A",
        cancer_types=("Lung", "z"),
        language="en",
        source="NCI",
        last_reviewed=date(2025, 12, 30),
    ),
    "b": Metadata(
        title="B",
        cancer_types=("lung",),
        language="es",
        source="Straße 1",
        source_type="02_nci_core",
        last_reviewed=date(2025, 12, 31),
    ),
    "c": Metadata(
        title="C",
        cancer_types=("breast",),
        source="nci",
        tags=("a", "Drug"),
        last_reviewed=date(2026, 1, 1),
    ),
    "d": Metadata(title="D", audience="professional"),
    "e": Metadata(title="E", license="Public_Domain"),
    "f": Metadata(title="F", cancer_types=("lung",), status="withdrawn"),
    "g": Metadata(title="G", status="draft"),
}

# Makes a backend that holds these documents; row `i` of the vectors belongs to the i-th of all chunks.
MakeBackend = Callable[[Sequence[ChunkedDocument], Vectors], Backend]

FULL = Metadata(
    title="Tarlatamab-dlle - NCI",
    url="https://example.org/tarlatamab?a=1&b=2#top",
    source="NCI",
    source_type="02_nci_core",
    citation="NCI, 2025",
    license="public_domain",
    language="en",
    version="1.10",
    status="active",
    audience="professional",
    audience_claim="patient",
    cancer_types=("small cell lung", "lung"),
    tags=("drug", "ä, ö"),
    last_reviewed=date(2025, 12, 30),
    review_frequency="quarterly",
    extra={
        "basedOn": ["https://example.org/a", "https://example.org/b"],
        "editor": {"name": "Zoë “Z” Ünal", "years": [2019, 2020], "retired": False, "phone": None},
        "score": 0.1,
        "count": 12345678901234567890,
        "": "an empty key",
        "naïve 🩺": {"deep": {"deeper": [{"deepest": "\u2028\t\"'\\"}]}},
    },
)


def exact_rows(count: int, *, seed: int) -> Vectors:
    """Rows of unit length: 1, 4, 16 or all 64 components are ±1, ±1/2, ±1/4 or ±1/8, the others 0."""
    draw = np.random.default_rng(seed)
    rows = np.zeros((count, DIM), dtype=np.float32)
    for row in rows:
        filled = int(draw.choice([1, 4, 16, 64]))
        row[draw.permutation(DIM)[:filled]] = draw.choice([-1, 1], filled) / np.sqrt(filled)
    return rows


def brute_force(chunk_ids: Sequence[str], vectors: Vectors, query: Vectors, k: int) -> list[Hit]:
    """The `k` best by (−score, chunk_id) over the vectors as fp16 keeps them."""
    scores = vectors.astype(np.float16).astype(np.float64) @ query.astype(np.float64)
    hits = [Hit(chunk_id, float(score)) for chunk_id, score in zip(chunk_ids, scores, strict=True)]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))[:k]


def passes(filters: Filters, doc_id: str, metadata: Metadata) -> bool:
    """Whether a document meets every condition that is set, by any one of its values."""
    for name in LIST_FILTERS:
        wanted = {value.casefold() for value in getattr(filters, name)}
        value = doc_id if name == "doc_id" else getattr(metadata, name)
        held = {value} if isinstance(value, str) else set(value or ())
        if wanted and wanted.isdisjoint(one.casefold() for one in held):
            return False
    after = filters.last_reviewed_after
    return after is None or (metadata.last_reviewed is not None and metadata.last_reviewed > after)


def bm25(texts: Mapping[str, str], weights: Mapping[str, float]) -> dict[str, float]:
    """The score of every text above zero, for words that are their own stems.

    Σ weight · idf · tf · (k₁ + 1) / (tf + k₁ · (1 − b + b · length / mean length)), k₁ = 1.2, b = 0.75,
    idf = ln(1 + (N − n + ½) / (n + ½)). Source: Robertson and Zaragoza 2009, with Lucene's idf.
    """
    words = {chunk_id: text.split() for chunk_id, text in texts.items()}
    mean = sum(map(len, words.values())) / len(words)
    scores: dict[str, float] = {}
    for word, weight in weights.items():
        holding = {chunk_id: held.count(word) for chunk_id, held in words.items() if word in held}
        idf = math.log(1 + (len(words) - len(holding) + 0.5) / (len(holding) + 0.5))
        for chunk_id, tf in holding.items():
            reach = 1.2 * (0.25 + 0.75 * len(words[chunk_id]) / mean)
            scores[chunk_id] = scores.get(chunk_id, 0.0) + weight * idf * tf * 2.2 / (tf + reach)
    return scores


def assert_ranked(hits: Sequence[Hit], exact: Mapping[str, float], k: int) -> None:
    """Just the best `k` of the exact scores, float32's last digits aside, ordered by (−score, chunk_id)."""
    assert len(dict(hits)) == len(hits) == min(k, len(exact))
    scores = [hit.score for hit in hits]
    np.testing.assert_allclose(scores, [exact[hit.chunk_id] for hit in hits], rtol=1e-5)
    np.testing.assert_allclose(scores, sorted(exact.values(), reverse=True)[: len(hits)], rtol=1e-5)
    assert list(hits) == sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def a_document(
    doc_id: str, texts: Sequence[str] = ("A passage.",), metadata: Metadata | None = None
) -> ChunkedDocument:
    """A document with a chunk for each of `texts`, whose ids run against their order in the text."""
    metadata = metadata or Metadata(title=f"About {doc_id}")
    head = f"---\ntitle: “{doc_id}” 🩺\n---\n\n"
    text, chunks = head, []
    for at, markdown in enumerate(texts):
        start, text = len(text), f"{text}{markdown}\n\n"
        chunks.append(
            Chunk(
                chunk_id=f"{doc_id}#top-{len(texts) - at:08d}",
                doc_id=doc_id,
                start=start,
                end=start + len(markdown),
                markdown=markdown,
                text=markdown.replace("**", ""),
                heading_path=("Übersicht", f"Part {at}"),
                context=f"{metadata.title} > Part {at}",
                links=(Link("see “there”", f"https://example.org/{at}"),),
            )
        )
    digest = hashlib.sha256(text.encode()).hexdigest()
    document = Document(doc_id, text, len(head), metadata, digest, ("bom", "mojibake"))
    traits = [text_traits(chunk.text) for chunk in chunks]
    return ChunkedDocument(document, chunks, [f"text={at},é" for at in range(len(texts))], traits)


def bare(doc_id: str, texts: Sequence[str], metadata: Metadata | None = None) -> ChunkedDocument:
    """A document whose chunks are found by nothing but their own text."""
    made = a_document(doc_id, texts, metadata)
    return replace(made, chunks=[replace(chunk, context="") for chunk in made.chunks])


def cut(doc_id: str, title: str, body: str) -> ChunkedDocument:
    """A document of this markdown, cut as every document is."""
    document = Document(doc_id, body, 0, Metadata(title=title), hashlib.sha256(body.encode()).hexdigest())
    chunks = Chunker(count_words).chunk(document)
    traits = [text_traits(chunk.text) for chunk in chunks]
    return ChunkedDocument(document, chunks, text_fragments(chunks), traits)


def texts_of(documents: Sequence[ChunkedDocument]) -> dict[str, str]:
    """What each chunk is found by, as far as it is text."""
    return {chunk.chunk_id: chunk.text for one in documents for chunk in one.chunks}


def random_texts(count: int, *, seed: int) -> list[str]:
    """Up to 39 words each; the later a word stands in `WORDS`, the rarer it is."""
    draw = np.random.default_rng(seed)
    shares = 1 / np.arange(1, len(WORDS) + 1)
    lengths = draw.integers(1, 40, size=count)
    return [" ".join(draw.choice(WORDS, length, p=shares / shares.sum())) for length in lengths]


def singles(doc_ids: Iterable[str], *, status: str = "active") -> list[ChunkedDocument]:
    """Documents of one chunk each."""
    return [a_document(doc_id, metadata=Metadata(title=doc_id, status=status)) for doc_id in doc_ids]


def scattered_ids(count: int) -> list[str]:
    """Ids in no order, where capitals and marks part the order of code points from a dictionary's."""
    draw = np.random.default_rng(count)
    letters = [*string.ascii_letters, *"-_.~é"]
    return [f"{''.join(draw.choice(letters, 3))}/{at}" for at in draw.permutation(count)]


def ids_of(documents: Sequence[ChunkedDocument]) -> list[str]:
    """The ids of all chunks in the order of their rows."""
    return [chunk.chunk_id for document in documents for chunk in document.chunks]


class BackendContract:
    """A class for one backend says how it is made."""

    @pytest.fixture
    def make(self) -> MakeBackend:
        """How to make the backend under test."""
        raise NotImplementedError

    @pytest.mark.parametrize("k", [1, 2, 10, 57])
    def test_neighbours_are_those_of_brute_force(self, make: MakeBackend, k: int) -> None:
        documents, vectors = singles(scattered_ids(300)), exact_rows(300, seed=k)
        backend, ids = make(documents, vectors), ids_of(documents)
        for query in (*exact_rows(20, seed=1000 + k), *vectors[:5], -vectors[0]):
            assert backend.search(query, k) == brute_force(ids, vectors, query, k)

    def test_any_vectors_are_ranked_as_brute_force_ranks_them(self, make: MakeBackend) -> None:
        draw = np.random.default_rng(7)
        documents = [a_document(doc_id, ["One.", "Two.", "Three."]) for doc_id in scattered_ids(100)]
        vectors, queries = unit_rows(draw.normal(size=(300, DIM))), unit_rows(draw.normal(size=(10, DIM)))
        backend, ids = make(documents, vectors), ids_of(documents)
        for query in queries:
            expected = brute_force(ids, vectors, query, 300)
            exact = dict(expected)
            hits = backend.search(query, 25)
            assert len(dict(hits)) == 25
            # Sums in another order differ in the last digits, so near ties may change places.
            scores = [score for _, score in hits]
            np.testing.assert_allclose(scores, [exact[chunk_id] for chunk_id, _ in hits], atol=1e-6)
            np.testing.assert_allclose(scores, [score for _, score in expected[:25]], atol=1e-6)
            assert scores == sorted(scores, reverse=True)

    @pytest.mark.parametrize("k", [19, 20, 21, 10_000])
    def test_asking_for_more_than_there_are_gives_all(self, make: MakeBackend, k: int) -> None:
        documents, vectors = singles(scattered_ids(20)), exact_rows(20, seed=3)
        hits = make(documents, vectors).search(vectors[4], k)
        assert hits == brute_force(ids_of(documents), vectors, vectors[4], k)
        assert len(hits) == min(k, 20)

    @pytest.mark.parametrize("k", [1, 4, 5, 17, 21, 50, 149, 154])
    def test_chunks_of_equal_score_are_cut_by_their_ids(self, make: MakeBackend, k: int) -> None:
        """150 chunks tie behind four better ones, so almost every `k` cuts through the tie."""
        documents = singles(scattered_ids(160))
        tied, better, worse = (np.eye(DIM, dtype=np.float32)[at] for at in range(3))
        vectors = np.array([tied] * 80 + [better] * 4 + [worse] * 6 + [tied] * 70)
        query = (tied / 2 + better - worse / 2).astype(np.float32)
        hits = make(documents, vectors).search(query, k)
        assert hits == brute_force(ids_of(documents), vectors, query, k)

    def test_a_tie_of_a_thousand_is_cut_by_id(self, make: MakeBackend) -> None:
        documents = [a_document(doc_id, ["One."] * 50) for doc_id in scattered_ids(20)]
        vectors = np.tile(exact_rows(1, seed=1), (1000, 1))
        hits = make(documents, vectors).search(vectors[0], 5)
        assert hits == [Hit(chunk_id, 1.0) for chunk_id in sorted(ids_of(documents))[:5]]

    def test_the_same_words_in_two_documents_are_both_found(self, make: MakeBackend) -> None:
        documents = [a_document(doc_id, ["Call your doctor.", "Rest."]) for doc_id in ("z", "a/b", "A")]
        call, rest = exact_rows(2, seed=8)
        backend = make(documents, np.array([call, rest] * 3))
        found = [chunk_id for chunk_id, _ in backend.search(call, 3)]
        assert found == ["A#top-00000002", "a/b#top-00000002", "z#top-00000002"]
        assert {stored.chunk.text for stored in backend.chunks(found)} == {"Call your doctor."}

    def test_withdrawn_documents_are_not_found_even_when_they_are_nearest(self, make: MakeBackend) -> None:
        names = scattered_ids(60)
        near = singles(names[:10], status="withdrawn")
        drafts = singles(names[10:15], status="draft")
        active = singles(names[15:])
        query = exact_rows(1, seed=2)[0]
        vectors = np.concatenate([np.tile(query, (15, 1)), exact_rows(45, seed=4)])
        order = np.random.default_rng(0).permutation(60)
        documents = [[*near, *drafts, *active][at] for at in order]
        backend = make(documents, vectors[order])
        for k in (1, 10, 45, 60):
            assert backend.search(query, k) == brute_force(ids_of(active), vectors[15:], query, k)

    def test_withdrawn_documents_can_still_be_looked_up(self, make: MakeBackend) -> None:
        gone = a_document("gone", metadata=Metadata(title="Gone", status="withdrawn"))
        backend = make([gone], exact_rows(1, seed=0))
        assert backend.document("gone") == gone.document
        assert backend.chunks(ids_of([gone]))[0].metadata.status == "withdrawn"

    def test_nothing_is_found_where_everything_is_withdrawn(self, make: MakeBackend) -> None:
        vectors = exact_rows(3, seed=6)
        backend = make(singles("abc", status="withdrawn"), vectors)
        assert backend.search(vectors[0], 5) == []

    def test_a_hit_is_plain_text_and_a_plain_number(self, make: MakeBackend) -> None:
        vectors = exact_rows(1, seed=0)
        (hit,) = make(singles("a"), vectors).search(vectors[0], 1)
        assert (type(hit), type(hit.chunk_id), type(hit.score)) == (Hit, str, float)
        assert hit.score == 1.0

    def test_chunks_come_in_the_order_they_were_asked_for(self, make: MakeBackend) -> None:
        documents = [a_document(doc_id, ["One.", "**Two.**"]) for doc_id in scattered_ids(700)]
        backend = make(documents, exact_rows(1400, seed=1))
        ids = ids_of(documents)
        asked = [ids[at] for at in np.random.default_rng(1).permutation(1400)[:1100]]
        asked.append(asked[0])
        assert [stored.chunk.chunk_id for stored in backend.chunks(asked)] == asked
        assert backend.chunks([]) == []

    def test_a_chunk_comes_back_as_it_was_given(self, make: MakeBackend) -> None:
        given = [a_document("a/ü b", ["One.", "**Zwei** 🩺"], FULL), a_document("b")]
        stored = make(given, exact_rows(3, seed=1)).chunks(ids_of(given))
        assert [one.chunk for one in stored] == [*given[0].chunks, *given[1].chunks]
        assert [one.fragment for one in stored] == ["text=0,é", "text=1,é", "text=0,é"]
        assert [one.sha256 for one in stored] == [given[at].document.sha256 for at in (0, 0, 1)]
        assert [one.metadata for one in stored] == [FULL, FULL, given[1].document.metadata]

    @pytest.mark.parametrize("asked", [["nowhere"], ["a#top-00000001", "a#top-00000009"], ["a"], [""]])
    def test_an_unknown_chunk_is_a_key_error(self, make: MakeBackend, asked: list[str]) -> None:
        backend = make(singles("ab"), exact_rows(2, seed=1))
        with pytest.raises(KeyError, match=re.escape(repr(asked[-1]))):
            backend.chunks(asked)

    @pytest.mark.parametrize("asked", ["nowhere", "", "A", "a#top-00000001"])
    def test_an_unknown_document_is_a_key_error(self, make: MakeBackend, asked: str) -> None:
        backend = make(singles("ab"), exact_rows(2, seed=1))
        with pytest.raises(KeyError, match=re.escape(repr(asked))):
            backend.document(asked)

    def test_a_document_comes_back_with_text_metadata_and_repairs(self, make: MakeBackend) -> None:
        given = [a_document("a/ü b", ["One.", "Two."], FULL), a_document("empty", []), a_document("c")]
        backend = make(given, exact_rows(3, seed=1))
        for one in given:
            assert backend.document(one.document.doc_id) == one.document

    @pytest.mark.parametrize("name", [field.name for field in fields(Metadata)])
    def test_every_key_of_the_metadata_survives_present_or_absent(self, make: MakeBackend, name: str) -> None:
        bare = Metadata(title="Bare")
        given = [
            a_document("with", metadata=replace(bare, **{name: getattr(FULL, name)})),
            a_document("without", metadata=replace(FULL, **{name: getattr(bare, name)})),
        ]
        backend = make(given, exact_rows(2, seed=1))
        stored = backend.chunks(ids_of(given))
        for one, back in zip(given, stored, strict=True):
            assert back.metadata == backend.document(back.chunk.doc_id).metadata == one.document.metadata

    def test_the_catalog_names_every_document_once_with_its_metadata(self, make: MakeBackend) -> None:
        """Those without a word or withdrawn too, for it is not what a search lets through."""
        given = [
            a_document("z/ü b", ["One.", "Two."], FULL),
            a_document("empty", []),
            a_document("gone", metadata=Metadata(title="Gone", status="withdrawn")),
            *singles("da", status="draft"),
        ]
        backend = make(given, exact_rows(5, seed=1))
        catalog = backend.catalog()
        assert len(catalog) == backend.info.documents == len(given)
        assert dict(catalog) == {one.document.doc_id: one.document.metadata for one in given}
        for doc_id, metadata in catalog:
            assert metadata == backend.document(doc_id).metadata
        assert list(backend.catalog()) == list(catalog)

    def test_an_index_without_documents_has_an_empty_catalog(self, make: MakeBackend) -> None:
        assert list(make([], exact_rows(0, seed=1)).catalog()) == []

    def test_metadata_is_never_shared(self, make: MakeBackend) -> None:
        given = a_document("a", ["One.", "Two."], FULL)
        backend = make([given], exact_rows(2, seed=1))
        first, second = (_extra(stored.metadata) for stored in backend.chunks(ids_of([given])))
        first["editor"]["years"].append("scribbled")
        _extra(backend.document("a").metadata)["basedOn"].clear()
        assert second == FULL.extra
        assert backend.chunks(ids_of([given]))[0].metadata == FULL
        assert backend.document("a").metadata == FULL

    def test_every_stored_chunk_is_an_exact_slice_of_its_document(
        self, make: MakeBackend, seeds_folder: Path, keywords: KeywordEncoder
    ) -> None:
        chunker, given = Chunker(count_words), []
        for document in read_documents(seeds_folder):
            assert not isinstance(document, UnreadableDocument)
            chunks = chunker.chunk(document)
            traits = [text_traits(chunk.text) for chunk in chunks]
            given.append(ChunkedDocument(document, chunks, text_fragments(chunks), traits))
        texts = [chunk.embedded_text for one in given for chunk in one.chunks]
        assert len(texts) > 100
        backend = make(given, keywords.encode_documents(texts))
        for stored in backend.chunks(ids_of(given)):
            chunk = stored.chunk
            assert backend.document(chunk.doc_id).text[chunk.start : chunk.end] == chunk.markdown

    def test_many_threads_find_what_one_finds(self, make: MakeBackend) -> None:
        documents, vectors = singles(scattered_ids(200)), exact_rows(200, seed=9)
        backend, ids = make(documents, vectors), ids_of(documents)

        def search_and_look_up(row: int) -> bool:
            hits = backend.search(vectors[row], 7)
            stored = backend.chunks([hit.chunk_id for hit in hits])
            return hits == brute_force(ids, vectors, vectors[row], 7) and [
                (one.chunk.chunk_id, one.metadata.title) for one in stored
            ] == [(hit.chunk_id, hit.chunk_id.partition("#")[0]) for hit in hits]

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(search_and_look_up, [*range(200)] * 2))

    def test_info_counts_what_is_there(self, make: MakeBackend) -> None:
        documents = [a_document("a", ["One.", "Two."]), a_document("b", []), *singles("c", status="draft")]
        info = make(documents, exact_rows(3, seed=1)).info
        assert (info.documents, info.chunks) == (3, 3)

    @pytest.mark.parametrize("seed", [1, 2])
    def test_words_are_ranked_as_bm25_ranks_them(self, make: MakeBackend, seed: int) -> None:
        """Weights multiply what a word adds; rare words count more, and many words in a short text."""
        documents = [
            bare(doc_id, random_texts(5, seed=at)) for at, doc_id in enumerate(scattered_ids(60), seed)
        ]
        backend, texts = make(documents, exact_rows(300, seed=seed)), texts_of(documents)
        draw = np.random.default_rng(seed)
        for _ in range(40):
            words = draw.choice(WORDS, draw.integers(1, 6), replace=False).tolist()
            weights = dict(zip(words, draw.choice([0.1, 0.35, 1, 2], len(words)).tolist(), strict=True))
            terms = [Term(word, weight) for word, weight in weights.items()]
            for k in (1, 10, 1000):
                assert_ranked(backend.match(terms, k), bm25(texts, weights), k)

    def test_a_term_of_several_words_searches_by_each_of_them(self, make: MakeBackend) -> None:
        documents = [bare(f"d{at}", [text]) for at, text in enumerate(random_texts(40, seed=5))]
        backend = make(documents, exact_rows(40, seed=5))
        exact = bm25(texts_of(documents), {"polka": 0.7, "rondo": 0.7})
        assert_ranked(backend.match([Term("Polka-rondo!", 0.7)], 50), exact, 50)

    @pytest.mark.parametrize(
        "terms",
        [
            [Term("tango", 0.3), Term("tango", 0.9)],
            [Term("tangos", 0.9), Term("TANGO", 0.3), Term("tango", 0.8)],
            [Term("tango tangos, Tango", 0.9)],
        ],
    )
    def test_a_stem_that_comes_twice_counts_once_with_its_highest_weight(
        self, make: MakeBackend, terms: list[Term]
    ) -> None:
        documents = [bare(f"d{at}", [text]) for at, text in enumerate(random_texts(40, seed=6))]
        backend = make(documents, exact_rows(40, seed=6))
        found = backend.match(terms, 50)
        assert_ranked(found, bm25(texts_of(documents), {"tango": 0.9}), 50)
        assert found == backend.match([Term("tango", 0.9)], 50)

    def test_a_word_is_found_in_its_other_forms(self, make: MakeBackend) -> None:
        texts = ["She VOMITED twice.", "Vomiting, or “throwing up”", "No nausea."]
        documents = [bare(f"d{at}", [text]) for at, text in enumerate(texts)]
        backend = make(documents, exact_rows(3, seed=1))
        for word in ("vomit", "vomiting", "Vomits"):
            assert {hit.chunk_id[:2] for hit in backend.match([Term(word)], 5)} == {"d0", "d1"}

    def test_words_of_title_and_headings_are_found_too(self, make: MakeBackend) -> None:
        documents = [cut("a", "Zulu", "## Tango\n\nOne.\n\n## Polka\n\nTwo."), cut("b", "Bravo", "Three.")]
        backend = make(documents, exact_rows(3, seed=1))
        assert {hit.chunk_id.partition("-")[0] for hit in backend.match([Term("zulu")], 5)} == {
            "a#tango",
            "a#polka",
        }
        assert [hit.chunk_id.partition("-")[0] for hit in backend.match([Term("polka")], 5)] == ["a#polka"]

    @pytest.mark.parametrize("k", [1, 4, 5, 17, 21, 50, 149, 154, 160, 500])
    def test_chunks_of_the_same_words_are_cut_by_their_ids(self, make: MakeBackend, k: int) -> None:
        """150 texts tie behind four better ones, and six hold none of the words."""
        texts = ["tango kilo"] * 80 + ["tango tango"] * 4 + ["alpha bravo"] * 6 + ["kilo tango"] * 70
        documents = [bare(doc_id, [text]) for doc_id, text in zip(scattered_ids(160), texts, strict=True)]
        hits = make(documents, exact_rows(160, seed=1)).match([Term("tango")], k)
        better, tied = (
            sorted(chunk_id for chunk_id, text in texts_of(documents).items() if text in wanted)
            for wanted in ({"tango tango"}, {"tango kilo", "kilo tango"})
        )
        assert [hit.chunk_id for hit in hits] == [*better, *tied][:k]

    @pytest.mark.parametrize(
        "terms",
        [
            [],
            [Term("")],
            [Term("…")],
            [Term("?!."), Term("- – —", 2.0), Term("\n\t")],
            [Term("nowhere")],
            [Term("nowhere", 3.0), Term("(")],
        ],
    )
    def test_unknown_words_and_marks_alone_find_nothing(self, make: MakeBackend, terms: list[Term]) -> None:
        backend = make([bare("a", ["alpha. ?!"]), bare("b", ["… bravo"])], exact_rows(2, seed=1))
        assert backend.match(terms, 5) == []
        assert [hit.chunk_id for hit in backend.match([*terms, Term("bravo")], 5)] == ["b#top-00000001"]

    @pytest.mark.parametrize(
        "word", ["AND", "NOT alpha", '"alpha', "title:alpha", "alp*", "alpha~1", "+alpha", "[a TO z]", "a\\"]
    )
    def test_a_term_is_words_and_no_language(self, make: MakeBackend, word: str) -> None:
        backend = make([bare("a", ["alpha"]), bare("b", ["title and not to z"])], exact_rows(2, seed=1))
        said, held = (
            set(re.findall(r"\w+", word.casefold())),
            {"a": {"alpha"}, "b": {"title", "and", "not", "to", "z"}},
        )
        expected = [doc_id for doc_id, words in held.items() if said & words]
        assert sorted(hit.chunk_id[0] for hit in backend.match([Term(word)], 5)) == expected

    def test_asking_for_none_gives_none(self, make: MakeBackend) -> None:
        vectors = exact_rows(30, seed=1)
        backend = make([bare(f"d{at}", ["alpha"]) for at in range(30)], vectors)
        assert backend.search(vectors[0], 0) == backend.match([Term("alpha")], 0) == []

    def test_a_match_is_plain_text_and_a_plain_number(self, make: MakeBackend) -> None:
        (hit,) = make([bare("a", ["alpha"])], exact_rows(1, seed=0)).match([Term("alpha")], 1)
        assert (type(hit), type(hit.chunk_id), type(hit.score)) == (Hit, str, float)
        # One chunk of one chunk holds it: ln(1 + ½ / 1½), and a text of mean length.
        assert hit.score == pytest.approx(math.log(4 / 3), rel=1e-5)

    @settings(
        deadline=None,
        max_examples=25,
        # An index is built for every step, so what fails is shown as it was drawn.
        phases=(Phase.explicit, Phase.reuse, Phase.generate),
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        metadata=st.lists(METADATA, min_size=1, max_size=16),
        wanted=st.lists(FILTERS, min_size=8, max_size=8),
        k=st.sampled_from([1, 3, 50]),
        seed=st.integers(0, 99),
    )
    def test_filters_let_through_what_brute_force_lets_through(
        self, make: MakeBackend, metadata: list[Metadata], wanted: list[Filters], k: int, seed: int
    ) -> None:
        """In both searches; what is left out changes no score of what is found."""
        texts = random_texts(2 * len(metadata), seed=seed)
        documents = [
            bare(f"{'dD'[at % 2]}/{at}", texts[2 * at : 2 * at + 1 + at % 2], one)
            for at, one in enumerate(metadata)
        ]
        ids = ids_of(documents)
        vectors, query = exact_rows(len(ids), seed=seed), exact_rows(1, seed=seed + 1)[0]
        backend = make(documents, vectors)
        exact = bm25(texts_of(documents), {"alpha": 1.0, "zulu": 0.5})
        for filters in wanted:
            let = {
                chunk.chunk_id
                for one in documents
                for chunk in one.chunks
                if passes(filters, one.document.doc_id, one.document.metadata)
            }
            near = [hit for hit in brute_force(ids, vectors, query, len(ids)) if hit.chunk_id in let]
            assert backend.search(query, k, filters) == near[:k]
            matched = {chunk_id: score for chunk_id, score in exact.items() if chunk_id in let}
            assert_ranked(backend.match([Term("alpha"), Term("zulu", 0.5)], k, filters), matched, k)

    @pytest.mark.parametrize(
        ("filters", "expected"),
        [
            (Filters(), "abcde"),
            (Filters(status=("active", "withdrawn", "draft")), "abcdefg"),
            (Filters(status=("withdrawn",)), "f"),
            (Filters(status=("WITHDRAWN", "draft")), "fg"),
            (Filters.parse({"status": []}), "abcde"),
            (Filters.parse({"status": None, "tags": [], "last_reviewed_after": None}), "abcde"),
            (Filters(cancer_types=("lung",)), "ab"),
            (Filters(cancer_types=("LUNG", "Breast")), "abc"),
            (Filters(cancer_types=("lun", "lungs", "lung breast")), ""),
            (Filters(cancer_types=("lung",), language=("en",)), "a"),
            (Filters(cancer_types=("lung",), language=("en", "ES")), "ab"),
            (Filters(cancer_types=("lung",), status=("withdrawn",)), "f"),
            (Filters(audience=("Professional",)), "d"),
            (Filters(source=("nci",)), "ac"),
            (Filters(source=("STRASSE 1",)), "b"),
            (Filters(source=("strasse 1", "straße 1")), "b"),
            (Filters(source=("STRAßE 1",)), "b"),
            (Filters(source_type=("02_NCI_core",)), "b"),
            (Filters(license=("public_domain",)), "e"),
            (Filters(tags=("drug",)), "c"),
            (Filters(doc_id=("A", "e", "f")), "ae"),
            (Filters(last_reviewed_after=date(2025, 12, 29)), "abc"),
            (Filters(last_reviewed_after=date(2025, 12, 30)), "bc"),
            (Filters(last_reviewed_after=date(2026, 1, 1)), ""),
            (Filters(last_reviewed_after=date.min), "abc"),
            (Filters(last_reviewed_after=date(2025, 12, 30), source=("NCI",)), "c"),
        ],
    )
    def test_a_document_meets_every_condition_by_any_of_its_values(
        self, make: MakeBackend, filters: Filters, expected: str
    ) -> None:
        """Case is ignored; the day itself is not after it; what has no date is after no day."""
        documents = [bare(doc_id, ["alpha"], metadata) for doc_id, metadata in SHELF.items()]
        vectors = np.tile(exact_rows(1, seed=1), (len(documents), 1))
        backend = make(documents, vectors)
        for hits in (backend.search(vectors[0], 9, filters), backend.match([Term("alpha")], 9, filters)):
            assert [hit.chunk_id for hit in hits] == [f"{doc_id}#top-00000001" for doc_id in expected]

    @pytest.mark.parametrize("shown", [["few"], ["few", "many"], ["single"]])
    def test_a_filter_that_rejects_the_nearest_thousand_still_returns_k(
        self, make: MakeBackend, shown: list[str]
    ) -> None:
        """1,200 chunks are nearer and hold more of the words than any of those that may be shown."""
        draw = np.random.default_rng(3)
        sizes = {"near": 1200, "many": 1500, "few": 40, "single": 12}
        documents = [
            bare(
                f"{source}/{at}",
                ["kilo zulu zulu" if source == "near" else f"tango {text}".replace("zulu", "bravo")] * 4,
                Metadata(title="T", source=source),
            )
            for source, size in sizes.items()
            for at, text in enumerate(random_texts(size // 4, seed=size))
        ]
        query = np.array([1, 0, 0, 0], dtype=np.float32)
        sources = [one.document.metadata.source for one in documents for _ in one.chunks]
        vectors = unit_rows(draw.normal(size=(len(sources), 4)))
        vectors[:, 0] = [
            1 if source == "near" else value / 2 for source, value in zip(sources, vectors[:, 0], strict=True)
        ]
        vectors = vectors.astype(np.float16).astype(np.float32)
        ids, texts = ids_of(documents), texts_of(documents)
        let = {chunk_id for chunk_id, source in zip(ids, sources, strict=True) if source in shown}
        backend, filters = make(documents, vectors), Filters(source=tuple(shown))
        terms = [Term("tango", 0.2), Term("zulu")]
        for hits in (backend.search(query, 1200), backend.match(terms, 1200)):
            assert {hit.chunk_id for hit in hits} == set(ids[:1200])
        near = [hit for hit in brute_force(ids, vectors, query, len(ids)) if hit.chunk_id in let]
        assert backend.search(query, 10, filters) == near[:10]
        exact = bm25(texts, {"tango": 0.2, "zulu": 1.0})
        hits = backend.match(terms, 10, filters)
        assert_ranked(hits, {chunk_id: exact[chunk_id] for chunk_id in let}, 10)
        assert len(hits) == 10

    def test_similarities_are_the_scores_of_the_search(self, make: MakeBackend) -> None:
        documents, vectors = singles(scattered_ids(120)), exact_rows(120, seed=11)
        backend = make(documents, vectors)
        for query in exact_rows(5, seed=12):
            hits = backend.search(query, 120)
            found = backend.similarities(query, [hit.chunk_id for hit in hits])
            assert (found.dtype.name, found.shape) == ("float32", (120,))
            assert found.tolist() == [hit.score for hit in hits]

    def test_any_vectors_are_as_similar_as_fp16_keeps_them(self, make: MakeBackend) -> None:
        draw = np.random.default_rng(13)
        vectors, query = unit_rows(draw.normal(size=(50, DIM))), unit_rows(draw.normal(size=(1, DIM)))[0]
        documents = singles(scattered_ids(50))
        backend, ids = make(documents, vectors), ids_of(documents)
        asked = [*draw.permutation(50)[:20], 7, 7]
        exact = vectors.astype(np.float16).astype(np.float64)[asked] @ query
        np.testing.assert_allclose(backend.similarities(query, [ids[at] for at in asked]), exact, atol=1e-6)

    def test_withdrawn_chunks_have_similarities_and_traits_too(self, make: MakeBackend) -> None:
        documents, vectors = singles("ab", status="withdrawn"), exact_rows(2, seed=3)
        backend, ids = make(documents, vectors), ids_of(documents)
        assert backend.similarities(vectors[1], ids)[1] == 1.0
        assert backend.traits(ids).doc_ids == ["a", "b"]

    @pytest.mark.parametrize("asked", [["nowhere"], ["a#top-00000001", "a#top-00000009"], ["a"]])
    def test_what_is_told_of_an_unknown_chunk_is_a_key_error(
        self, make: MakeBackend, asked: list[str]
    ) -> None:
        vectors = exact_rows(2, seed=1)
        backend = make(singles("ab"), vectors)
        for ask in (
            lambda: backend.similarities(vectors[0], asked),
            lambda: backend.traits(asked),
            lambda: backend.mentions(["alpha"], asked),
            lambda: backend.copies(asked[-1]),
        ):
            with pytest.raises(KeyError, match=re.escape(repr(asked[-1]))):
                ask()

    def test_of_no_chunks_there_is_nothing_to_tell(self, make: MakeBackend) -> None:
        vectors = exact_rows(1, seed=1)
        backend = make(singles("a"), vectors)
        traits = backend.traits([])
        assert [len(getattr(traits, field.name)) for field in fields(traits)] == [0] * 7
        assert backend.similarities(vectors[0], []).shape == (0,)
        assert backend.mentions(["a"], []).shape == (0,)

    def test_traits_are_columns_in_the_order_asked_for(self, make: MakeBackend) -> None:
        given = [
            a_document("a/ü", ["One.", "Two."], FULL),
            a_document("b", ["Three."], replace(FULL, audience="patient", source=None)),
        ]
        backend, ids = make(given, exact_rows(3, seed=1)), ids_of(given)
        traits = backend.traits([ids[2], ids[0], ids[1], ids[0]])
        assert traits.doc_ids == ["b", "a/ü", "a/ü", "a/ü"]
        assert traits.titles == ["Tarlatamab-dlle - NCI", *["Tarlatamab-dlle"] * 3]
        assert traits.professional.tolist() == [False, True, True, True]
        kinds = {field.name: getattr(traits, field.name).dtype for field in fields(traits)[2:]}
        assert kinds == {
            "professional": np.bool_,
            "sections": np.int64,
            "repeated": np.float32,
            "bibliography": np.bool_,
            "contents": np.int64,
        }

    def test_sections_are_told_apart_by_document_and_heading_path(self, make: MakeBackend) -> None:
        paths = [("A",), ("A", "B"), ("A",), ("B",), (), ("A", "B"), ("A B",), ()]
        given = []
        for doc_id in ("x", "y"):
            made = a_document(doc_id, ["Text."] * len(paths))
            chunks = [
                replace(chunk, heading_path=path) for chunk, path in zip(made.chunks, paths, strict=True)
            ]
            given.append(replace(made, chunks=chunks))
        keys = [(one.document.doc_id, chunk.heading_path) for one in given for chunk in one.chunks]
        sections = make(given, exact_rows(16, seed=1)).traits(ids_of(given)).sections.tolist()
        same = [[one == other for other in sections] for one in sections]
        assert same == [[one == other for other in keys] for one in keys]

    def test_contents_are_equal_for_the_same_words_alone(self, make: MakeBackend) -> None:
        given = [
            a_document("a", ["Call your doctor.", "Rest."]),
            a_document("b", ["CALL a doctor!", "Call — YOUR **doctor**"]),
        ]
        one, rest, other, same = make(given, exact_rows(4, seed=1)).traits(ids_of(given)).contents.tolist()
        assert one == same
        assert len({one, rest, other}) == 3

    def test_standing_text_and_bibliographies_are_marked(self, make: MakeBackend) -> None:
        standing = " ".join(f"standing{at}" for at in range(60))
        references = "\n".join(
            f"Ode A, Lee B, et al.: Title {at}. J Clin Oncol 12 ({at}): 249-52, 2019." for at in range(6)
        )
        given = [
            a_document(f"d{at}", [standing, f"Only {' '.join(f'own{at}x{word}' for word in range(60))}"])
            for at in range(7)
        ]
        given.append(a_document("references", [references]))
        traits = make(given, exact_rows(15, seed=1)).traits(ids_of(given))
        assert traits.repeated.tolist() == [1.0, 0.0] * 7 + [0.0]
        assert traits.bibliography.tolist() == [False] * 14 + [True]

    def test_copies_are_other_documents_that_say_the_same_in_the_same_words(self, make: MakeBackend) -> None:
        said = "Take 2.5 mg of Tarlatamab, not more, and call the doctor."
        others = {
            "z/copy": "take 2.5 MG of Tarlatamab — not more; and call (the) doctor",
            "a/copy": said,
            "number": said.replace("2.5", "25"),
            "decimal": said.replace("2.5", "2-5"),
            "less": said.replace("2.5", ".5"),
            "article": said.replace("the doctor", "a doctor"),
            "drug": said.replace("Tarlatamab", "Topotecan"),
            "not": said.replace("not ", ""),
            "order": said.replace("call the doctor", "doctor the call"),
            "longer": f"{said} Rest.",
        }
        given = [a_document("own", [said, "Between.", said])]
        given += [a_document(doc_id, ["Before.", text]) for doc_id, text in others.items()]
        backend = make(given, exact_rows(3 + 2 * len(others), seed=1))
        for chunk_id in (ids_of(given)[0], ids_of(given)[2]):
            assert backend.copies(chunk_id) == ["a/copy", "z/copy"]
        assert backend.copies(ids_of(given)[1]) == []
        assert backend.copies("a/copy#top-00000001") == ["own", "z/copy"]
        assert backend.copies("number#top-00000001") == []
        assert backend.copies("number#top-00000002") == sorted({*others} - {"number"})

    def test_two_are_enough_to_be_copies(self, make: MakeBackend) -> None:
        backend = make([a_document("a", ["Rest.", "Rest"]), *singles("bcd")], exact_rows(5, seed=1))
        assert backend.copies("a#top-00000001") == []
        assert backend.copies("b#top-00000001") == ["c", "d"]
        backend = make(singles("ab"), exact_rows(2, seed=1))
        assert backend.copies("b#top-00000001") == ["a"]

    def test_copies_that_a_filter_rejects_are_not_told(self, make: MakeBackend) -> None:
        given = [a_document(doc_id, ["Rest."], Metadata(title="T", source=doc_id)) for doc_id in "abcd"]
        given.append(a_document("gone", ["Rest."], Metadata(title="T", source="e", status="withdrawn")))
        backend = make(given, exact_rows(5, seed=1))
        assert backend.copies("a#top-00000001") == ["b", "c", "d"]
        assert backend.copies("a#top-00000001", Filters(source=("B", "d"))) == ["b", "d"]
        assert backend.copies("a#top-00000001", Filters(source=("a",))) == []
        # A withdrawn page never stands for an active one, nor the other way.
        assert backend.copies("a#top-00000001", Filters(status=("withdrawn", "active"))) == ["b", "c", "d"]
        assert backend.copies("gone#top-00000001") == []

    def test_stems_come_in_the_order_of_the_words(self, make: MakeBackend) -> None:
        backend = make(singles("a"), exact_rows(1, seed=1))
        assert backend.stems("Tangos & TANGO—alpha, 2.5") == ["tango", "tango", "alpha", "2", "5"]
        assert backend.stems("… ") == backend.stems("") == []
        assert [backend.stems(word) for word in WORDS] == [[word] for word in WORDS]

    def test_the_vocabulary_counts_the_chunks_that_hold_a_stem(self, make: MakeBackend) -> None:
        documents = [bare(f"d{at}", random_texts(3, seed=at)) for at in range(20)]
        documents.append(
            cut("titled", "Tangos of Bolero", "## Foxtrot\n\nNone.\n\n## Again\n\nBolero bolero.")
        )
        documents.append(bare("gone", ["waltz"], Metadata(title="T", status="withdrawn")))
        backend = make(documents, exact_rows(63, seed=1))
        texts = list(texts_of(documents).values())[:60]
        expected = Counter(word for text in texts for word in set(text.split()))
        expected.update({"tango": 2, "of": 2, "bolero": 2, "foxtrot": 1, "none": 1, "again": 1, "waltz": 1})
        assert dict(backend.vocabulary()) == expected

    @pytest.mark.parametrize("count", [1, 7, 8, 9, 16, 17, 65])
    def test_mentions_are_told_of_each_chunk(self, make: MakeBackend, count: int) -> None:
        draw = np.random.default_rng(count)
        held = draw.random(count) < 0.4
        documents = [
            bare(f"d{at}", ["One small cells." if yes else "Cell, small."]) for at, yes in enumerate(held)
        ]
        backend, ids = make(documents, exact_rows(count, seed=1)), ids_of(documents)
        for order in (np.arange(count), draw.permutation(count), np.arange(count)[::-1]):
            found = backend.mentions(["small", "cell"], [ids[at] for at in order])
            assert (found.dtype.name, found.tolist()) == ("bool", held[order].tolist())
        assert backend.mentions(["cell"], ids).all()
        assert not backend.mentions(["cell", "small", "cell"], ids).any()
        assert not backend.mentions(["nowhere"], ids).any()
        assert not backend.mentions(["small", "nowhere"], ids).any()

    def test_text_headings_and_title_mention_a_phrase(self, make: MakeBackend) -> None:
        documents = [
            cut("text", "Plain", "About a Small-Cell LUNG cancer."),
            cut("heading", "Plain", "## Small cell lung cancers\n\nText.\n\n## Other\n\nText."),
            cut("title", "Small Cell Lung Cancer", "## One\n\nText.\n\n## Two\n\nText."),
            cut("apart", "Plain", "Small lung cell cancer. Cell lung."),
            cut("gap", "Plain", "Small cell of a lung cancer."),
        ]
        ids = ids_of(documents)
        backend = make(documents, exact_rows(len(ids), seed=1))
        phrase = backend.stems("small cell lung cancer")
        found = {chunk_id for chunk_id, yes in zip(ids, backend.mentions(phrase, ids), strict=True) if yes}
        assert {chunk_id.rpartition("-")[0] for chunk_id in found} == {
            "text#top",
            "heading#small-cell-lung-cancers",
            "title#one",
            "title#two",
        }
        assert backend.occurrences(phrase) == Occurrences(mentioned=4, titled=2)
        assert backend.occurrences(["cell"]) == Occurrences(mentioned=6, titled=2)
        assert backend.occurrences(["lung", "small"]) == Occurrences(mentioned=0, titled=0)
        assert (
            backend.occurrences(["nowhere"]) == backend.occurrences(["small", "nowhere"]) == Occurrences(0, 0)
        )
        assert not backend.mentions(["lung", "small"], ids).any()

    def test_what_is_denied_by_non_is_another_word(self, make: MakeBackend) -> None:
        texts = ["Non-small cell.", "A NON small cell", "Nonsmall cells", "Small cell.", "None, small cell"]
        documents = [cut(f"d{at}", "Plain", text) for at, text in enumerate(texts)]
        documents.append(cut("d5", "Non-small cell", "## Non–small\n\nText."))
        backend, ids = make(documents, exact_rows(6, seed=1)), ids_of(documents)
        assert backend.mentions(backend.stems("small cell"), ids).tolist() == [False] * 3 + [True] * 2 + [
            False
        ]
        denied = backend.stems("non-small cell")
        assert backend.mentions(denied, ids).tolist() == [True] * 3 + [False] * 2 + [True]
        assert backend.occurrences(denied) == Occurrences(mentioned=4, titled=1)
        found = backend.match([Term("non-small")], 9)
        assert {hit.chunk_id[:2] for hit in found} == {"d0", "d1", "d2", "d5"}
        assert {hit.chunk_id[:2] for hit in backend.match([Term("small")], 9)} == {"d3", "d4"}

    def test_a_publisher_behind_a_title_is_no_part_of_it(self, make: MakeBackend) -> None:
        metadata = Metadata(title="Tango - Polka", source="Polka")
        backend = make([bare("a", ["alpha"], metadata)], exact_rows(1, seed=1))
        assert backend.occurrences(["tango"]) == Occurrences(mentioned=0, titled=1)
        assert backend.occurrences(["polka"]) == Occurrences(mentioned=0, titled=0)

    def test_many_threads_match_and_tell_what_one_does(self, make: MakeBackend) -> None:
        documents = [bare(f"d{at}", [text]) for at, text in enumerate(random_texts(100, seed=3))]
        backend, ids = make(documents, exact_rows(100, seed=3)), ids_of(documents)

        def ask(at: int) -> tuple[object, ...]:
            word, filters = WORDS[at % 10], Filters(doc_id=tuple(f"d{at % 7}{one}" for one in range(10)))
            return (
                backend.match([Term(word)], 9, filters),
                backend.mentions([word, WORDS[at % 3]], ids).tolist(),
                backend.occurrences([word]),
                backend.copies(ids[at % 100], filters),
            )

        alone = [ask(at) for at in range(140)]
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(140))) == alone


def _extra(metadata: Metadata) -> dict[str, Any]:
    """The unknown keys as whoever ignores `Mapping` could change them."""
    assert isinstance(metadata.extra, dict)
    return metadata.extra
