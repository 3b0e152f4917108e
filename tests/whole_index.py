"""Whole versions compared, down to their bytes, and an encoder that tells what it was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
from keyword_encoder import WORDS, KeywordEncoder

from rag.corpus.document import embedded_text
from rag.encoders.base import Encoder, Vectors
from rag.index.backend import Hit, StoredChunk, Term
from rag.index.builder import build_index
from rag.index.filters import Filters
from rag.index.local.finished import query
from rag.index.local.layout import CHUNKS, Layout
from rag.index.local.local_index import LocalIndex
from rag.index.local.manifest import SENTINELS, Manifest, read_manifest
from rag.index.plan import BuildOptions

FILTERS = (
    Filters(),
    Filters(status=("active", "withdrawn")),
    Filters(license=("public_domain",)),
    Filters(last_reviewed_after=date(2025, 6, 30)),
)


class Recording(KeywordEncoder):
    """Keeps the texts that it encoded, the sentinels left out, and those whose tokens it counted."""

    def __init__(self, words: Sequence[str] = WORDS) -> None:
        super().__init__(words)
        self.encoded: list[str] = []
        self.counted: list[str] = []
        count_words = self.count_tokens

        def count_tokens(texts: Sequence[str]) -> list[int]:
            self.counted += texts
            return count_words(texts)

        self.count_tokens = count_tokens

    def encode_documents(self, texts: Sequence[str]) -> Vectors:
        if list(texts) != list(SENTINELS):
            self.encoded += texts
        return super().encode_documents(texts)


def write_pages(seeds: Path, pages: Mapping[str, str]) -> None:
    """Write documents by doc_id; other files stay."""
    for doc_id, text in pages.items():
        path = seeds / f"{doc_id}.md"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def files_of(version: Path) -> dict[str, bytes]:
    """Every file of a version but its manifest and what the lexical library keeps for itself."""
    return {
        path.relative_to(version).as_posix(): path.read_bytes()
        for path in sorted(version.rglob("*"))
        if path.is_file() and path.name != "manifest.json" and not path.name.startswith(".")
    }


def timeless(version: Path) -> Manifest:
    """The manifest of a version without what tells one build from another."""
    return replace(read_manifest(version), index_id="", built_at="", previous=None)


def embedded(version: Path) -> list[str]:
    """What an encoder gets to see of every chunk, in the order of rows."""
    found = query(version / CHUNKS, "SELECT context, text FROM chunks ORDER BY row")
    return [embedded_text(context, text) for context, text in found]


def chunks_of(root: Path) -> list[StoredChunk]:
    """Every chunk of the current version of an index folder, in the order of rows."""
    with closing(LocalIndex.open(root)) as index:
        ids = query(Layout(root).current_version() / CHUNKS, "SELECT chunk_id FROM chunks ORDER BY row")
        return index.chunks([chunk_id for (chunk_id,) in ids])


def check_slices(root: Path) -> None:
    """Every chunk is the slice of its document that it says it is, under its document's name."""
    with closing(LocalIndex.open(root)) as index:
        for stored in chunks_of(root):
            chunk = stored.chunk
            document = index.document(chunk.doc_id)
            assert document.text[chunk.start : chunk.end] == chunk.markdown
            assert chunk.start >= document.body_start
            assert chunk.chunk_id.startswith(f"{chunk.doc_id}#")
            assert stored.sha256 == document.sha256


def check_as_from_nothing(
    seeds: Path, root: Path, fresh: Path, encoder: Encoder, options: BuildOptions | None = None
) -> None:
    """The current version in `root` is what a build into the new folder `fresh` makes."""
    expected = build_index(seeds, fresh, encoder, options=options).folder
    check_equal(Layout(root).current_version(), expected)
    assert list(hits(root, encoder)) == list(hits(fresh, encoder))


def check_equal(version: Path, expected: Path) -> None:
    """Two versions have the same files, byte for byte, and manifests that differ in the moment only."""
    found, wanted = files_of(version), files_of(expected)
    assert list(found) == list(wanted)
    assert [name for name in wanted if found[name] != wanted[name]] == []
    assert timeless(version) == timeless(expected)


def hits(root: Path, encoder: Encoder) -> Iterator[list[Hit]]:
    """What some searches find, by meaning and by words, under several filters."""
    with closing(LocalIndex.open(root)) as index:
        for filters in FILTERS:
            for vector in (*encoder.encode_queries(["fever", "hair pain"]), np.eye(1, encoder.dim)[0]):
                yield index.search(vector.astype(np.float32), 7, filters)
            for words in (("fever",), ("pain", "doctor"), ("standing", "nausea", "page")):
                yield index.match([Term(word) for word in words], 7, filters)
