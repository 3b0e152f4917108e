"""The local backend keeps the contract of all backends, and forgets nothing when it is opened again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from backend_contract import (
    BackendContract,
    MakeBackend,
    a_document,
    assert_ranked,
    bare,
    bm25,
    brute_force,
    exact_rows,
    ids_of,
    random_texts,
    scattered_ids,
    singles,
)

from rag.corpus.document import Metadata
from rag.corpus.pipeline import ChunkedDocument
from rag.encoders.base import Vectors, unit_rows
from rag.encoders.source import sha256_of
from rag.index.backend import Term
from rag.index.filters import Filters
from rag.index.local.chunk_writer import ChunkWriter
from rag.index.local.faiss_vectors import FaissVectors, encoded
from rag.index.local.finished import document_keys, lexical_rows
from rag.index.local.layout import CHUNKS, LEXICAL, VECTORS, Layout
from rag.index.local.lexical import artefacts
from rag.index.local.lexical_writer import buckets_of, write_lexical
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import SCHEMA, Manifest
from rag.index.local.publishing import new_workshop, publish, settle


def publish_version(root: Path, documents: Sequence[ChunkedDocument], vectors: Vectors) -> Path:
    """Publish these chunks with just these vectors, as a build would."""
    workshop = new_workshop(Layout(root))
    writer = ChunkWriter(workshop / CHUNKS)
    for one in documents:
        writer.add(one)
    writer.weigh_repetition()
    writer.finish()
    keys = [(one.doc_id, one.chunks_key) for one in document_keys(workshop / CHUNKS)]
    buckets = buckets_of(keys, writer.chunks, "by hand")
    write_lexical(workshop / LEXICAL, buckets, partial(lexical_rows, workshop / CHUNKS))
    FaissVectors.of(encoded(vectors), vectors.shape[1]).write(workshop / VECTORS)
    names = (CHUNKS, VECTORS, *(f"{LEXICAL}/{name}" for name in artefacts(workshop / LEXICAL)))
    manifest = Manifest(
        schema=SCHEMA,
        index_id="by-hand",
        previous=None,
        built_at="2026-01-01T00:00:00Z",
        built_by="a test",
        encoder={"name": "none", "fingerprint": "none", "engine": "none", "dim": vectors.shape[1]},
        chunker={},
        corpus_sha256="",
        files={},
        problems=[],
        counts={"documents": writer.documents, "chunks": writer.chunks},
        artefacts={name: sha256_of(workshop / name) for name in names},
        sentinels={},
    )
    manifest.write(workshop)
    settle(workshop)
    return publish(Layout(root), workshop, manifest.index_id)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeBackend]:
    """Publish an index and open it; all are closed at the end."""
    opened: list[LocalIndex] = []
    number = count()

    def make(documents: Sequence[ChunkedDocument], vectors: Vectors) -> LocalIndex:
        root = tmp_path / f"index-{next(number)}"
        publish_version(root, documents, vectors)
        opened.append(LocalIndex.open(root))
        return opened[-1]

    yield make
    for index in opened:
        index.close()


class TestLocalIndex(BackendContract):
    @pytest.fixture
    def make(self, make: MakeBackend) -> MakeBackend:
        return make


def clustered(rows: int, dim: int, *, clusters: int, spread: float, seed: int) -> Vectors:
    """Rows in tight groups, as passages on few subjects are: the cosine within a group is about .92."""
    draw = np.random.default_rng(seed)
    centres = unit_rows(draw.normal(size=(clusters, dim)))
    noise = unit_rows(draw.normal(size=(rows, dim)))
    return unit_rows(centres[draw.integers(clusters, size=rows)] + spread * noise)


def test_recall_against_exact_search_is_kept_where_vectors_crowd_together(make: MakeBackend) -> None:
    """Against fp32; codes of 8 bits instead of fp16 would reach .93 here."""
    vectors = clustered(20_000, 128, clusters=50, spread=0.3, seed=1)
    queries = unit_rows(vectors[::400] + clustered(50, 128, clusters=50, spread=1, seed=2) * 0.1)
    backend = make([a_document(f"d{at}", ["Text."] * 500) for at in range(40)], vectors)
    ids = np.array([f"d{at}#top-{500 - place:08d}" for at in range(40) for place in range(500)])
    shared = 0
    for query in queries:
        nearest = ids[np.argsort(-(vectors @ query), kind="stable")[:10]]
        shared += len({chunk_id for chunk_id, _ in backend.search(query, 10)} & set(nearest))
    assert shared / (10 * len(queries)) >= 0.99


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("rows", [1, 100, 10_000])
def test_vectors_that_do_not_fit_on_the_disk_are_an_error(rows: int) -> None:
    vectors = FaissVectors.of(encoded(np.ones((rows, 4), dtype=np.float32)), 4)
    with pytest.raises(OSError, match="No space left on device"):
        vectors.write(Path("/dev/full"))


def test_an_index_opened_again_gives_the_same_answers(tmp_path: Path) -> None:
    documents, vectors = singles(scattered_ids(50)), exact_rows(50, seed=1)
    publish_version(tmp_path, documents, vectors)
    expected = [brute_force(ids_of(documents), vectors, query, 9) for query in vectors]
    for _ in range(2):
        index = LocalIndex.open(tmp_path)
        assert [index.search(query, 9) for query in vectors] == expected
        assert index.document(documents[7].document.doc_id) == documents[7].document
        matched = index.match([Term("passage"), Term(documents[7].document.metadata.title)], 50)
        assert len(matched) == 50
        assert matched[0].chunk_id == documents[7].chunks[0].chunk_id
        index.close()


def test_two_readers_share_an_index(tmp_path: Path) -> None:
    vectors = exact_rows(5, seed=1)
    publish_version(tmp_path, singles("abcde"), vectors)
    one, other = LocalIndex.open(tmp_path), LocalIndex.open(tmp_path)
    assert one.search(vectors[0], 5) == other.search(vectors[0], 5)
    one.close()
    assert other.document("c").doc_id == "c"
    other.close()


def test_processes_open_an_index_at_once(tmp_path: Path) -> None:
    """The lexical library takes a lock to open; whoever has to wait for it opens all the same."""
    texts = random_texts(30, seed=1)
    documents, vectors = [bare(f"d{at}", [text]) for at, text in enumerate(texts)], exact_rows(30, seed=1)
    publish_version(tmp_path, documents, vectors)
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from rag.index.backend import Term\nfrom rag.index.local.local_index import LocalIndex\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(20):\n"
        "    index = LocalIndex.open(Path(sys.argv[1]))\n"
        "    hits = index.match([Term('zulu'), Term('kilo', 0.5)], 9)\n"
        "    index.close()\n"
        "print([tuple(hit) for hit in hits])"
    )
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        for reader in readers:
            assert reader.stdout
            assert reader.stdout.readline() == "ready\n"
        for reader in readers:
            assert reader.stdin
            reader.stdin.write("go\n")
            reader.stdin.flush()
        said = [reader.communicate(timeout=60)[0] for reader in readers]
    finally:
        for reader in readers:
            reader.kill()
    index = LocalIndex.open(tmp_path)
    here = [tuple(hit) for hit in index.match([Term("zulu"), Term("kilo", 0.5)], 9)]
    index.close()
    assert said == [f"{here}\n"] * 2


def test_words_of_the_title_and_headings_count_again_by_a_fifth(make: MakeBackend) -> None:
    titles = [" ".join(text.split()[:5]) for text in random_texts(30, seed=5)]
    texts = [" ".join(text.split()[:25]) for text in random_texts(30, seed=6)]
    documents = [
        a_document(f"d{at}", [text], Metadata(title=title))
        for at, (title, text) in enumerate(zip(titles, texts, strict=True))
    ]
    backend = make(documents, exact_rows(30, seed=1))
    chunks = [chunk for one in documents for chunk in one.chunks]
    bodies = {chunk.chunk_id: chunk.embedded_text.replace(">", "") for chunk in chunks}
    exact = bm25(bodies, {"kilo": 1.0, "lima": 1.0})
    contexts = {chunk.chunk_id: chunk.context.replace(">", "") for chunk in chunks}
    for chunk_id, more in bm25(contexts, {"kilo": 1.0, "lima": 1.0}).items():
        exact[chunk_id] += 0.2 * more
    assert_ranked(backend.match([Term("kilo lima")], 50), exact, 50)


def test_an_answer_about_mentions_is_not_mixed_up_with_an_earlier_one(make: MakeBackend) -> None:
    """Answers are remembered as bits of their own; more phrases than are remembered change nothing."""
    documents = [bare(f"d{at}", [f"w{at} both"]) for at in range(11)]
    backend, ids = make(documents, exact_rows(11, seed=1)), ids_of(documents)
    for _ in range(2):
        for at in range(11):
            assert backend.mentions([f"w{at}"], ids).tolist() == [one == at for one in range(11)]
            assert backend.mentions([f"w{at}", "both"], ids).sum() == 1
            assert backend.mentions(["both", f"w{at}"], ids).sum() == 0
        for at in range(5000):
            backend.occurrences([f"nowhere{at}"])


def test_filters_are_told_apart_although_answers_are_remembered(make: MakeBackend) -> None:
    """More filters than are remembered, one after the other and again."""
    documents = [bare(f"d{at}", ["alpha"]) for at in range(100)]
    backend = make(documents, exact_rows(100, seed=1))
    for _ in range(2):
        for at in range(100):
            hits = backend.match([Term("alpha")], 5, Filters(doc_id=(f"D{at}",)))
            assert [hit.chunk_id for hit in hits] == [f"d{at}#top-00000001"]
