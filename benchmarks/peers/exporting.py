"""From an index of ours: the same pages, chunks, vectors and questions for everybody."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from peer import Passage, Vectors

from rag.corpus.document import embedded_text
from rag.index.local.finished import query
from rag.index.local.layout import CHUNKS, VECTORS, Layout

_CHUNKS = (
    "SELECT row, chunk_id, doc_id, title, ifnull(url, ''), context, c.text FROM chunks c "
    "JOIN documents USING (doc) ORDER BY row"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """What everybody searches: `vectors` [n, dim] and `texts` (as shown, by chunk id) belong to `passages`.

    `pages` holds the whole text of every document by its id.
    """

    index_id: str
    passages: list[Passage]
    vectors: Vectors
    texts: dict[str, str]
    pages: dict[str, str]

    def part(self, limit: int) -> Corpus:
        """Whole documents from all over the corpus, up to some `limit` passages; all with limit 0."""
        if not limit or limit >= len(self.passages):
            return self
        chosen = _spread(self.passages, limit)
        rows = [row for row, passage in enumerate(self.passages) if passage.doc_id in chosen]
        passages = [self.passages[row] for row in rows]
        return Corpus(
            index_id=self.index_id,
            passages=passages,
            vectors=self.vectors[rows],
            texts={passage.chunk_id: self.texts[passage.chunk_id] for passage in passages},
            pages={doc_id: text for doc_id, text in self.pages.items() if doc_id in chosen},
        )

    def write_pages(self, folder: Path) -> Path:
        """Write the documents as the files that Citewell indexes; returns the folder."""
        for doc_id, text in self.pages.items():
            page = folder / f"{doc_id}.md"
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_text(text, encoding="utf-8")
        return folder


def _spread(passages: Sequence[Passage], limit: int) -> set[str]:
    """Documents from all over, as many as `limit` passages have room for."""
    sizes: dict[str, int] = {}
    for passage in passages:
        sizes[passage.doc_id] = sizes.get(passage.doc_id, 0) + 1
    doc_ids = sorted(sizes)
    # A step that shares no factor with their number meets every document once, far from the one before.
    step = next(
        step for step in range(int(len(doc_ids) * 0.618) or 1, 0, -1) if np.gcd(step, len(doc_ids)) == 1
    )
    chosen: set[str] = set()
    room = limit
    for number in range(len(doc_ids)):
        doc_id = doc_ids[number * step % len(doc_ids)]
        if sizes[doc_id] <= room:
            chosen.add(doc_id)
            room -= sizes[doc_id]
    return chosen


def read_corpus(root: Path, vectors: Path | None = None) -> Corpus:
    """Everything of the current version in `root`; `vectors` (.npy, a row a chunk) replace those stored.

    Raises `IndexNotFound`, `ArtefactCorrupt` and, for vectors of another number, `ValueError`.
    """
    version = Layout(root).current_version()
    rows = query(version / CHUNKS, _CHUNKS)
    found = np.load(vectors) if vectors else _stored(version / VECTORS)
    if len(found) != len(rows):
        raise ValueError(f"{vectors} holds {len(found)} vectors, expected {len(rows)}, one a chunk of {root}")
    return Corpus(
        index_id=version.name,
        passages=[_passage(row) for row in rows],
        vectors=np.ascontiguousarray(found, dtype=np.float32),
        texts={str(row[1]): str(row[6]) for row in rows},
        pages=dict(query(version / CHUNKS, "SELECT doc_id, text FROM documents")),
    )


def _passage(row: Sequence[Any]) -> Passage:
    _, chunk_id, doc_id, title, url, context, text = row
    return Passage(chunk_id=chunk_id, doc_id=doc_id, title=title, url=url, text=embedded_text(context, text))


def _stored(path: Path) -> Vectors:
    """The stored fp16 codes as unit vectors."""
    index = faiss.read_index(str(path))
    vectors: Vectors = index.reconstruct_n(0, index.ntotal)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def read_questions(path: Path) -> list[dict[str, Any]]:
    """The judged questions of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
