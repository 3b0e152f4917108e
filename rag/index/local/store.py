"""Documents and chunks in one SQLite file: written once, then opened read-only.

Offsets, slices and plain texts are stored beside the whole document, so every quote can be checked
without the folder it came from.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rag.corpus.document import Chunk, Document, Link, Metadata, embedded_text
from rag.corpus.pipeline import ChunkedDocument
from rag.errors import ArtefactCorrupt
from rag.index.backend import StoredChunk
from rag.index.local.layout import rebuild_command
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

_METADATA = (
    "title, url, source, source_type, citation, license, language, version, status, audience, "
    "audience_claim, cancer_types, tags, last_reviewed, review_frequency, extra"
)
_METADATA_NAMES = _METADATA.split(", ")
_CHUNK = "chunk_id, doc_id, start, end, markdown, c.text, heading_path, context, links"
# SQLite allows some 32,000 variables in a statement; far fewer keep the statements cached.
_AT_ONCE = 500


class RankedRow(NamedTuple):
    """What a ranking needs of a chunk. `heading_path` is JSON, good only to be compared."""

    chunk_id: str
    doc: int
    heading_path: str
    repeated: float
    is_bibliography: int
    content_key: int


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
        values = (*head, *state, *_metadata_values(document.metadata))
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
        for row, doc, context, text, *metadata in connection.execute(
            f"SELECT row, doc, context, c.text, {_METADATA} FROM chunks c "
            "JOIN documents USING (doc) ORDER BY row"
        ):
            title = _metadata(metadata).short_title
            yield LexicalRow(row, doc, title, context, embedded_text(context, text))


def _metadata_values(metadata: Metadata) -> tuple[Any, ...]:
    return tuple(_to_column(getattr(metadata, name)) for name in _METADATA_NAMES)


def _to_column(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _metadata(columns: Sequence[Any]) -> Metadata:
    values = dict(zip(_METADATA_NAMES, columns, strict=True))
    for name in ("cancer_types", "tags"):
        values[name] = tuple(json.loads(values[name]))
    values["extra"] = json.loads(values["extra"])
    if values["last_reviewed"]:
        values["last_reviewed"] = date.fromisoformat(values["last_reviewed"])
    return Metadata(**values)


class ChunkStore:
    """Reads a finished file. Safe to use from several threads: each has its own connection."""

    def __init__(self, path: Path) -> None:
        self._uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        try:
            self._query("SELECT count(*) FROM documents")
        except sqlite3.DatabaseError as error:
            self.close()
            raise ArtefactCorrupt(f"{path} cannot be read: {error}; {rebuild_command(path.parent)}") from None

    def counts(self) -> dict[str, int]:
        """How many documents and chunks there are."""
        return {
            name: int(self._query(f"SELECT count(*) FROM {name}")[0][0]) for name in ("documents", "chunks")
        }

    def ranked_rows(self) -> list[RankedRow]:
        """What is kept in memory of every chunk, in the order of rows."""
        found = self._query(
            "SELECT chunk_id, doc, heading_path, repeated, is_bibliography, content_key "
            "FROM chunks ORDER BY row"
        )
        return [RankedRow(*row) for row in found]

    def documents(self) -> list[tuple[str, Metadata]]:
        """Every document's id and metadata, in the order of their numbers."""
        found = self._query(f"SELECT doc_id, {_METADATA} FROM documents ORDER BY doc")
        return [(doc_id, _metadata(metadata)) for doc_id, *metadata in found]

    def chunks(self, chunk_ids: Sequence[str]) -> list[StoredChunk]:
        """The chunks with these ids, in this order. Raises `KeyError`."""
        found: dict[str, StoredChunk] = {}
        for part in _parts(chunk_ids):
            marks = ", ".join("?" * len(part))
            for row in self._query(
                f"SELECT {_CHUNK}, fragment, sha256, {_METADATA} FROM chunks c "
                f"JOIN documents d USING (doc) WHERE chunk_id IN ({marks})",
                part,
            ):
                found[row[0]] = _stored_chunk(row)
        return [found[chunk_id] for chunk_id in chunk_ids]

    def document(self, doc_id: str) -> Document:
        """The document with its whole text. Raises `KeyError`."""
        rows = self._query(
            f"SELECT text, body_start, sha256, repairs, {_METADATA} FROM documents WHERE doc_id = ?",
            (doc_id,),
        )
        if not rows:
            raise KeyError(doc_id)
        text, body_start, sha256, repairs, *metadata = rows[0]
        return Document(doc_id, text, body_start, _metadata(metadata), sha256, tuple(json.loads(repairs)))

    def close(self) -> None:
        """Close the connections of all threads."""
        for connection in self._opened:
            connection.close()

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(self._uri, uri=True, check_same_thread=False)
            self._local.connection = connection
            self._opened.append(connection)
        return connection.execute(sql, values).fetchall()


def _parts(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def _stored_chunk(row: Sequence[Any]) -> StoredChunk:
    chunk_id, doc_id, start, end, markdown, text, path, context, targets, fragment, sha256 = row[:11]
    links = tuple(Link(*link) for link in json.loads(targets))
    heading_path = tuple(json.loads(path))
    return StoredChunk(
        chunk=Chunk(chunk_id, doc_id, start, end, markdown, text, heading_path, context, links),
        metadata=_metadata(row[11:]),
        sha256=sha256,
        fragment=fragment,
    )
