"""Reads a finished SQLite file of documents and chunks for the steps of a build that follow on it."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

from rag.corpus.document import Metadata, embedded_text
from rag.errors import ArtefactCorrupt
from rag.index.local.layout import rebuild_command
from rag.index.local.lexical_writer import LexicalRow
from rag.index.local.store import parts, read_only_uri


class DocumentKeys(NamedTuple):
    """By what a document is compared: the digest of its file and the `chunks_key` of its text."""

    doc_id: str
    sha256: str
    chunks_key: str


def document_keys(path: Path) -> list[DocumentKeys]:
    """Every document in the file at `path`, in order."""
    found = query(path, "SELECT doc_id, sha256, chunks_key FROM documents ORDER BY doc")
    return [DocumentKeys(*row) for row in found]


def text_keys(path: Path) -> list[bytes]:
    """The `text_key` of every chunk, in the order of rows."""
    return [key for (key,) in query(path, "SELECT text_key FROM chunks ORDER BY row")]


def empty_documents(path: Path) -> tuple[str, ...]:
    """The ids of the documents without a word besides their title."""
    return _ids_where(path, "NOT EXISTS (SELECT 1 FROM chunks c WHERE c.doc = d.doc)")


def repaired_documents(path: Path) -> tuple[str, ...]:
    """The ids of the documents whose text was mended."""
    return _ids_where(path, "repairs LIKE '%\"mojibake\"%'")


def _ids_where(path: Path, condition: str) -> tuple[str, ...]:
    found = query(path, f"SELECT doc_id FROM documents d WHERE {condition} ORDER BY doc")
    return tuple(doc_id for (doc_id,) in found)


def embedded_texts(path: Path, rows: Sequence[int], size: int) -> Generator[list[str], None, None]:
    """The texts to encode of these rows, `size` at a time."""
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
        for part in parts(rows, size):
            marks = ", ".join("?" * len(part))
            found = connection.execute(
                f"SELECT row, context, text FROM chunks WHERE row IN ({marks})", part
            ).fetchall()
            texts = {row: embedded_text(context, text) for row, context, text in found}
            yield [texts[row] for row in part]


def lexical_rows(path: Path, doc_ids: Sequence[str]) -> Generator[LexicalRow, None, None]:
    """What the lexical index needs of these documents, in this order."""
    with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
        for doc_id in doc_ids:
            for key, context, text, title, source in connection.execute(
                "SELECT word_key, context, c.text, title, source FROM documents "
                "JOIN chunks c USING (doc) WHERE doc_id = ? ORDER BY row",
                (doc_id,),
            ):
                short_title = Metadata(title=title, source=source).short_title
                yield LexicalRow(key, doc_id, short_title, context, embedded_text(context, text))


def query(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """All rows of a statement. Raises `ArtefactCorrupt`."""
    try:
        with closing(sqlite3.connect(read_only_uri(path), uri=True)) as connection:
            return connection.execute(sql).fetchall()
    except sqlite3.DatabaseError as error:
        raise ArtefactCorrupt(f"{path} cannot be read: {error}; {rebuild_command(path.parent)}") from None
