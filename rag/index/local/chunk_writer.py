"""Writes documents and chunks into one SQLite file, and reads it back for the steps of a build that follow.

Offsets, slices and plain texts are stored beside the whole document, so every quote can be checked
without the folder it came from.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import numpy as np

from rag.corpus.document import Metadata, embedded_text
from rag.corpus.pipeline import ChunkedDocument
from rag.index.local.columns import metadata_values
from rag.index.local.lexical import LexicalRow
from rag.index.repetition import repeated_shares

_SCHEMA = """
CREATE TABLE documents (
    doc INTEGER PRIMARY KEY, doc_id TEXT NOT NULL UNIQUE, sha256 TEXT NOT NULL, text TEXT NOT NULL,
    body_start INTEGER NOT NULL, repairs TEXT NOT NULL, title TEXT NOT NULL, url TEXT, source TEXT,
    source_type TEXT, citation TEXT, license TEXT, language TEXT, version TEXT, status TEXT NOT NULL,
    audience TEXT NOT NULL, audience_claim TEXT, cancer_types TEXT NOT NULL, tags TEXT NOT NULL,
    last_reviewed TEXT, review_frequency TEXT, extra TEXT NOT NULL);
CREATE TABLE chunks (
    row INTEGER PRIMARY KEY, chunk_id TEXT NOT NULL UNIQUE,
    doc INTEGER NOT NULL REFERENCES documents, start INTEGER NOT NULL, end INTEGER NOT NULL,
    markdown TEXT NOT NULL, text TEXT NOT NULL, heading_path TEXT NOT NULL, context TEXT NOT NULL,
    links TEXT NOT NULL, fragment TEXT NOT NULL, sketch BLOB NOT NULL, content_key INTEGER NOT NULL,
    is_bibliography INTEGER NOT NULL, repeated REAL NOT NULL DEFAULT 0);
CREATE INDEX chunks_of_document ON chunks (doc);
"""


class ChunkWriter:
    """Fills a new file, document by document. Rows count from 0 in the order of writing."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path)
        self.documents = 0
        self.chunks = 0
        try:
            # The file is worthless until it is published, and publishing syncs it.
            self._connection.execute("PRAGMA journal_mode = OFF")
            self._connection.execute("PRAGMA synchronous = OFF")
            self._connection.executescript(_SCHEMA)
        except BaseException:
            self.close()
            raise

    def add(self, chunked: ChunkedDocument) -> None:
        """Append a document and its chunks."""
        document = chunked.document
        head = (self.documents, document.doc_id, document.sha256, document.text)
        state = (document.body_start, json.dumps(document.repairs))
        values = (*head, *state, *metadata_values(document.metadata))
        marks = ", ".join("?" * len(values))
        self._connection.execute(f"INSERT INTO documents VALUES ({marks})", values)
        self._connection.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
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
                )
                for place, (chunk, fragment, traits) in enumerate(
                    zip(chunked.chunks, chunked.fragments, chunked.traits, strict=True)
                )
            ),
        )
        self.documents += 1
        self.chunks += len(chunked.chunks)

    def weigh_repetition(self) -> None:
        """Note of every chunk how much of it stands in many documents, once all are added."""
        rows = self._connection.execute("SELECT doc, sketch FROM chunks ORDER BY row").fetchall()
        sketches = [np.frombuffer(sketch, dtype=np.uint32) for _, sketch in rows]
        shares = repeated_shares(sketches, np.array([doc for doc, _ in rows], dtype=np.int64))
        self._connection.executemany(
            "UPDATE chunks SET repeated = ? WHERE row = ?",
            ((float(shares[row]), int(row)) for row in np.flatnonzero(shares)),
        )

    def commit(self) -> None:
        """Make what was added readable for `embedded_texts` and `lexical_rows`."""
        self._connection.commit()

    def finish(self) -> None:
        """Make the file whole and close it."""
        self.commit()
        self.close()

    def close(self) -> None:
        """Close the file as it is; closing it again does nothing."""
        self._connection.close()


def embedded_texts(path: Path, size: int) -> Generator[list[str], None, None]:
    """The texts to encode in the file at `path`, in the order of rows, `size` at a time."""
    with closing(sqlite3.connect(path)) as connection:
        cursor = connection.execute("SELECT context, text FROM chunks ORDER BY row")
        while rows := cursor.fetchmany(size):
            yield [embedded_text(context, text) for context, text in rows]


def lexical_rows(path: Path) -> Generator[LexicalRow, None, None]:
    """What the lexical index needs of the file at `path`, in the order of rows."""
    with closing(sqlite3.connect(path)) as connection:
        for row, doc, context, text, title, source in connection.execute(
            "SELECT row, doc, context, c.text, title, source FROM chunks c "
            "JOIN documents USING (doc) ORDER BY row"
        ):
            short_title = Metadata(title=title, source=source).short_title
            yield LexicalRow(row, doc, short_title, context, embedded_text(context, text))
