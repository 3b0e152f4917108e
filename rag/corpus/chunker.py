"""Documents to chunks: exact slices along headings, blocks, items and sentences, under a token budget.

It never cuts inside a word (save one longer than the whole budget) and never rewrites a text.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urljoin

from rag.corpus.document import Chunk, Document, Link, embedded_text
from rag.corpus.joining import Span, join_crumbs
from rag.corpus.markdown import Block, Section, sections
from rag.corpus.packing import CountTokens, Packed, Packer
from rag.corpus.plaintext import plain_text, render
from rag.corpus.splitting import keep_introductions

CHUNKER_VERSION = 1
DEFAULT_MAX_TOKENS = 256

_ID_DIGITS = 10**8
# A chunk's tokens are predicted from those of its blocks. Where a tokenizer does not add up it errs by
# a few tokens, so only chunks that fill so much of the budget are counted again.
_SURE_SHARE = 0.75


def chunks_key(document: Document) -> str:
    """A digest of all that decides a document's chunks, its id aside, for one chunker and tokenizer.

    Documents of equal key have the same chunks, which stand elsewhere when their front matter is longer.
    """
    metadata = document.metadata
    head = json.dumps([metadata.title, metadata.short_title, metadata.url])
    body = document.text[document.body_start :]
    content = f"{head}\n{body}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(content, digest_size=16).hexdigest()


class Chunker:
    """Cuts documents into chunks of at most `max_tokens` tokens: context, text and special tokens."""

    def __init__(self, count_tokens: CountTokens, *, max_tokens: int = DEFAULT_MAX_TOKENS) -> None:
        self._count = count_tokens
        self._special = count_tokens([""])[0]
        self.max_tokens = max_tokens

    def chunk(self, document: Document) -> list[Chunk]:
        """Return the chunks of `document` in the order of the text; they never overlap."""
        contexts = _Contexts(document.metadata.short_title, self._count, self.max_tokens // 2)

        def fits(span: Span) -> bool:
            text = plain_text(document.text[span.start : span.end])
            embedded = embedded_text(contexts.text(span.heading_path), text)
            return self._count([embedded])[0] <= self.max_tokens

        spans = join_crumbs(document.text, self._all_spans(document, contexts), fits)
        return list(_chunks(document, spans, contexts))

    def _all_spans(self, document: Document, contexts: _Contexts) -> list[Span]:
        """The spans of every section, and of the headings that no chunk below carries in its path."""
        found: list[list[Span]] = []
        carried = 0
        for section in reversed(sections(document.text, document.body_start)):
            spans = self._spans(document, section, section.blocks, contexts)
            if not spans and carried <= section.level:
                spans = self._spans(document, section, _lonely_heading(document, section), contexts)
            carried = section.level if spans else min(carried, section.level)
            found.append(spans)
        return [span for spans in reversed(found) for span in spans]

    def _spans(
        self, document: Document, section: Section, content: Sequence[Block], contexts: _Contexts
    ) -> list[Span]:
        context = contexts.text(section.heading_path)
        limit = max(1, self.max_tokens - contexts.tokens(section.heading_path))
        blocks = keep_introductions(document.text, content)
        while True:
            packed = Packer(document.text, self._count_words, limit).pack(blocks)
            near = [part for part in packed if part.tokens + part.joints > limit * _SURE_SHARE]
            excess = self._excess(document.text, near, context)
            if excess <= 0 or limit == 1:
                break
            limit = max(1, limit - excess)
        return list(_under_heading([(part.start, part.end) for part in packed], section))

    def _excess(self, text: str, parts: Sequence[Packed], context: str) -> int:
        embedded = [embedded_text(context, plain_text(text[part.start : part.end])) for part in parts]
        return max(self._count(embedded), default=0) - self.max_tokens if embedded else 0

    def _count_words(self, texts: Sequence[str]) -> list[int]:
        return [count - self._special for count in self._count(texts)]


class _Contexts:
    """What stands before the text of one document's chunks: title and headings, one a line."""

    def __init__(self, title: str, count: CountTokens, limit: int) -> None:
        self._title, self._count, self._limit = title, count, limit
        self._made: dict[tuple[str, ...], tuple[str, int]] = {}

    def text(self, heading_path: tuple[str, ...]) -> str:
        """The context, shortened to at most `limit` tokens."""
        return self._make(heading_path)[0]

    def tokens(self, heading_path: tuple[str, ...]) -> int:
        """Its number of tokens, special ones included."""
        return self._make(heading_path)[1]

    def _make(self, heading_path: tuple[str, ...]) -> tuple[str, int]:
        if heading_path not in self._made:
            self._made[heading_path] = self._shortened([self._title, *self._new(heading_path)])
        return self._made[heading_path]

    def _new(self, heading_path: Iterable[str]) -> Iterator[str]:
        """The headings that say something the title does not."""
        title = self._title.casefold()
        for heading in heading_path:
            folded = heading.casefold()
            if not (folded.startswith(title) or title.startswith(folded)):
                yield heading

    def _shortened(self, parts: list[str]) -> tuple[str, int]:
        """Leave out the outer headings first, then the end."""
        while True:
            context = "\n".join(parts)
            tokens = self._count([context])[0]
            if tokens <= self._limit or not context:
                return context, tokens
            if len(parts) > 2:
                del parts[1]
            else:
                kept = context[: len(context) * 3 // 4]
                parts = [kept.rpartition(" ")[0] or kept[: len(kept) // 2]]


def _lonely_heading(document: Document, section: Section) -> list[Block]:
    """A heading with nothing below it, which would otherwise be lost, unless it repeats the title."""
    heading, metadata = section.heading, document.metadata
    if heading is None or not plain_text(document.text[heading.start : heading.end]):
        return []
    titles = (metadata.title.casefold(), metadata.short_title.casefold())
    if all(outer.casefold() in titles for outer in section.heading_path):
        return []
    return [heading]


def _under_heading(places: Iterable[tuple[int, int]], section: Section) -> Iterator[Span]:
    heading_start = section.heading.start if section.heading else None
    for start, end in places:
        yield Span(start, end, section.heading_path, heading_start)
        heading_start = None


def _chunks(document: Document, spans: Iterable[Span], contexts: _Contexts) -> Iterator[Chunk]:
    """Number each chunk from its own text, so that an edit elsewhere leaves its id alone."""
    taken: set[str] = set()
    following: dict[str, int] = {}
    for span in spans:
        markdown = document.text[span.start : span.end]
        section = slug(span.heading_path[-1] if span.heading_path else "")
        number = int(hashlib.sha256(markdown.encode()).hexdigest()[:12], 16) % _ID_DIGITS
        wanted = f"{section}-{number}"
        number = following.get(wanted, number)
        while (chunk_id := f"{document.doc_id}#{section}-{number:08d}") in taken:
            number = (number + 1) % _ID_DIGITS
        following[wanted] = number
        taken.add(chunk_id)
        text, targets = render(markdown)
        yield Chunk(
            chunk_id=chunk_id,
            doc_id=document.doc_id,
            start=span.start,
            end=span.end,
            markdown=markdown,
            text=text,
            heading_path=span.heading_path,
            context=contexts.text(span.heading_path),
            links=tuple(_absolute(targets, document.metadata.url)),
        )


def _absolute(targets: Iterable[tuple[str, str]], page: str | None) -> Iterator[Link]:
    """The links that a reader can follow; without the page's address, only those with their own."""
    for text, target in targets:
        try:
            url = urljoin(page or "", target)
        except ValueError:
            continue
        if url.startswith(("http://", "https://")):
            yield Link(text, url)


def slug(heading: str) -> str:
    """A heading as it stands in a chunk_id: lower case, words parted by '-', at most 60 characters."""
    plain = unicodedata.normalize("NFKD", heading).casefold()
    words = re.findall(r"[^\W_]+", "".join(c for c in plain if not unicodedata.combining(c)))
    return "-".join(words)[:60].strip("-") or "top"
