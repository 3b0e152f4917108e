"""Slips of spelling in a message, set right by the words of the safety rules.

Only a word that English does not know is touched, and only when one word of the rules is a slip away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from rapidfuzz.distance import OSA

from rag.search.english import english_words

# Short words have too many neighbours.
_SHORTEST = 5
# From this length on two slips still leave no doubt.
_LONG = 9


class Respeller:
    """Knows the words of the rules and the slips that the rules list. Safe to use from several threads."""

    def __init__(self, listed: Mapping[str, str], vocabulary: Iterable[str]) -> None:
        self._listed = dict(listed)
        self._known = frozenset(vocabulary)
        self._ordinary = english_words()
        self._near: dict[str, list[str]] = {}
        for word in sorted(self._known):
            if len(word) >= _SHORTEST and word.isalpha() and word in self._ordinary:
                self._near.setdefault(word[0], []).append(word)

    def respell(self, word: str) -> str:
        """The word that was meant, `word` itself where that is not certain."""
        listed = self._listed.get(word)
        if listed is not None:
            return listed
        if len(word) < _SHORTEST or word in self._known or word in self._ordinary or not word.isalpha():
            return word
        return next((known for known in self._near.get(word[0], ()) if _is_slip(word, known)), word)


def _is_slip(word: str, known: str) -> bool:
    allowed = 2 if len(known) >= _LONG else 1
    return (
        abs(len(word) - len(known)) <= allowed and OSA.distance(word, known, score_cutoff=allowed) <= allowed
    )
