"""Misspelled words of a question, set right by the words of the index.

Only a word that the index does not know is touched, and only when one that it knows is very near.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rapidfuzz import process
from rapidfuzz.distance import OSA

# A word in fewer chunks may itself be a slip of the page.
_FEWEST_CHUNKS = 2
_SHORTEST = 5
# Two slips are forgiven only where they cannot make another word of it.
_LONG = 10


class Speller:
    """Knows the stems of an index. Safe to use from several threads."""

    def __init__(self, vocabulary: Mapping[str, int], stems: Callable[[str], Sequence[str]]) -> None:
        self._stems = stems
        self._known = {stem: count for stem, count in vocabulary.items() if count >= _FEWEST_CHUNKS}
        self._by_length: dict[int, list[str]] = {}
        for stem in self._known:
            if stem.isalpha():
                self._by_length.setdefault(len(stem), []).append(stem)

    def correct(self, word: str) -> str | None:
        """The stem that was meant by a lower-case word, None when it is known or nothing is near.

        Near is one slip (a letter too many, too few, wrong or swapped with the next one), two in a word
        of ten letters. Of several the one with the same first letter wins, then the most frequent.
        """
        if len(word) < _SHORTEST or not word.isalpha():
            return None
        stem = next(iter(self._stems(word)), "")
        if len(stem) < _SHORTEST - 1 or stem in self._known:
            return None
        slips = 1 if len(word) < _LONG else 2
        near = process.extract(
            stem,
            [known for size in range(len(stem) - slips, len(stem) + slips + 1) for known in self._of(size)],
            scorer=OSA.distance,
            score_cutoff=slips,
            limit=None,
        )
        if not near:
            return None
        return min((slip, known[0] != stem[0], -self._known[known], known) for known, slip, _ in near)[-1]

    def _of(self, length: int) -> Sequence[str]:
        return self._by_length.get(length, ())
