"""What citing a document or a passage covers of a document's text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.answer.verifying.sources import Source
from rag.corpus.document import Chunk, Document
from rag.corpus.inline import line_text
from rag.corpus.quotes import Span, sentence_slices

_HEADING = re.compile(r"(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*")
# A sentence that runs across a border is looked for so far outside.
_REACH = 2000
_FARTHEST_HEADINGS = 40


def document_source(document: Document) -> Source:
    """All sentences of a document's body."""
    return Source(document.doc_id, document.text, [_sentences(document, document.body_start, None)])


def passage_source(chunk: Chunk, document: Document) -> Source:
    """The sentences of a chunk, those that lie across its borders, and the headings it stands under."""
    text = document.text
    floor = max(document.body_start, chunk.start - _REACH)
    before = text.rfind("\n\n", floor, chunk.start)
    after = text.find("\n\n", chunk.end, chunk.end + _REACH)
    start = (
        before + 2 if before >= 0 else document.body_start if floor == document.body_start else chunk.start
    )
    end = after if after >= 0 else chunk.end if chunk.end + _REACH < len(text) else len(text)
    body = [one for one in _sentences(document, start, end) if one[0] < chunk.end and one[1] > chunk.start]
    headings = [list(_sentences(document, *heading)) for heading in _headings(chunk, document)]
    return Source(chunk.doc_id, text, [*headings, body])


def _sentences(document: Document, start: int, end: int | None) -> Iterator[Span]:
    for first, last in sentence_slices(document.text[start:end], headings=True):
        yield start + first, start + last


def _headings(chunk: Chunk, document: Document) -> list[Span]:
    """The lines of the headings above a chunk, outermost first."""
    text, at = document.text, chunk.start
    wanted = list(chunk.heading_path)
    found: list[Span] = []
    for _ in range(_FARTHEST_HEADINGS):
        at = text.rfind("\n#", document.body_start - 1, at)
        if at < 0 or not wanted:
            break
        end = text.find("\n", at + 1)
        line = text[at + 1 : end if end >= 0 else len(text)]
        heading = _HEADING.fullmatch(line)
        if heading and line_text(heading[2]) == wanted[-1]:
            wanted.pop()
            found.append((at + 1, at + 1 + len(line)))
    return found[::-1]
