"""Named documents and the chunks that they give, to be read by a person.

`tests/golden/chunks/<case>.md` stands beside `<case>.json`. REWRITE_GOLDEN=1 writes the .json files
anew; read the difference before you commit it. `maxTokens` in the front matter is the budget, a token is
a word, and two tokens are special.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from keyword_encoder import count_words

from rag.corpus.chunker import Chunker
from rag.corpus.document import Document
from rag.corpus.fragments import text_fragments
from rag.corpus.reader import parse_document

FOLDER = Path(__file__).parent / "golden" / "chunks"
CASES = sorted(path.stem for path in FOLDER.glob("*.md"))


def read_case(case: str) -> Document:
    return parse_document((FOLDER / f"{case}.md").read_bytes(), doc_id=case)


def described(document: Document) -> list[dict[str, Any]]:
    """The chunks as they stand in the .json; the text line by line, so that a difference is legible."""
    chunks = Chunker(count_words, max_tokens=int(document.metadata.extra["maxTokens"])).chunk(document)
    return [
        {
            "id": chunk.chunk_id.removeprefix(document.doc_id),
            "span": [chunk.start, chunk.end],
            "context": chunk.context,
            "heading_path": list(chunk.heading_path),
            "text": chunk.text.split("\n"),
            "links": [[link.text, link.url] for link in chunk.links],
            "fragment": fragment,
        }
        for chunk, fragment in zip(chunks, text_fragments(chunks), strict=True)
    ]


def test_there_are_cases_and_no_expectation_without_its_document() -> None:
    assert 10 <= len(CASES) <= 15
    assert not {path.stem for path in FOLDER.glob("*.json")} - set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_a_document_gives_the_chunks_beside_it(case: str) -> None:
    found = described(read_case(case))
    expected = FOLDER / f"{case}.json"
    if "REWRITE_GOLDEN" in os.environ:
        expected.write_text(json.dumps(found, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    assert expected.is_file(), f"{expected} is missing; REWRITE_GOLDEN=1 writes it"
    assert found == json.loads(expected.read_text(encoding="utf-8"))
