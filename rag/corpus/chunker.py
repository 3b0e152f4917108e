"""Documents to chunks: exact slices along headings, blocks, items and sentences, under a token budget.

It never cuts inside a word (save one longer than the whole budget), never rewrites a text, and never
joins what stands under two headings.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

from rag.corpus.document import Chunk, Document, Link, embedded_text
from rag.corpus.markdown import Section, sections
from rag.corpus.packing import CountTokens, Packer
from rag.corpus.plaintext import render
from rag.corpus.splitting import keep_introductions

CHUNKER_VERSION = 1
DEFAULT_MAX_TOKENS = 256

_MIN_TEXT_TOKENS = 16
_ID_DIGITS = 10**8


@dataclass(frozen=True, slots=True)
class _Piece:
    """A chunk before it has its id."""

    start: int
    end: int
    markdown: str
    text: str
    heading_path: tuple[str, ...]
    context: str
    links: tuple[Link, ...]


class Chunker:
    """Cuts documents into chunks of at most `max_tokens` tokens: context, text and special tokens."""

    def __init__(self, count_tokens: CountTokens, *, max_tokens: int = DEFAULT_MAX_TOKENS) -> None:
        self._count = count_tokens
        self._special = count_tokens([""])[0]
        self.max_tokens = max_tokens

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks of `document` in the order of the text; they never overlap."""
        pieces: list[_Piece] = []
        for section in sections(document.text, document.body_start):
            pieces += self._section_pieces(document, section)
        return list(_with_ids(document, pieces))

    def _section_pieces(self, document: Document, section: Section) -> list[_Piece]:
        context = self._context(document, section.heading_path)
        limit = max(_MIN_TEXT_TOKENS, self.max_tokens - self._count([context])[0])
        blocks = keep_introductions(document.text, section.blocks)
        while True:
            packer = Packer(document.text, self._count_words, limit)
            spans = packer.pack(blocks) or _lonely_heading(document, section)
            pieces = [_cut(document, span, section, context) for span in spans]
            excess = self._excess(pieces)
            if excess <= 0 or limit == 1:
                return pieces
            # Some tokenizers count a whole higher than the sum of its parts.
            limit = max(1, limit - excess)

    def _excess(self, pieces: Sequence[_Piece]) -> int:
        embedded = [embedded_text(piece.context, piece.text) for piece in pieces]
        return max(self._count(embedded), default=0) - self.max_tokens

    def _count_words(self, texts: Sequence[str]) -> list[int]:
        return [count - self._special for count in self._count(texts)]

    def _context(self, document: Document, heading_path: tuple[str, ...]) -> str:
        """Title and headings on one line, shortened to at most half of the budget."""
        title = document.metadata.short_title
        parts = [title, *_new_headings(title, heading_path)]
        while self._count([context := " > ".join(parts)])[0] > self.max_tokens // 2:
            if len(parts) > 2:
                del parts[1]
            else:
                parts = [context[: len(context) * 3 // 4].rpartition(" ")[0] or context[: len(context) // 2]]
        return context


def _new_headings(title: str, heading_path: Iterable[str]) -> Iterator[str]:
    """The headings that say something the title does not."""
    for heading in heading_path:
        a, b = heading.casefold(), title.casefold()
        if not (a.startswith(b) or b.startswith(a)):
            yield heading


def _lonely_heading(document: Document, section: Section) -> list[tuple[int, int]]:
    """The span of a heading with nothing below it, which would otherwise be lost."""
    if section.heading is None or section.has_subsections or not section.heading_path:
        return []
    metadata = document.metadata
    if section.heading_path[-1].casefold() in (
        metadata.title.casefold(),
        metadata.short_title.casefold(),
    ):
        return []
    return [(section.heading.start, section.heading.end)]


def _cut(document: Document, span: tuple[int, int], section: Section, context: str) -> _Piece:
    markdown = document.text[slice(*span)]
    text, targets = render(markdown)
    links = tuple(_absolute(targets, document.metadata.url))
    return _Piece(*span, markdown, text, section.heading_path, context, links)


def _absolute(targets: Iterable[tuple[str, str]], page: str | None) -> Iterator[Link]:
    """The links that a reader can follow; without the page's address, only those with their own."""
    for text, target in targets:
        try:
            url = urljoin(page or "", target)
        except ValueError:
            continue
        if url.startswith(("http://", "https://")):
            yield Link(text, url)


def _with_ids(document: Document, pieces: Sequence[_Piece]) -> Iterator[Chunk]:
    """Number each chunk from its own text, so that an edit elsewhere leaves its id alone."""
    taken: set[str] = set()
    for piece in pieces:
        section = slug(piece.heading_path[-1] if piece.heading_path else "")
        number = int(hashlib.sha256(piece.markdown.encode()).hexdigest()[:12], 16) % _ID_DIGITS
        while (chunk_id := f"{document.doc_id}#{section}-{number:08d}") in taken:
            number = (number + 1) % _ID_DIGITS
        taken.add(chunk_id)
        yield Chunk(
            chunk_id=chunk_id,
            doc_id=document.doc_id,
            start=piece.start,
            end=piece.end,
            markdown=piece.markdown,
            text=piece.text,
            heading_path=piece.heading_path,
            context=piece.context,
            links=piece.links,
        )


def slug(heading: str) -> str:
    """A heading as it stands in a chunk_id: lower case, words parted by '-', at most 60 characters."""
    plain = unicodedata.normalize("NFKD", heading).casefold()
    words = re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))
    return "-".join(words)[:60].strip("-") or "top"
