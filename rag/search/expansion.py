"""A question to the terms of a lexical query: its own words, the ones set right, what the pages call them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rag.index.backend import Term
from rag.search.lay_terms import LayTerms, words_of
from rag.search.spelling import Speller
from rag.search.words import FUNCTION_WORDS, content_words, words

# Against 1 for a word of the question (measured: docs/quality.md).
_SYNONYM_WEIGHT = 0.9
# In small letters it is a word like any other, so the lay terms cannot have it.
_ALL = re.compile(r"\bALL\b")
# Only so many words are looked at for slips: in a text of garbage each would be compared with thousands.
_MOST_CHECKED = 40


@dataclass(frozen=True, slots=True)
class Expanded:
    """The terms to search by, the question's words in order as they stand, and what they may stand for.

    `unknown` are words that neither the index nor the language has.
    A corrected word is searched beside its correction and never replaced: an unknown drug is not to be
    taken for a known one that is spelled alike.
    """

    terms: tuple[Term, ...]
    words: tuple[str, ...]
    corrections: dict[str, str]
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expander:
    """Widens questions; without a speller or lay terms it leaves that part out."""

    speller: Speller | None
    lay_terms: LayTerms | None
    _lay_words: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # Whatever word the lay terms know was meant as it stands, and is a part of what they match.
        entries = self.lay_terms.expansions.items() if self.lay_terms else ()
        known = {word for key, phrases in entries for text in (key, *map(words_of, phrases)) for word in text}
        object.__setattr__(self, "_lay_words", frozenset(known))

    def expand(self, question: str) -> Expanded:
        """Return the terms for `question`, its own words first."""
        question = _spelled_out(question)
        own = content_words(question)
        corrections = self._corrections(own)
        unknown = self._unknown(own, corrections)
        terms = [Term(word) for word in (*own, *corrections.values())]
        if self.lay_terms:
            lay = [corrections.get(word, word) for word in words_of(question)]
            for phrase in self.lay_terms.expand(lay):
                terms.extend(_synonyms(phrase))
        return Expanded(tuple(terms), tuple(words(question)), corrections, unknown)

    def _unknown(self, own: Sequence[str], corrections: Mapping[str, str]) -> tuple[str, ...]:
        if self.speller is None:
            return ()
        checked = [word for word in self._checked(own) if word not in corrections]
        return tuple(word for word in checked if self.speller.is_unknown(word))

    def _corrections(self, own: Sequence[str]) -> dict[str, str]:
        if self.speller is None:
            return {}
        found = {word: self.speller.correct(word) for word in self._checked(own)}
        return {word: meant for word, meant in found.items() if meant}

    def _checked(self, own: Sequence[str]) -> list[str]:
        return [word for word in own[:_MOST_CHECKED] if word not in self._lay_words]


def _spelled_out(question: str) -> str:
    """The question with "ALL" in capitals, among small letters, as the leukemia that it is."""
    return question if question.isupper() else _ALL.sub("acute lymphoblastic leukemia", question)


def _synonyms(phrase: str) -> list[Term]:
    """The words of a phrase share its weight, so that a long name does not drown the question."""
    telling = [word for word in words(phrase) if word not in FUNCTION_WORDS]
    return [Term(word, _SYNONYM_WEIGHT / math.sqrt(len(telling))) for word in telling]
