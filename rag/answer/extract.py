"""The sentences that answer, taken from the passages in their own words.

A sentence counts by the telling words of the question that it holds, in whatever form the search knew them.
Questions, and lines that only lead up to a list, are not quoted: they answer nothing by themselves.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rag.corpus.document import Chunk
from rag.corpus.quotes import Sentence, sentences_of
from rag.index.backend import Backend, StoredChunk, Term

MOST_SENTENCES = 3
MOST_HIGHLIGHTS = 2
# What a sentence must reach of the best one's weight to stand beside it.
_WORTHY = 0.6
# Answers are looked for in the first passages; later ones are still highlighted.
_DEPTH = 3
# Each rank further down, a passage's sentences count so much less.
_FALL = 0.9
_FEWEST_WORDS = 4
# Synonyms find the passage; a sentence that only says what the pages call it answers little.
_SYNONYM_SHARE = 0.4
# What title and headings say already holds for every sentence below them.
_TOLD_SHARE = 0.3
# Long sentences hold more words by chance alone.
_USUAL_WORDS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedSentence:
    """A sentence of a passage: `document.text[start:end]` renders to `text`. `passage` is a rank, from 1."""

    text: str
    passage: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """An extractive answer: whole sentences in the order of the passages; `text` has them one by one."""

    text: str
    sentences: tuple[QuotedSentence, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    passage: int
    sentence: Sentence
    weight: float


# A highlight is (start, end) in the passage's plain text.
Highlights = tuple[tuple[int, int], ...]


class Extractor:
    """Takes sentences out of passages of one index. Safe to use from several threads."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._counts = backend.vocabulary()

    def extract(
        self, terms: Sequence[Term], passages: Sequence[StoredChunk]
    ) -> tuple[Extract | None, list[Highlights]]:
        """The answer, and the highlights of each passage; None when there is no sentence to quote."""
        weights = self._weights(terms)
        candidates = [
            self._candidates(rank, one.chunk, weights) for rank, one in enumerate(passages, start=1)
        ]
        highlights = [_highlights(of_passage) for of_passage in candidates]
        return _answer([one for some in candidates[:_DEPTH] for one in some], passages), highlights

    def _candidates(self, rank: int, chunk: Chunk, weights: Mapping[str, float]) -> list[_Candidate]:
        told = set(self._backend.stems(chunk.context))
        here = {stem: weight * (_TOLD_SHARE if stem in told else 1) for stem, weight in weights.items()}
        return [
            _Candidate(rank, sentence, self._weight(sentence.text, here))
            for sentence in sentences_of(chunk.markdown, chunk.text)
            if _speaks_for_itself(sentence.text)
        ]

    def _weights(self, terms: Sequence[Term]) -> dict[str, float]:
        """Each stem of the question's terms with its weight times its inverse document frequency."""
        chunks = self._backend.info.chunks
        weights: dict[str, float] = {}
        for term in terms:
            for stem in self._backend.stems(term.text)[:1]:
                rarity = math.log(1 + chunks / (1 + self._counts.get(stem, 0)))
                share = term.weight if term.weight >= 1 else term.weight * _SYNONYM_SHARE
                weights[stem] = max(weights.get(stem, 0.0), share * rarity)
        return weights

    def _weight(self, text: str, weights: Mapping[str, float]) -> float:
        stems = self._backend.stems(text)
        # Summed exactly: rounding would make it depend on the order, and the better of two sentences with it.
        held = math.fsum(weights[stem] for stem in weights.keys() & stems)
        return held / math.sqrt(max(1.0, len(stems) / _USUAL_WORDS))


def _speaks_for_itself(text: str) -> bool:
    return not text.endswith(("?", ":")) and len(text.split()) >= _FEWEST_WORDS


def _highlights(candidates: Sequence[_Candidate]) -> Highlights:
    best = _best(candidates, MOST_HIGHLIGHTS)
    spans = ((one.sentence.text_start, one.sentence.text_end) for one in best)
    return tuple(sorted(spans))


def _answer(candidates: Sequence[_Candidate], passages: Sequence[StoredChunk]) -> Extract | None:
    fallen = [
        _Candidate(one.passage, one.sentence, one.weight * _FALL ** (one.passage - 1)) for one in candidates
    ]
    best = _best(fallen, MOST_SENTENCES) or fallen[:1]
    if not best:
        return None
    chosen = sorted(best, key=lambda one: (one.passage, one.sentence.start))
    sentences = tuple(_quoted(one, passages[one.passage - 1]) for one in chosen)
    return Extract(text=" ".join(sentence.text for sentence in sentences), sentences=sentences)


def _best(candidates: Sequence[_Candidate], count: int) -> list[_Candidate]:
    """The weightiest, none of them much lighter than the first, and none saying the same."""
    ordered = sorted(candidates, key=lambda one: (-one.weight, one.passage, one.sentence.start))
    worthy = [one for one in ordered if one.weight > 0 and one.weight >= _WORTHY * ordered[0].weight]
    first: dict[str, _Candidate] = {}
    for one in worthy:
        first.setdefault(one.sentence.text, one)
    return list(first.values())[:count]


def _quoted(candidate: _Candidate, stored: StoredChunk) -> QuotedSentence:
    sentence, chunk = candidate.sentence, stored.chunk
    return QuotedSentence(
        text=sentence.text,
        passage=candidate.passage,
        start=chunk.start + sentence.start,
        end=chunk.start + sentence.end,
    )
