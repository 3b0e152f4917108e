"""What can be told of a chunk from its own text alone, for the ranking to weigh later.

Pure functions, computed once when a chunk is made.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from array import array
from dataclasses import dataclass

# Two texts that differ in these words alone say the same. Nothing that could turn a sense stands here.
_SMALL_WORDS = frozenset(("a", "an", "the", "and", "of", "to", "in", "is", "are", "was", "were", "be"))

_WORD = re.compile(r"[^\W_]+")
# '1.5', '1-5' and '1/5' are other numbers, and '<5' is another one than '>5'.
_CONTENT = re.compile(r"\d+(?:[.,:/–−-]\d+)+|[^\W_]+|[<>≤≥±%]")
_SHINGLE = 5
# One shingle in four is kept; which ones depends on the shingle only, so samples can be compared.
_KEPT_OF = 4
_FEWEST_ENTRIES = 3
_WORDS_AN_ENTRY = 45
# A volume with its issue and page, "12 (2): 249", or authors cut short.
_REFERENCE = re.compile(r"\b\d+ ?\([\w. -]{1,12}\): ?[A-Za-z]?\d|\bet al\b")


@dataclass(frozen=True, slots=True)
class TextTraits:
    """Traits of one text.

    `sketch` holds a sample of its 5-word shingles as sorted CRC-32 values, by which texts are compared.
    Texts of equal `content_key` have the same words in the same order, articles and the like aside.
    """

    sketch: array[int]
    content_key: int
    is_bibliography: bool


def text_traits(text: str) -> TextTraits:
    """The traits of a chunk's plain text."""
    folded = text.casefold()
    words = _WORD.findall(folded)
    key = _content_key(_CONTENT.findall(folded))
    return TextTraits(_sketch(words), key, _is_bibliography(text, len(words)))


def _sketch(words: list[str]) -> array[int]:
    shingles = {
        zlib.crc32(" ".join(words[at : at + _SHINGLE]).encode("utf-8", "surrogatepass"))
        for at in range(max(1, len(words) - _SHINGLE + 1))
    }
    return array("I", sorted(value for value in shingles if value % _KEPT_OF == 0))


def _content_key(words: list[str]) -> int:
    """63 bits over the words that matter: a number, a drug or a 'not' makes another key, 'the' does not."""
    content = [word for word in words if word not in _SMALL_WORDS] or words
    digest = hashlib.blake2b(" ".join(content).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _is_bibliography(text: str, words: int) -> bool:
    """Whether a text is mostly a list of references, told by how references are written."""
    entries = len(_REFERENCE.findall(text))
    return entries >= _FEWEST_ENTRIES and entries * _WORDS_AN_ENTRY >= words
