"""The sentences of a chunk that can be quoted: each an exact slice of the markdown and of its plain text.

A sentence is taken only when its slice, rendered by itself, is the very text that stands in the passage;
headings are no sentences. Items and table rows count as sentences, without the marker before them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rag.corpus.inline import is_noise
from rag.corpus.markdown import Block, sections
from rag.corpus.plaintext import plain_text
from rag.corpus.splitting import lines_in, sentences_in

_MARKER = re.compile(r"(?:[-*+]|\d{1,9}[.)])[ \t]+")
# Rendering leaves such a slice as it is: words and common signs, and no line that could open a block.
_PLAIN = re.compile(r"(?!\d+[.)](?:\s|$))[^\W_][^\\`*_\[\]<>!&#|~=\ufdd0]*")
_ROW = re.compile(r"\|[^\n]*\|")
_BLOCK_LINE = re.compile(r"\n[ \t]*(?:[^\w\s]|\d+[.)])")


class Sentence(NamedTuple):
    """`markdown[start:end]` renders to `text`, which stands at `text_start` of the slice's plain text."""

    start: int
    end: int
    text: str
    text_start: int

    @property
    def text_end(self) -> int:
        """Where it ends in the plain text."""
        return self.text_start + len(self.text)


@lru_cache(maxsize=4096)
def sentences_of(markdown: str, plain: str) -> tuple[Sentence, ...]:
    """The sentences of a chunk's markdown, in order; `plain` is its plain text."""
    found: list[Sentence] = []
    place = 0
    for start, end in _spans(markdown):
        text = rendered(markdown[start:end])
        at = plain.find(text, place) if text and "\n" not in text else -1
        if at >= 0:
            found.append(Sentence(start, end, text, at))
            place = at + len(text)
    return tuple(found)


def rendered(markdown: str) -> str:
    """`plain_text(markdown)`, told without parsing where nothing in the slice could be markdown."""
    if _PLAIN.fullmatch(markdown) and not _BLOCK_LINE.search(markdown):
        text = " ".join(markdown.split())
        return "" if is_noise(text) else text
    return plain_text(markdown)


def _spans(markdown: str) -> Iterator[tuple[int, int]]:
    for section in sections(markdown, 0):
        for block in section.blocks:
            yield from _of_block(markdown, block)


def _of_block(markdown: str, block: Block) -> Iterator[tuple[int, int]]:
    if block.children:
        for child in block.children:
            yield from _of_block(markdown, child)
    elif block.kind == "table" or _ROW.match(markdown, block.start, block.end):
        yield from lines_in(markdown, block)
    elif block.kind != "heading":
        for start, end in sentences_in(markdown, block):
            marker = _MARKER.match(markdown, start, end)
            yield marker.end() if marker else start, end
