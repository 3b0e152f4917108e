"""Misspelled words of a question, set right by the words of the index.

Only a word that neither the index nor the English language knows is touched, and only when one that
the index knows is very near.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from rapidfuzz import process
from rapidfuzz.distance import OSA

from rag.search.words import FUNCTION_WORDS

# A word in fewer chunks may itself be a slip of the page.
_FEWEST_CHUNKS = 2
_SHORTEST = 5
# Two slips are forgiven only where they cannot make another word of it.
_LONG = 10


class Speller:
    """Knows the stems of an index, and words to leave alone. Safe to use from several threads."""

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        stems: Callable[[str], Sequence[str]],
        ordinary: Container[str] = frozenset(),
    ) -> None:
        self._stems, self._vocabulary, self._ordinary = stems, vocabulary, ordinary
        self._known = {stem: count for stem, count in vocabulary.items() if count >= _FEWEST_CHUNKS}
        self._by_length: dict[int, list[str]] = {}
        for stem in self._known:
            if stem.isalpha() and stem not in FUNCTION_WORDS:
                self._by_length.setdefault(len(stem), []).append(stem)

    def correct(self, word: str) -> str | None:
        """The word that was meant by a lower-case one, None when that is known or nothing is near.

        It need not be a word of the language, but its stem is one of the index. Near is one slip (a
        letter too many, too few, wrong or swapped with the next one), two in a word of ten letters. Of
        several the one with the same first letter wins, then the most frequent.
        """
        if len(word) < _SHORTEST or not word.isalpha() or word in self._ordinary:
            return None
        stem = next(iter(self._stems(word)), "")
        if len(stem) < _SHORTEST - 1 or stem in self._vocabulary:
            return None
        slips = 1 if len(word) < _LONG else 2
        found = process.extract(
            stem,
            [known for size in range(len(stem) - slips, len(stem) + slips + 1) for known in self._of(size)],
            scorer=OSA.distance,
            score_cutoff=slips,
            limit=None,
        )
        near = sorted((slip, known[0] != stem[0], -self._known[known], known) for known, slip, _ in found)
        return next((meant for *_, known in near if (meant := self._word_of(known))), None)

    def _word_of(self, stem: str) -> str | None:
        """A word with this stem. A search stems its words, and "diseas" would come out as "disea"."""
        forms = (stem, f"{stem}e", f"{stem[:-1]}y", f"{stem}al", f"{stem}ly")
        return next((form for form in forms if list(self._stems(form)) == [stem]), None)

    def _of(self, length: int) -> Sequence[str]:
        return self._by_length.get(length, ())
