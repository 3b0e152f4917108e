"""What every backend must do; a test class for one backend inherits `BackendContract`.

The oracle is brute force. Most vectors here are drawn so that every product and sum is exact in float32
and survives fp16 (see `exact_rows`): scores, order and ties are then compared without a tolerance.
"""

from __future__ import annotations

import hashlib
import re
import string
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keyword_encoder import KeywordEncoder, count_words

from rag.corpus.chunker import Chunker
from rag.corpus.document import Chunk, Document, Link, Metadata
from rag.corpus.fragments import text_fragments
from rag.corpus.pipeline import ChunkedDocument
from rag.corpus.reader import read_documents
from rag.encoders.base import Vectors, unit_rows
from rag.errors import UnreadableDocument
from rag.index.backend import Backend, Hit

DIM = 64

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
    return ChunkedDocument(document, chunks, [f"text={at},é" for at in range(len(texts))])


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
            given.append(ChunkedDocument(document, chunks, text_fragments(chunks)))
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


def _extra(metadata: Metadata) -> dict[str, Any]:
    """The unknown keys as whoever ignores `Mapping` could change them."""
    assert isinstance(metadata.extra, dict)
    return metadata.extra
