"""Misspelled words of a question, set right by the words of the index.

Only a word that neither the index nor the English language knows is touched, and only when one that
the index knows is very near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from rapidfuzz import process
from rapidfuzz.distance import OSA

from rag.search.words import FUNCTION_WORDS

_Key = TypeVar("_Key")

# A word in fewer chunks may itself be a slip of the page.
_FEWEST_CHUNKS = 2
_SHORTEST = 5
_SHORTEST_UNKNOWN = 4
_LONG_WORD = 6


class Speller:
    """Knows the stems of an index, and words to leave alone. Safe to use from several threads."""

    def __init__(
        self,
        vocabulary: Mapping[str, int],
        stems: Callable[[str], Sequence[str]],
        ordinary: Iterable[str] = (),
    ) -> None:
        self._stems, self._vocabulary = stems, vocabulary
        self._ordinary = frozenset(ordinary)
        self._known = {
            stem: count
            for stem, count in vocabulary.items()
            if count >= _FEWEST_CHUNKS and stem.isalpha() and stem not in FUNCTION_WORDS
        }
        self._near_known = _Neighbours(self._known)
        self._near_ordinary = _Neighbours(self._ordinary)
        self._ordinary_by_start = _grouped(self._ordinary, lambda word: (word[:1], len(word)))

    def correct(self, word: str) -> str | None:
        """The word that was meant by a lower-case one, None when that is known or nothing is near.

        Its stem is one of the index and one slip away: a letter too many, too few, wrong, or swapped
        with the next one. More slips would make one drug or disease of another. Of several the one with
        the same first letter wins, then the most frequent.
        """
        if len(word) < _SHORTEST or not word.isalpha() or word in self._ordinary:
            return None
        stem = next(iter(self._stems(word)), "")
        if len(stem) < _SHORTEST - 1 or stem in self._vocabulary:
            return None
        near = sorted(
            (known[0] != stem[0], -self._known[known], known)
            for known in self._near_known.one_slip_away(stem)
        )
        return next((meant for *_, known in near if (meant := self._word_of(known, word))), None)

    def is_unknown(self, word: str) -> bool:
        """Whether a lower-case word is none of the index or the language, and no slip of such a one.

        So a made-up drug is told from a misspelled word. Two slips are forgiven in a word of six letters
        or more, one in a shorter one, and none in its first letter.
        """
        if len(word) < _SHORTEST_UNKNOWN or word in self._ordinary:
            return False
        if any(stem in self._vocabulary for stem in self._stems(word)):
            return False
        slips = 2 if len(word) >= _LONG_WORD else 1
        sizes = range(len(word) - slips, len(word) + slips + 1)
        choices = [one for size in sizes for one in self._ordinary_by_start.get((word[0], size), ())]
        return process.extractOne(word, choices, scorer=OSA.distance, score_cutoff=slips) is None

    def _word_of(self, stem: str, slip: str) -> str | None:
        """A word with this stem, to be read by a person: one of the language where it is near `slip`.

        It is stemmed again when it is searched, and "diseas" would come out as "disea".
        """
        near = sorted(self._near_ordinary.one_slip_away(slip))
        forms = (*near, stem, f"{stem}e", f"{stem[:-1]}y", f"{stem}al", f"{stem}ly")
        return next((form for form in forms if list(self._stems(form)) == [stem]), None)


class _Neighbours:
    """Words by length, each with the set of its letters as bits.

    One slip changes a set of letters by two at the most, which rules out nearly all words at once.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._by_length = {length: (alike, _letters(alike)) for length, alike in _grouped(words, len).items()}

    def one_slip_away(self, word: str) -> list[str]:
        """Those that one slip, or none, makes of `word`."""
        letters = _letters([word])
        choices: list[str] = []
        for length in range(len(word) - 1, len(word) + 2):
            if length in self._by_length:
                words, bits = self._by_length[length]
                choices += compress(words, (np.bitwise_count(bits ^ letters) <= 2).tolist())
        near = process.extract(word, choices, scorer=OSA.distance, score_cutoff=1, limit=None)
        return [one for one, _, _ in near]


def _letters(words: Sequence[str]) -> npt.NDArray[np.uint64]:
    """The letters of each word as bits [n]; some that are no ASCII share one. All are of one length."""
    signs = np.array(words).view(np.uint32).reshape(len(words), -1)
    bits = np.uint64(1) << (signs % 64).astype(np.uint64)
    return np.asarray(np.bitwise_or.reduce(bits, axis=1), dtype=np.uint64)


def _grouped(words: Iterable[str], key: Callable[[str], _Key]) -> dict[_Key, list[str]]:
    found: dict[_Key, list[str]] = {}
    for word in words:
        found.setdefault(key(word), []).append(word)
    return found
