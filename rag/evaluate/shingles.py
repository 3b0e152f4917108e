"""Runs of five words: what two texts share when one was cut from the other, whatever the chunker."""

from __future__ import annotations

import re

WORDS_OF_A_SHINGLE = 5

_WORD = re.compile(r"[a-z0-9]+")


def shingles(text: str) -> frozenset[tuple[str, ...]]:
    """Every run of five words; all words as one run when there are fewer, nothing when there is none."""
    words = _WORD.findall(text.lower())
    if not words:
        return frozenset()
    size = min(WORDS_OF_A_SHINGLE, len(words))
    return frozenset(zip(*(words[start:] for start in range(size)), strict=False))


def share_half(one: frozenset[tuple[str, ...]], other: frozenset[tuple[str, ...]]) -> bool:
    """Whether they share at least half of the shorter one's shingles."""
    shorter = min(len(one), len(other))
    return shorter > 0 and 2 * len(one & other) >= shorter
