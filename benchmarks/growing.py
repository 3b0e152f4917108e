"""Makes a larger index out of a real one: its documents over again with edited texts and other vectors."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import faiss
import numpy as np
import numpy.typing as npt

from rag.encoders.base import Vectors, unit_rows
from rag.encoders.source import sha256_of
from rag.index.local.chunk_writer import ChunkWriter
from rag.index.local.faiss_vectors import FaissVectors, encoded
from rag.index.local.finished import document_keys, lexical_rows
from rag.index.local.keys import text_key, word_key
from rag.index.local.layout import CHUNKS, LEXICAL, SHORT_CODES, VECTORS
from rag.index.local.lexical import artefacts
from rag.index.local.lexical_writer import buckets_of, write_lexical
from rag.index.local.manifest import read_manifest
from rag.index.local.short_codes import ShortCodes
from rag.index.local.vector_plan import VectorPlan

NEIGHBOURS = 32
# The size of a step away from a real vector at which the distance to the nearest neighbour stays what it
# is among the real ones (`nearest_distances` of both is printed).
STEP = 1.25
_AT_ONCE = 4_096
_COPIES = "growth/copy-"


def grow(base: Path, folder: Path, size: int) -> dict[str, float]:
    """Make in `folder` a version of at least `size` chunks from the version `base`; seconds by stage.

    Whole documents are taken until there are enough.
    """
    folder.mkdir(parents=True)
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal started
        seconds[stage] = time.perf_counter() - started
        started = time.perf_counter()

    documents, sources = _texts(base / CHUNKS, folder / CHUNKS, size)
    lap("texts")
    keys = [(one.doc_id, one.chunks_key) for one in document_keys(folder / CHUNKS)]
    buckets = buckets_of(keys, len(sources), "growth")
    write_lexical(folder / LEXICAL, buckets, partial(lexical_rows, folder / CHUNKS))
    lap("words")
    real = FaissVectors.read(base / VECTORS)
    codes = np.concatenate(list(_codes(real.vectors(0, len(real)), sources)))
    vectors = FaissVectors.of(codes, real.dim)
    vectors.write(folder / VECTORS)
    lap("vectors")
    plan = VectorPlan.of(len(vectors))
    if plan.kind != "exact":
        _shorten(vectors, plan).write(folder / SHORT_CODES)
    lap("arranging")
    _write_manifest(base, folder, {"documents": documents, "chunks": len(sources)}, plan)
    return seconds


def _shorten(vectors: FaissVectors, plan: VectorPlan) -> ShortCodes:
    return ShortCodes.of(len(vectors), vectors.dim, vectors.vectors, plan, lambda _done, _total: None)


def nearest_distances(vectors: FaissVectors, sample: int = 400) -> npt.NDArray[np.float64]:
    """Of some rows the distance to the nearest row that is another vector: percentiles 5, 25, 50, 75, 95."""
    rows = np.random.default_rng(7).choice(len(vectors), min(sample, len(vectors)), replace=False)
    nearest = []
    for row in rows:
        vector = vectors.vectors(int(row), int(row) + 1)[0]
        _, products = vectors.search(vector, 10)
        distances = np.sqrt(np.maximum(0.0, 2 - 2 * products))
        nearest.append(next((one for one in distances if one > 0.05), distances[-1]))
    told: npt.NDArray[np.float64] = np.percentile(nearest, [5, 25, 50, 75, 95])
    return told


def _texts(base: Path, target: Path, size: int) -> tuple[int, npt.NDArray[np.int64]]:
    """Write the documents; returns their number and for each chunk the row it was made from."""
    ChunkWriter(target).finish()
    sources: list[int] = []
    doc = 0
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("ATTACH ? AS base", (str(base),))
        for copy, old, doc_id in _over_again(connection):
            if len(sources) >= size:
                break
            connection.execute(*_document(copy, doc, old, doc_id))
            rows = connection.execute(
                "SELECT * FROM base.chunks WHERE doc = ? ORDER BY row", (old,)
            ).fetchall()
            made = [_chunk(row, len(sources) + at, doc, copy) for at, row in enumerate(rows)]
            connection.executemany(f"INSERT INTO main.chunks VALUES ({', '.join('?' * 16)})", made)
            connection.executemany(
                "INSERT INTO main.repetition SELECT ?, share FROM base.repetition WHERE row = ?",
                [(new[0], row[0]) for new, row in zip(made, rows, strict=True)],
            )
            sources += [row[0] for row in rows]
            doc += 1
        connection.commit()
    return doc, np.array(sources, dtype=np.int64)


def _over_again(connection: sqlite3.Connection) -> Iterator[tuple[int, int, str]]:
    """Every document as it is, then as copy 1, 2, and so on: copy, number, id."""
    documents = connection.execute("SELECT doc, doc_id FROM base.documents ORDER BY doc").fetchall()
    copy = 0
    while True:
        yield from ((copy, doc, doc_id) for doc, doc_id in documents)
        copy += 1


def _document(copy: int, doc: int, old: int, doc_id: str) -> tuple[str, tuple[object, ...]]:
    """A statement that copies a document; of a copy the whole text is left out, which no search reads."""
    columns = "title, url, source, source_type, citation, license, language, version, status, audience, "
    columns += "audience_claim, cancer_types, tags, last_reviewed, review_frequency, extra"
    text = "''" if copy else "text"
    statement = (
        f"INSERT INTO main.documents SELECT ?, ?, sha256, ?, {text}, body_start, repairs, {columns} "
        "FROM base.documents WHERE doc = ?"
    )
    return statement, (doc, _id(doc_id, copy), f"{copy}-{old}", old)


def _id(an_id: str, copy: int) -> str:
    return f"{_COPIES}{copy}/{an_id}" if copy else an_id


def _chunk(row: tuple[object, ...], number: int, doc: int, copy: int) -> tuple[object, ...]:
    """The chunk of a copy: some of its words are gone, so that it says something else."""
    _, chunk_id, _, start, end, markdown, text, path, context, *rest = row
    links, fragment, _, content, bibliography, key, _ = rest
    new_id = _id(str(chunk_id), copy)
    if copy:
        text = edited(str(text), copy, int(str(row[0])))
        key, content = text_key(str(context), text), word_key(f"{context}\n{text}")
    head = (number, new_id, doc, start, end, markdown, text, path, context)
    return (*head, links, fragment, b"", content, bibliography, key, word_key(new_id))


def edited(text: str, copy: int, row: int) -> str:
    """The text without a tenth of its words and without one at the least, others for every copy and row."""
    seed = hashlib.blake2b(f"{copy} {row}".encode(), digest_size=8).digest()
    draw = np.random.default_rng(int.from_bytes(seed, "big"))
    words = text.split(" ")
    gone = draw.random(len(words)) < 0.1
    gone[draw.integers(len(words))] = True
    return " ".join(word for word, drop in zip(words, gone, strict=True) if not drop)


def _codes(real: Vectors, sources: npt.NDArray[np.int64]) -> Iterator[npt.NDArray[np.uint8]]:
    """The codes of all rows: the real vectors first, then others from their neighbourhoods."""
    near = _neighbours(real)
    draw = np.random.default_rng(0)
    for start in range(0, len(sources), _AT_ONCE):
        rows = sources[start : start + _AT_ONCE]
        copied = np.arange(start, start + len(rows)) >= len(real)
        yield encoded(np.where(copied[:, None], _moved(real, near[rows], rows, draw), real[rows]))


def _moved(
    real: Vectors, near: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], draw: np.random.Generator
) -> Vectors:
    """Real vectors moved at random as their neighbours differ from each other, back to unit length."""
    around = real[near]
    around = around - around.mean(axis=1, keepdims=True)
    weights = draw.standard_normal(near.shape, dtype=np.float32) / np.float32(np.sqrt(near.shape[1]))
    return unit_rows(real[rows] + STEP * np.matmul(weights[:, None, :], around)[:, 0])


def _neighbours(real: Vectors) -> npt.NDArray[np.int64]:
    """For each real vector the rows of those nearest to it that are not the same."""
    flat = faiss.IndexFlatIP(real.shape[1])
    flat.add(real)
    _, rows = flat.search(real, min(NEIGHBOURS + 1, len(real)))
    near: npt.NDArray[np.int64] = rows[:, 1:]
    return near


def _write_manifest(base: Path, folder: Path, counts: dict[str, int], plan: VectorPlan) -> None:
    names = [CHUNKS, VECTORS, *(f"{LEXICAL}/{name}" for name in artefacts(folder / LEXICAL))]
    if plan.kind != "exact":
        names.append(SHORT_CODES)
    replace(
        read_manifest(base),
        index_id=folder.name,
        counts=counts,
        artefacts={name: sha256_of(folder / name) for name in names},
        vectors=plan.content(),
    ).write(folder)
