"""Texts as what is compared: words, numbers and signs, without what only concerns layout.

Forms of quotes, dashes and spaces count as one, and quotation marks and emphasis as nothing. A sign that
can carry meaning (a comma, a bracket, '%', '<') is a token of its own.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from rag.corpus.inline import line_text


class Token(NamedTuple):
    """A word, number or sign. `key` is compared, `form` is read; `spaced` when white space is before it."""

    key: str
    form: str
    spaced: bool


_DASHES = dict.fromkeys("‐‑‒–—―−﹣－", "-")
_APOSTROPHES = dict.fromkeys("‘’‚‛ʼ`´′", "'")
_QUOTES = dict.fromkeys("“”„‟«»″", '"')
_UNSEEN = dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff", "")
_FORMS = str.maketrans(_DASHES | _APOSTROPHES | _QUOTES | _UNSEEN)
# Compatibility forms would make 109 of 10⁹ and 21/2 of 2½.
_POWER = re.compile(r"(?<=\d)(?=[⁺⁻]?[⁰¹²³⁴-⁹])")
_FRACTION = re.compile(r"(?<=\d)(?=[¼½¾⅐-⅞])")
_TOKEN = re.compile(
    r"(?P<number>\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d+)?)"
    r"|[^\W\d_][^\W_]*(?:'[^\W\d_]+)*"
    r"""|[^\w\s*"'`|•]"""
)
# At the end of a sentence they tell nothing: items are written with them and without.
POINTS = frozenset(".;:,")
_WORDLIKE = re.compile(r"[^\W_]")
# An answer's marks for what it cites: [1], [2, 3], [Source 1], 【4】, [1](address) or a chunk_id.
_LABEL = re.compile(
    r"\[\[?\d{1,3}\]?\](?:\([^()\s]*\))?"
    r"|[\[【]\s*(?:(?:source|passage|ref\.?|reference)s?\s*)?\^?#?\d{1,3}(?:\s*[,;–-]\s*\d{1,3})*\s*[\]】]"
    r"|\[[^\[\]\s]{1,300}#[a-z0-9-]{1,80}-\d{8}\]",
    re.IGNORECASE,
)
# These may be the source's own as well: (1) at an end, and raised digits.
_LOOSE_LABEL = re.compile(
    r"\(\d{1,2}\)(?=[\s.!?]*\Z)|\A\s*\(\d{1,2}\)(?=\s)"
    r"|(?<=[^\W\d_.!?])[¹²³⁰-⁹]+(?=[\s.!?]*\Z)|(?<=[.!?])[¹²³⁰-⁹]+(?=\s|\Z)"
)
_MARKUP = re.compile(r"[\[<&\\]")
# A sentence of sensible length; longer ones are taken as they are.
_LONGEST_MARKED_UP = 4000


def tokens(text: str) -> list[Token]:
    """The tokens of a plain text, in order."""
    text = _uniform(text)
    found, end = [], 0
    for match in _TOKEN.finditer(text):
        start = match.start()
        # Signs that do not count may stand between: the *drug*.
        spaced = start > end and any(map(str.isspace, text[end:start]))
        form = match[0]
        key = form.replace(",", "") if match.lastgroup else form.casefold()
        found.append(Token(key, form, spaced))
        end = match.end()
    return found


def readings(claim: str) -> list[list[Token]]:
    """The tokens of a sentence as it is given, rendered, and without labels, as far as these differ.

    A source may itself say '(1)' or '[1]', so what keeps more comes first.
    """
    texts = [claim]
    if _MARKUP.search(claim) and len(claim) <= _LONGEST_MARKED_UP:
        texts.append(line_text(claim))
    texts += [_LABEL.sub(" ", text) for text in texts]
    texts.append(_LOOSE_LABEL.sub(" ", texts[-1]))
    found = {tuple(token.key for token in read): read for read in map(tokens, reversed(texts))}
    return [read for read in reversed(found.values()) if read]


def says_something(claim: str) -> bool:
    """Whether anything but signs and labels stands in it."""
    return bool(_WORDLIKE.search(_LABEL.sub("", claim)))


def shown(said: Sequence[Token]) -> str:
    """The tokens as a text to read."""
    return "".join((" " if token.spaced else "") + token.form for token in said).strip()


def is_word(token: Token) -> bool:
    """Whether a token is a word or a number and no sign."""
    return token.key[0].isalnum()


def _uniform(text: str) -> str:
    if text.isascii():
        return text
    text = _FRACTION.sub(" ", _POWER.sub("^", text))
    return unicodedata.normalize("NFKC", text.translate(_FORMS)).translate(_FORMS).replace("\u2044", "/")
