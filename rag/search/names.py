"""What a question is about by name: the cancer, drug or topic that some page of the index is titled with.

Names are drawn from the titles of the index and told from ordinary words by counting: a name stands
mostly in chunks of pages that are titled with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rag.index.backend import Backend
from rag.search.lay_terms import LayTerms
from rag.search.words import FUNCTION_WORDS
from rag.search.words import words as words_in

_LONGEST = 4
# Of the chunks that mention a name, so many stand under a title that holds it.
_TITLED_SHARE = 0.15
# What so large a part of all chunks mention ("cancer", "treatment") names nothing by itself.
_TOO_COMMON = 0.2
# Nor does a word of which a million words of everyday English have so many ("now", "feel", "test").
_EVERYDAY = 45.0

Stems = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """A name as it stands in the question, and the stems of every form that counts as the same.

    `proper` is false where it is only taken to be meant: an everyday word that lay terms lead to a name
    ("gut" for "intestine"), or a word set right.
    """

    text: str
    forms: tuple[Stems, ...]
    proper: bool = True


class Names:
    """Finds names in questions and in chunks of one index. Safe to use from several threads."""

    def __init__(self, backend: Backend, lay_terms: LayTerms | None, usage: Mapping[str, float]) -> None:
        """`usage` has the uses of everyday words in a million."""
        self._backend, self._usage = backend, usage
        self._lay_terms = lay_terms
        self._chunks = backend.info.chunks
        titles = {metadata.short_title for _, metadata in backend.catalog()}
        self._in_titles = {pair for title in titles for pair in pairwise(backend.stems(title))}

    def find(self, words: Sequence[str], corrections: Mapping[str, str] | None = None) -> list[Name]:
        """The names among a question's words (lower case, in order); the longest at each place.

        Where `corrections` make a name of a word, the word as it was written is a name as well: a drug
        that the index does not know may be spelled like one that it knows.
        """
        corrections = corrections or {}
        meant = [corrections.get(word, word) for word in words]
        found: list[Name] = []
        at = 0
        while at < len(words):
            name, taken = self._at(meant, at)
            slips = [word for word in words[at : at + taken] if word in corrections]
            if name:
                found.append(replace(name, proper=name.proper and not slips))
                found.extend(Name(slip, (self._stems((slip,)),)) for slip in slips)
            at += taken
        return list({name.forms: name for name in found}.values())

    def missing(self, names: Sequence[Name], chunk_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """[len(names), n]: which of the names a chunk holds in no form, its title and headings included."""
        absent = np.ones((len(names), len(chunk_ids)), dtype=np.bool_)
        for row, name in enumerate(names):
            for form in name.forms:
                absent[row] &= ~self._backend.mentions(form, chunk_ids)
        return absent

    def _at(self, words: Sequence[str], at: int) -> tuple[Name | None, int]:
        """The longest name that begins here, and how many words it takes (1 where there is none)."""
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            run = tuple(words[at : at + length])
            if forms := self._forms(run):
                proper = self._is_name(run) or not any(word in self._usage for word in run)
                return Name(" ".join(self._shown(word) for word in run), forms, proper), length
        return None, 1

    def _shown(self, word: str) -> str:
        """A word as a person writes it: "nonsmall" is joined for the search only."""
        rest = word.removeprefix("non")
        if rest == word or word in self._usage:
            return word
        return f"non-{rest}" if self._backend.occurrences(self._stems((rest,))).mentioned else word

    def _forms(self, run: tuple[str, ...]) -> tuple[Stems, ...]:
        """The forms of a run of words when one of them is a name: itself and what lay terms make of it."""
        if run[0] in FUNCTION_WORDS or run[-1] in FUNCTION_WORDS:
            return ()
        if len(run) == 1 and self._is_everyday(run[0]):
            return ()
        phrases = [run]
        if self._lay_terms:
            phrases += [tuple(words_in(phrase)) for phrase in self._lay_terms.expansions.get(run, ())]
        if not any(self._is_name(phrase) for phrase in phrases):
            return ()
        return tuple(dict.fromkeys(self._stems(phrase) for phrase in phrases))

    def _is_name(self, phrase: tuple[str, ...]) -> bool:
        if not any(len(word) > 2 and word.isalpha() for word in phrase):
            return False
        # The index leaves out words of absurd length; they have no stem.
        if len(self._stems(phrase)) < len(phrase):
            return False
        if len(phrase) == 1 and self._is_everyday(phrase[0]):
            return False
        if self._is_common(phrase[0]):
            return False
        if not self._is_common(phrase[-1]):
            return self._is_titled(phrase)
        # "breast cancer" is "breast", so that "cancer of the breast" counts; "skin cancer" is itself.
        shorter = any(self._is_name(phrase[:length]) for length in range(1, len(phrase)))
        return not shorter and self._is_titled(phrase, elsewhere=True)

    def _is_everyday(self, word: str) -> bool:
        return self._usage.get(word, 0.0) > _EVERYDAY

    def _is_titled(self, phrase: tuple[str, ...], *, elsewhere: bool = False) -> bool:
        """Whether titles hold it often enough and, if asked, chunks under other titles hold it too."""
        stems = self._stems(phrase)
        # Most phrases stand in no title, which is told here without a search.
        if not self._in_titles.issuperset(pairwise(stems)):
            return False
        count = self._backend.occurrences(stems)
        often = count.titled > 0 and count.titled >= _TITLED_SHARE * count.mentioned
        return often and not (elsewhere and count.titled == count.mentioned)

    def _is_common(self, word: str) -> bool:
        return self._backend.occurrences(self._stems((word,))).mentioned > _TOO_COMMON * self._chunks

    def _stems(self, phrase: tuple[str, ...]) -> Stems:
        return tuple(self._backend.stems(" ".join(phrase)))
