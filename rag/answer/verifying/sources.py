"""The sentences of a document, each with its exact place, as one run of tokens to find others in.

A sentence is found only as a whole, or as several whole ones in a row.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import nlargest
from itertools import accumulate
from typing import NamedTuple

from rapidfuzz.distance import LCSseq

from rag.answer.verifying.lexicon import weight
from rag.answer.verifying.tokens import POINTS, Token, is_word, tokens
from rag.corpus.quotes import Span, rendered
from rag.corpus.sentences import sentence_spans

_JOINING = frozenset({"and", "or"})
_BREAK = Token("\0", "\0", spaced=True)
_CANDIDATES = 3
_MUCH_SHORTER = 0.7
_LONGEST_RUN = 4
_FEWEST_WORDS = 5
_ENOUGH = 300


class Sentence(NamedTuple):
    """A sentence at `text[start:end]` of the document, its tokens from `first` up to `last`."""

    start: int
    end: int
    first: int
    last: int


class Near(NamedTuple):
    """The tokens, `first` up to `last`, of sentences that are like a given one.

    `likeness` is the share of what both say, 0 to 1; by `rank` several are compared.
    """

    first: int
    last: int
    likeness: float
    rank: float


class Source:
    """Sentences of one document's text, as far as they are cited."""

    def __init__(self, doc_id: str, text: str, runs: Iterable[Iterable[Span]]) -> None:
        """`runs` are the places in `text` of sentences that follow each other."""
        self.doc_id, self._text = doc_id, text
        self.tokens: list[Token] = []
        self.sentences: list[Sentence] = []
        # A document's tokens are few different ones; shared, each costs a pointer.
        self._shared: dict[Token, Token] = {}
        self._starts: set[int] = set()
        self._ends: set[int] = set()
        for run in runs:
            for start, end in run:
                self._add(start, end)
            self.tokens.append(_BREAK)
        weights = {token.key: weight(token.key) for token in self._shared}
        self._weight_before = [0.0, *accumulate(weights.get(token.key, 0.0) for token in self.tokens)]
        self._run = " " + "".join(f"{token.key} " for token in self.tokens)
        self._places = [0]
        for token in self.tokens:
            self._places.append(self._places[-1] + len(token.key) + 1)
        self._postings = self._make_postings()

    def find(self, said: Sequence[Token]) -> Iterator[Span]:
        """Where these tokens stand as whole sentences: (first, last) of the source's tokens.

        A point at the end need not be given.
        """
        keys = [token.key for token in said]
        while keys and keys[-1] in POINTS:
            keys.pop()
        if not keys or not all(key in self._postings for key in keys if key[0].isalnum()):
            return
        wanted = f" {' '.join(keys)} "
        at = self._run.find(wanted)
        while at >= 0:
            first = bisect_left(self._places, at)
            last = first + len(keys)
            if first in self._starts and last in self._ends:
                yield first, last
            at = self._run.find(wanted, at + 1)

    def nearest(self, said: Sequence[Token]) -> Near | None:
        """The sentence, or few in a row, that share most with these tokens; None where nothing is shared."""
        keys = [token.key for token in said]
        counted = Counter(keys)
        weights = {key: weight(key) for key in counted}
        total = sum(weights[key] * count for key, count in counted.items())
        best: Near | None = None
        for start, stop in sorted(self._windows(counted, weights)):
            first, last = self.sentences[start].first, self.sentences[stop - 1].last
            theirs = [token.key for token in self.tokens[first:last]]
            shared = sum(weights[key] * count for key, count in _in_both(counted, theirs))
            both = total + self._weight_before[last] - self._weight_before[first]
            held, alike = shared / total, 2 * shared / both
            rank = held + alike + LCSseq.similarity(keys, theirs) / len(keys)
            if best is None or rank > best.rank:
                best = Near(first, last, max(held, alike), rank)
        return best

    def place(self, first: int, last: int) -> Span:
        """The (start, end) in the document of the sentences that hold these tokens."""
        covering = [one for one in self._around(first, last) if one.last > first and one.first < last]
        return covering[0].start, covering[-1].end

    @property
    def size(self) -> int:
        """The characters of the document."""
        return len(self._text)

    def text_at(self, span: Span) -> str:
        """What is read there."""
        return rendered(self._text[span[0] : span[1]])

    def _around(self, first: int, last: int) -> list[Sentence]:
        begin = bisect_left(self.sentences, first, key=lambda one: one.last)
        stop = bisect_left(self.sentences, last, key=lambda one: one.first)
        return self.sentences[begin:stop]

    def _add(self, start: int, end: int) -> None:
        words = rendered(self._text[start:end])
        first = len(self.tokens)
        for part, whole in _parts(words):
            begun = len(self.tokens)
            self.tokens += [self._shared.setdefault(token, token) for token in tokens(f" {part}")]
            if whole and len(self.tokens) > begun:
                self._bound(begun, len(self.tokens))
        if len(self.tokens) > first:
            self._bound(first, len(self.tokens))
            self.sentences.append(Sentence(start, end, first, len(self.tokens)))

    def _bound(self, first: int, last: int) -> None:
        self._starts.add(first)
        # A dash before words is a marker that some pages write as text; before a number it may be a minus.
        if last - first > 1 and self.tokens[first].key == "-" and self.tokens[first + 1].key[0].isalpha():
            self._starts.add(first + 1)
        self._ends.add(last)
        while last > first and self.tokens[last - 1].key in POINTS:
            last -= 1
            self._ends.add(last)
        # An item may end with the word that leads to the next one: "fever; or".
        if last - first > 2 and self.tokens[last - 1].key in _JOINING and self.tokens[last - 2].key in POINTS:
            self._bound(first, last - 1)

    def _make_postings(self) -> dict[str, dict[int, int]]:
        found: dict[str, dict[int, int]] = {}
        for number, sentence in enumerate(self.sentences):
            for token in filter(is_word, self.tokens[sentence.first : sentence.last]):
                places = found.setdefault(token.key, {})
                places[number] = places.get(number, 0) + 1
        return found

    def _windows(self, said: Counter[str], weights: Mapping[str, float]) -> set[Span]:
        """Runs of sentences (start, stop) worth a closer look."""
        size = said.total()
        shared: dict[int, float] = {}
        found = [(self._postings[key], key) for key in said if key in self._postings]
        for postings, key in sorted(found, key=lambda one: (len(one[0]), one[1])):
            # What so many sentences hold tells them apart no better than the rarer words before it.
            if len(shared) >= _ENOUGH and len(postings) > _ENOUGH:
                break
            for number, there in postings.items():
                shared[number] = shared.get(number, 0.0) + weights[key] * min(said[key], there)
        held = nlargest(_CANDIDATES, shared, key=lambda number: shared[number])
        alike = nlargest(_CANDIDATES, shared, key=lambda number: shared[number] / (size + self._size(number)))
        return {window for number in {*held, *alike} for window in self._runs(number, size)}

    def _runs(self, number: int, size: int) -> Iterator[Span]:
        """The sentence alone and, where it is the shorter one, with its neighbours."""
        yield number, number + 1
        if self._size(number) > _MUCH_SHORTER * size:
            return
        for length in range(2, _LONGEST_RUN + 1):
            latest = min(number, len(self.sentences) - length)
            for start in range(max(0, number - length + 1), latest + 1):
                stop = start + length
                if self.sentences[stop - 1].last - self.sentences[start].first <= 1.3 * size + 2:
                    yield start, stop

    def _size(self, number: int) -> int:
        return self.sentences[number].last - self.sentences[number].first


def _in_both(counted: Mapping[str, int], keys: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Each key with how often it stands in both."""
    for key, count in Counter(key for key in keys if key in counted).items():
        yield key, min(count, counted[key])


def _parts(words: str) -> Iterator[tuple[str, bool]]:
    """A sentence's words in order, in the parts that a plain reading of them would see as sentences.

    A table's cell has some only where it reads like one: 40% means nothing without its row.
    """
    if " | " not in words:
        yield from ((words[start:end], True) for start, end in sentence_spans(words))
        return
    for cell in re.split(r" \| |\n", words):
        for start, end in sentence_spans(cell):
            part = cell[start:end]
            yield part, part.endswith((".", "?", "!")) and len(part.split()) >= _FEWEST_WORDS
