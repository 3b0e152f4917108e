"""Reads a question: its bounds, the terms to search by, the names that it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rag.errors import InvalidRequest
from rag.index.backend import Backend, Term
from rag.search.english import english_words
from rag.search.expansion import Expanded, Expander
from rag.search.features import Features
from rag.search.followup import leans_on_history, names_before
from rag.search.lay_terms import load_lay_terms
from rag.search.names import Name, Names
from rag.search.spelling import Speller

MAX_QUESTION = 2000
MAX_TOP_K = 50
DEFAULT_TOP_K = 5
MAX_HISTORY = 50
# What was said longer ago is not what "it" stands for.
_TURNS_READ = 6


@dataclass(frozen=True, slots=True)
class Question:
    """A question understood. `text` is what an encoder gets; `terms` is empty when words are not searched."""

    text: str
    terms: tuple[Term, ...]
    names: tuple[Name, ...]
    corrections: Mapping[str, str]
    unknown: tuple[str, ...] = ()
    leaned: bool = False


class QuestionReader:
    """Reads questions for one index with the features that are on. Safe to use from several threads."""

    def __init__(self, backend: Backend, features: Features) -> None:
        self._features = features
        lay_terms = load_lay_terms() if features.synonyms else None
        speller = None
        if features.spelling:
            speller = Speller(backend.vocabulary(), backend.stems, english_words())
        self._expander = Expander(speller, lay_terms)
        self._names = Names(backend, lay_terms, english_words())

    def read(self, question: str, history: Sequence[str] = ()) -> Question:
        """Understand a question, with the names of an earlier turn where it leans on one."""
        expanded = self._expander.expand(question)
        names = self._named(expanded)
        leaned = False
        if history and leans_on_history(question, names) and (earlier := self._earlier(history)):
            known = {name.forms for name in names}
            brought = [name for name in earlier if name.forms not in known]
            question = " ".join((question, *(name.text for name in brought)))
            expanded = self._expander.expand(question)
            names = [*names, *brought]
            leaned = True
        terms = expanded.terms if self._features.lexical else ()
        return Question(question, terms, tuple(names), expanded.corrections, expanded.unknown, leaned)

    def missing(self, names: Sequence[Name], chunk_ids: Sequence[str]) -> npt.NDArray[np.bool_]:
        """[len(names), n]: which of the names a chunk does not mention."""
        return self._names.missing(names, chunk_ids)

    def _earlier(self, history: Sequence[str]) -> Sequence[Name]:
        return names_before(history[-_TURNS_READ:], lambda turn: self._named(self._expander.expand(turn)))

    def _named(self, expanded: Expanded) -> list[Name]:
        return self._names.find(expanded.words, expanded.corrections)


def check_request(question: str, top_k: int, history: Sequence[str] = ()) -> None:
    """Raise `InvalidRequest`, naming the field, unless all are within bounds."""
    if not question.strip():
        raise InvalidRequest("question", "is empty; ask something")
    _check_text("question", question.strip())
    if not 1 <= top_k <= MAX_TOP_K:
        raise InvalidRequest("top_k", f"is {top_k}; it must be from 1 to {MAX_TOP_K}")
    if len(history) > MAX_HISTORY:
        raise InvalidRequest("history", f"has {len(history):,} turns; the limit is {MAX_HISTORY}")
    for number, turn in enumerate(history):
        _check_text(f"history.{number}", turn)


def _check_text(field: str, text: str) -> None:
    if len(text) > MAX_QUESTION:
        raise InvalidRequest(field, f"has {len(text):,} characters; the limit is {MAX_QUESTION:,}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidRequest(field, "is not valid Unicode text") from None
