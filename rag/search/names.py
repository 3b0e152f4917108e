"""What a question is about by name: the cancer, drug or topic that some page of the index is titled with.

Names are drawn from the titles of the index and told from ordinary words by counting: a name stands
mostly in chunks of pages that are titled with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.index.backend import Backend
from rag.search.lay_terms import LayTerms
from rag.search.words import FUNCTION_WORDS

_LONGEST = 4
# Of the chunks that mention a name, so many stand under a title that holds it.
_TITLED_SHARE = 0.15
# What so large a part of all chunks mention ("cancer", "treatment") names nothing.
_TOO_COMMON = 0.2

Stems = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Name:
    """A name as it stands in the question, and the stems of every form that counts as the same."""

    text: str
    forms: tuple[Stems, ...]


class Names:
    """Finds names in questions and in chunks of one index. Safe to use from several threads."""

    def __init__(self, backend: Backend, lay_terms: LayTerms | None) -> None:
        self._backend = backend
        self._lay_terms = lay_terms
        self._chunks = backend.info.chunks

    def find(self, words: Sequence[str]) -> list[Name]:
        """The names among a question's words (lower case, in order); the longest at each place."""
        found: list[Name] = []
        at = 0
        while at < len(words):
            name, taken = self._at(words, at)
            if name:
                found.append(name)
            at += taken
        return list({name.forms: name for name in found}.values())

    def missing(self, names: Sequence[Name], chunk_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """[len(names), n]: which of the names a chunk holds in no form, its title and headings included."""
        absent = np.ones((len(names), len(chunk_ids)), dtype=np.bool_)
        for row, name in enumerate(names):
            for form in name.forms:
                absent[row] &= ~self._holds(form, chunk_ids)
        return absent

    def _holds(self, form: Stems, chunk_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether chunks mention `form` itself: "non-small cell" is another thing than "small cell"."""
        held = self._backend.mentions(form, chunk_ids)
        if form[0] == "non" or not held.any():
            return held
        return held & ~self._backend.mentions(("non", *form), chunk_ids)

    def _at(self, words: Sequence[str], at: int) -> tuple[Name | None, int]:
        """The longest name that begins here, and how many words it takes (1 where there is none)."""
        for length in range(min(_LONGEST, len(words) - at), 0, -1):
            run = tuple(words[at : at + length])
            if forms := self._forms(run):
                return Name(" ".join(run), forms), length
        return None, 1

    def _forms(self, run: tuple[str, ...]) -> tuple[Stems, ...]:
        """The forms of a run of words when one of them is a name: itself and what lay terms make of it."""
        if run[0] in FUNCTION_WORDS or run[-1] in FUNCTION_WORDS:
            return ()
        phrases = [" ".join(run)]
        if self._lay_terms:
            phrases += self._lay_terms.expansions.get(run, ())
        forms = tuple(dict.fromkeys(tuple(self._backend.stems(phrase)) for phrase in phrases))
        return forms if any(self._is_name(form) for form in forms) else ()

    def _is_name(self, form: Stems) -> bool:
        if not form or not any(len(stem) > 2 and stem.isalpha() for stem in form):
            return False
        if self._is_common(form[:1]) or self._is_common(form[-1:]):
            return False
        count = self._backend.occurrences(form)
        return count.titled > 0 and count.titled >= _TITLED_SHARE * count.mentioned

    def _is_common(self, form: Stems) -> bool:
        return self._backend.occurrences(form).mentioned > _TOO_COMMON * self._chunks
