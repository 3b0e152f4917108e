"""What is stored keeps its meaning under one version number, because builds take over what is stored.

`tests/golden/stored.json` holds a digest of everything that is stored of each golden document. When code
changes one, raise `CHUNKER_VERSION` (how documents are read and cut) or `SCHEMA` (anything else that is
stored) and write the file anew with REWRITE_GOLDEN=1: otherwise an index would mix old and new.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from keyword_encoder import count_words

from rag.corpus.chunker import CHUNKER_VERSION
from rag.corpus.pipeline import ChunkedDocument, chunk_files
from rag.corpus.reader import find_files
from rag.index.local.chunk_writer import ChunkWriter
from rag.index.local.finished import document_keys, lexical_rows
from rag.index.local.lexical import stems
from rag.index.local.lexical_writer import buckets_of
from rag.index.local.manifest import SCHEMA

GOLDEN = Path(__file__).parent / "golden"
RECORD = GOLDEN / "stored.json"
VERSIONS = {"chunker": CHUNKER_VERSION, "schema": SCHEMA}


def digest_of(chunked: ChunkedDocument, folder: Path) -> str:
    """A digest of the rows, of the stems that are searched, and of the name that keeps them for later."""
    path = folder / f"{chunked.document.doc_id}.sqlite"
    writer = ChunkWriter(path)
    writer.add(chunked)
    writer.weigh_repetition()
    writer.finish()
    connection = sqlite3.connect(path)
    rows = [repr(row) for name in ("documents", "chunks", "repetition") for row in _rows(connection, name)]
    connection.close()
    words = [repr(stems(row.body)) for row in lexical_rows(path, [chunked.document.doc_id])]
    keys = [(doc_id, key) for doc_id, _, key in document_keys(path)]
    return hashlib.sha256("\n".join([*rows, *words, repr(buckets_of(keys, 1, {}))]).encode()).hexdigest()


def _rows(connection: sqlite3.Connection, table: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """For each golden document the digest of its file and of what is stored of it."""
    folder = tmp_path_factory.mktemp("stored")
    outcomes = chunk_files(find_files(GOLDEN / "chunks")[0], count_words, max_tokens=64)
    return {
        chunked.document.doc_id: {"file": chunked.document.sha256, "stored": digest_of(chunked, folder)}
        for chunked in outcomes
        if isinstance(chunked, ChunkedDocument)
    }


def test_what_is_stored_changes_only_with_a_version_number(found: dict[str, dict[str, str]]) -> None:
    record: dict[str, Any] = {"versions": None, "documents": {}}
    if RECORD.is_file():
        record = json.loads(RECORD.read_text(encoding="utf-8"))
    if record["versions"] == VERSIONS:
        changed = [
            doc_id
            for doc_id, before in record["documents"].items()
            if doc_id in found and found[doc_id]["file"] == before["file"] and found[doc_id] != before
        ]
        assert changed == [], "raise CHUNKER_VERSION or SCHEMA: see above"
    if "REWRITE_GOLDEN" in os.environ:
        content = json.dumps({"versions": VERSIONS, "documents": found}, indent=1)
        RECORD.write_text(content + "\n", encoding="utf-8")
    assert json.loads(RECORD.read_text(encoding="utf-8")) == {"versions": VERSIONS, "documents": found}, (
        f"{RECORD} is out of date; REWRITE_GOLDEN=1 writes it"
    )
