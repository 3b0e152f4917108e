"""Reads the finished SQLite file of documents and chunks, which `chunk_writer` has written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from rag.corpus.document import Chunk, Document, Link, Metadata
from rag.errors import ArtefactCorrupt
from rag.index.backend import StoredChunk
from rag.index.local.columns import METADATA, metadata_of
from rag.index.local.layout import rebuild_command

_CHUNK = "chunk_id, doc_id, start, end, markdown, c.text, heading_path, context, links"
# SQLite allows some 32,000 variables in a statement; far fewer keep the statements cached.
_AT_ONCE = 500
_CONNECTIONS = 4

_T = TypeVar("_T")


class RankedRow(NamedTuple):
    """What a ranking needs of a chunk. `heading_path` is JSON, good only to be compared."""

    chunk_id: str
    doc: int
    heading_path: str
    repeated: float
    is_bibliography: int
    content_key: int
    word_key: int


def read_only_uri(path: Path) -> str:
    """The address of a finished file for SQLite: nobody writes it any more, so nothing is locked."""
    return f"{path.resolve().as_uri()}?mode=ro&immutable=1"


class ChunkStore:
    """Reads a finished file. Safe to use from several threads, which take turns on a few connections.

    All are opened at once, so what is open can be read to its end even when the file is deleted.
    """

    def __init__(self, path: Path) -> None:
        self._free: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        self._opened: list[sqlite3.Connection] = []
        try:
            for _ in range(_CONNECTIONS):
                connection = sqlite3.connect(read_only_uri(path), uri=True, check_same_thread=False)
                self._opened.append(connection)
                # Refuses here what is no database.
                connection.execute("SELECT 1 FROM documents LIMIT 1").fetchall()
                self._free.put(connection)
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
            "SELECT chunk_id, doc, heading_path, ifnull(share, 0.0), is_bibliography, content_key, word_key "
            "FROM chunks LEFT JOIN repetition USING (row) ORDER BY row"
        )
        return [RankedRow(*row) for row in found]

    def documents(self) -> list[tuple[str, Metadata]]:
        """Every document's id and metadata, in the order of their numbers."""
        found = self._query(f"SELECT doc_id, {METADATA} FROM documents ORDER BY doc")
        return [(doc_id, metadata_of(metadata)) for doc_id, *metadata in found]

    def chunks(self, chunk_ids: Sequence[str]) -> list[StoredChunk]:
        """The chunks with these ids, in this order. Raises `KeyError`."""
        found: dict[str, StoredChunk] = {}
        for part in parts(chunk_ids, _AT_ONCE):
            marks = ", ".join("?" * len(part))
            for row in self._query(
                f"SELECT {_CHUNK}, fragment, sha256, {METADATA} FROM chunks c "
                f"JOIN documents d USING (doc) WHERE chunk_id IN ({marks})",
                part,
            ):
                found[row[0]] = _stored_chunk(row)
        return [found[chunk_id] for chunk_id in chunk_ids]

    def document(self, doc_id: str) -> Document:
        """The document with its whole text. Raises `KeyError`."""
        rows = self._query(
            f"SELECT text, body_start, sha256, repairs, {METADATA} FROM documents WHERE doc_id = ?",
            (doc_id,),
        )
        if not rows:
            raise KeyError(doc_id)
        text, body_start, sha256, repairs, *metadata = rows[0]
        return Document(doc_id, text, body_start, metadata_of(metadata), sha256, tuple(json.loads(repairs)))

    def close(self) -> None:
        """Close all connections; whoever uses one must have finished."""
        for connection in self._opened:
            connection.close()

    def _query(self, sql: str, values: Sequence[Any] = ()) -> list[Any]:
        connection = self._free.get()
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            self._free.put(connection)


def parts(values: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    """The values, `size` at a time."""
    for start in range(0, len(values), size):
        yield values[start : start + size]


def _stored_chunk(row: Sequence[Any]) -> StoredChunk:
    chunk_id, doc_id, start, end, markdown, text, path, context, targets, fragment, sha256 = row[:11]
    links = tuple(Link(*link) for link in json.loads(targets))
    heading_path = tuple(json.loads(path))
    return StoredChunk(
        chunk=Chunk(chunk_id, doc_id, start, end, markdown, text, heading_path, context, links),
        metadata=metadata_of(row[11:]),
        sha256=sha256,
        fragment=fragment,
    )
