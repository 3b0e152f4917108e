"""One message as the screen reads it: plain words, each with the sentence and the clause it stands in.

Owns case, apostrophes, accents, drawn-out letters, numbers and slips of spelling. Keeps nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass

# What a thermometer shows in a fever, in Fahrenheit and in Celsius.
_FEVER_F, _FEVER_C = (100.4, 109.0), (38.0, 43.0)
# The bounds themselves stand in every leaflet, so they tell less of a measured fever than 101.3 does.
_BOUNDS = (100.4, 38.0)
# Years that are over when the rules are written; the clock is not asked, so a message always reads the same.
_YEARS = (1940, 2025)

_APOSTROPHE = re.compile("['`\u00b4\u2018\u2019\u02bc\u2032]")
_DRAWN_OUT = re.compile(r"([a-z])\1{2,}")
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d(?!\d))")
_CONTRACTED = (
    (re.compile(r"\b(can) ?not\b"), "cant"),
    (re.compile(r"\b(i|you|he|she|we|they|it)'ll\b"), r"\1 will"),
    (re.compile(r"\b(i|you|he|she|we|they)'d\b"), r"\1 would"),
    (re.compile(r"\bs[u*][i1!*]c[i1!*]d"), "suicid"),
    (re.compile(r"\bk[1!*]ll"), "kill"),
    (re.compile(r"\bw/o\b"), "without"),
    (re.compile(r"\bb/c\b"), "because"),
    (re.compile(r"\bw/"), "with "),
    (re.compile(r"\ba&e\b"), "emergency"),
    (re.compile(r"\bu\b"), "you"),
    (re.compile(r"\b(?:im|i'm|i am) (?:gonna|gunna|gona)\b"), "im going to"),
    (re.compile(r"\b(?:wanna|wana)\b"), "want to"),
    (re.compile(r"\bgonna\b"), "going to"),
    (re.compile(r"\b(?:hundred|one hundred) (?:and )?(\w+)\b"), r"hundred \1"),
)
_PIECE = re.compile(
    r"(?P<word>\d+(?:\.\d+)?|[a-z]+)|(?P<stop>[.!?\n\u2026;]+)|(?P<comma>[,:()\u2013\u2014]| - )"
)
_SPOKEN = {
    "thirty eight": "38", "thirty nine": "39", "forty": "40", "hundred one": "101", "hundred two": "102",
    "hundred three": "103", "hundred four": "104", "one oh one": "101", "one oh two": "102",
    "one oh three": "103", "one oh four": "104",
}  # fmt: skip
_SPOKEN_NUMBER = re.compile(rf"\b(?:{'|'.join(_SPOKEN).replace(' ', '[ -]')})\b")

# A word that opens a clause of its own when one of `_SUBJECTS` follows, or by itself.
_JOINS = frozenset(
    {"and", "so", "then", "because", "cause", "cos", "coz", "cuz", "since", "while", "also", "plus"}
)
_BREAKS = frozenset({"but", "however", "though", "although", "except", "yet", "whereas"})
_SUBJECTS = frozenset(
    {
        "i", "im", "ive", "id", "my", "he", "hes", "his", "she", "shes", "her", "we", "our", "they", "theyre",
        "their", "now", "today", "suddenly", "its", "this", "tonight", "the", "dad", "mum", "mom",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Words in order; `kinds` are what a number may stand for; `sentences` and `clauses` count from 0."""

    words: tuple[str, ...]
    kinds: tuple[tuple[str, ...], ...]
    sentences: tuple[int, ...]
    clauses: tuple[int, ...]
    questions: frozenset[int]

    def clause_start(self, at: int) -> int:
        """The first word of the clause that the word `at` stands in."""
        while at and self.clauses[at - 1] == self.clauses[at]:
            at -= 1
        return at

    def sentence_start(self, at: int) -> int:
        """The first word of the sentence that the word `at` stands in."""
        while at and self.sentences[at - 1] == self.sentences[at]:
            at -= 1
        return at


def read_message(text: str, respell: Callable[[str], str]) -> Message:
    """Cut a message into words. `respell` gives the word that was meant by one, often itself."""
    words, sentences, clauses = list[str](), list[int](), list[int]()
    questions = set[int]()
    sentence = clause = 0
    for piece in _PIECE.finditer(_plain(text)):
        if piece.lastgroup == "word":
            for word in respell(piece[0]).split():
                words.append(word)
                sentences.append(sentence)
                clauses.append(clause)
            continue
        clause += 1
        if piece.lastgroup == "stop":
            if "?" in piece[0]:
                questions.add(sentence)
            sentence += 1
    return Message(
        words=tuple(words),
        kinds=tuple(kinds_of(word) for word in words),
        sentences=tuple(sentences),
        clauses=_split(words, clauses),
        questions=frozenset(questions),
    )


def _plain(text: str) -> str:
    """Lower case, without accents and apostrophes, contractions and spoken temperatures written one way."""
    plain = _APOSTROPHE.sub("'", text).casefold()
    if not plain.isascii():
        plain = "".join(one for one in unicodedata.normalize("NFKD", plain) if not unicodedata.combining(one))
    plain = _DRAWN_OUT.sub(r"\1", plain)
    for contracted, full in _CONTRACTED:
        plain = contracted.sub(full, plain)
    plain = _SPOKEN_NUMBER.sub(lambda found: _SPOKEN[found[0].replace("-", " ")], plain.replace("'", ""))
    return _DECIMAL_COMMA.sub(".", plain)


def _split(words: list[str], clauses: list[int]) -> tuple[int, ...]:
    """Clauses cut further where a conjunction opens one with a subject of its own."""
    found, added = list[int](), 0
    for at, word in enumerate(words):
        following = words[at + 1] if at + 1 < len(words) else ""
        if at and (word in _BREAKS or (word in _JOINS and following in _SUBJECTS)):
            added += 1
        found.append(clauses[at] + added)
    return tuple(found)


def kinds_of(word: str) -> tuple[str, ...]:
    """What a number may stand for: `#number`, and `#hot`, `#measured`, `#decimal` (a fever) or `#year`."""
    if not word[0].isdigit():
        return ()
    value = float(word)
    if _FEVER_F[0] <= value <= _FEVER_F[1] or _FEVER_C[0] <= value < _FEVER_C[1]:
        if value in _BOUNDS:
            return ("#number", "#hot")
        return ("#number", "#hot", "#measured", *(("#decimal",) if "." in word else ()))
    is_year = len(word) == 4 and word.isdigit() and _YEARS[0] <= value <= _YEARS[1]
    return ("#number", "#year") if is_year else ("#number",)
