"""What can be told of a chunk from its own text alone, for the ranking to weigh later.

Pure functions, computed once when a chunk is made.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from array import array
from dataclasses import dataclass

_WORD = re.compile(r"[^\W_]+")
# What may differ between copies: marks of lists and quotes, brackets, and punctuation that no number needs.
_LAYOUT = re.compile(
    r"^[ \t]*[-\u2013\u2022*][ \t]+"
    r"|[\"'\u2018\u2019\u201c\u201d*\u2022()\[\]]"
    r"|(?<!\d)[.,;:!?](?!\d)|[.,;:!?](?=\s|$)|[\u2026\u2014]|(?<=[^\d\s])\s+[-\u2013]\s+(?!\d)",
    re.MULTILINE,
)
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
    Texts of equal `content_key` have the same words, numbers and signs in the same order; only case,
    white space, quotes, brackets, list marks and the points between sentences may differ.
    """

    sketch: array[int]
    content_key: int
    is_bibliography: bool


def text_traits(text: str) -> TextTraits:
    """The traits of a chunk's plain text."""
    folded = text.casefold()
    words = _WORD.findall(folded)
    return TextTraits(_sketch(words), _content_key(folded), _is_bibliography(text, len(words)))


def _sketch(words: list[str]) -> array[int]:
    shingles = {
        zlib.crc32(" ".join(words[at : at + _SHINGLE]).encode("utf-8", "surrogatepass"))
        for at in range(max(1, len(words) - _SHINGLE + 1))
    }
    return array("I", sorted(value for value in shingles if value % _KEPT_OF == 0))


def _content_key(folded: str) -> int:
    """63 bits over the content: a number, a sign, a drug or an 'a' makes another key, layout does not."""
    content = " ".join(_LAYOUT.sub(" ", folded).split()) or folded
    digest = hashlib.blake2b(content.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _is_bibliography(text: str, words: int) -> bool:
    """Whether a text is mostly a list of references, told by how references are written."""
    entries = len(_REFERENCE.findall(text))
    return entries >= _FEWEST_ENTRIES and entries * _WORDS_AN_ENTRY >= words
