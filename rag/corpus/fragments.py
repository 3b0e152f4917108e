"""Text fragments: the words in a link's `#:~:text=` by which a browser finds a passage in its page.

A browser jumps to the first place that matches, so the words are chosen to match nowhere earlier.
Source: WICG Scroll To Text Fragment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from rag.corpus.document import Chunk

_WORD = re.compile(r"\w+")
_MARKER = re.compile(r"\s*(?:[-*•]|\d+\.)\s+")
_MIN_WORDS = 4
_MAX_WORDS = 14


def text_fragments(chunks: Sequence[Chunk]) -> list[str]:
    """The percent-encoded fragment of each chunk of one document, '' for one without words.

    `chunks` are all chunks of the document in order: what stands before a chunk decides how many of
    its words are needed to tell it apart.
    """
    page = _Page()
    for chunk in chunks:
        page.append("\n".join(chunk.heading_path), chunk.text)
    return [_fragment(chunk.text, page, place) for place, chunk in enumerate(chunks)]


class _Page:
    """The words of a page, and where in them each chunk begins."""

    def __init__(self) -> None:
        self._words: list[str] = []
        self._headings = ""
        self._starts: list[int] = []
        self._joined: str | None = None

    def append(self, headings: str, text: str) -> None:
        if headings != self._headings:
            self._words += _words(headings)
            self._headings = headings
        self._starts.append(len(self._words))
        self._words += _words(text)

    def first_is_at(self, words: Sequence[str], place: int) -> bool:
        """Tell whether these words stand nowhere before chunk number `place`."""
        if self._joined is None:
            self._joined = f" {' '.join(self._words)} "
            lengths = [0]
            for word in self._words:
                lengths.append(lengths[-1] + len(word) + 1)
            self._offsets = lengths
        start = self._offsets[self._starts[place]]
        return self._joined.find(f" {' '.join(words)} ", 0) >= start


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _fragment(text: str, page: _Page, place: int) -> str:
    candidates = list(_candidates(text))
    for words in candidates:
        if page.first_is_at(_words(words), place):
            return _encoded(words)
    return _encoded(max(candidates, key=len)) if candidates else ""


def _candidates(text: str) -> Iterator[str]:
    """Openings of the blocks of a text, shorter ones first; blocks of few words come last."""
    blocks = [_MARKER.sub("", block, count=1).strip() for block in re.split(r"\n| \| ", text)]
    spans = [(block, [word.span() for word in _WORD.finditer(block)]) for block in blocks]
    for block, words in spans:
        for count in range(_MIN_WORDS, min(len(words), _MAX_WORDS) + 1):
            yield block[words[0][0] : words[count - 1][1]]
    for block, words in spans:
        if 0 < len(words) < _MIN_WORDS:
            yield block[words[0][0] : words[-1][1]]


def _encoded(words: str) -> str:
    # '-' and ',' part the pieces of a fragment, so inside one they must be encoded as well.
    return quote(words, safe="").replace("-", "%2D")
