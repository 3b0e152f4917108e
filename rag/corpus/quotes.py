"""The sentences of markdown that can be quoted: exact slices that render to their words alone.

Items and table rows count as sentences, without the marker before them; headings where they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from rag.corpus.inline import is_noise
from rag.corpus.parsing import markdown_parser, parse
from rag.corpus.plaintext import plain_text
from rag.corpus.sentences import sentence_spans

Span = tuple[int, int]

_PARSER = markdown_parser().disable(["inline"])
_MARKERS = re.compile(r"(?:[ \t]*(?:>|(?:[-*+]|\d{1,9}[.)]|#{1,6})(?=[ \t])))*[ \t]*")
_CLOSING_HASHES = re.compile(r"[ \t]+#+[ \t]*\Z")
_ROW = re.compile(r"[ \t]*\|.*\|[ \t]*$", re.MULTILINE)
_DELIMITER_ROW = re.compile(r"[|:\-\s]+")
# Words and points alone render to themselves.
_PLAIN = re.compile(r"""[A-Za-z"'(‘“][^\\`*_\[\]<>&!#|~\n]*""")
# Their points end no sentence: pictures with their texts, what only enlarges them, targets of links. Marks
# of references are known where sentences are cut.
_ADDRESS = r"""\((?!\#cit/)[^()\s]*(?:\([^()\s]*\)[^()\s]*)*(?:\s+(?:"[^"]*"|'[^']*'))?\s*\)"""
_ALTERNATIVE = r"!\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]"
_NOISE = re.compile(rf"{_ALTERNATIVE}{_ADDRESS}|\[Enlarge\]{_ADDRESS}")
_TARGET = re.compile(rf"(?<=\]){_ADDRESS}")


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
    """The sentences of a chunk's markdown, in order; `plain` is its plain text. Headings are none.

    A sentence is taken only when its slice, rendered by itself, is the very text that stands in `plain`.
    """
    found: list[Sentence] = []
    place = 0
    for start, end in sentence_slices(markdown, headings=False):
        text = rendered(markdown[start:end])
        at = plain.find(text, place) if text and "\n" not in text else -1
        if at >= 0:
            found.append(Sentence(start, end, text, at))
            place = at + len(text)
    return tuple(found)


def sentence_slices(markdown: str, *, headings: bool) -> Iterator[Span]:
    """The (start, end) of every sentence, item and table row, whose slices render to their words alone.

    Markers of items, headings and quotes are left out.
    """
    starts = [0]
    for line in markdown.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    in_table = in_heading = False
    for token in parse(_PARSER, markdown):
        if token.type in ("table_open", "table_close"):
            in_table = token.nesting > 0
        elif token.type in ("heading_open", "heading_close"):
            in_heading = token.nesting > 0
        if token.map is None or (in_table and token.type != "tr_open"):
            continue
        start, end = starts[token.map[0]], min(starts[token.map[1]], len(markdown))
        if token.type in ("tr_open", "fence"):
            yield from _lines(markdown, start, end)
        elif token.type == "inline" and (headings or not in_heading):
            yield from _leaf(markdown, start, end)


def rendered(markdown: str) -> str:
    """`plain_text(markdown)`, sooner where there is nothing to render."""
    if not _PLAIN.fullmatch(markdown):
        return plain_text(markdown)
    words = " ".join(markdown.split())
    return "" if is_noise(words) else words


def _lines(markdown: str, start: int, end: int) -> Iterator[Span]:
    for line in markdown[start:end].split("\n"):
        if line.strip() and not _DELIMITER_ROW.fullmatch(line):
            yield start + len(line) - len(line.lstrip()), start + len(line.rstrip())
        start += len(line) + 1


def _leaf(markdown: str, start: int, end: int) -> Iterator[Span]:
    block = markdown[start:end]
    # A table that is cut off its header.
    if _ROW.match(block):
        yield from _lines(markdown, start, end)
        return
    marker = _MARKERS.match(block)
    start += marker.end() if marker else 0
    block = _CLOSING_HASHES.sub("", markdown[start:end].rstrip())
    if rendered(block):
        for span in whole_sentences(block):
            first, last = _without_half_emphasis(block, *span)
            yield start + first, start + last


def _without_half_emphasis(block: str, start: int, end: int) -> Span:
    """The span without a sign of emphasis whose other half stands in another sentence."""
    for mark in ("**", "*", "__", "_"):
        if block.count(mark, start, end) % 2:
            if block.startswith(mark, start):
                return start + len(mark), end
            if block.endswith(mark, start, end):
                return start, end - len(mark)
    return start, end


def whole_sentences(block: str) -> Iterator[Span]:
    """The sentences of a block; those that share a link stay together."""
    if "[" not in block:
        yield from sentence_spans(block)
        return
    words = _TARGET.sub(lambda found: ")" * len(found[0]), _NOISE.sub(_blank, block))
    balanced = words.count("[") == words.count("]")
    begun, depth = -1, 0
    for start, end in sentence_spans(words):
        begun = start if begun < 0 else begun
        depth += words.count("[", start, end) - words.count("]", start, end)
        if depth <= 0 or not balanced:
            yield begun, end
            begun, depth = -1, 0
    if begun >= 0:
        yield begun, len(words.rstrip())


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])
