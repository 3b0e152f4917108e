"""The local backend keeps the contract of all backends, and forgets nothing when it is opened again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from backend_contract import (
    BackendContract,
    MakeBackend,
    a_document,
    brute_force,
    exact_rows,
    ids_of,
    scattered_ids,
    singles,
)

from rag.corpus.pipeline import ChunkedDocument
from rag.encoders.base import Vectors, unit_rows
from rag.encoders.source import sha256_of
from rag.index.local.faiss_vectors import FaissVectors
from rag.index.local.layout import CHUNKS, VECTORS, Layout, publish
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import SCHEMA, Manifest
from rag.index.local.store import ChunkWriter


def publish_version(root: Path, documents: Sequence[ChunkedDocument], vectors: Vectors) -> Path:
    """Publish these chunks with just these vectors, as a build would."""
    workshop = Layout(root).versions / ".building"
    workshop.mkdir(parents=True)
    writer = ChunkWriter(workshop / CHUNKS)
    for one in documents:
        writer.add(one.document, one.chunks, one.fragments)
    writer.finish()
    index = FaissVectors.empty(vectors.shape[1])
    index.add(vectors)
    index.write(workshop / VECTORS)
    manifest = Manifest(
        schema=SCHEMA,
        index_id="by-hand",
        built_at="2026-01-01T00:00:00Z",
        built_by="a test",
        encoder={"name": "none", "fingerprint": "none", "engine": "none", "dim": vectors.shape[1]},
        chunker={},
        corpus_sha256="",
        files={},
        problems=[],
        counts={"documents": writer.documents, "chunks": writer.chunks},
        artefacts={name: sha256_of(workshop / name) for name in (CHUNKS, VECTORS)},
        sentinels=[],
    )
    manifest.write(workshop)
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
    vectors = FaissVectors.empty(4)
    vectors.add(np.ones((rows, 4), dtype=np.float32))
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
        index.close()


def test_two_readers_share_an_index(tmp_path: Path) -> None:
    vectors = exact_rows(5, seed=1)
    publish_version(tmp_path, singles("abcde"), vectors)
    one, other = LocalIndex.open(tmp_path), LocalIndex.open(tmp_path)
    assert one.search(vectors[0], 5) == other.search(vectors[0], 5)
    one.close()
    assert other.document("c").doc_id == "c"
    other.close()
