"""Text fragments: the words in a link's `#:~:text=` by which a browser finds a passage in its page.

A browser jumps to the first place that matches, so the words are chosen to match nowhere earlier.
Source: WICG Scroll To Text Fragment.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from urllib.parse import quote

from rag.corpus.document import Chunk

# As browsers see words (Unicode's word boundaries): '5.5', "don't", '1,000' and 'U.S' are one each.
_LETTERS = "[\\w\u0300-\u036f]+"
_WORD = re.compile(rf"{_LETTERS}(?:[.,:;'’·]{_LETTERS})*")
_MARKER = re.compile(r"\A\s*(?:[-*•]|\d+\.)\s+")
_MIN_WORDS = 4
_MAX_WORDS = 14


def text_fragments(chunks: Sequence[Chunk]) -> list[str]:
    """The percent-encoded fragment of each chunk of one document, '' for one without words.

    `chunks` are all chunks of the document in order: what stands before a chunk decides how many of
    its words are needed to tell it apart.
    """
    page = _Page(chunks)
    return [_fragment(chunk.text, page, place) for place, chunk in enumerate(chunks)]


class _Page:
    """The words of a page, line by line, and where in them each chunk begins."""

    def __init__(self, chunks: Sequence[Chunk]) -> None:
        self._starts: list[int] = []
        lines: list[str] = []
        length = 0
        headings: tuple[str, ...] = ()
        for chunk in chunks:
            new = chunk.heading_path if chunk.heading_path != headings else ()
            headings = chunk.heading_path
            above = "".join(_padded(heading) for heading in new)
            below = "".join(_padded(line.text) for line in _lines(chunk.text))
            self._starts.append(length + len(above))
            lines += [above, below]
            length += len(above) + len(below)
        self._words = "".join(lines)

    def first_is_at(self, words: str, place: int) -> bool:
        """Tell whether these words stand in no line before chunk number `place`."""
        run = _padded(words).rstrip("\n")
        return self._words.find(run, 0, self._starts[place]) < 0


def _padded(line: str) -> str:
    """The words of a line as they are compared: a run of them is found only as whole words of one line."""
    return f" {' '.join(_WORD.findall(line.casefold()))} \n"


class _Line(NamedTuple):
    """A line or cell of a text, and where its words stand in it."""

    text: str
    words: list[tuple[int, int]]

    def run(self, start: int, stop: int) -> str:
        """The words number `start` to `stop`, with the signs between them."""
        return self.text[self.words[start][0] : self.words[stop - 1][1]]


def _fragment(text: str, page: _Page, place: int) -> str:
    def tells_apart(run: str) -> bool:
        return page.first_is_at(run, place)

    lines = _lines(text)
    for line in lines:
        if tells_apart(line.text):
            return _encoded(next(run for run in _runs(line, tells_apart) if tells_apart(run)))
    openings = [line.run(0, min(len(line.words), _MAX_WORDS)) for line in lines]
    return _encoded(max(openings, key=len, default=""))


def _lines(text: str) -> list[_Line]:
    """The lines and cells of a text without their markers, those of few words last."""
    parts = (_MARKER.sub("", part, count=1).strip() for part in re.split(r"\n| \| ", text))
    lines = [_Line(part, [word.span() for word in _WORD.finditer(part)]) for part in parts]
    return sorted((line for line in lines if line.words), key=lambda line: len(line.words) < _MIN_WORDS)


def _runs(line: _Line, tells_apart: Callable[[str], bool]) -> Iterator[str]:
    """Runs of words, short ones first, of a line that as a whole tells its chunk apart."""
    words = len(line.words)
    for stop in range(min(_MIN_WORDS, words), min(_MAX_WORDS, words) + 1):
        yield line.run(0, stop)
    # The shortest opening that stands nowhere earlier; its last words alone may do.
    stops = range(_MAX_WORDS + 1, words + 1)
    stop = stops[bisect_left(stops, 1, key=lambda stop: int(tells_apart(line.run(0, stop))))]
    yield line.run(stop - _MAX_WORDS, stop)
    yield line.run(0, stop)


def _encoded(words: str) -> str:
    # '-' and ',' part the pieces of a fragment, so inside one they must be encoded as well.
    return quote(words, safe="").replace("-", "%2D")
