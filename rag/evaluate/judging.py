"""Which judged text a passage earns, so that systems with different chunks can be compared.

A passage earns a judged text of its document when they share at least half of the shorter one's 5-word
shingles. Each judged text is earned once, by the first passage that can; a passage earns at most one
and takes the highest grade, then the one that was judged first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rag.evaluate.questions import JudgedText, Question
from rag.evaluate.shingles import share_half, shingles


class Judgeable(Protocol):
    """A text of a document, as every chunk is."""

    @property
    def chunk_id(self) -> str:
        """Its own id."""

    @property
    def doc_id(self) -> str:
        """The id of its document."""

    @property
    def text(self) -> str:
        """Its plain text."""


Matches = Callable[[Judgeable], list[JudgedText]]


def matcher(question: Question) -> Matches:
    """A function from a passage to the judged texts that it could earn, best first."""
    by_id: dict[str, list[JudgedText]] = {}
    for judged in sorted(question.relevant, key=lambda judged: -judged.relevance):
        by_id.setdefault(judged.doc_id, []).append(judged)
    wanted = {
        judged.judged_id: shingles(judged.text) for judged in question.relevant if judged.text is not None
    }

    def matches(passage: Judgeable) -> list[JudgedText]:
        near = by_id.get(passage.doc_id, []) + by_id.get(passage.chunk_id, [])
        if not near:
            return []
        found = shingles(passage.text)
        return [one for one in near if one.text is None or share_half(found, wanted[one.judged_id])]

    return matches


def credit(question: Question, passages: Sequence[Judgeable]) -> list[JudgedText | None]:
    """What each passage of a ranking earns, in order; None for nothing."""
    matches = matcher(question)
    earned: list[JudgedText | None] = []
    spent: set[str] = set()
    for passage in passages:
        free = (judged for judged in matches(passage) if judged.judged_id not in spent)
        best = max(free, key=lambda judged: judged.relevance, default=None)
        if best is not None:
            spent.add(best.judged_id)
        earned.append(best)
    return earned


def judged_run(ranked_ids: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """A run from ids in order, best first.

    Its scores count down to 1: they hold the order in any tool's precision and mean nothing else.
    """
    return {
        query_id: {an_id: float(len(ids) - place) for place, an_id in enumerate(ids)}
        for query_id, ids in ranked_ids.items()
    }
