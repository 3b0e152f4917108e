"""The sentences of a text that a chatbot is about to say: plain or lightly marked up, of any layout."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag.answer.verifying.tokens import says_something
from rag.corpus.quotes import Span, whole_sentences

# What stands before the words of a line: bullets, numbers, heading and quote signs, a table's border.
# A sign that says something of a number behind it is none: > 5 cm.
_MARKER = re.compile(r"[ \t]*(?:(?:>(?!=?[ \t]*[\d.])|\||(?:[-*•–—]|\d{1,3}[.)]|#{1,6})(?=[ \t]))[ \t]*)*")
_CELL_END = " | "
_LONELY_NUMBER = re.compile(r"\(?\d{1,3}[.)]")


def claims(text: str) -> list[Span]:
    """The (start, end) of every sentence, in order, without markers; none for what holds no word.

    A line break ends a sentence where a line is empty or marked (an item, a heading, a row of a table).
    """
    return [
        (start + first, start + last)
        for start, end in _blocks(text)
        for first, last in _sentences(text[start:end])
    ]


def lines_of(text: str, span: Span) -> list[Span]:
    """The lines of one sentence that runs over several: perhaps items that were given without markers."""
    start, end = span
    found = []
    for line in text[start:end].split("\n"):
        words = line.strip()
        first = start + len(line) - len(line.lstrip())
        if says_something(words):
            found.append((first, first + len(words)))
        start += len(line) + 1
    return found


def _sentences(block: str) -> Iterator[Span]:
    if _CELL_END in block:
        # What a cell says holds for its row only.
        if says_something(block):
            yield 0, len(block.rstrip())
        return
    for start, end in whole_sentences(block):
        claim = block[start:end]
        if says_something(claim) and not (_LONELY_NUMBER.fullmatch(claim) and end < len(block)):
            yield start, end


def _blocks(text: str) -> Iterator[Span]:
    """Runs of lines that may share a sentence."""
    begun: int | None = None
    at = end = 0
    closed = True
    for line in text.split("\n"):
        marker = _MARKER.match(line)
        skipped = marker.end() if marker else 0
        is_row = _CELL_END in line or line.lstrip().startswith("|")
        if begun is not None and (closed or is_row or skipped > _indent(line) or not line.strip()):
            yield begun, end
            begun = None
        if line.strip() and begun is None:
            begun = at + skipped
        closed = is_row or line.lstrip().startswith("#")
        end = at + len(line)
        at = end + 1
    if begun is not None:
        yield begun, end


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
