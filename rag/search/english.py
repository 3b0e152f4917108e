"""General English: which words there are and how often people use them.

The list is that of pyspellchecker, some 160,000 words. It tells a slip of the pen from a word that the
index happens not to have, and a name from an everyday word.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from spellchecker import SpellChecker


@cache
def english_words() -> Mapping[str, float]:
    """Every word in lower case with its uses in a million words of running text."""
    counted = SpellChecker(language="en").word_frequency
    return {word: 1e6 * count / counted.total_words for word, count in counted.items()}
