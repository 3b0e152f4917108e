"""Writes documents and chunks into one SQLite file.

Offsets, slices and plain texts are stored beside the whole document, so every quote can be checked
without the folder it came from. What an earlier version holds already is copied from its file. The same
documents make the same file, byte for byte, however they came in.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rag.corpus.chunker import chunks_key
from rag.corpus.document import Document
from rag.corpus.pipeline import ChunkedDocument, KnownDocument
from rag.index.local.columns import METADATA, metadata_values
from rag.index.local.keys import text_key, word_key
from rag.index.local.past import PastDocument
from rag.index.local.store import read_only_uri
from rag.index.repetition import repeated_shares

_SCHEMA = """
CREATE TABLE documents (
    doc INTEGER PRIMARY KEY, doc_id TEXT NOT NULL UNIQUE, sha256 TEXT NOT NULL, chunks_key TEXT NOT NULL,
    text TEXT NOT NULL, body_start INTEGER NOT NULL, repairs TEXT NOT NULL, title TEXT NOT NULL, url TEXT,
    source TEXT, source_type TEXT, citation TEXT, license TEXT, language TEXT, version TEXT,
    status TEXT NOT NULL, audience TEXT NOT NULL, audience_claim TEXT, cancer_types TEXT NOT NULL,
    tags TEXT NOT NULL, last_reviewed TEXT, review_frequency TEXT, extra TEXT NOT NULL);
CREATE TABLE chunks (
    row INTEGER PRIMARY KEY, chunk_id TEXT NOT NULL UNIQUE,
    doc INTEGER NOT NULL REFERENCES documents, start INTEGER NOT NULL, end INTEGER NOT NULL,
    markdown TEXT NOT NULL, text TEXT NOT NULL, heading_path TEXT NOT NULL, context TEXT NOT NULL,
    links TEXT NOT NULL, fragment TEXT NOT NULL, sketch BLOB NOT NULL, content_key INTEGER NOT NULL,
    is_bibliography INTEGER NOT NULL, text_key BLOB NOT NULL, word_key INTEGER NOT NULL);
CREATE INDEX chunks_of_document ON chunks (doc);
CREATE TABLE repetition (row INTEGER PRIMARY KEY REFERENCES chunks, share REAL NOT NULL);
"""
_DOCUMENT = f"doc_id, sha256, chunks_key, text, body_start, repairs, {METADATA}"
# What of a chunk is the same wherever it stands.
_CONTENT = "markdown, text, heading_path, context, links, fragment, sketch, content_key, is_bibliography"
_CACHE_KIB = 65_536


class ChunkWriter:
    """Fills a new file, document by document. Rows count from 0 in the order of writing.

    `past` is the finished file of an earlier version, to copy from.
    """

    def __init__(self, path: Path, past: Path | None = None) -> None:
        self._connection = sqlite3.connect(path.resolve().as_uri(), uri=True)
        self.documents = 0
        self.chunks = 0
        try:
            # The file is worthless until it is published, and publishing syncs it.
            self._connection.execute("PRAGMA journal_mode = OFF")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self._connection.executescript(_SCHEMA)
            if past:
                self._connection.execute("ATTACH ? AS past", (read_only_uri(past),))
        except BaseException:
            self.close()
            raise

    def add(self, chunked: ChunkedDocument) -> None:
        """Append a document and its chunks."""
        self._add_document(chunked.document, chunks_key(chunked.document))
        rows = [
            (
                self.chunks + place,
                chunk.chunk_id,
                self.documents,
                chunk.start,
                chunk.end,
                chunk.markdown,
                chunk.text,
                json.dumps(chunk.heading_path, ensure_ascii=False),
                chunk.context,
                json.dumps([[link.text, link.url] for link in chunk.links], ensure_ascii=False),
                fragment,
                traits.sketch.tobytes(),
                traits.content_key,
                traits.is_bibliography,
                text_key(chunk.context, chunk.text),
                word_key(chunk.chunk_id),
            )
            for place, (chunk, fragment, traits) in enumerate(
                zip(chunked.chunks, chunked.fragments, chunked.traits, strict=True)
            )
        ]
        self._insert_chunks(rows)

    def copy(self, past: PastDocument) -> None:
        """Append a document of the earlier version as it is."""
        # One at a time: so pages of the file fill up in the same order as when everything is new.
        self._connection.execute(
            f"INSERT INTO main.documents SELECT ?, {_DOCUMENT} FROM past.documents WHERE doc = ?",
            (self.documents, past.doc),
        )
        self._connection.execute(
            f"INSERT INTO main.chunks SELECT row + ?, chunk_id, ?, start, end, {_CONTENT}, text_key, "
            "word_key FROM past.chunks WHERE doc = ? ORDER BY row",
            (self.chunks - past.row, self.documents, past.doc),
        )
        self._count(past.chunks)

    def add_known(self, known: KnownDocument, past: PastDocument) -> None:
        """Append a document with the chunks of an earlier one, which may stand elsewhere in it now."""
        document = known.document
        self._add_document(document, known.key)
        moved = document.body_start - past.body_start
        found = self._connection.execute(
            f"SELECT chunk_id, start, end, {_CONTENT}, text_key FROM past.chunks WHERE doc = ? ORDER BY row",
            (past.doc,),
        )
        rows = []
        for place, (old_id, start, end, *content) in enumerate(found):
            chunk_id = document.doc_id + old_id[len(past.doc_id) :]
            place_in_file = (self.documents, start + moved, end + moved)
            rows.append((self.chunks + place, chunk_id, *place_in_file, *content, word_key(chunk_id)))
        self._insert_chunks(rows)

    def _add_document(self, document: Document, key: str) -> None:
        head = (self.documents, document.doc_id, document.sha256, key, document.text)
        state = (document.body_start, json.dumps(document.repairs))
        values = (*head, *state, *metadata_values(document.metadata))
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO main.documents VALUES ({marks})", values)

    def _insert_chunks(self, rows: Sequence[tuple[object, ...]]) -> None:
        marks = ", ".join("?" * 16)
        self._connection.executemany(f"INSERT INTO main.chunks VALUES ({marks})", rows)
        self._count(len(rows))

    def _count(self, chunks: int) -> None:
        self.documents += 1
        self.chunks += chunks

    def weigh_repetition(self) -> None:
        """Note of every chunk how much of it stands in many documents, once all are added."""
        rows = self._connection.execute("SELECT doc, sketch FROM main.chunks ORDER BY row").fetchall()
        sketches = [np.frombuffer(sketch, dtype=np.uint32) for _, sketch in rows]
        shares = repeated_shares(sketches, np.array([doc for doc, _ in rows], dtype=np.int64))
        self._connection.executemany(
            "INSERT INTO main.repetition VALUES (?, ?)",
            ((int(row), float(shares[row])) for row in np.flatnonzero(shares)),
        )

    def finish(self) -> None:
        """Make the file whole and close it."""
        self._connection.commit()
        self.close()

    def close(self) -> None:
        """Close the file as it is; closing it again does nothing."""
        self._connection.close()
