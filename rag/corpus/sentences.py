"""Where sentences end, in plain text or in raw markdown.

It parts too seldom rather than too often: half a sentence misquotes, two sentences only say more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_TITLES = {"dr", "mr", "mrs", "ms", "prof", "st", "jr", "sr", "ph.d", "m.d", "b.s", "m.s", "r.n"}
_SHORT_WORDS = {
    "vs",
    "etc",
    "e.g",
    "i.e",
    "eg",
    "ie",
    "cf",
    "al",
    "fig",
    "figs",
    "pp",
    "no",
    "nos",
    "vol",
    "approx",
}
_PLACES = {"ca", "u.s", "u.k", "d.c", "inc", "ltd", "co", "dept", "est", "gen", "op", "resp"}
_MONTHS = {"jan", "feb", "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec"}
_ABBREVIATIONS = frozenset(_TITLES | _SHORT_WORDS | _PLACES | _MONTHS)
_END = re.compile(
    r"""(?<![.!?…]) [.!?…]++
        (?> (?: \[\[[^\[\]\s]*\]\(\#cit/[^()\s]*\)\] | ["'”’)\]*_] )* )  # closing signs and marks
        \s+ (?= [*_"'“‘(\[]* [A-Z0-9À-ÞΑ-Ω] | [-•] )""",
    re.VERBOSE,
)
_LAST_WORD = re.compile(r"([^\W\d_](?:[\w.]*\w)?)[.]$")


def sentence_spans(text: str) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) of each sentence, without the whitespace between them."""
    start = len(text) - len(text.lstrip())
    for match in _END.finditer(text):
        if match.start() < start or _abbreviated(text, match):
            continue
        end = match.start() + len(match.group().rstrip())
        yield start, end
        start = match.end()
    end = len(text.rstrip())
    if start < end:
        yield start, end


def _abbreviated(text: str, match: re.Match[str]) -> bool:
    if not match.group().startswith(".") or match.group().startswith(".."):
        return False
    word = _LAST_WORD.search(text, max(0, match.start() - 20), match.start() + 1)
    if word is None:
        return False
    return len(word.group(1)) == 1 or word.group(1).lower() in _ABBREVIATIONS
